"""Augment a batch on its own device, each image by its own random amounts.

``augment`` draws; ``crop``, ``flip``, ``affine`` and ``cutout`` take amounts per image. Rows are counted downwards and
columns to the right, from 0. Not torchvision's transforms, which draw one set of amounts for a whole batch.
``network/native/augment.cpp`` does the same in one pass, for networks that the native kernels compute.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

# A column of uniform numbers for each amount. Append, never reorder: results of old seeds depend on order and number.
COLUMNS = ("rotation", "shift_x", "shift_y", "scale", "shear", "crop_y", "crop_x", "flip", "cutout_y", "cutout_x")


def augment(images: torch.Tensor, settings, generator, fill: Sequence[float]) -> torch.Tensor:
    """Crop, flip, transform and cut out a batch, each image by its own amounts.

    images     float32 (N, C, H, W), values in [0, 1], on any device; returned as they are when everything is off
    settings   the fields of ``tinycnn.spec.Augment``
    generator  on the CPU: all numbers are drawn there and then moved, so a seed augments alike on every device; a list
               of them draws for equal parts of the batch in turn
    fill       C numbers, the mean of the data set: what cutout leaves is zero once the images are normalised

    Every call takes N * len(COLUMNS) numbers from the generator, so switching one augmentation on or off changes no
    other draw. Crop and flip come first since they move whole pixels without loss, then a single resampling; cutout
    comes last, so that its square stays sharp and exact.
    """
    count, _, height, width = images.shape
    generators = generator if isinstance(generator, list) else [generator]
    uniform = [draws(count // len(generators), each) for each in generators]
    draw = dict(zip(COLUMNS, torch.cat(uniform).unbind(1), strict=True))
    result = images
    if settings.crop:
        offsets = 2 * settings.crop + 1
        result = crop(result, _integers((draw["crop_y"], offsets), (draw["crop_x"], offsets)), settings.crop)
    if settings.flip:
        result = flip(result, draw["flip"] < 0.5)
    if resamples(settings):
        bends = [draw_bends(each[:, 0], settings, height, width) for each in uniform] if settings.elastic else []
        result = affine(
            result,
            angle=_symmetric(draw["rotation"], settings.rotation),
            shift=_symmetric(torch.stack([draw["shift_x"], draw["shift_y"]], 1), settings.shift),
            scale=1 + _symmetric(draw["scale"], settings.scale),
            shear=_symmetric(draw["shear"], settings.shear),
            **({"bend": torch.cat(bends)} if bends else {}),
        )
    if settings.cutout:
        centre = _integers((draw["cutout_y"], height), (draw["cutout_x"], width))
        result = cutout(result, centre, settings.cutout, fill)
    if result.stride() != images.stride():  # grid_sample returns a contiguous batch for a channels_last one on the CPU
        result = torch.empty_like(images).copy_(result)
    return result


def draws(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return the uniform numbers (N, COLUMNS) from 0 to 1 that the amounts of ``count`` images are."""
    return torch.rand(count, len(COLUMNS), generator=generator)


def resamples(settings) -> bool:
    """Tell whether pixels are taken from between those of an image."""
    return any((settings.rotation, settings.shift, settings.scale, settings.shear, settings.elastic))


def crop(images: torch.Tensor, offset: torch.Tensor, padding: int) -> torch.Tensor:
    """Pad each image (N, C, H, W) with ``padding`` pixels of 0 and take a window of the original size.

    offset   int64 (N, 2): row and column, in the padded image, of the window's top left pixel, 0 to 2 * padding;
             (padding, padding) returns the image
    """
    count, _, height, width = images.shape
    # windows are views, so the index has N entries instead of N * H * W: 4 to 10 times as fast as indexing pixels
    windows = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    offset = _on_device_of(images, offset)
    return windows[torch.arange(count, device=images.device), :, offset[:, 0], offset[:, 1]]


