"""The opponent: the training loop of the usual notebook, written fairly.

torchvision's data set with a transform for each image, a ``DataLoader``, eager float32 as torch lays it out, and the
test images after each epoch. Network, initial weights, optimizer, schedule and kinds of augmentation are the spec's.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from tinycnn.data.files import LAYOUTS, Split, load
from tinycnn.train.loop import start

SETS = {
    "mnist": torchvision.datasets.MNIST,
    "fashion_mnist": torchvision.datasets.FashionMNIST,
    "cifar10": torchvision.datasets.CIFAR10,
}


@dataclass(frozen=True)
class Epoch:
    """``seconds`` since training began, until after this epoch's evaluation; ``accuracy`` in percent."""

    epoch: int
    accuracy: float
    seconds: float


class Cutout:
    """Fill a square of an image tensor (C, H, W), its centre on any pixel, with the mean."""

    def __init__(self, side, mean):
        self.side, self.mean = side, torch.tensor(mean).view(-1, 1, 1)

    def __call__(self, image):
        top, left = (int(torch.randint(size, ())) - self.side // 2 for size in image.shape[1:])
        image[:, max(top, 0) : max(top + self.side, 0), max(left, 0) : max(left + self.side, 0)] = self.mean
        return image


def train_transform(augment, data: Split) -> transforms.Compose:
    """Return torchvision's transforms for the ``augment`` section of a spec."""
    size, steps = data.train.images.shape[-1], []
    if augment.crop:
        steps.append(transforms.RandomCrop(size, padding=augment.crop))
    if augment.flip:
        steps.append(transforms.RandomHorizontalFlip())
    if augment.rotation or augment.shift or augment.scale or augment.shear:
        steps.append(
            transforms.RandomAffine(
                degrees=augment.rotation,
                translate=(augment.shift / size,) * 2,
                scale=(1 - augment.scale, 1 + augment.scale),
                shear=augment.shear,
                interpolation=transforms.InterpolationMode.BILINEAR,
            )
        )
    steps.append(transforms.ToTensor())
    if augment.cutout:
        steps.append(Cutout(augment.cutout, data.mean))
    return transforms.Compose([*steps, transforms.Normalize(data.mean, data.std)])


def loaders(spec, data: Split, workers: int) -> tuple[DataLoader, DataLoader]:
    """Return the loaders of training and test images; ``data`` says where they lie, and their mean and deviation."""
    root = Path(data.path).parents[len(Path(LAYOUTS[data.name].folder).parts) - 1]
    plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(data.mean, data.std)])
    kind, options = SETS[data.name], {"num_workers": workers, "persistent_workers": workers > 0}
    trained_on = kind(root, train=True, transform=train_transform(spec.augment, data))
    tested_on = kind(root, train=False, transform=plain)
    return (
        DataLoader(trained_on, spec.train.batch_size, shuffle=True, drop_last=True, **options),
        DataLoader(tested_on, 1000, **options),
    )


def begin(spec, seed: int, data: Split):
    """Return network, optimizer and schedule as the spec has them."""
    state = start(spec, seed, data, torch.device("cpu"))
    state.network.to(memory_format=torch.contiguous_format)
    return state.network, state.optimizer, state.schedule


def step(network, optimizer, schedule, loss_function, images, labels):
    """Train on one batch."""
    optimizer.zero_grad()
    loss = loss_function(network(images), labels)
    loss.backward()
    optimizer.step()
    schedule.step()


def train(spec, seed: int, workers: int) -> Iterator[Epoch]:
    """Train as the spec says, on all training images, and yield an Epoch after each."""
    data = load(spec.data.name)
    begun = time.perf_counter()
    torch.manual_seed(seed)
    batches, tested_on = loaders(spec, data, workers)
    network, *rest = begin(spec, seed, data)
    loss_function = nn.CrossEntropyLoss(label_smoothing=spec.loss.label_smoothing)
    for epoch in range(1, spec.train.epochs + 1):
        network.train()
        for images, labels in batches:
            step(network, *rest, loss_function, images, labels)
        network.eval()
        with torch.no_grad():
            right = sum(int((network(images).argmax(1) == labels).sum()) for images, labels in tested_on)
        yield Epoch(epoch, 100 * right / len(tested_on.dataset), time.perf_counter() - begun)


def throughput(spec, workers: int, images: int) -> float:
    """Return training images per second over so many images, the loader and network being warm."""
    data = load(spec.data.name)
    torch.manual_seed(0)
    batches, _ = loaders(spec, data, workers)
    network, *rest = begin(spec, 0, data)
    network.train()
    warm, count = 5, max(1, images // spec.train.batch_size)
    for number, (pixels, labels) in enumerate(batches):
        if number == warm:
            begun = time.perf_counter()
        step(network, *rest, nn.CrossEntropyLoss(), pixels, labels)
        if number == warm + count - 1:
            return count * spec.train.batch_size / (time.perf_counter() - begun)
    raise ValueError(f"{data.name} has fewer than {images} training images and {warm} batches")
