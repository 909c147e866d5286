"""The opponent in the benchmark is what it says it is: the usual loop, on the same task."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from standins import MNIST, expect_tiny, real, tiny_contents, write
from torch import nn

from bench import plain_loop
from tinycnn.data import load
from tinycnn.spec import Augment, Data
from tinycnn.spec import load as experiments
from tinycnn.train.loop import stream_seed

DATA = SimpleNamespace(train=SimpleNamespace(images=torch.zeros(1, 1, 28, 28)), mean=(0.5,), std=(0.25,))


@pytest.fixture
def fifty(tmp_path, monkeypatch):
    """Fifty training and ten test images in the place of MNIST, where torchvision itself reads them."""
    contents = tiny_contents("mnist")
    expect_tiny(monkeypatch, "mnist", contents)
    monkeypatch.setenv("TINYCNN_DATA", str(tmp_path))
    write(tmp_path / "MNIST" / "raw", {name: contents[name] for name in MNIST})
    return load("mnist")


@pytest.fixture
def spec(tiny):
    return tiny.but(data=Data(name="mnist"), augment=Augment(), model={"dropout": 0.0}, train={"batch_size": 16})


def transformed(grey, **settings):
    torch.manual_seed(0)
    made = plain_loop.train_transform(Augment(**settings), DATA)
    return torch.stack([made(grey) for _ in range(64)])


def test_each_kind_of_augmentation_is_there_and_off_unless_asked_for():
    bar = Image.new("L", (28, 28))
    bar.paste(255, (10, 4, 14, 20))
    still = transformed(bar)
    assert all(torch.equal(still[0], each) for each in still) and still.min() == -2 and still.max() == 2
    kinds = (
        {"rotation": 10.0},
        {"shift": 2.0},
        {"scale": 0.1},
        {"shear": 5.0},
        {"crop": 2},
        {"flip": True},
        {"cutout": 4},
    )
    for settings in kinds:
        moved = transformed(bar, **settings)
        assert len({tuple(each.flatten().tolist()) for each in moved}) > (1 if "flip" in settings else 5)


def test_cutout_covers_its_square_with_the_mean_wherever_its_centre_falls():
    white = Image.new("L", (28, 28), 255)
    covered = (transformed(white, cutout=4) == 0).sum((1, 2, 3))  # the mean, normalised
    assert covered.max() == 16 and set(covered.tolist()) <= {2 * 2, 2 * 3, 2 * 4, 3 * 3, 3 * 4, 4 * 4}


def test_a_shift_keeps_within_its_pixels():
    dot = Image.new("L", (28, 28))
    dot.putpixel((14, 14), 255)
    places = transformed(dot, shift=2.0).flatten(1).argmax(1)
    rows, columns = places // 28, places % 28
    assert 12 <= rows.min() < rows.max() <= 16 and 12 <= columns.min() < columns.max() <= 16


def test_it_trains_from_the_weights_of_the_spec_and_counts_the_test_images_right(spec, fifty):
    epochs = list(plain_loop.train(spec, 3, 0))
    assert [each.epoch for each in epochs] == [1, 2, 3]
    assert all(each.accuracy in range(0, 101, 10) for each in epochs)
    assert 0 < epochs[0].seconds < epochs[1].seconds < epochs[2].seconds
    network, optimizer, _ = plain_loop.begin(spec, 3, fifty)
    torch.manual_seed(stream_seed(3, "weights"))
    for name, value in spec.model.build((1, 28, 28), 10).state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    assert isinstance(optimizer, torch.optim.Adam) and network[0][0].weight.is_contiguous()


def test_a_step_is_the_one_of_the_textbook():
    network = nn.Linear(2, 2, bias=False)
    before = network.weight.detach().clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)
    images, labels = torch.eye(2), torch.tensor([0, 1])
    plain_loop.step(network, optimizer, schedule, nn.CrossEntropyLoss(), images, labels)
    gradient = (torch.softmax(before.T, 1) - torch.eye(2)).T / 2  # by hand: (p - y) x^T / N, and x is the identity
    torch.testing.assert_close(network.weight, before - 0.5 * gradient)
    assert schedule.get_last_lr()[0] == pytest.approx(0.05)


def test_its_throughput_needs_enough_images_and_is_positive(spec, fifty):
    with pytest.raises(ValueError, match="fewer than 640"):
        plain_loop.throughput(spec, 0, 640)
    assert plain_loop.throughput(spec.but(train={"batch_size": 5}), 0, 10) > 0


@real("MNIST")
@pytest.mark.slow
def test_on_real_digits_its_first_epoch_is_that_of_the_spec_give_or_take_the_seed():
    epoch = next(plain_loop.train(experiments.load("exp2"), 0, 0))
    assert epoch.epoch == 1 and 90 < epoch.accuracy < 100
