"""Downloads a published data set with torchvision: complete and checked, or not at all."""

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tinycnn.errors import DataMissing, one_line

TIMEOUT = 20.0
"""Seconds a server may be silent; torchvision sets no limit."""


def fetch(name: str, loader: str, root: Path, folder: str, present: Callable, check: Callable) -> None:
    """Download data set ``name`` with torchvision's class ``loader`` to ``root / folder``.

    It is downloaded to a temporary folder, checked there with ``check`` (folder -> None, or UserError) and then
    renamed, so an interruption leaves nothing incomplete. A second process waits for the first, and then finds
    (``present``) that it is there. With ``TINYCNN_MIRROR`` the published archives come from ``$TINYCNN_MIRROR/name/``.
    Progress goes to stderr. Raises DataMissing.
    """
    mirror = os.environ.get("TINYCNN_MIRROR")
    try:
        from filelock import FileLock

        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            if present(root / folder):
                return
            print(f"downloading {name} to {root / folder}", file=sys.stderr)
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as temporary:
                _download(loader, temporary, f"{mirror.rstrip('/')}/{name}/" if mirror else None)
                check(Path(temporary, folder))
                Path(root, folder).parent.mkdir(parents=True, exist_ok=True)
                os.rename(Path(temporary, folder), root / folder)
    except Exception as error:  # of the network, an archive, the disk or torchvision's import: there are no data
        raise DataMissing(one_line(error)) from error


def _download(name: str, root: str, mirror: str | None) -> None:
    import torchvision.datasets  # takes seconds

    loader = getattr(torchvision.datasets, name)
    own = {"mirrors": [mirror], "url": f"{mirror}{getattr(loader, 'filename', '')}"} if mirror else {}
    limit = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            type(name, (loader,), own)(root, download=True)  # MNIST's folder is named after the class
    finally:
        socket.setdefaulttimeout(limit)
