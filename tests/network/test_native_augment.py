"""The native augmentation gives torch's pixels, and draws what torch's draws."""

from dataclasses import replace

import pytest
import torch

from tinycnn.data import augment as torchs
from tinycnn.data.files import Images
from tinycnn.network import native
from tinycnn.spec import Augment
from tinycnn.train.device import normalise, preparation

pytestmark = pytest.mark.skipif(bool(native.missing()), reason=f"no native kernels: {native.missing()}")

LIMITS = {"rotation": 180.0, "shift": 9.3, "scale": 0.5, "shear": 40.0, "elastic": 1.5}  # pixels between others
WHOLE = {"crop": 7, "flip": True, "cutout": 9}  # which move or set whole pixels


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def a_batch(data, seed):
    """Return a data set of random images of a random shape, and some of their indices."""
    generator = seeded(seed)
    channels = int(torch.randint(1, 4, (), generator=generator))
    height, width = torch.randint(4, 65, (2,), generator=generator).tolist()
    pixels = torch.randint(0, 256, (40, channels, height, width), dtype=torch.uint8, generator=generator)
    mean, std = torch.rand(2, channels, generator=generator) * 0.5 + 0.2
    images = Images(pixels, torch.arange(40))
    made = replace(data, train=images, evaluation=images, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    return made, torch.randperm(40, generator=generator)[:23]


def both(data, chosen, settings, seed=0):
    """Return what torch and the kernels make of the chosen images, and the next number of each generator."""
    generators = seeded(seed), seeded(seed)
    images = data.train.images[chosen].float().div_(255)
    wanted = normalise(torchs.augment(images, settings, generators[0], data.mean), data, torch.contiguous_format)
    ours = native.augmented(data.train.images, chosen, settings, generators[1], data)
    return wanted, ours, *(torch.rand(1, generator=generator) for generator in generators)


@pytest.mark.parametrize("seed", range(25))
def test_pixels_are_torchs_for_any_shape_and_settings(tiny_data, seed):
    data, chosen = a_batch(tiny_data, seed)
    coins = torch.rand(8, generator=seeded(seed)) < 0.5
    settings = Augment(**{name: value for (name, value), on in zip((LIMITS | WHOLE).items(), coins, strict=True) if on})
    wanted, ours, *next_numbers = both(data, chosen, settings)
    # a position of up to 64 pixels is rounded to some 1e-5 of one, and neighbours differ by up to 1 / std = 5
    torch.testing.assert_close(ours, wanted, atol=2e-4, rtol=0)
    assert next_numbers[0] == next_numbers[1]


@pytest.mark.parametrize("changes", [{}, *({name: value} for name, value in WHOLE.items()), WHOLE])
def test_whole_pixels_are_torchs_to_the_bit(tiny_data, changes):
    for seed in range(4):
        wanted, ours, *_ = both(*a_batch(tiny_data, seed), Augment(**changes))
        assert torch.equal(wanted, ours)


@pytest.mark.parametrize("changes", [{"crop": 64}, {"shift": 64.0}, {"scale": 0.99}, {"cutout": 64}])
def test_what_leaves_the_image_is_torchs(tiny_data, changes):
    data, chosen = a_batch(tiny_data, 1)
    wanted, ours, *_ = both(data, chosen.repeat(20), Augment(**changes))
    torch.testing.assert_close(ours, wanted, atol=2e-3, rtol=0)  # at a scale of 0.01 positions are 100 times as far


def test_the_number_of_threads_changes_no_pixel(tiny_data):
    data, chosen = a_batch(tiny_data, 3)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(native.augmented(data.train.images, chosen, Augment(**LIMITS, **WHOLE), seeded(0), data))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


class Mixed(Augment):
    """Augments as the project does, and mixes each image and label with the next."""

    def apply(self, images, labels, generator, data):
        images, labels = super().apply(images, labels, generator, data)
        shares = torch.nn.functional.one_hot(labels, len(data.classes)).float()
        return (images + images.roll(1, 0)) / 2, (shares + shares.roll(1, 0)) / 2


class Doubled(Augment):
    """The project's own changes, twice as many degrees of them."""

    def at(self, epoch, epochs):
        return self.model_copy(update={"rotation": 2 * self.rotation})


def test_classes_of_ones_own_are_asked(tiny, tiny_data):
    network, chosen = tiny.model.build(tiny_data.shape, 10), torch.arange(16)

    def prepared(augment, kernels):
        spec = tiny.but(augment=augment, train={"kernels": kernels})
        return preparation(spec, 1, network, tiny_data.train, tiny_data, seeded(0))(chosen)

    mixed = [prepared(Mixed(rotation=8.0), kernels) for kernels in ("native", "torch")]
    assert all(torch.equal(*pair) for pair in zip(*mixed, strict=True)) and mixed[0][1].shape == (16, 10)
    doubled = prepared(Doubled(rotation=8.0), "native"), prepared(Augment(rotation=16.0), "torch")
    for ours, theirs in zip(*doubled, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=0)
