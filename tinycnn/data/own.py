"""Your own data: an ``.npz`` file, a folder of images by class, or what a class of an experiment's file reads.

npz     arrays ``x_train`` and ``x_test``, uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, ``y_train`` and
        ``y_test``, integers (N,) from 0 to k - 1, optionally ``classes``, k names
folder  ``train/CLASS/*.png`` and ``test/CLASS/*.png`` (or other formats of Pillow), the classes in alphabetical order
"""

from pathlib import Path

import numpy as np

from tinycnn import ROOT
from tinycnn.data.catalog import Facts
from tinycnn.data.files import Split, split
from tinycnn.errors import UserError

_CACHE = {}
"""The data set read last, by what it was read from."""


def facts(data) -> Facts:
    """Return the facts of a ``Data`` section. Raises UserError for whatever is wrong with its files."""
    classes, parts, where = _contents(data)
    counts = [len(parts[part][1]) for part in ("train", "test")]
    return Facts(*parts["train"][0].shape[1:3], classes, *counts, 1 / 6, "your own", where)


def load(data) -> Split:
    """Return the ``Split`` of a ``Data`` section."""
    classes, parts, where = _contents(data)
    return split(data.short, classes, where, parts.__getitem__, data.validation, data.images)


def _contents(data):
    """Return class names, {"train": (images, labels), "test": ...} and the source, validated."""
    where, changed = type(data).__name__, 0
    readers = {"npz": _npz, "folder": _folder}
    try:
        if data.name in readers:
            path = (Path.cwd() / Path(data.path).expanduser()).resolve()
            where = path if path.exists() else (ROOT / data.path).resolve()
            changed = max(each.stat().st_mtime_ns for each in (where, *where.rglob("*")))
        key = (type(data), where, changed, data.model_dump_json(exclude={"validation", "images", "fallback"}))
        if key not in _CACHE:
            names, parts = readers[data.name](where, data) if data.name in readers else _by_class(data)
            classes, parts = _checked(names, parts)
            _CACHE.clear()
            _CACHE[key] = classes, parts, str(where)
        return _CACHE[key]
    except FileNotFoundError as error:
        raise UserError(f"data.path: {error.filename}: does not exist; give an absolute or relative path") from None
    except OSError as error:
        raise UserError(f"data.path: {where}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise UserError(f"{'data.path' if data.name in readers else 'data'}: {where}: {error}") from None


def _npz(path: Path, data):
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError:
        raise
    except Exception as error:  # NumPy and zipfile raise different errors
        raise ValueError(f"is no npz file of plain arrays ({' '.join(str(error).split())[:150]})") from None
    missing = [name for name in ("x_train", "y_train", "x_test", "y_test") if name not in arrays]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}")
    return arrays.get("classes"), {part: (arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test")}


def _folder(path: Path, data):
    names = sorted(each.name for each in (path / "train").iterdir() if each.is_dir() and each.name[0] != ".")
    parts = {}
    for part in ("train", "test"):
        others = {each.name for each in (path / part).iterdir() if each.is_dir() and each.name[0] != "."} - set(names)
        if others:
            raise ValueError(f"{part}/{min(others)} has no train/{min(others)}")
        files = [
            (label, file)
            for label, name in enumerate(names)
            for file in sorted((path / part / name).glob("*"))
            if file.name[0] != "."
        ]
        images = [_image(file, data.size, data.channels) for _, file in files]
        if len({image.shape for image in images}) > 1:
            first, second = sorted({image.shape for image in images})[:2]
            raise ValueError(f"{part} has images of {_by(first)} and of {_by(second)}; give data.size, e.g. 28")
        parts[part] = np.array(images), np.array([label for label, _ in files])
    return names, parts


def _image(file: Path, size: int | None, channels: int):
    from PIL import Image

    try:
        with Image.open(file) as image:
            image = image.convert("L" if channels == 1 else "RGB")
            if size is not None and image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            return np.asarray(image)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} is no image ({' '.join(str(error).split())[:100]})") from None


def _by_class(data):
    parts = {}
    for part in ("train", "test"):
        try:
            images, labels = data.read(part)
        except UserError:
            raise
        except Exception as error:  # whatever its author did wrong
            text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ValueError(f"read({part!r}) failed ({text})") from error
        parts[part] = np.asarray(images), np.asarray(labels)
    return getattr(data, "classes", None), parts


def _checked(names, parts):
    """Return class names and parts, images as uint8 (N, C, H, W). Raises ValueError where they do not fit."""
    parts = {part: (_channels_first(part, images), labels) for part, (images, labels) in parts.items()}
    for part, (images, labels) in parts.items():
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(images) != len(labels):
            raise ValueError(
                f"the labels of {part} are {labels.dtype} {labels.shape}, not an integer for each of its {len(images)} "
                "images"
            )
    train, test = (parts[part][0].shape[1:] for part in ("train", "test"))
    if train != test or train[1] != train[2]:
        raise ValueError(f"images of train are {_by(train)}, of test {_by(test)}; make them square and all of one size")
    present = np.unique(parts["train"][1])
    count = len(present) if names is None else len(names)
    if count < 2 or present.tolist() != list(range(count)):
        found = ", ".join(map(str, present[:12]))
        raise ValueError(f"labels of train are {found}; they must be all of 0 to k - 1, k > 1")
    if (extra := np.setdiff1d(parts["test"][1], present)).size:
        raise ValueError(f"the test label {extra[0]} has no training image")
    checked = {part: (np.ascontiguousarray(each), labels.astype(np.int64)) for part, (each, labels) in parts.items()}
    return tuple(map(str, range(count) if names is None else names)), checked


def _channels_first(part, images):
    if images.dtype != np.uint8 or not len(images):
        cure = "; multiply by 255 and convert with astype('uint8')" if images.dtype.kind == "f" and len(images) else ""
        raise ValueError(f"the images of {part} are {images.dtype} {images.shape}, not uint8 from 0 to 255{cure}")
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    raise ValueError(
        f"the images of {part} have shape {images.shape}; use (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3"
    )


def _by(shape) -> str:
    return "×".join(map(str, shape))
