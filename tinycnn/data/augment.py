"""Augment a batch on its own device, each image by its own random amounts.

``augment`` draws and calls; ``crop``, ``flip``, ``affine`` and ``cutout`` take their amounts explicitly, per image, and
draw nothing. Rows are counted downwards and columns to the right, from 0 at the top left.

Not done with torchvision: its transforms draw one set of amounts for a whole batch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

# One column of the block of uniform numbers for each amount. Append, never reorder: old seeds depend on the order and,
# since the block is filled image by image, on the number of columns too.
COLUMNS = ("rotation", "shift_x", "shift_y", "scale", "shear", "crop_y", "crop_x", "flip", "cutout_y", "cutout_x")


def augment(images: torch.Tensor, settings, generator: torch.Generator, fill: Sequence[float]) -> torch.Tensor:
    """Crop, flip, transform and cut out a batch, each image by its own amounts.

    images     float32 (N, C, H, W), values in [0, 1], on any device; left as it is
    settings   an object with these attributes, 0 or False meaning off; ranges are the spec's to check
               crop      pixels of black put around the image before a window of its own size is taken at random
               flip      bool, mirror left and right with probability 1/2
               rotation  degrees, uniform in ±rotation
               shift     pixels, uniform in ±shift, for each axis on its own
               scale     factor uniform in 1 ± scale, scale < 1
               shear     degrees along x, uniform in ±shear
               elastic   pixels, the standard deviation of each pixel's own shift, which agree over ``elastic_width``
               cutout    side in pixels of a square filled with ``fill``, its centre on any pixel with equal chance
    generator  on the CPU: every number is drawn there and then moved, so a seed augments alike on every device
    fill       C numbers, the data set's mean: what cutout leaves is zero once the images are normalised

    Return a tensor of the same shape, type, device and strides; ``images`` itself when everything is off.

    Every call takes N * len(COLUMNS) numbers from the generator, whatever is on: switching one augmentation on or off
    changes neither the amounts of the others nor anything drawn later.

    Crop and flip come first since they move whole pixels and lose nothing, then the one resampling, so that it
    interpolates once; cutout comes last, so that its square keeps its side, its sharp edge and its exact value.
    """
    count, _, height, width = images.shape
    draw = dict(zip(COLUMNS, torch.rand(count, len(COLUMNS), generator=generator).unbind(1), strict=True))
    result = images
    if settings.crop:
        places = 2 * settings.crop + 1
        offset = torch.stack([_whole(draw["crop_y"], places), _whole(draw["crop_x"], places)], 1)
        result = crop(result, offset, settings.crop)
    if settings.flip:
        result = flip(result, draw["flip"] < 0.5)
    if settings.rotation or settings.shift or settings.scale or settings.shear or settings.elastic:
        result = affine(
            result,
            angle=_around_zero(draw["rotation"], settings.rotation),
            shift=_around_zero(torch.stack([draw["shift_x"], draw["shift_y"]], 1), settings.shift),
            scale=1 + _around_zero(draw["scale"], settings.scale),
            shear=_around_zero(draw["shear"], settings.shear),
            **({"bend": _bend(draw["rotation"], settings, height, width)} if settings.elastic else {}),
        )
    if settings.cutout:
        centre = torch.stack([_whole(draw["cutout_y"], height), _whole(draw["cutout_x"], width)], 1)
        result = cutout(result, centre, settings.cutout, fill)
    if result.stride() != images.stride():  # grid_sample answers a channels_last batch with a contiguous one on the CPU
        result = torch.empty_like(images).copy_(result)
    return result


def crop(images: torch.Tensor, offset: torch.Tensor, padding: int) -> torch.Tensor:
    """Surround each image with ``padding`` pixels of 0 and take a window of the original size.

    images   (N, C, H, W)
    offset   int64 (N, 2): row and column, in the padded image, of the window's top left pixel, 0 to 2 * padding;
             (padding, padding) is the image as it was

    Raise IndexError (on CUDA an assertion of the device) for an offset above 2 * padding; negative ones pass unseen.
    """
    count, _, height, width = images.shape
    # Every window is a view, nothing copied, so the index holds N entries and not N * H * W: on one core the fastest of
    # six ways tried with 512 images of 1x28x28, and four to ten times as fast as indexing pixels.
    windows = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    offset = _beside(offset, images)
    return windows[torch.arange(count, device=images.device), :, offset[:, 0], offset[:, 1]]


def flip(images: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Mirror left and right the images (N, C, H, W) that ``which``, bool (N,), picks."""
    return torch.where(_beside(which, images).view(-1, 1, 1, 1), images.flip(3), images)


