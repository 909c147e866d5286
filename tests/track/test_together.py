"""Seeds trained as one computation are runs like those trained one by one. Here on the CPU, which never does so."""

import math
from dataclasses import replace

import pytest
import torch
from interrupting import Stop
from torch import nn

from tinycnn.errors import Diverged
from tinycnn.spec import Custom
from tinycnn.track import resume
from tinycnn.track import run as runs
from tinycnn.track import seed as one_seed
from tinycnn.track.mlflow_store import EVERY, PARENT
from tinycnn.track.plan import Reporter
from tinycnn.track.together import fit_together

METRICS = ("train/loss", "test/loss", "test/accuracy", "train/learning_rate")
pytestmark = pytest.mark.usefixtures("few_images", "no_artifacts")


@pytest.fixture
def together(plan, monkeypatch):
    """A plan without dropout, whose seeds are trained together."""
    monkeypatch.setattr(runs, "fit_together", lambda *_: True)
    spec = plan.spec.but(model={"dropout": 0.0}, optimizer={"name": "SGD", "lr": 0.01}, train={"kernels": "torch"})
    return replace(plan, spec=spec)


def curves(store, run_id):
    return [store.history(run_id, name) for name in METRICS]


def children(store, run_id):
    found = store.search({PARENT: run_id}, EVERY)
    return {int(entity.data.tags["tinycnn.seed"]): entity.info for entity in found}


def test_each_seed_is_a_run_with_the_numbers_of_its_own_training(together, store):
    found = runs.run(together, seeds=3, first_seed=4)
    assert [each["seed"] for each in found["seeds"]] == [4, 5, 6] and found["n"] == 3
    for each in found["seeds"][::2]:
        alone = runs.run(together, first_seed=each["seed"])
        for one, other in zip(curves(store, each["run_id"]), curves(store, alone["run_id"]), strict=True):
            assert one == pytest.approx(other, abs=1e-4)
    (compared,) = resume.rerun(found["seeds"][0]["run_id"])
    assert compared["epochs"] == 3


def test_an_interrupted_batch_continues_with_the_same_numbers(together, store):
    whole = runs.run(together, seeds=3)
    with pytest.raises(KeyboardInterrupt):
        runs.run(together, seeds=3, first_seed=0, reporter=Stop(2, seed=1))  # so seed 2 is an epoch behind
    (parent,) = {i.info.run_id for i in store.search({"tinycnn.role": "seeds"}, EVERY)} - {whole["run_id"]}
    assert {info.status for info in children(store, parent).values()} == {"KILLED"}
    resume.resume(parent)
    for seed, info in children(store, parent).items():
        assert info.status == "FINISHED"
        expected = curves(store, whole["seeds"][seed]["run_id"])
        for one, other in zip(curves(store, info.run_id), expected, strict=True):
            assert one == pytest.approx(other, abs=1e-4)


def test_a_seed_that_diverges_fails_alone(together, store, monkeypatch):
    start = one_seed.start

    def broken(spec, seed, data, device):
        state = start(spec, seed, data, device)
        if seed == 1:
            nn.init.constant_(next(state.network.parameters()), math.nan)
        return state

    monkeypatch.setattr(one_seed, "start", broken)
    with pytest.raises(Diverged, match="seed 1 became nan"):
        runs.run(together, seeds=3)
    (parent,) = store.search({"tinycnn.role": "seeds"}, EVERY)
    status = {seed: info.status for seed, info in children(store, parent.info.run_id).items()}
    assert status == {0: "FINISHED", 1: "FAILED", 2: "FINISHED"}


def test_only_what_fits_is_trained_together_and_only_on_cuda(plan):
    lines = []
    reporter = Reporter()
    reporter.notice = lines.append
    tasks, cuda = [(0, None), (1, None)], replace(plan, device=torch.device("cuda"))
    assert fit_together(cuda, tasks, reporter) and lines == []
    assert not fit_together(plan, tasks, reporter) and not fit_together(cuda, tasks[:1], reporter)
    own = replace(cuda, spec=plan.spec.but(model=Custom("tests/notebooks.py:Functional")))
    assert not fit_together(own, tasks, reporter)
    assert lines == [
        "its network is not made of layers, so the seeds train one after the other and not as one computation"
    ]
