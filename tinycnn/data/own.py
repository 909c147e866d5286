"""Your own data: an ``.npz`` file, a folder of images by class, or what a class of an experiment's file reads.

npz     arrays ``x_train`` and ``x_test``, uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, ``y_train`` and
        ``y_test``, integers (N,) from 0 to k - 1, optionally ``classes``, k names
folder  ``train/CLASS/*.png`` and ``test/CLASS/*.png`` (or other formats of Pillow), 8 bits a channel and opaque; the
        classes in alphabetical order
"""

import zipfile
from pathlib import Path

import numpy as np

from tinycnn import ROOT
from tinycnn.data.catalog import Facts
from tinycnn.data.files import Split, split
from tinycnn.errors import UserError, one_line

_PARTS = ("train", "test")
_CACHE = {}
"""The data set that was read last, by its source."""


def facts(data) -> Facts:
    """Return the facts of a ``Data`` section. Raises UserError for whatever is wrong with its files."""
    classes, parts, where = _contents(data)
    counts = [len(parts[part][1]) for part in _PARTS]
    return Facts(*parts["train"][0].shape[1:3], classes, *counts, 1 / 6, "your own", where)


def load(data) -> Split:
    """Return the ``Split`` of a ``Data`` section."""
    classes, parts, where = _contents(data)
    return split(data.short, classes, where, parts.__getitem__, data.validation, data.images)


def _contents(data):
    """Return class names, {"train": (images, labels), "test": ...} and the source. Raises UserError in one line."""
    path, changed = None, 0
    if data.path:
        path = (Path.cwd() / Path(data.path).expanduser()).resolve()
        path = path if path.exists() else (ROOT / data.path).resolve()
    where = f"data.path: {path}" if path else f"data: {data.short}"
    try:
        if path:
            changed = max(each.stat().st_mtime_ns for each in (path, *path.rglob("*")))
        key = type(data), path, changed, data.model_dump_json(exclude={"validation", "images", "fallback"})
        if key not in _CACHE:
            contents = *_validated(path, data), str(path or data.short)
            _CACHE.clear()
            _CACHE[key] = contents
        return _CACHE[key]
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{where}: {' '.join(str(error).split())}") from None
    except Exception as error:  # of a file, NumPy, zipfile, Pillow, or whatever the author of a class did wrong
        raise UserError(f"{where}: cannot be read ({one_line(error)})") from error


def _validated(path: Path | None, data):
    names, parts = {"npz": _npz, "folder": _folder}.get(data.name, _by_class)(path, data)
    parts = {part: _checked(part, *map(np.asarray, each)) for part, each in parts.items()}
    train, test = (parts[part][0].shape[1:] for part in _PARTS)
    if train != test or train[1] != train[2]:
        raise ValueError(f"images of train are {_by(train)}, of test {_by(test)}; make them square and all of one size")
    present = np.unique(parts["train"][1]).tolist()
    count = len(present)
    if count < 2 or present != list(range(count)):
        found = ", ".join(map(str, present[:12]))
        raise ValueError(f"labels of train are {found}; they must be all of 0 to k - 1, k > 1")
    if names is not None and len(names) != count:
        raise ValueError(f"classes has {len(names)} names; labels of train are 0 to {count - 1}, so give {count}")
    if (extra := np.setdiff1d(parts["test"][1], present)).size:
        raise ValueError(f"the test label {extra[0]} has no training image")
    return tuple(map(str, range(count) if names is None else names)), parts


def _npz(path: Path, data):
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("is no npz file; numpy.savez writes one")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
    missing = [name for name in ("x_train", "y_train", "x_test", "y_test") if name not in arrays]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}")
    return arrays.get("classes"), {part: (arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in _PARTS}


def _folder(path: Path, data):
    parts, names = {}, {}
    for part in _PARTS:
        folders = [each for each in sorted((path / part).iterdir()) if each.is_dir() and each.name[0] != "."]
        names[part] = [each.name for each in folders]
        if others := set(names[part]) - set(names["train"]):
            raise ValueError(f"{part}/{min(others)} has no train/{min(others)}")
        files = [(folder, file) for folder in folders for file in sorted(folder.iterdir()) if file.name[0] != "."]
        if part == "train" and (empty := set(folders) - {folder for folder, _ in files}):
            raise ValueError(f"train/{min(empty).name} has no images")
        if not files:
            raise ValueError(f"{part} has no images; put them into {part}/CLASS")
        images = [_image(file, data.size, data.channels) for _, file in files]
        if len(shapes := sorted({image.shape for image in images})) > 1:
            raise ValueError(f"{part} has images of {_by(shapes[0])} and of {_by(shapes[1])}; give data.size, e.g. 28")
        parts[part] = np.array(images), [names["train"].index(folder.name) for folder, _ in files]
    return names["train"], parts


def _image(file: Path, size: int | None, channels: int):
    from PIL import Image

    try:
        with Image.open(file) as image:
            if image.mode[0] in "IF":
                raise ValueError(f"{file} has more than 8 bits a pixel; scale it to 0 to 255 first")
            if image.has_transparency_data and image.convert("RGBA").getextrema()[3][0] < 255:
                raise ValueError(f"{file} is transparent; put a background behind it first")
            image = image.convert("L" if channels == 1 else "RGB")
            if size is not None and image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            return np.asarray(image)
    except OSError as error:
        raise ValueError(f"{file} is no image ({error})") from None


def _by_class(_, data):
    return getattr(data, "classes", None), {part: data.read(part) for part in _PARTS}


def _checked(part: str, images, labels):
    """Return images as uint8 (N, C, H, W) and labels as int64. Raises ValueError where they are something else."""
    if images.dtype != np.uint8 or not len(images):
        cure = "; multiply by 255 and convert with astype('uint8')" if images.dtype.kind == "f" and len(images) else ""
        raise ValueError(f"the images of {part} are {images.dtype} {images.shape}, not uint8 from 0 to 255{cure}")
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    elif images.ndim != 4 or images.shape[1] not in (1, 3):
        layouts = "(N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3"
        raise ValueError(f"the images of {part} have shape {images.shape}; use {layouts}")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(images) != len(labels):
        given = f"{labels.dtype} {labels.shape}"
        raise ValueError(f"the labels of {part} are {given}, not an integer for each of its {len(images)} images")
    return np.ascontiguousarray(images), labels.astype(np.int64)


def _by(shape) -> str:
    return "×".join(map(str, shape))
