"""An iteration is one file, whatever it changes: code of the user's own trains, resumes and counts like ours."""

import json
import random
import textwrap

import numpy as np
import pytest
import torch

from tinycnn import source
from tinycnn.cli import commands as cli
from tinycnn.errors import SpecError
from tinycnn.network.check import check
from tinycnn.spec import Spec
from tinycnn.spec import load as experiments
from tinycnn.train import checkpoint
from tinycnn.train.loop import start, train

HEAD = """
import random
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import Augment, Conv, Custom, Data, Head, Loss, MaxPool, Network, Optimizer

SMALL = Network(Conv(4), MaxPool(2), Conv(4), Head())
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write experiments of the test's own and load them."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    monkeypatch.setattr(experiments, "FOLDER", folder)

    def write(text, name="trial"):
        (folder / f"{name}.py").write_text(HEAD + textwrap.dedent(text))
        spec = experiments.load(name)
        return spec.but(train={"epochs": 2, "batch_size": 32})

    return write


def numbers(results):
    return [(each.train_loss, each.loss, each.accuracy) for each in results]


def assert_the_same_again_and_resumed(spec, data, tmp_path):
    """Train through, again after others drew random numbers, and from a checkpoint of the first epoch."""
    whole = numbers(train(spec, 0, data=data, device="cpu"))
    torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
    assert numbers(train(spec, 0, data=data, device="cpu")) == whole
    path, state = tmp_path / "seed-0.pt", start(spec, 0, data, torch.device("cpu"))
    history = [next(train(spec, 0, data=data, device="cpu", state=state))]
    checkpoint.save(path, {}, state, history)
    torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
    state = start(spec, 0, data, torch.device("cpu"))
    history = checkpoint.restore(state, checkpoint.load(path))
    assert numbers([*history, *train(spec, 0, data=data, device="cpu", state=state)]) == whole


OWN = {
    "dropout that is never switched off": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.out = nn.Conv2d(1, 4, 5), nn.Linear(144, 10)
            def forward(self, x):
                return self.out(F.dropout(F.max_pool2d(self.conv(x), 4).flatten(1), 0.3))
        SPEC = EXP3.but(name="trial", model=Custom(Net))
    """,
    "an augmentation that draws from numpy and random": """
        class Cut(Augment):
            def apply(self, images, labels, generator, data):
                share, flip = np.random.beta(1, 1), random.random() < 0.5
                other = torch.randperm(len(images))
                images = images.lerp(images[other], share)
                return images.flip(3) if flip else images, labels
        SPEC = EXP3.but(name="trial", model=SMALL, augment=Cut(), average={"decay": 0.9})
    """,
    "a loss with random weights": """
        class Weighted(Loss):
            def build(self, data, device):
                weights = torch.rand(len(data.classes))
                return lambda logits, targets, images: F.cross_entropy(logits, targets, weight=weights)
        SPEC = EXP3.but(name="trial", model=SMALL, loss=Weighted())
    """,
    "an optimizer that keeps a number": """
        class Lion(torch.optim.Optimizer):
            def __init__(self, parameters, lr):
                super().__init__(parameters, {"lr": lr})
            @torch.no_grad()
            def step(self, closure=None):
                for group in self.param_groups:
                    for each in group["params"]:
                        kept = self.state[each]
                        kept["step"] = kept.get("step", 0) + 1
                        kept["mean"] = torch.lerp(kept.get("mean", torch.zeros_like(each)), each.grad, 0.1)
                        each.sub_(kept["mean"].sign(), alpha=group["lr"])
        class Own(Optimizer):
            def build(self, parameters):
                return Lion(parameters, self.lr)
        SPEC = EXP3.but(name="trial", model=SMALL, optimizer=Own(lr=0.003))
    """,
    "an optimizer that keeps factors": """
        class Own(Optimizer):
            def build(self, parameters):
                return torch.optim.Adafactor(parameters, lr=self.lr)
        SPEC = EXP3.but(name="trial", model=SMALL, optimizer=Own(lr=0.003))
    """,
}


@pytest.mark.parametrize("text", OWN.values(), ids=OWN)
def test_code_of_the_users_own_gives_the_same_numbers_again_and_resumed(written, text, tiny_data, tmp_path):
    assert_the_same_again_and_resumed(written(text), tiny_data, tmp_path)


