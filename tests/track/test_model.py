"""A logged model: found by its name, stored once, with the data and metrics of its run, usable where this is not."""

import os
import subprocess
import sys

import networks
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

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

SPEC = EXP3.but(name="own", model=Custom(Net), data={"name": "mnist5k"}, train={"epochs": 1, "batch_size": 50})
"""
MODELS = {
    "every layer": networks.everything,
    "your own": "pass",
    "your own, which decides by what it sees": "x = x if x.sum() > 0 else -x",
}

ELSEWHERE = """
import sys
import mlflow, numpy, torch
model = mlflow.pytorch.load_model(sys.argv[1])
pixels = torch.from_numpy(numpy.load("pixels.npy"))
with torch.no_grad():
    numpy.save("logits.npy", model(pixels).numpy())
    print(torch.equal(model(pixels), model(pixels / 255)), numpy.array_equal(model(pixels), numpy.load("logits.npy")))
served = mlflow.pyfunc.load_model(sys.argv[1])
print(all(numpy.array_equal(served.predict(x.numpy()), numpy.load("logits.npy")) for x in (pixels, pixels / 255)))
for wrong in (pixels.float(), (pixels / 255 - 0.13) / 0.3):
    try:
        model(wrong)
    except AssertionError as error:
        print("refused:", error)
print("tinycnn" in sys.modules, "experiments" in sys.modules)
"""


@pytest.mark.parametrize("which", MODELS)
def test_a_model_gives_the_same_logits_where_this_project_is_not(which, plan, store, few_images, tmp_path, monkeypatch):
    made = MODELS[which]
    if isinstance(made, str):
        (tmp_path / "own.py").write_text(OWN.replace("CONDITION", made))
        spec = experiments.load(str(tmp_path / "own.py"))
    else:
        spec = plan.spec.but(model=made(), train={"epochs": 1}, target={"parameter_limit": None})
    states = []
    reporter = runs.Reporter()
    reporter.epoch = lambda seed, result: states.append(result.state.result)
    run_id = runs.run(runs.prepare(spec, device="cpu", offline=True), first_seed=3, reporter=reporter)["run_id"]
    (output,) = store.entity(run_id).outputs.model_outputs
    model = MlflowClient().get_logged_model(output.model_id)
    assert model.name == f"{spec.name}-seed-3" and model.source_run_id == run_id and model.params["seed"] == "3"
    assert {(m.key, m.dataset_name, m.value) for m in model.metrics} == {
        (name, "mnist5k", store.history(run_id, name)[1]) for name in ("test/accuracy", "test/loss")
    }
    np.save(tmp_path / "pixels.npy", plan.data.evaluation.images.numpy())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-I", "-c", ELSEWHERE, model.artifact_location]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    refused = "refused: give pixels as uint8 from 0 to 255 or as floats from 0 to 1, not normalised"
    assert done.stdout.splitlines() == ["True True", "True", refused, refused, "False False"]
    ours = predict(states[-1], plan.data.evaluation, plan.data, spec)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), ours, rtol=1e-3, atol=1e-4)


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
    import mlflow

    loaded = mlflow.pytorch.load_model(f"models:/{linked.model_id}")
    assert torch.equal(loaded(torch.from_numpy(example)), module(torch.from_numpy(example)))
