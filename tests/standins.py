"""Tiny stand-ins for the published data sets: files of the same formats, with checksums expected instead of theirs."""

import dataclasses
import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tinycnn.data import download as fetch
from tinycnn.data import files as data

REAL = os.environ.get("TINYCNN_DATA")
MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def real(folder):
    here = bool(REAL) and Path(REAL, folder).is_dir()
    return pytest.mark.skipif(not here, reason=f"needs the real data set: TINYCNN_DATA/{folder} is not there")


def md5(content):
    return hashlib.md5(content).hexdigest()


def tiny_contents(name):
    """Return the stand-in's files, name -> bytes: 50 training and 10 test images in the published formats."""
    rng = np.random.default_rng(1)
    if name == "cifar10":
        files = {}
        for batch in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
            images, labels = rng.integers(0, 256, (10, 3072), np.uint8), rng.integers(0, 10, 10).tolist()
            content = pickle.dumps({"data": images, "labels": labels}, protocol=2)
            for key in (b"data", b"labels"):  # the published batches, written by Python 2, have byte strings as keys
                content = content.replace(b"X%c\0\0\0%s" % (len(key), key), b"U%c%s" % (len(key), key))
            files[batch] = content
        return {**files, "batches.meta": pickle.dumps({"label_names": list("abcdefghij")}, protocol=2)}
    files = []
    for n in (50, 10):
        head = b"".join(x.to_bytes(4, "big") for x in (2051, n, 28, 28))
        files.append(head + rng.integers(0, 256, n * 784, np.uint8).tobytes())
        files.append(b"".join(x.to_bytes(4, "big") for x in (2049, n)) + rng.integers(0, 10, n, np.uint8).tobytes())
    return dict(zip(MNIST, files, strict=True))


def expect_tiny(monkeypatch, name, contents):
    """Make the stand-in's size and checksums the published ones."""
    layout = data.LAYOUTS[name]

    def known(files):
        return {name: md5(contents[name]) for name in files}

    tiny = dataclasses.replace(layout, train=known(layout.train), test=known(layout.test))
    monkeypatch.setitem(data.LAYOUTS, name, tiny)
    monkeypatch.setitem(data.DATASETS, name, dataclasses.replace(data.DATASETS[name], train=50, test=10))


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


@pytest.fixture(params=["mnist", "cifar10"])
def name(request):
    return request.param


@pytest.fixture
def folder(tmp_path, monkeypatch, name):
    """The folder of the stand-in in a TINYCNN_DATA; the repository's own data folder is empty."""
    monkeypatch.setenv("TINYCNN_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("TINYCNN_MIRROR", raising=False)
    monkeypatch.setattr(data, "ROOT", tmp_path / "repository")
    monkeypatch.setattr(fetch, "TIMEOUT", 5.0)
    contents = tiny_contents(name)
    expect_tiny(monkeypatch, name, contents)
    own = tmp_path / "own" / data.LAYOUTS[name].folder
    write(own, contents)
    return own


place = folder  # the name in tests/cli
