"""What the documentation shows works: an iteration is one file, whatever it changes, and its source is recorded."""

import json
import math
import pickle
import re
import sys
from pathlib import Path

import pytest
import torch

from tinycnn import ROOT
from tinycnn.cli import show
from tinycnn.data import Images, Split
from tinycnn.errors import SpecError, UserError
from tinycnn.network.check import check
from tinycnn.spec import Distillation, Spec, parse_settings
from tinycnn.spec import load as experiments
from tinycnn.study import definition
from tinycnn.track import provenance, resume
from tinycnn.track import run as runs
from tinycnn.train import train

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)]
FILES = {re.search(r'name="(\w+)"', block)[1]: block for block in BLOCKS if "SPEC = " in block}
CHANGED = {
    "small": "model.width=12", "notebook": "model.width=12", "exp9": "model.layers.1.layers.0.channels=10",
    "shuffled": "model.layers.2.groups=4", "plateau": "schedule.patience=3", "mixed": "augment.most=0.5",
    "focal": "loss.gamma=3.0", "bars": "data.images=100",
}  # fmt: skip
"""By the name of each file that is shown: a field of its own class, and another value for it."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An ``experiments/`` of the test's own, with the files that the documentation shows."""
    path = tmp_path / "experiments"
    path.mkdir()
    for name, text in FILES.items():
        (path / f"{name}.py").write_text(text)
    monkeypatch.setattr(experiments, "FOLDER", path)
    return path


def test_links_of_the_documentation_lead_to_files_and_headings():
    for page in PAGES:
        for link in re.findall(r"\]\((?!http)([^)\s]+)\)", page.read_text("utf-8")):
            path, _, heading = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name}: {link}"
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.M) if heading else []
            assert not heading or heading in [each.lower().replace(" ", "-") for each in headings], link


def test_every_file_shown_is_tested_and_no_class_is_longer_than_ten_lines():
    assert FILES.keys() == CHANGED.keys()
    for name, text in FILES.items():
        own = re.search(r"^(class|def) .*?(?=^SPEC)", text, re.S | re.M)
        assert not own or len(own[0].strip().splitlines()) <= 10, name


@pytest.mark.parametrize("name", FILES)
def test_a_file_shown_trains_repeats_bit_for_bit_and_is_changed_by_set(folder, name, tiny_data):
    spec = experiments.load(name)
    check(spec)
    assert Spec.from_json(spec.to_json()) == spec
    changed = spec.with_values(parse_settings([CHANGED[name]]))
    field, _, value = CHANGED[name].partition("=")
    assert changed.flat()[field] == json.loads(value) and changed.hash != spec.hash
    assert set(changed.difference(spec)) == {field}
    short = changed.but(train={"epochs": 2, "batch_size": 32})
    data = spec.data.load() if name == "bars" else tiny_data
    one, two = ([(r.train_loss, r.loss) for r in train(short, 3, data=data, device="cpu")] for _ in range(2))
    assert one == two and len(one) == 2 and all(math.isfinite(loss) for losses in one for loss in losses)


def test_the_python_interface_works_as_shown(capsys):
    (block,) = [block for block in BLOCKS if "for epoch in train(" in block]
    exec(block.replace('experiment("exp3")', 'experiment("exp3").but(train={"epochs": 1})'), {})
    epoch, accuracy = capsys.readouterr().out.split()
    assert epoch == "1" and float(accuracy) > 50


def test_the_study_shown_is_the_committed_one():
    names = {}
    (block,) = [block for block in BLOCKS if "STUDY = " in block]
    exec(block, names)
    assert names["STUDY"].digest == definition.load("dropout_lr").digest


WRONG = [
    ("plateau", "schedule.patiense=3", "schedule.patiense: no such field; did you mean 'patience'?"),
    ("plateau", "schedule.name=Platow", "Plateau"),
    ("shuffled", "model.layers.2.groups=5", "model.layers.2 (Shuffle(groups=5)): "),
    ("notebook", "data.name=cifar10", "model.network: "),
]


@pytest.mark.parametrize(("name", "setting", "words"), WRONG)
def test_a_wrong_field_of_a_user_s_class_is_one_line_that_names_it(folder, name, setting, words):
    with pytest.raises(SpecError) as caught:
        check(experiments.load(name).with_values(parse_settings([setting])))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_kind_is_chosen_by_its_name_where_its_file_is_loaded(folder):
    step = experiments.load("plateau").with_values({"schedule.name": "StepLR"})
    again = step.with_values({"schedule.name": "Plateau", "schedule.patience": 5})
    assert step.schedule.name == "StepLR" and repr(again.schedule) == "Plateau(patience=5)"


def test_a_broken_file_does_not_hide_the_others(folder):
    (folder / "broken.py").write_text("from tinycnn.spec import Custom\n\nSPEC = Custom(3)\n")
    rows = {row["name"]: row["error"] for row in show.experiments()}
    assert rows.pop("broken").startswith("broken.py") and rows == dict.fromkeys(FILES)


def test_train_takes_any_split(folder):
    def some(count):
        return Images(torch.randint(0, 256, (count, 3, 20, 24), dtype=torch.uint8), torch.arange(count) % 4)

    data = Split("mine", some(64), some(16), "test", "", "", tuple("abcd"), (0.5,) * 3, (0.3,) * 3)
    spec = experiments.load("exp9").but(train={"epochs": 1, "batch_size": 16}, schedule={"pct_start": 0.5})
    (result,) = train(spec, 0, data=data, device="cpu")
    assert result.state.logits.shape == (16, 4)


