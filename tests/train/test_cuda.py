"""What only a GPU can show; without one these tests are skipped."""

import pytest  # noqa: I001
import torch

from tinycnn.spec import (
    SGD, AdamW, Augment, Average, Conv, GatedPool, Head, MaxPool, Network, OneCycle, Spec, Target, Train,
)  # fmt: skip
from tinycnn.train import batched
from tinycnn.train.loop import start, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SEEDS = [3, 0, 7]
SPEC = Spec(
    name="smooth",  # a maximum turns rounding into a jump
    model=Network(Conv(6, stride=2), Conv(8), Head(), activation="silu"),
    optimizer=SGD(lr=0.02, momentum=0.9),
    train=Train(epochs=2, batch_size=8, kernels="torch"),
    target=Target(accuracy=None),
)


def together(spec, data, seeds=SEEDS):
    states = [start(spec, seed, data, torch.device("cuda")) for seed in seeds]
    return list(batched.train_together(spec, seeds, states, data=data, device=torch.device("cuda")))


def losses(results):
    return [loss for each in results for loss in (each.train_loss, each.loss)]


@pytest.fixture(autouse=True)
def _all_digits():
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def test_a_gpu_trains_as_the_processor_does(tiny_data):
    here, there = (list(train(SPEC, 3, data=tiny_data, device=device)) for device in ("cpu", "cuda"))
    assert losses(there)[:2] == pytest.approx(losses(here)[:2], abs=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": AdamW(0.003), "schedule": OneCycle(), "augment": Augment(rotation=8.0, cutout=3)},
        {"average": Average(0.9), "model": Network(Conv(6), GatedPool(2), Conv(4, groups=2), Head(by="linear"))},
    ],
)
def test_seeds_trained_as_one_graph_have_the_numbers_of_each_alone(changes, tiny_data):
    spec = SPEC.but(**changes)
    results = together(spec, tiny_data)
    for number, seed in enumerate(SEEDS):
        alone = list(train(spec, seed, data=tiny_data, device="cuda"))
        assert losses(each[number] for each in results) == pytest.approx(losses(alone), abs=2e-3)
        assert [each[number].accuracy for each in results][0] == pytest.approx(alone[0].accuracy, abs=5)


def test_dropout_draws_anew_in_every_step_of_a_graph_and_alike_in_every_training(tiny_data):
    spec = SPEC.but(model=Network(Conv(6), MaxPool(2), Head(), dropout=0.3))
    results = together(spec, tiny_data, [3, 3])
    assert losses(results[0])[0] != losses(results[0])[2]
    assert [losses(each) for each in results] == [losses(each) for each in together(spec, tiny_data, [3, 3])]


def test_half_precision_learns_too(tiny_data):
    (*_, last) = together(SPEC.but(train={"precision": "bfloat16"}), tiny_data)
    (*_, alone) = train(SPEC, 3, data=tiny_data, device="cuda")
    assert last[0].train_loss == pytest.approx(alone.train_loss, rel=0.1)
