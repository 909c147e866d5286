"""A data set from a mirror to its place on disk: all of it, checked, or nothing. torchvision does the transfer."""

import contextlib
import http.client
import os
import socket
import sys
import tarfile
import tempfile
import urllib.error
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tinycnn.errors import DataMissing, UserError

TIMEOUT = 20.0
"""Seconds a server may be silent, connecting or between two reads, before it is given up; torchvision sets no limit."""

_TRANSFER = (OSError, RuntimeError, ValueError, http.client.HTTPException)
_UNPACKING = (EOFError, tarfile.TarError, zlib.error, UserError)


def fetch(name: str, loader: str, root: Path, folder: str, present: Callable, check: Callable) -> None:
    """Download data set ``name`` with torchvision's ``loader`` so that ``root / folder`` holds it.

    It is made in a temporary folder beside, ``check`` (folder -> None, or UserError) looks at it there, and one rename
    puts it in place: an interruption leaves nothing half-made, and a folder with anything in it is never replaced.
    A lock makes a second process wait, and find with ``present`` (folder -> bool) that it has nothing left to do.
    ``TINYCNN_MIRROR``, if set, is the only server asked: ``URL/name/``, then ``URL/``, for the names torchvision asks
    for (MNIST's and Fashion-MNIST's are the same, hence the folder). Progress goes to stderr.
    Raises DataMissing with the reason; UserError if ``TINYCNN_MIRROR`` is no web address.
    """
    mirrors = _mirrors(name)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root / f".{name}.lock", name):
            if present(root / folder):
                return
            print(f"fetching {name} into {root / folder}", file=sys.stderr)
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as scratch:
                _download(_loader(loader), scratch, mirrors)
                check(Path(scratch, folder))
                Path(root, folder).parent.mkdir(parents=True, exist_ok=True)
                os.rename(Path(scratch, folder), root / folder)
    except DataMissing:
        raise
    except (*_TRANSFER, *_UNPACKING) as error:
        raise DataMissing(" ".join(f"{type(error).__name__}: {error}".split())) from error


def _mirrors(name: str) -> list[str | None]:
    """Base URLs to try in turn; None stands for torchvision's own."""
    base = os.environ.get("TINYCNN_MIRROR")
    if not base:
        return [None]
    if not base.startswith(("http://", "https://")):
        raise UserError(f"TINYCNN_MIRROR is {base!r}: give the address of a folder, http://… or https://…, or unset it")
    return [f"{base.rstrip('/')}/{name}/", f"{base.rstrip('/')}/"]


def _download(loader: type, root: str, mirrors: list[str | None]) -> None:
    """Have torchvision fetch, check and unpack into ``root``, from the first mirror that serves it."""
    with _silence_limit(TIMEOUT), contextlib.redirect_stdout(sys.stderr):
        for mirror in mirrors:
            own = {"mirrors": [mirror], "url": f"{mirror}{getattr(loader, 'filename', '')}"} if mirror else {}
            # torchvision names MNIST's folder after the class, so the derived class keeps its parent's name
            pointed = type(loader.__name__, (loader,), own)
            try:
                pointed(root, download=True)
                return
            except (RuntimeError, urllib.error.HTTPError):  # not there, or other bytes; silence is not waited out twice
                if mirror is mirrors[-1]:
                    raise


def _loader(name: str) -> type:
    """Return torchvision's class; imported here because it takes seconds, and fails beside a CPU-only torch."""
    try:
        import torchvision.datasets
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataMissing(f"torchvision, which downloads it, cannot be imported: {reason}") from error
    return getattr(torchvision.datasets, name)


@contextlib.contextmanager
def _silence_limit(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _lock(path: Path, name: str) -> Iterator[None]:
    """Hold the lock file; it stays behind, since removing one that another process waits for would let both in."""
    import filelock

    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        print(f"waiting for another process that is fetching {name}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
