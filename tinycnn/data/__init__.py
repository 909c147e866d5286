"""A data set on disk -> uint8 tensors: ``Split``, ``Images``, ``load``, ``find``."""


def __getattr__(name):  # on demand, since the facts in ``catalog`` are wanted where torch is not
    if name in ("Images", "Split", "find", "load"):
        from tinycnn.data import files

        return getattr(files, name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
