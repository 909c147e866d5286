"""A logged model: found by its name, stored once, with the data and metrics of its run, usable where this is not."""

import subprocess
import sys

import mlflow
import networks
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from tinycnn.errors import UserError
from tinycnn.spec import load as experiments
from tinycnn.track import run as runs
from tinycnn.track.portable import portable
from tinycnn.train.loop import predict

OWN = """
from experiments.exp3 import SPEC as EXP3
from tinycnn.spec import Custom
import torch.nn as nn, torch.nn.functional as F

def squeeze(x):
    return F.max_pool2d(x, 4).flatten(1)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, 5), nn.Linear(144, 10)
    def forward(self, x):
        x = squeeze(self.conv(x))
        CONDITION
        return self.out(x)

SPEC = EXP3.but(name="NAME", model=Custom(Net), data={"name": "mnist5k"}, train={"epochs": 1, "batch_size": 50})
"""

ELSEWHERE = """
import sys
import mlflow, numpy, torch
bytes_ = torch.from_numpy(numpy.load("pixels.npy"))
floats = bytes_ / 255
for number, address in enumerate(sys.argv[1:]):
    model, served = mlflow.pytorch.load_model(address), mlflow.pyfunc.load_model(address)
    with torch.no_grad():
        logits = model(bytes_).numpy()
        same = [model(floats).numpy(), served.predict(bytes_.numpy()), served.predict(floats.numpy())]
    numpy.save(f"logits{number}.npy", logits)
    print(*(numpy.array_equal(logits, each) for each in same))
    for wrong in (bytes_.float(), (floats - 0.13) / 0.3):
        try:
            model(wrong)
        except AssertionError as error:
            print("refused:", error)
print("tinycnn" in sys.modules, "experiments" in sys.modules)
"""


@pytest.fixture
def specs(plan, tmp_path):
    """Every kind of layer, a network of one's own, and one that does what depends on the values it sees."""
    everything = plan.spec.but(model=networks.everything(), train={"epochs": 1}, target={"parameter_limit": None})
    made = [everything]
    for number, line in enumerate(("pass", "x = x if x.sum() > 0 else -x")):
        path = tmp_path / f"own{number}.py"
        path.write_text(OWN.replace("CONDITION", line).replace("NAME", path.stem))
        made.append(experiments.load(str(path)))
    return made


def test_models_give_the_same_logits_where_this_project_is_not(specs, plan, store, few_images, tmp_path):
    states, addresses, reporter = [], [], runs.Reporter()
    reporter.epoch = lambda seed, result: states.append(result.state.result)
    for spec in specs:
        made = runs.prepare(spec, device="cpu", offline=True)
        run_id = runs.run(made, first_seed=3, reporter=reporter)["run_id"]
        (output,) = store.entity(run_id).outputs.model_outputs
        model = MlflowClient().get_logged_model(output.model_id)
        assert (model.name, model.source_run_id, model.params["seed"]) == (f"{spec.name}-seed-3", run_id, "3")
        assert {(m.key, m.dataset_name, m.value) for m in model.metrics} == {
            (name, "mnist5k", store.history(run_id, name)[1]) for name in ("test/accuracy", "test/loss")
        }
        addresses.append(model.artifact_location)
    np.save(tmp_path / "pixels.npy", plan.data.evaluation.images.numpy())
    command = [sys.executable, "-I", "-c", ELSEWHERE, *addresses]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    refused = "refused: give pixels as uint8 from 0 to 255 or as floats from 0 to 1, not normalised"
    assert done.stdout.splitlines() == ["True True True", refused, refused] * 3 + ["False False"]
    for number, (spec, state) in enumerate(zip(specs, states, strict=True)):
        ours = predict(state, plan.data.evaluation, plan.data, spec)
        np.testing.assert_allclose(np.load(tmp_path / f"logits{number}.npy"), ours, rtol=1e-3, atol=1e-4)
    assert store.register(run_id) == ("own1", 1) and store.register(run_id, "mine") == ("mine", 1)
    with pytest.raises(UserError, match="has no model; give the id of one seed"):
        store.register(store.client.create_run(store.experiment_id).info.run_id)


@pytest.mark.parametrize("step", ["log_outputs", "log_model_artifacts", "finalize_logged_model"])
def test_a_model_that_was_only_half_stored_is_stored_once_in_the_end(store, monkeypatch, tiny_data, step):
    class Killed(BaseException):
        pass

    def killed(*arguments, **options):
        raise Killed

    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    module, example = portable(network, tiny_data), tiny_data.evaluation.images[:2].numpy()
    with store.run("a", {}) as run:
        run.open()
        how = ("a", module, example, tiny_data, {"test/accuracy": 50.0}, 1, 1e9)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(MlflowClient, step, killed)
            run.model(*how)
        run.model(*how)
        run.model(*how)
    (linked,) = store.entity(run.id).outputs.model_outputs
    loaded = mlflow.pytorch.load_model(f"models:/{linked.model_id}")
    assert torch.equal(loaded(torch.from_numpy(example)), module(torch.from_numpy(example)))
