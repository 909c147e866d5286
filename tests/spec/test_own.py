"""An iteration is one file, whatever it changes: what README shows, and what such a file may get wrong."""

import json
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tinycnn import ROOT, source
from tinycnn.data import Images, Split
from tinycnn.errors import SpecError, UserError
from tinycnn.network.check import check
from tinycnn.spec import Custom, Distillation, Spec, parse_settings
from tinycnn.spec import load as experiments
from tinycnn.track import run as runs
from tinycnn.train.loop import train

SHOWN = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
FILES = {re.search(r'name="(\w+)"', block)[1]: block for block in SHOWN if "SPEC = " in block}
CHANGED = {  # a field of each file's own kind, and another value
    "notebook": "model.width=12",
    "shuffled": "model.layers.2.groups=4",
    "plateau": "schedule.patience=3",
    "mixed": "augment.most=0.5",
    "focal": "loss.gamma=3.0",
    "bars": "data.images=100",
    "exp9": "model.layers.1.layers.0.channels=10",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An ``experiments/`` of the test's own, with what README shows."""
    place = tmp_path / "experiments"
    place.mkdir()
    for name, text in FILES.items():
        (place / f"{name}.py").write_text(text)
    monkeypatch.setattr(experiments, "FOLDER", place)
    return place


def tiny(spec, tiny_data):
    """Return data for a spec: a class's own, or few digits."""
    return spec.data.load() if spec.data.short == "Bars" else tiny_data


def test_readme_shows_one_of_each():
    assert FILES.keys() == CHANGED.keys()
    for name, text in FILES.items():
        own = re.search(r"^class .*?(?=^SPEC)", text, re.S | re.M)
        assert not own or len(own[0].strip().splitlines()) <= 10, name


@pytest.mark.parametrize("name", FILES)
def test_what_readme_shows_trains_is_written_to_json_and_changed_by_set(folder, name, tiny_data):
    spec = experiments.load(name)
    check(spec)
    assert Spec.from_json(spec.to_json()) == spec
    changed = spec.with_values(parse_settings([CHANGED[name]]))
    field, _, value = CHANGED[name].partition("=")
    assert changed.flat()[field] == json.loads(value) and changed.hash != spec.hash
    assert set(changed.difference(spec)) == {field}
    short = changed.but(train={"epochs": 2, "batch_size": 32})
    results = list(train(short, 0, data=tiny(spec, tiny_data), device="cpu"))
    assert len(results) == 2 and all(math.isfinite(r.train_loss) and math.isfinite(r.loss) for r in results)


@pytest.mark.parametrize("name", FILES)
def test_the_same_file_gives_the_same_numbers_again(folder, name, tiny_data):
    spec = experiments.load(name).but(train={"epochs": 1, "batch_size": 32})
    one, two = (
        next(train(each, 3, data=tiny(spec, tiny_data), device="cpu"))
        for each in (spec, experiments.load(name).but(train={"epochs": 1, "batch_size": 32}))
    )
    assert (one.train_loss, one.loss) == (two.train_loss, two.loss)


def test_a_wrong_field_of_ones_own_kind_is_one_line(folder):
    for name, setting, words in (
        ("plateau", "schedule.patiense=3", "schedule.patiense: no such field; did you mean 'schedule.patience'?"),
        ("plateau", "schedule.patience=x", "schedule.patience: must be a valid integer, got 'x'"),
        ("plateau", "schedule.name=Platow", "'Platow' is unknown; did you mean 'Plateau'?"),
        ("notebook", "model.width=wide", "model.width: must be a valid integer, got 'wide'"),
        ("shuffled", "model.layers.2.groups=5", "model.layers.2 (Shuffle(groups=5)): "),
        ("notebook", "data.name=cifar10", "model.network: "),
    ):
        with pytest.raises(SpecError) as caught:
            check(experiments.load(name).with_values(parse_settings([setting])))
        assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_kind_is_chosen_by_its_name_where_its_file_is_loaded(folder):
    spec = experiments.load("plateau")
    step = spec.with_values({"schedule.name": "StepLR"})
    assert step.schedule.name == "StepLR"
    again = step.with_values({"schedule.name": "Plateau", "schedule.patience": 5})
    assert again.schedule.patience == 5 and type(again.schedule).__name__ == "Plateau"
    check(spec)


def test_one_broken_file_never_takes_the_others_down(folder):
    from tinycnn.cli import show as overview

    (folder / "broken.py").write_text("from tinycnn.spec import Custom\n\nSPEC = Custom(3)\n")
    lines = ["class Net:", "    def __init__(self, x): ...", "from tinycnn.spec import *"]
    lines += ["from experiments.exp3 import SPEC as S", "SPEC = S.but(name='worse', model=Custom(Net))"]
    (folder / "worse.py").write_text("\n".join(lines))
    rows = {row["name"]: row["error"] for row in overview.experiments()}
    assert rows.keys() == {*FILES, "broken", "worse"} and all(rows[name] is None for name in FILES)
    assert rows["broken"].startswith("broken.py") and "define it by name" in rows["broken"]
    assert "worse.py, line 5: " in rows["worse"] and "x: missing" in rows["worse"]


# --- what counts as the same -----------------------------------------------------------------------------------------

LAYERS = '''
from torch import nn
from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import Conv, Head, Layer, Network

FACTOR = 2

def helper():
    return FACTOR

class Used(Layer):
    """Says what it is."""
    def build(self, shape):
        # a comment
        return nn.ChannelShuffle(helper())

class Unused(Layer):
    def build(self, shape):
        return nn.Identity()

SPEC = EXP3.but(name="own", model=Network(Conv(8), Used(), Head()))
'''


def code_of(folder, text):
    from tinycnn.track import provenance

    (folder / "own.py").write_text(text)
    provenance._code.cache_clear()  # as another process would begin
    spec = experiments.load("own")
    return provenance.code(spec, "torch")


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("nn.Identity()", "nn.ReLU()", set()),
        ("# a comment", "# another", set()),
        ("Says what it is.", "Says what it was.", set()),
        ('name="own", ', 'name="own", train={"epochs": 3}, ', set()),
        ("FACTOR = 2", "FACTOR = 4", {"FACTOR"}),
        ("return FACTOR", "return 2 * FACTOR", {"helper"}),
        ("nn.ChannelShuffle(", "nn.ChannelShuffle(groups=", {"Used"}),
    ],
)
def test_what_a_run_used_is_followed_and_nothing_else(folder, old, new, names):
    before, after = code_of(folder, LAYERS), code_of(folder, LAYERS.replace(old, new))
    changed = {name.rpartition(":")[2] for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == names
    assert any(name.endswith("own.py:helper") for name in before) and not any("Unused" in name for name in before)


def test_the_project_s_own_code_is_followed_by_what_was_used(folder):
    code = code_of(folder, LAYERS)
    used = {name.rpartition("/")[2] for name in code}
    assert {"train.py:train", "train.py:start", "convolutions.py:Conv", "blocks.py:Head", "training.py:StepLR"} <= used
    assert not {"layers.py:GatedPool", "training.py:OneCycle", "catalog.py:DATASETS", "errors.py:nearest"} & used
    native = source.used_by(["tinycnn/train/loop.py:train"])
    assert any(name.startswith("tinycnn/network/native.py") for name in native)
    assert not any("native.py" in name for name in code)


def test_a_run_keeps_the_source_of_its_own_and_rerun_refuses_another(
    folder, store, monkeypatch, tiny_data, no_artifacts
):
    from tinycnn.track import provenance, resume

    (folder / "own.py").write_text(LAYERS)
    monkeypatch.setattr(runs, "load", lambda data, offline: tiny_data)
    spec = experiments.load("own").but(
        train={"epochs": 1, "batch_size": 32, "kernels": "torch"}, data={"name": "mnist5k"}
    )
    run_id = runs.run(runs.prepare(spec, device="cpu"))["run_id"]
    assert store.read(run_id, "source/own.py") is None  # a folder, which is listed apart
    kept = store.client.download_artifacts(run_id, "source/own.py")
    assert Path(kept).read_text() == LAYERS
    recorded = json.loads(store.read(run_id, "code.json"))
    assert any(name.endswith("own.py:Used") for name in recorded)
    assert resume.rerun(run_id)[0]["same"]
    (folder / "own.py").write_text(LAYERS.replace("FACTOR = 2", "FACTOR = 4"))
    provenance._code.cache_clear()
    experiments.load("own")
    with pytest.raises(UserError) as caught:
        resume.rerun(run_id)
    assert "own.py:FACTOR has changed since" in str(caught.value) and "diff " in str(caught.value)
    (folder / "own.py").unlink()
    sys.modules.pop(spec.used()[2].__module__, None)
    with pytest.raises(UserError, match="own.py: cannot be read"):
        resume.rerun(run_id)


# --- any data ---------------------------------------------------------------------------------------------------------


def test_train_takes_any_split(folder):
    def some(count):
        return Images(torch.randint(0, 256, (count, 3, 20, 24), dtype=torch.uint8), torch.arange(count) % 4)

    data = Split("mine", some(64), some(16), "test", "", "", tuple("abcd"), (0.5,) * 3, (0.3,) * 3)
    spec = experiments.load("exp9").but(train={"epochs": 1, "batch_size": 16}, schedule={"pct_start": 0.5})
    (result,) = train(spec, 0, data=data, device="cpu")
    assert result.state.logits.shape == (16, 4)


def test_the_python_interface_works_as_readme_shows_it(capsys):
    (block,) = [block for block in SHOWN if "for epoch in train(" in block]
    exec(block.replace('experiment("exp3")', 'experiment("exp3").but(train={"epochs": 1})'), {})
    epoch, accuracy = capsys.readouterr().out.split()
    assert epoch == "1" and float(accuracy) > 50


class Wrong(nn.Module):
    """A network whose output is not what is asked for."""

    def __init__(self, channels, size, classes, what="shape"):
        super().__init__()
        self.what, self.linear = what, nn.Linear(channels * size * size, classes)

    def forward(self, images):
        logits = self.linear(images.flatten(1))
        return {"shape": logits[:, :3], "nan": logits * np.nan, "tuple": (logits, logits), "fine": logits}[self.what]


def test_the_shape_of_the_output_is_checked_before_training(folder, tiny_data):
    base = experiments.load("exp9").but(train={"batch_size": 32})
    for what, words in (
        ("shape", "gives (2, 3) for 2 pictures; (2, 10) is needed"),
        ("nan", "infinite or NaN before any training"),
        ("tuple", "gives tuple for 2 pictures"),
    ):
        spec = base.but(model=Custom(Wrong, what=what))
        for refuse in (check, lambda spec: next(train(spec, 0, data=tiny_data, device="cpu"))):
            with pytest.raises(SpecError) as caught:
                refuse(spec)
            assert words in str(caught.value) and "\n" not in str(caught.value)
    check(base.but(model=Custom(Wrong, what="fine")))


# --- teachers --------------------------------------------------------------------------------------------------------


def test_a_run_teaches_another_by_its_id_and_its_hash_is_recorded(plan, store, monkeypatch, tiny_data):
    from tinycnn.track import record

    monkeypatch.setattr(record, "log_pictures", lambda *_: None)
    monkeypatch.setattr(runs, "load", lambda data, offline: tiny_data)
    taught_by = runs.run(plan)["run_id"]
    spec = plan.spec.but(name="pupil", loss=Distillation(taught_by, temperature=2.0))
    run_id = runs.run(runs.prepare(spec, device="cpu"))["run_id"]
    tags, code = store.entity(run_id).data.tags, json.loads(store.read(run_id, "code.json"))
    weights = store.entity(taught_by).data.tags["tinycnn.weights"]
    assert tags["tinycnn.teacher"] == code["teacher"] == weights[:12]
    with pytest.raises(UserError, match="not in the store"):
        runs.prepare(plan.spec.but(loss=Distillation("0" * 32)), device="cpu")


def test_ones_own_kinds_go_to_another_process(folder):
    code = "import pickle, sys; spec, layer = pickle.load(sys.stdin.buffer); print(spec.hash, repr(layer))"
    spec = experiments.load("shuffled")
    sent = pickle.dumps((spec, spec.model.layers[2]))
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, cwd=ROOT)
    assert done.stdout.decode().split() == [spec.hash, "Shuffle()"], done.stderr.decode()