def flip(images: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Mirror left and right those of the images (N, C, H, W) where ``which``, bool (N,), is true."""
    return torch.where(_on_device_of(images, which).view(-1, 1, 1, 1), images.flip(3), images)


def affine(images, angle, shift, scale, shear, bend=None) -> torch.Tensor:
    """Shear, scale and rotate each image about its centre, then shift it, in one bilinear resampling; outside is 0.

    images  float32 (N, C, H, W)
    angle   (N,) degrees, positive turns clockwise as seen on the screen
    shift   (N, 2) pixels, x then y, positive moves to the right and down
    scale   (N,) factor, above 1 enlarges
    shear   (N,) degrees along x, positive moves what lies below the centre to the left
    bend    (N, 2, H, W) pixels, x then y: how much further on each pixel of the result is taken from

    The order and the signs are those of ``torchvision.transforms.functional.affine`` with ``shear=(shear, 0)``.
    """
    height, width = images.shape[2:]
    grid = _grid(_on_device_of(images, _sampling_matrix(angle, shift, scale, shear, height, width)), height, width)
    if bend is not None:
        half = torch.tensor([width / 2, height / 2])
        grid = grid + _on_device_of(images, bend.permute(0, 2, 3, 1) / half)
    return F.grid_sample(images, grid, mode="bilinear", align_corners=False)


def draw_bends(uniform: torch.Tensor, settings, height: int, width: int) -> torch.Tensor:
    """Draw the shifts of an elastic deformation (N, 2, H, W): smoothed noise (Simard, Steinkraus & Platt 2003).

    Normal noise under a Gaussian of ``elastic_width`` pixels, scaled to the standard deviation ``elastic``. It is drawn
    from a generator of its own, seeded by ``uniform``, so that it changes no other draw.
    """
    bits = uniform.view(torch.int32)
    generator = torch.Generator().manual_seed(int(bits[0]) << 31 ^ int(bits[-1]) ^ len(bits))
    sigma = settings.elastic_width
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = kernel / kernel.square().sum().sqrt()  # keeps the variance of independent noise
    noise = torch.randn(len(uniform) * 2, 1, height + 2 * reach, width + 2 * reach, generator=generator)
    smooth = F.conv2d(F.conv2d(noise, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return settings.elastic * smooth.view(len(uniform), 2, height, width)


def cutout(images: torch.Tensor, centre: torch.Tensor, side: int, fill: Sequence[float]) -> torch.Tensor:
    """Set a square of each image (N, C, H, W), clipped at the border, to ``fill``, C numbers.

    centre  int64 (N, 2): row and column. The square covers centre - side // 2 to centre - side // 2 + side - 1, so an
            even side extends one pixel further up and left than down and right

    Source: DeVries & Taylor 2017, arXiv:1708.04552. Their code makes an odd side one pixel shorter; here it is kept.
    """
    inside = []
    for first, size in zip((_on_device_of(images, centre) - side // 2).unbind(1), images.shape[2:], strict=True):
        position = torch.arange(size, device=images.device)
        inside.append((position >= first[:, None]) & (position < first[:, None] + side))
    value = _on_device_of(images, torch.as_tensor(fill, dtype=images.dtype)).view(1, images.shape[1], 1, 1)
    return torch.where(inside[0][:, None, :, None] & inside[1][:, None, None, :], value, images)


def _sampling_matrix(angle, shift, scale, shear, height: int, width: int) -> torch.Tensor:
    """(N, 2, 3): from a pixel of the result to its source, both in grid_sample's coordinates of -1 to 1.

    Forward, in pixels about the centre, a point p goes to R S X p + shift with R = [cos -sin; sin cos], S = scale and
    X = [1 -tan; 0 1]; sampling needs the inverse, from q to X^-1 R^-1 (q - shift) / scale.
    """
    turn, lean = torch.deg2rad(angle), torch.tan(torch.deg2rad(shear))
    cos, sin = torch.cos(turn), torch.sin(turn)
    inverse = torch.stack([cos - lean * sin, sin + lean * cos, -sin, cos], 1).view(-1, 2, 2) / scale.view(-1, 1, 1)
    origin = -(inverse * shift.unsqueeze(1)).sum(2, keepdim=True)
    half = torch.tensor([width / 2, height / 2], dtype=inverse.dtype, device=inverse.device)
    return torch.cat([inverse * half, origin], 2) / half.view(2, 1)


def _grid(matrix: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(N, H, W, 2): the source of each pixel, as ``F.affine_grid(..., align_corners=False)`` returns it.

    That one multiplies matrices of H * W rows: three times as slow on a core, and subject to the reduced precision
    (TF32, autocast) that a training may allow for matrix products. This adds a term of the row to one of the column.
    """
    x, y = ((2 * torch.arange(n, device=matrix.device, dtype=matrix.dtype) + 1) / n - 1 for n in (width, height))
    of_x, of_y, origin = matrix[..., None, None].unbind(2)
    return (x * of_x + (y[:, None] * of_y + origin)).permute(0, 2, 3, 1)  # in rows of one coordinate: faster


def _symmetric(uniform: torch.Tensor, limit: float) -> torch.Tensor:
    """Stretch numbers in [0, 1) to [-limit, limit)."""
    return (2 * uniform - 1) * limit


def _integers(*draws) -> torch.Tensor:
    """Turn pairs of uniform float32 numbers (N,) and a count into integers (N, pairs) from 0 to count - 1.

    The largest number, 1 - 2^-24, times any count rounds to a float below that count.
    """
    return torch.stack([torch.floor(uniform * count).long() for uniform, count in draws], 1)


def _on_device_of(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Move ``amounts`` to the device of the images; CUDA need not finish its queue of work first."""
    return amounts.to(images.device, non_blocking=images.is_cuda)
