"""Trained networks that come with the project: a folder each in ``zoo/``, with a card and checksums."""

from pathlib import Path

from tinycnn import ROOT
from tinycnn.errors import UserError, nearest, shown

FOLDER = ROOT / "zoo"


def names(folder: Path | None = None) -> list[str]:
    """Return the names of the records in ``zoo/``, or in ``folder``: its folders, sorted."""
    return sorted(path.name for path in (folder or FOLDER).glob("[!.]*") if path.is_dir())


def load(name: str, folder: Path | None = None):
    """Return the network of a record: an ``nn.Module`` that maps uint8 images (N, C, H, W) to logits (N, classes).

    ``folder``: another than ``zoo/``. Its files are checked first; no data set is needed. Raises UserError.
    """
    from tinycnn import export
    from tinycnn.zoo.record import check

    path = place(name, folder)
    check(path)
    return export.load(path)


def place(name: str, folder: Path | None = None) -> Path:
    """Return the folder of a record. Raises UserError where there is none of this name."""
    known = names(folder)
    if name not in known:
        hint = nearest(name, known) if known else "it is empty"
        raise UserError(f"no record in {folder or FOLDER} is called {shown(name)}; {hint}")
    return (folder or FOLDER) / name
