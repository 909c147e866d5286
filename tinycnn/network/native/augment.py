"""``tinycnn.data.augment`` by the kernels, and normalisation: in one pass from bytes to what a network is given."""

import ctypes

import torch

from tinycnn.data.augment import draw_bends, draws, resamples
from tinycnn.network.native.library import load

_WHOLE, _REAL, _POINTER = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


class Augmentation(ctypes.Structure):
    """Images and how they are changed; see ``augment.cpp``."""

    _fields_ = (
        *((name, _WHOLE) for name in ("channels", "height", "width", "resamples", "crop", "flip", "cutout")),
        *((name, _REAL) for name in ("rotation", "shift", "scale", "shear")),
        ("mean", _POINTER), ("deviation", _POINTER),
    )  # fmt: skip


def augmented(images, chosen, settings, generator, data) -> torch.Tensor:
    """Return the chosen images augmented and normalised, float32 (N, C, H, W): torch's results but for rounding.

    images     uint8 (all, C, H, W), contiguous, on the CPU
    chosen     int64 (N,), each a valid index
    settings   the fields of ``tinycnn.spec.Augment``
    generator  from which as many numbers are drawn as by ``tinycnn.data.augment.augment``
    data       the ``Split``, of which mean and standard deviation are: cutout leaves the mean
    """
    count, (channels, height, width) = len(chosen), images.shape[1:]
    chosen, uniform = chosen.contiguous(), draws(count, generator)
    bends = draw_bends(uniform[:, 0], settings, height, width) if settings.elastic else None
    mean, std = ((ctypes.c_float * channels)(*each) for each in (data.mean, data.std))
    how = Augmentation(
        channels, height, width, resamples(settings), settings.crop, settings.flip, settings.cutout,
        settings.rotation, settings.shift, settings.scale, settings.shear,
        ctypes.addressof(mean), ctypes.addressof(std),
    )  # fmt: skip
    out = torch.empty(count, channels, height, width)
    load()[0].augment(
        ctypes.addressof(how), images.data_ptr(), chosen.data_ptr(), count, uniform.data_ptr(),
        None if bends is None else bends.data_ptr(), out.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return out
