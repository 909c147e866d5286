"""The README's generated part: its table and its figures, from the committed evidence and nothing else."""

import tempfile
from pathlib import Path

import pandas as pd

from analysis import committed, draw, gather, statistics
from analysis.album import Album
from analysis.blocks import count, number, with_epoch
from tinycnn import ROOT
from tinycnn.errors import UserError
from tinycnn.track import verdict
from tinycnn.track.tables import markdown

README = ROOT / "README.md"
_FIGURES = """\
![Test errors over the epochs, means and ranges over seeds](reports/figures/readme_learning_curves.png)
![Test errors against parameters, beside published figures](reports/figures/readme_accuracy_parameters.png)"""
BEGIN, END = "<!-- results: written by `make evidence` -->", "<!-- end of results -->"


def write() -> list[Path]:
    """Write the README's table and figures anew; return the files."""
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    return [README, *figures(figures_folder())]


def figures_folder() -> Path:
    """Return where the README's figures lie."""
    return README.parent / "reports" / "figures"


def figures(folder: Path) -> list[Path]:
    """Draw the README's figures into a folder, with their data; of the first data set that there is evidence of."""
    if not committed.names():
        return []
    found = gather.gather(store=False)
    data = found.summary["data"].iloc[0]
    summary = found.summary[found.summary["data"] == data]
    epochs = found.epochs[found.epochs["data"] == data]
    album = Album(folder, found.notes)
    draw.curves(album, epochs, summary, "readme_learning_curves")
    published = found.references[found.references["data"] == data]
    draw.against_parameters(album, summary, published, "readme_accuracy_parameters")
    return [folder / f"{name}.{kind}" for name in album.names for kind in ("png", "csv")]


def results_table() -> str:
    """Return the README's table from the committed evidence: the seed's iterations beside ours."""
    rows, ours = [], committed.names()
    published = committed.references().dropna(subset=["experiment"])
    for seed in published.itertuples():
        epoch = "" if pd.isna(seed.best_epoch) else f" ({seed.best_epoch:.0f})"
        best = f"{seed.best:.2f}{epoch}"
        train = f"{seed.train:.2f} (best)"
        rows.append((seed.experiment, "the seed", f"{seed.parameters:,.0f}", "1", train, "-", "-", "-", best, "-"))
        if seed.experiment in ours:
            rows.append(_ours(seed.experiment))
    rows += [_ours(name) for name in ours if name not in set(published["experiment"])]
    head = ("iteration", "whose", "parameters", "n", "train %", "test % (last epoch)", "std", "min", "best % (epoch)",
            "min of last 5")  # fmt: skip
    return markdown(head, rows, "<<" + ">" * 8)


def _ours(name: str) -> tuple:
    frame = committed.read(name)
    found = verdict.total([*statistics.runs_of(frame).values()])
    return (
        name, "ours", count(frame["parameters"].iloc[0]), str(found["n"]), number(found["clean_train"]),
        number(found["last"], 3), number(found["last_std"], 3), number(found["last_min"]),
        with_epoch(found["best"], found["best_epoch"]), number(found["min_last5"]),
    )  # fmt: skip


def judged_sentence() -> str:
    """Return how many specs each test set has judged, from the committed list."""
    counts = committed.looks(committed.judged())
    if counts.empty:
        return ""
    told = ", ".join(f"{row.data} {row.specs}" for row in counts.itertuples())
    return f"Specs judged so far, by test set: {told}."


def with_table(text: str) -> str:
    """Return the README with its generated part made anew. Raises UserError where its marks are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"README.md: the marks {BEGIN} and {END} are missing, so the table has no place")
    return f"{before}{BEGIN}\n{results_table()}\n\n{judged_sentence()}\n\n{_FIGURES}\n{END}{after}"


def check():
    """Raise UserError where the README's table, or the data of a figure of it, is not what the evidence says."""
    text = README.read_text(encoding="utf-8")
    if with_table(text) != text:
        raise UserError("README.md: its table differs from reports/evidence; make evidence writes it anew")
    with tempfile.TemporaryDirectory() as folder:
        for path in figures(Path(folder)):
            shown = figures_folder() / path.name
            if not shown.exists() or (path.suffix == ".csv" and shown.read_bytes() != path.read_bytes()):
                raise UserError(f"{shown}: differs from reports/evidence; make evidence draws it anew")