def affine(
    images: torch.Tensor,
    angle: torch.Tensor,
    shift: torch.Tensor,
    scale: torch.Tensor,
    shear: torch.Tensor,
    bend: torch.Tensor | None = None,
) -> torch.Tensor:
    """Shear, scale and rotate each image about its centre, then shift it, in one bilinear resampling; outside is 0.

    images  float32 (N, C, H, W)
    angle   (N,) degrees, positive turns clockwise as seen on the screen
    shift   (N, 2) pixels, x then y, positive moves to the right and down
    scale   (N,) factor, above 1 enlarges
    shear   (N,) degrees along x, positive moves what lies below the centre to the left
    bend    (N, 2, H, W) pixels, x then y: how much further on each pixel of the result is taken from

    The order and the signs are those of ``torchvision.transforms.functional.affine`` with ``shear=(shear, 0)``.
    """
    matrix = _beside(_sampling_matrix(angle, shift, scale, shear, *images.shape[2:]), images)
    grid = _grid(matrix, *images.shape[2:])
    if bend is not None:
        half = torch.tensor([images.shape[3] / 2, images.shape[2] / 2])
        grid = grid + _beside(bend.permute(0, 2, 3, 1) / half, images)
    return F.grid_sample(images, grid, mode="bilinear", align_corners=False)


def _bend(uniform: torch.Tensor, settings, height: int, width: int) -> torch.Tensor:
    """Draw the shifts of an elastic deformation (N, 2, H, W): smoothed noise (Simard, Steinkraus & Platt 2003).

    Normal noise under a Gaussian of ``elastic_width`` pixels, scaled to the standard deviation ``elastic``. It is drawn
    from a generator of its own, seeded by ``uniform``, so that nothing else is drawn otherwise for its sake.
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
    """Set a square of each image to ``fill``; what reaches over the border is cut off.

    images  (N, C, H, W)
    centre  int64 (N, 2): row and column. The square covers centre - side // 2 to centre - side // 2 + side - 1, so an
            even side reaches one pixel further up and left than down and right
    fill    C numbers, one for each channel

    Raise RuntimeError when ``fill`` has not C entries.
    Source: DeVries & Taylor 2017, arXiv:1708.04552. Their code makes an odd side one pixel shorter; here it is kept.
    """
    first = _beside(centre, images) - side // 2
    rows, columns = (_within(first[:, axis], side, images.shape[2 + axis]) for axis in (0, 1))
    value = _beside(torch.as_tensor(fill, dtype=images.dtype), images).view(1, images.shape[1], 1, 1)
    return torch.where(rows[:, None, :, None] & columns[:, None, None, :], value, images)


def _sampling_matrix(angle, shift, scale, shear, height: int, width: int) -> torch.Tensor:
    """(N, 2, 3): from a pixel of the result to where it comes from, both in grid_sample's coordinates of -1 to 1.

    Forward, in pixels about the centre, a point p goes to R S X p + shift with R = [cos -sin; sin cos], S = scale and
    X = [1 -tan; 0 1]; sampling wants the inverse, from q to X^-1 R^-1 (q - shift) / scale.
    """
    turn, lean = torch.deg2rad(angle), torch.tan(torch.deg2rad(shear))
    cos, sin = torch.cos(turn), torch.sin(turn)
    inverse = torch.stack([cos - lean * sin, sin + lean * cos, -sin, cos], 1).view(-1, 2, 2) / scale.view(-1, 1, 1)
    origin = -(inverse * shift.unsqueeze(1)).sum(2, keepdim=True)
    half = torch.tensor([width / 2, height / 2], dtype=inverse.dtype, device=inverse.device)
    return torch.cat([inverse * half, origin], 2) / half.view(2, 1)


def _grid(matrix: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(N, H, W, 2): where each pixel's centre comes from, as ``F.affine_grid(..., align_corners=False)`` would say.

    That one multiplies matrices of H * W rows, which is three times as slow on a core and open to the reduced precision
    (TF32, autocast) that a training may allow for its matrix products. This adds a row's part to a column's.
    """
    x, y = (
        (2 * torch.arange(size, device=matrix.device, dtype=matrix.dtype) + 1) / size - 1 for size in (width, height)
    )
    of_x, of_y, origin = matrix[:, None, None].unbind(4)
    return x.view(1, 1, width, 1) * of_x + (y.view(1, height, 1, 1) * of_y + origin)


def _within(first: torch.Tensor, side: int, size: int) -> torch.Tensor:
    """bool (N, size): the positions from ``first`` on, ``side`` of them."""
    position = torch.arange(size, device=first.device)
    return (position >= first[:, None]) & (position < first[:, None] + side)


def _around_zero(uniform: torch.Tensor, limit: float) -> torch.Tensor:
    """Stretch numbers in [0, 1) to [-limit, limit)."""
    return (2 * uniform - 1) * limit


def _whole(uniform: torch.Tensor, count: int) -> torch.Tensor:
    """Turn float32 numbers in [0, 1) into whole ones, 0 to count - 1.

    The largest, 1 - 2^-24, times any count rounds to a float below that count: the floor never reaches it.
    """
    return torch.floor(uniform * count).long()


def _beside(amounts: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Move ``amounts`` to where the images are; CUDA need not finish its queue of work first."""
    return amounts.to(images.device, non_blocking=images.is_cuda)