def test_a_user_s_classes_are_sent_to_another_process(folder, monkeypatch):
    spec = experiments.load("shuffled")
    layer = spec.model.layers[2]
    sent = pickle.dumps((spec, layer))
    monkeypatch.delitem(sys.modules, type(layer).__module__)  # as in another process
    again, other = pickle.loads(sent)
    assert again.hash == spec.hash and repr(other) == "Shuffle()" and type(other) is not type(layer)


LAYERS = '''
from torch import nn
from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import Conv, Head, Layer, Network

FACTOR = 2

def helper():
    return FACTOR

class Used(Layer):
    """Does something."""
    def build(self, shape):
        return nn.ChannelShuffle(self.check(helper()))

    def check(self, factor):
        return factor

class Unused(Layer):
    def build(self, shape):
        return nn.Identity()

SPEC = EXP3.but(name="own", model=Network(Conv(8), Used(), Head()))
'''


def code_of(folder, text):
    (folder / "own.py").write_text(text)
    provenance._code.cache_clear()  # as another process would begin
    return provenance.code(experiments.load("own"), "torch")


CHANGES = [
    ("nn.Identity()", "nn.ReLU()", set()),
    ("Does something.", "Does nothing.", set()),
    ('name="own", ', 'name="own", train={"epochs": 3}, ', set()),
    ("FACTOR = 2", "FACTOR = 4", {"FACTOR"}),
    ("return FACTOR", "return 2 * FACTOR", {"helper"}),
    ("nn.ChannelShuffle(", "nn.ChannelShuffle(groups=", {"Used"}),
    ("return factor", "return 1 * factor", {"Used"}),
]


@pytest.mark.parametrize(("old", "new", "names"), CHANGES)
def test_the_code_that_a_run_used_identifies_it_and_no_other(folder, old, new, names):
    before, after = code_of(folder, LAYERS), code_of(folder, LAYERS.replace(old, new))
    changed = {name.rpartition(":")[2] for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == names
    used = {name.rpartition(":")[2] for name in before}
    assert {"train", "start", "Conv", "Head", "StepLR", "Used"} <= used
    assert not {"Unused", "GatedPool", "OneCycle", "DATASETS", "nearest"} & used


def test_the_reader_of_your_own_files_is_part_of_the_code_of_runs_that_use_it_only():
    def files(data):
        return {name.rpartition(":")[0] for name in provenance.code(experiments.load("exp3").but(data=data), "torch")}

    assert "tinycnn/data/own.py" in files({"name": "npz", "path": "mine.npz"})
    assert "tinycnn/data/own.py" not in files({"name": "mnist"}) and "tinycnn/data/files.py" in files({"name": "mnist"})


def test_a_run_keeps_the_source_of_its_file_and_rerun_refuses_another(folder, store, few_images, no_artifacts):
    (folder / "own.py").write_text(LAYERS)
    fast = {"epochs": 1, "batch_size": 32, "kernels": "torch"}
    spec = experiments.load("own").but(train=fast, data={"name": "mnist5k"})
    run_id = runs.run(runs.prepare(spec, device="cpu"))["run_id"]
    assert Path(store.client.download_artifacts(run_id, "source/own.py")).read_text() == LAYERS
    assert resume.rerun(run_id)[0]["same"]
    code_of(folder, LAYERS.replace("FACTOR = 2", "FACTOR = 4"))
    with pytest.raises(UserError) as caught:
        resume.rerun(run_id)
    assert "own.py:FACTOR has changed since" in str(caught.value) and "diff " in str(caught.value)


def test_a_run_teaches_another_by_its_id_and_its_weights_identify_the_pupil(plan, store, few_images, no_artifacts):
    teacher = runs.run(plan)["run_id"]
    spec = plan.spec.but(name="pupil", loss=Distillation(teacher, temperature=2.0))
    run_id = runs.run(runs.prepare(spec, device="cpu"))["run_id"]
    tags, code = store.entity(run_id).data.tags, json.loads(store.read(run_id, "code.json"))
    weights = store.entity(teacher).data.tags["tinycnn.weights"]
    assert tags["tinycnn.teacher"] == code["teacher"] == weights[:12]
    with pytest.raises(UserError, match="not in the store"):
        runs.prepare(plan.spec.but(loss=Distillation("0" * 32)), device="cpu")


MENTOR = """
from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import Conv, Head, MaxPool, Network

FAST = {"epochs": 1, "batch_size": 32, "kernels": "torch"}
SPEC = EXP3.but(name="mentor", model=Network(Conv(4), MaxPool(4), Head()), data={"name": "mnist5k"}, train=FAST)
"""


def test_an_experiment_teaches_by_name_those_of_the_same_images(folder, store, few_images, no_artifacts):
    (folder / "mentor.py").write_text(MENTOR)
    mentor = experiments.load("mentor")
    pupil = mentor.but(name="pupil", loss=Distillation("mentor"))
    with pytest.raises(UserError, match="no finished run with data.validation=0; `python -m tinycnn run mentor --set "):
        runs.prepare(pupil, device="cpu")
    for seed in (5, 4):
        taught = runs.run(runs.prepare(mentor, device="cpu"), first_seed=seed)["run_id"]
    run_id = runs.run(runs.prepare(pupil, device="cpu"))["run_id"]
    weights = store.entity(taught).data.tags["tinycnn.weights"]
    assert store.entity(run_id).data.tags["tinycnn.teacher"] == weights[:12]
    held_out = pupil.but(data={"validation": 0.2})
    with pytest.raises(UserError, match="no finished run with data.validation=0.2"):
        runs.prepare(held_out, device="cpu")
    begun = runs.prepare(pupil, device="cpu")
    assert begun.code  # then another brings the teacher of its validation split
    runs.run(runs.prepare(mentor.but(data={"validation": 0.2}), device="cpu"))
    runs.prepare(held_out, device="cpu")
    with pytest.raises(UserError, match="pupil: loss: another run has brought another teacher here"):
        runs.run(begun)