LAZY = """
class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv, self.norm, self.out = nn.LazyConv2d(4, 5), nn.LazyBatchNorm2d(affine=False), nn.LazyLinear(classes)
    def forward(self, x):
        print("asked")
        return self.out(F.max_pool2d(self.norm(self.conv(x)), 4).flatten(1))
SPEC = EXP3.but(name="trial", model=Custom(Net), data={"name": "mnist5k"})
"""


def test_lazy_layers_learn_their_sizes_before_training(written, tiny_data, tmp_path):
    spec = written(LAZY)
    assert check(spec)[0].parameters == 104 + 1_450
    assert_the_same_again_and_resumed(spec, tiny_data, tmp_path)
    networks = [start(spec, seed, tiny_data, torch.device("cpu")).network for seed in (0, 0, 1)]
    assert torch.equal(networks[0].out.weight, networks[1].out.weight)
    assert not torch.equal(networks[0].out.weight, networks[2].out.weight) and networks[0].training


def test_a_network_that_prints_leaves_the_json_alone(written, capfd, few_images, no_artifacts, database):
    written(LAZY)
    changes = ["train.epochs=1", "data.images=64", "train.batch_size=32"]
    assert cli.main(["run", "trial", "--json", "--set", *changes]) == 0
    said = capfd.readouterr()
    assert len(json.loads(said.out)["seeds"]) == 1 and "asked" in said.err


def test_data_of_ones_own_may_have_tuples(written):
    spec = written(
        """
        class Own(Data):
            classes: tuple[str, ...] = ("dark", "light")
            levels: tuple = (0, 255)
            def read(self, part):
                labels = np.arange(64) % 2
                return np.array(self.levels, np.uint8)[labels][:, None, None].repeat(28, 1).repeat(28, 2), labels
        SPEC = EXP3.but(name="trial", model=SMALL, data=Own(), target={"accuracy": None})
        """
    )
    assert Spec.from_json(spec.to_json()) == spec and spec.data.load().classes == ("dark", "light")
    assert spec.but(data={"levels": (3, 4)}).data.levels == (3, 4)
    assert [spec.but(data={"validation": on}).data.validation for on in (True, False, 0.5)] == [1 / 6, 0.0, 0.5]


@pytest.mark.parametrize("changes", [{"model.kind": "Custom"}, {"model": {"kind": "Custom", "network": 5}}])
def test_a_network_of_ones_own_without_its_name_is_one_line(changes):
    with pytest.raises(SpecError, match=r"model\.network: name a class or function of a file, e\.g\. "):
        experiments.load("exp3").with_values(changes)


@pytest.mark.parametrize(
    "line",
    [
        "from experiments.helper import *",
        "from .helper import Gain",
        "from . import helper",
        "import experiments.helper",
    ],
)
def test_what_is_imported_from_a_file_beside_it_counts(tmp_path, monkeypatch, line):
    folder = tmp_path / "experiments"
    folder.mkdir()
    monkeypatch.setattr(source, "ROOT", tmp_path)
    (folder / "__init__.py").write_text("")
    prefix = {"from . import helper": "helper.", "import experiments.helper": "experiments.helper."}.get(line, "")
    (folder / "net.py").write_text(f"{line}\n\nclass Net:\n    gain = {prefix}Gain.value\n")
    found = []
    for value, other in ((1, 1), (1, 2), (2, 2)):
        (folder / "helper.py").write_text(
            f"from experiments.net import *\nOTHER = {other}\n\nclass Gain:\n    value = {value}\n" + "#" * len(found)
        )
        found.append(source.used_by(["experiments/net.py:Net"]))
    assert "experiments/helper.py:Gain" in found[0] and found[0] == found[1] != found[2]


def test_each_version_of_python_gives_code_the_same_digest(tmp_path, monkeypatch):
    """Python 3.11.7, 3.12.7, 3.13.2 and 3.14.2 gave this one (the last three as npm's pyodide 0.27, 0.28 and 314.0)."""
    monkeypatch.setattr(source, "ROOT", tmp_path)
    quotes = """f"{x!r:>{len('a')}}, {', '.join(f'{y}' for y in x)}" + '"' if x else f'{x["a"]}' f"b" """
    text = f"def told(x, *, y=None, z=...):\n    return {quotes}\n\nclass Net(A):\n    told\n"
    (tmp_path / "net.py").write_text(text)
    digests = {"net.py:Net": "fc9cf604c7d1", "net.py:told": "513522c1bb95"}
    assert source.used_by(["net.py:Net"]) == digests
