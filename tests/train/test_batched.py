"""Seeds trained as one computation give the numbers of the same seeds trained alone."""

import math  # noqa: I001
from dataclasses import replace

import networks
import pytest
import random_networks
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tinycnn.data import Images
from tinycnn.errors import Diverged
from tinycnn.network.stacked import side_by_side, stacked
from tinycnn.spec import (
    SGD, Adam, AdamW, Augment, Average, BlurPool, Conv, Cosine, CrossEntropy, Custom, Depthwise, Distillation,
    GatedPool, Head, Layer, MaxPool, Network, Norm, OneCycle, Pointwise, Repeat, Residual, RMSprop, Spec, SqueezeExcite,
    StepLR, Target, Train,
)  # fmt: skip
from tinycnn.train import batched, checkpoint
from tinycnn.train.loop import start, train

CPU, SEEDS = torch.device("cpu"), [3, 0, 7]
SPEC = Spec(
    name="together",
    model=Network(Conv(6), MaxPool(2), Conv(8), MaxPool(2), Head()),
    optimizer=SGD(lr=0.02, momentum=0.9),
    train=Train(epochs=2, batch_size=8, kernels="torch"),  # 25 batches an epoch
    target=Target(accuracy=None),
)
NESTED = Network(
    Norm(), Conv(4, 5, stride=2), Residual(Depthwise(padding=1), Pointwise(6, groups=2)), GatedPool(2),
    Repeat(Conv(6, padding=1), shared=True), SqueezeExcite(2), BlurPool(2), Head(), activation="prelu",
)  # fmt: skip
HEADS = [Head(bias=True, classes_first=True), Head(by="linear", bias=True), Head(reduce="flatten")]
AUGMENT = Augment(rotation=10.0, shift=2.0, scale=0.1, shear=5.0, crop=2, flip=True, cutout=4, fade=1)
VARIANTS = {
    "nested layers": {"model": NESTED, "optimizer": Adam(lr=0.001)},
    "slopes by channel": {"model": Network(Conv(6, activation="prelu_per_channel", bias=True), HEADS[0], norm="none")},
    "linear head": {"model": Network(Conv(6), HEADS[1]), "optimizer": SGD(0.02, momentum=0.9, nesterov=True)},
    "flat head": {"model": Network(Conv(6, stride=3), HEADS[2]), "optimizer": RMSprop(0.001, momentum=0.5)},
    "augmentation": {"augment": AUGMENT, "loss": CrossEntropy(label_smoothing=0.1), "schedule": Cosine()},
    "momentum cycles": {"optimizer": AdamW(lr=0.003), "schedule": OneCycle(cycle_momentum=True)},
    "averages": {"average": Average(0.9, every=2), "schedule": StepLR(1), "optimizer": SGD(0.02, weight_decay=0.01)},
}


def states_of(spec, data, seeds=SEEDS):
    return [start(spec, seed, data, CPU) for seed in seeds]


def together(spec, data, states=None, seeds=SEEDS):
    states = states or states_of(spec, data, seeds)
    return list(batched.train_together(spec, seeds, states, data=data, device=CPU)), states


def numbers(result):
    kept = ("train_loss", "train_accuracy", "loss", "accuracy", "learning_rate", "clean_train_accuracy", "raw_loss")
    return [getattr(result, name) or 0.0 for name in kept]


