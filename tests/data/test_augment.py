"""Augmentation: each operation against torchvision or plain slicing, and the distributions of the draws."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tinycnn.data import augment as A

OFF = {"rotation": 0.0, "shift": 0.0, "scale": 0.0, "shear": 0.0, "crop": 0, "flip": False, "cutout": 0,
       "elastic": 0.0, "elastic_width": 4.0}  # fmt: skip
ON = {"rotation": 15.0, "shift": 2.5, "scale": 0.2, "shear": 10.0, "crop": 3, "flip": True, "cutout": 6}
MEAN = (0.4, 0.5, 0.6)
SHAPES = [(6, 1, 28, 28), (4, 3, 20, 31)]


def settings(**changed):
    return SimpleNamespace(**(OFF | changed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=seeded(seed))


def run(images, seed=0, **changed):
    return A.augment(images, settings(**changed), seeded(seed), MEAN[: images.shape[1]])


def seen(monkeypatch, piece, images, seed=0, **changed):
    """Return the amounts that ``augment`` passes to one of its operations."""
    calls, original = [], getattr(A, piece)

    def spy(batch, *args, **kwargs):
        calls.append([*args, *kwargs.values()])
        return original(batch, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(A, piece, spy)
        run(images, seed, **changed)
    (amounts,) = calls
    return amounts


# --- each operation against another computation ---------------------------------------------------------------------

NONE = {"angle": 0.0, "shift": (0.0, 0.0), "scale": 1.0, "shear": 0.0}
AMOUNTS = [
    *({"angle": angle} for angle in (-170.0, 3.0, 90.0)),
    *({"shift": shift} for shift in ((2.0, 0.0), (-1.25, 2.6), (50.0, 0.0))),
    *({"scale": scale} for scale in (0.5, 1.17)),
    *({"shear": shear} for shear in (-30.0, 8.0)),
    {"angle": 12.0, "shift": (1.5, -2.25), "scale": 1.1, "shear": 7.0},
    {"angle": -33.0, "shift": (-4.0, 3.3), "scale": 0.8, "shear": -20.0},
]


def test_affine_agrees_with_torchvision_image_by_image():
    transforms = pytest.importorskip("torchvision.transforms.v2")
    each = [NONE | amounts for amounts in AMOUNTS]
    images = noise(len(each), 3, 20, 31)
    ours = A.affine(images, **{name: torch.tensor([e[name] for e in each]) for name in NONE})
    for image, result, e in zip(images, ours, each, strict=True):
        theirs = transforms.functional.affine(
            image, e["angle"], list(e["shift"]), e["scale"], [e["shear"], 0.0],
            interpolation=transforms.InterpolationMode.BILINEAR,
        )  # fmt: skip
        torch.testing.assert_close(result, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_crop_is_a_window_of_the_padded_image_and_flip_a_mirror_image(shape):
    images, padding = noise(*shape), 3
    offset = torch.randint(0, 2 * padding + 1, (shape[0], 2), generator=seeded(1))
    offset[0] = torch.tensor([0, 2 * padding])
    result = A.crop(images, offset, padding).numpy()
    assert np.array_equal(A.flip(images, torch.arange(shape[0]) == 0)[0].numpy(), images[0].numpy()[:, :, ::-1])
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    for i, (y, x) in enumerate(offset.tolist()):
        np.testing.assert_array_equal(result[i], padded[i, :, y : y + shape[2], x : x + shape[3]])


@pytest.mark.parametrize("side", [1, 4, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_cutout_fills_a_square_clipped_at_the_border(shape, side):
    images, (count, channels, height, width) = noise(*shape), shape
    centre = (torch.rand(count, 2, generator=seeded(1)) * torch.tensor([height, width])).long()
    centre[-1] = torch.tensor([0, width - 1])
    expected = images.numpy().copy()
    for i, (y, x) in enumerate(centre.tolist()):
        top, left = y - side // 2, x - side // 2
        square = (slice(max(top, 0), max(top + side, 0)), slice(max(left, 0), max(left + side, 0)))
        for channel in range(channels):
            expected[i, channel][square] = MEAN[channel]
    np.testing.assert_array_equal(A.cutout(images, centre, side, MEAN[:channels]).numpy(), expected)


# --- draws -----------------------------------------------------------------------------------------------------------


def test_amounts_are_uniform_within_their_limits_and_independent(monkeypatch):
    images, limits = noise(4000, 1, 5, 7), {"rotation": 15.0, "shift": 2.5, "scale": 0.2, "shear": 10.0}
    angle, shift, scale, shear = seen(monkeypatch, "affine", images, **limits)
    for amounts, limit in ((angle, 15.0), (shift[:, 0], 2.5), (shift[:, 1], 2.5), (scale - 1, 0.2), (shear, 10.0)):
        share = amounts / limit
        assert share.abs().max() <= 1 + 1e-5 and share.min() < -0.99 and share.max() > 0.99
        assert abs(share.mean()) < 0.05 and abs(share.std() - 3**-0.5) < 0.02  # a uniform number's standard deviation
    together = torch.stack([angle, shift[:, 0], shift[:, 1], scale, shear])
    assert (torch.corrcoef(together) - torch.eye(5)).abs().max() < 0.08


@pytest.mark.parametrize(("piece", "positions"), [("crop", (5, 5)), ("cutout", (5, 7))])
def test_every_window_and_every_centre_is_equally_likely(monkeypatch, piece, positions):
    where, *_ = seen(monkeypatch, piece, noise(7000, 1, 5, 7), **{piece: 2})
    counts = torch.bincount(where[:, 0] * positions[1] + where[:, 1], minlength=positions[0] * positions[1]).double()
    assert len(counts) == positions[0] * positions[1]
    expected = 7000 / len(counts)
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    assert chi2 < 80  # 24 and 34 degrees of freedom: exceeded by chance less than once in 50,000


def test_each_image_has_its_own_amounts_and_the_same_seed_gives_the_same_bits():
    results = run(noise(1, 1, 28, 28).expand(8, 1, 28, 28), 1, **ON)
    assert all(not torch.equal(results[i], results[j]) for i in range(8) for j in range(i))
    images, generators = noise(16, 3, 32, 32), (seeded(), seeded())
    for generator, changed in zip(generators, ({}, ON), strict=True):
        A.augment(images, settings(**changed), generator, MEAN)
    assert torch.equal(*(torch.rand(4, generator=generator) for generator in generators))  # whatever is on
    assert torch.equal(run(images, 1, **ON), run(images, 1, **ON))
    assert not torch.equal(run(images, 1, **ON), run(images, 2, **ON))


def test_switching_one_off_leaves_the_draws_of_the_others(monkeypatch):
    images, affine = noise(8, 3, 12, 12), ("rotation", "shift", "scale", "shear")
    for name in ON:
        others = {other: value for other, value in ON.items() if other != name}
        for piece in {"crop", "flip", "affine", "cutout"} - {name}:
            both = zip(seen(monkeypatch, piece, images, **ON), seen(monkeypatch, piece, images, **others), strict=True)
            for i, (before, after) in enumerate(both):
                if not (piece == "affine" and affine[i] == name):
                    assert torch.equal(torch.as_tensor(before), torch.as_tensor(after))


# --- augment ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_augment_is_its_operations_in_the_documented_order(monkeypatch, shape):
    images = noise(*shape)
    expected = images
    for piece in ("crop", "flip", "affine", "cutout"):
        expected = getattr(A, piece)(expected, *seen(monkeypatch, piece, images, **ON))
    assert torch.equal(run(images, **ON), expected)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
def test_shape_type_memory_format_and_the_input_are_unchanged(shape, form):
    images = noise(*shape).contiguous(memory_format=form)
    before = images.clone()
    for changed in (ON, *({name: value} for name, value in ON.items())):
        result = run(images, **changed)
        assert (result.shape, result.dtype, result.stride()) == (images.shape, images.dtype, images.stride())
        assert torch.equal(images, before) and result.min() >= 0 and result.max() <= 1 + 1e-6
        assert torch.equal(result, run(before.contiguous(), **changed))
    assert run(images) is images  # with everything off


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("shape", SHAPES)
def test_cuda_augments_as_the_cpu_does(shape):
    images = noise(*shape)
    result = run(images.cuda(), **ON)
    assert result.is_cuda
    torch.testing.assert_close(result.cpu(), run(images, **ON), atol=1e-4, rtol=0)


def test_parts_of_a_batch_are_changed_by_their_own_generators_as_by_themselves():
    images, on = noise(6, 3, 20, 20), settings(**ON, elastic=0.5)
    parts = [A.augment(part, on, seeded(seed), MEAN) for seed, part in enumerate(images.chunk(3))]
    assert torch.equal(A.augment(images, on, [seeded(seed) for seed in range(3)], MEAN), torch.cat(parts))


def test_elastic_deformation_is_smooth_has_its_standard_deviation_and_changes_no_other_draw():
    drawn = A.draw_bends(torch.rand(400, generator=torch.Generator().manual_seed(0)), settings(elastic=1.5), 28, 28)
    assert drawn.shape == (400, 2, 28, 28) and drawn.std() == pytest.approx(1.5, rel=0.05)
    assert abs(drawn.mean()) < 0.05
    beside = (drawn[..., 1:] * drawn[..., :-1]).mean() / drawn.square().mean()
    assert beside == pytest.approx(math.exp(-1 / (4 * 4.0**2)), abs=0.02)  # noise under a Gaussian
    images = torch.rand(3, 1, 28, 28)
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    both = zip((1.0, 0.0), generators, strict=True)
    bent, plain = (A.augment(images, settings(elastic=pixels), used, MEAN[:1]) for pixels, used in both)
    assert not torch.equal(bent, plain) and torch.equal(*(torch.rand(4, generator=g) for g in generators))
    again = A.augment(images, settings(elastic=1.0), torch.Generator().manual_seed(5), MEAN[:1])
    assert torch.equal(bent, again)
