"""Data of one's own: an ``.npz`` file, a folder of images by class, or what a class of an experiment's file reads.

npz     arrays ``x_train`` and ``x_test``, uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, ``y_train`` and
        ``y_test``, integers (N,) from 0 to k - 1, and if you like ``classes``, k names
folder  ``train/CLASS/*.png`` and ``test/CLASS/*.png`` (or what else Pillow reads), the classes in the order of their
names
"""

import functools
import zipfile
from pathlib import Path

import numpy as np

from tinycnn import ROOT
from tinycnn.data.catalog import Facts
from tinycnn.data.files import Split, cut
from tinycnn.errors import UserError

_KEYS = ("x_train", "y_train", "x_test", "y_test")


def facts(data) -> Facts:
    """Return what the data set of a ``Data`` section is. Raises UserError for whatever is wrong with its files."""
    classes, parts, where = _contents(data)
    images = parts["train"][0]
    counts = [len(parts[part][1]) for part in ("train", "test")]
    return Facts(images.shape[1], images.shape[2], classes, *counts, 1 / 6, "your own", where)


def load(data) -> Split:
    """Return the ``Split`` of a ``Data`` section."""
    classes, parts, where = _contents(data)
    return cut(data.short, classes, where, parts.__getitem__, data.validation, data.images)


def _contents(data):
    """Return classes, {"train": (images, labels), "test": ...} and where they are from, checked."""
    if data.name not in ("npz", "folder"):
        return _by_class(data)
    path = (Path.cwd() / Path(data.path).expanduser()).resolve()
    if not path.exists():
        path = (ROOT / data.path).resolve()
    where = f"data.path: {path}"
    try:
        if data.name == "npz":
            status = path.stat()
            return _npz(path, status.st_mtime_ns, status.st_size)
        newest = max((each.stat().st_mtime_ns for each in path.rglob("*")), default=0)
        return _folder(path, data.size, data.channels, newest)
    except FileNotFoundError:
        raise UserError(f"{where}: is not there; give the path from this folder, or in full") from None
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error})") from None


@functools.lru_cache(2)
def _npz(path: Path, *stamp):
    where = f"data.path: {path}"
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise UserError(f"{where}: holds one array without a name; save it with numpy.savez(path, x_train=...)")
        with archive:
            missing = [key for key in _KEYS if key not in archive.files]
            if missing:
                raise UserError(f"{where}: lacks {', '.join(missing)}; it has {', '.join(archive.files) or 'nothing'}")
            arrays = {key: archive[key] for key in archive.files if key in (*_KEYS, "classes")}
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise UserError(f"{where}: is no npz file of plain arrays ({' '.join(str(error).split())[:150]})") from None
    parts = {
        part: (_channels_first(arrays[f"x_{part}"], f"{where}: x_{part}"), arrays[f"y_{part}"])
        for part in ("train", "test")
    }
    return _checked(parts, arrays.get("classes"), where)


def _channels_first(images, where):
    if images.dtype != np.uint8:
        cure = "; multiply by 255 and convert with astype('uint8')" if images.dtype.kind == "f" else ""
        raise UserError(f"{where} is {images.dtype}, not uint8 with 0 to 255{cure}")
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    raise UserError(f"{where} has the shape {images.shape}; (N, H, W), (N, H, W, C) or (N, C, H, W) is read, C 1 or 3")


def _checked(parts, names, where):
    """Return classes, parts and where, with labels as uint8 or wider; raise UserError for what cannot be."""
    checked = {}
    for part, (images, labels) in parts.items():
        labels = np.asarray(labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise UserError(f"{where}: the labels of {part} are {labels.dtype} {labels.shape}, not integers (N,)")
        if len(images) != len(labels):
            raise UserError(f"{where}: {part} has {len(images)} images and {len(labels)} labels")
        if not len(labels):
            raise UserError(f"{where}: {part} has no images")
        checked[part] = np.ascontiguousarray(images), labels.astype(np.int64)
    shapes = [checked[part][0].shape[1:] for part in ("train", "test")]
    if shapes[0] != shapes[1]:
        raise UserError(f"{where}: training images are {_by(shapes[0])}, test images {_by(shapes[1])}; make them alike")
    if shapes[0][1] != shapes[0][2]:
        raise UserError(f"{where}: images are {_by(shapes[0])}; make them square")
    present = np.unique(checked["train"][1])
    count = len(present) if names is None else len(names)
    if count < 2 or present.tolist() != list(range(count)):
        shown = ", ".join(map(str, present[:12])) + (", ..." if len(present) > 12 else "")
        raise UserError(
            f"{where}: training labels are {shown}; they must be 0 to k - 1, each there, with k of 2 or more"
        )
    if (extra := np.setdiff1d(checked["test"][1], present)).size:
        raise UserError(f"{where}: the test label {extra[0]} has no training image")
    classes = tuple(map(str, range(count) if names is None else names))
    return classes, checked, where.removeprefix("data.path: ")


def _by(shape) -> str:
    return "×".join(map(str, shape))


@functools.lru_cache(2)
def _folder(path: Path, size: int | None, channels: int, *stamp):
    where, parts, names = f"data.path: {path}", {}, None
    for part in ("train", "test"):
        if not (path / part).is_dir():
            raise UserError(f"{where}: has no folder {part}; images are looked for in {part}/CLASS/")
        found = sorted(each.name for each in (path / part).iterdir() if each.is_dir() and not each.name.startswith("."))
        if names is not None and (other := sorted(set(found) - set(names))):
            raise UserError(f"{where}: test/{other[0]} has no train/{other[0]} beside it")
        names = names or found
        images, labels = [], []
        for label, name in enumerate(names):
            files = sorted(each for each in (path / part / name).glob("*") if each.is_file() and each.name[0] != ".")
            images += [_picture(file, size, channels) for file in files]
            labels += [label] * len(files)
        if not images:
            raise UserError(f"{where}: {part} has no images; they are looked for in {part}/CLASS/")
        shapes = {image.shape for image in images}
        if len(shapes) > 1:
            a, b = sorted(shapes)[:2]
            raise UserError(f"{where}: {part} has images of {_by(a[1:])} and of {_by(b[1:])}; give data.size, e.g. 28")
        parts[part] = np.stack(images), np.array(labels)
    return _checked(parts, names, where)


def _picture(file: Path, size: int | None, channels: int):
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            picture = picture.convert("L" if channels == 1 else "RGB")
            if size is not None and picture.size != (size, size):
                picture = picture.resize((size, size), Image.Resampling.BILINEAR)
            pixels = np.asarray(picture)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"data.path: {file}: is no image ({' '.join(str(error).split())[:100]})") from None
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _by_class(data):
    """Return what a class of an experiment's file reads, once in a process."""
    key = data.model_dump_json(include=set(type(data).model_fields) - {"validation", "images", "fallback"})
    if (type(data), key) in _KNOWN:
        return _KNOWN[type(data), key]
    where, parts = f"data: {type(data).__name__}", {}
    for part in ("train", "test"):
        try:
            images, labels = data.read(part)
        except UserError:
            raise
        except Exception as error:  # whatever its author did wrong
            words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise UserError(f"{where}.read({part!r}) failed ({words})") from error
        parts[part] = _channels_first(np.asarray(images), f"{where}: the images of {part}"), np.asarray(labels)
    _KNOWN[type(data), key] = _checked(parts, getattr(data, "classes", None), where)
    return _KNOWN[type(data), key]


_KNOWN = {}