@pytest.fixture
def float64(monkeypatch):
    """Compute in float64, where rounding does not grow to anything in 50 steps."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def few(tiny_data):
    """Eight batches of images to train with, and 40 to evaluate."""
    parts = ((tiny_data.train, 64), (tiny_data.evaluation, 40))
    train, evaluation = (Images(images.images[:count], images.labels[:count]) for images, count in parts)
    return replace(tiny_data, train=train, evaluation=evaluation)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_each_seed_has_the_numbers_and_weights_of_its_own_training(changes, few):
    spec = SPEC.but(**changes)
    assert batched.obstacle(spec, few) == ""
    results, states = together(spec, few)
    for number, (seed, state) in enumerate(zip(SEEDS, states, strict=True)):
        alone = list(train(spec, seed, data=few, device="cpu"))
        for one, all_of_them in zip(alone, results, strict=True):
            assert numbers(all_of_them[number]) == pytest.approx(numbers(one), abs=1e-9)
        expected = alone[-1].state
        for name, tensor in expected.network.state_dict().items():
            torch.testing.assert_close(state.network.state_dict()[name], tensor, atol=1e-9, rtol=1e-9)
        assert state.epoch == 2 and state.optimizer.param_groups[0]["lr"] == expected.optimizer.param_groups[0]["lr"]


@settings(max_examples=20)
@given(random_networks.networks(size=24), st.booleans())
def test_any_network_maps_and_learns_beside_others_as_alone(model, dense):
    built = [networks.built(model, 1, 24).double().eval() for _ in SEEDS]
    whole, images = stacked(built, dense), torch.rand(6, 1, 24, 24, dtype=torch.float64)
    logits = whole(side_by_side(images, 3)).view(2, 3, 10).transpose(0, 1)
    logits.pow(2).sum().backward()
    for number, (network, part) in enumerate(zip(built, images.chunk(3), strict=True)):
        alone = network(part)
        torch.testing.assert_close(logits[number], alone)
        alone.pow(2).sum().backward()
        for (name, ours), its in zip(whole.named_parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(ours.grad.chunk(3)[number], its.grad, msg=name)


def test_seeds_agree_in_float32_after_50_steps(tiny_data):
    smooth = Network(Conv(6, stride=2), Conv(8), Head(), activation="silu")  # a maximum turns rounding into a jump
    spec = SPEC.but(model=smooth)
    (_, results), _ = together(spec, tiny_data)
    for seed, result in zip(SEEDS, results, strict=True):
        *_, alone = train(spec, seed, data=tiny_data, device="cpu")
        assert (result.train_loss, result.loss) == pytest.approx((alone.train_loss, alone.loss), abs=1e-4)


def test_a_pupil_learns_together_as_alone(tiny_data, tmp_path):
    (result,) = train(SPEC.but(train={"epochs": 1}), 0, data=tiny_data, device="cpu")
    checkpoint.save(tmp_path / "teacher.pt", {"spec": SPEC.to_json()}, result.state, [result])
    spec = SPEC.but(loss=Distillation(str(tmp_path / "teacher.pt")), train={"epochs": 1})
    ((first, *_),), _ = together(spec, tiny_data)
    assert first.train_loss == pytest.approx(next(train(spec, 3, data=tiny_data, device="cpu")).train_loss, abs=1e-4)


def test_dropout_draws_for_each_network(tiny_data):
    spec = SPEC.but(model={"dropout": 0.3}, train={"epochs": 1})
    ((one, _, _),), _ = together(spec, tiny_data)
    ((same, again, _),), _ = together(spec, tiny_data, seeds=[3, 3, 0])  # the same weights, images and augmentation
    assert one.train_loss != together(SPEC.but(train={"epochs": 1}), tiny_data)[0][0][0].train_loss
    assert same.train_loss != again.train_loss and one.train_loss == same.train_loss


def test_a_batch_continues_from_the_checkpoints_of_its_seeds(tiny_data, tmp_path):
    spec = SPEC.but(optimizer=Adam(lr=0.003), schedule=OneCycle(), average=Average(0.9), model={"dropout": 0.1})
    (first, whole), states = together(spec, tiny_data)
    begun = states_of(spec, tiny_data)
    next(batched.train_together(spec, SEEDS, begun, data=tiny_data, device=CPU))
    for seed, state, result in zip(SEEDS, begun, first, strict=True):
        checkpoint.save(tmp_path / f"{seed}.pt", {}, state, [result])
    again = states_of(spec, tiny_data)
    for seed, state in zip(SEEDS, again, strict=True):
        checkpoint.restore(state, checkpoint.load(tmp_path / f"{seed}.pt"))
    ((*continued,),), _ = together(spec, tiny_data, again)
    assert [numbers(each) for each in continued] == [numbers(each) for each in whole]
    alone = start(spec, 3, tiny_data, CPU)  # and so can a seed by itself
    checkpoint.restore(alone, checkpoint.load(tmp_path / "3.pt"))
    assert next(train(spec, 3, data=tiny_data, device="cpu", state=alone)).epoch == 2


def test_a_seed_that_diverges_leaves_the_others_as_they_are(tiny_data):
    (whole, last), _ = together(SPEC, tiny_data)
    states = states_of(SPEC, tiny_data)
    nn.init.constant_(next(states[1].network.parameters()), math.nan)
    (results, after), _ = together(SPEC, tiny_data, states)
    assert isinstance(results[1], Diverged) and "seed 0 became nan in epoch 1" in str(results[1]) and after[1] is None
    for number in (0, 2):
        assert numbers(results[number]) == numbers(whole[number]) and numbers(after[number]) == numbers(last[number])


class Own(Layer):
    def build(self, shape):
        return nn.Hardswish()


class Mine(SGD):
    pass


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": Network(Conv(4), Own(), Head())}, "Own is a class of your own"),
        ({"optimizer": Mine(0.1)}, "Mine is a class of your own"),
        ({"model": Custom("tests/notebooks.py:Functional")}, "its network is not made of layers"),
    ],
)
def test_what_cannot_be_trained_together_is_told(changes, words, tiny_data):
    assert batched.obstacle(SPEC.model_copy(update=changes), tiny_data) == words
