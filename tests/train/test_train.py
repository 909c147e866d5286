"""The training loop: the same numbers again, separate streams, and the arithmetic of a plain loop."""

import copy
import itertools
import math
import random
import shutil
import subprocess
import sys
import types
from dataclasses import replace

import networks
import numpy as np
import pytest
import torch
from torch import nn

from tinycnn import ROOT
from tinycnn.data import Images, Split
from tinycnn.data import augment as operations
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import Diverged, SpecError, UserError
from tinycnn.network import native
from tinycnn.spec import (
    SGD,
    Adam,
    AdamW,
    Augment,
    Average,
    Constant,
    Cosine,
    CrossEntropy,
    Data,
    Distillation,
    OneCycle,
    Spec,
    StepLR,
    Train,
)
from tinycnn.spec import teacher as teachers
from tinycnn.train import checkpoint
from tinycnn.train import loop as trainer
from tinycnn.train.device import pick_device
from tinycnn.train.randomness import stream_seed

BATCH, IMAGES, TESTED = 16, 56, 30  # three batches an epoch, and eight images left over
STEPS = 3


def some_images(count, seed):
    """Return noise on which a tenth of the rows, told by the label, is bright: something can be learned."""
    rng = np.random.default_rng(seed)
    pixels, labels = rng.integers(0, 120, (count, 1, 28, 28), np.uint8), rng.integers(0, 10, count)
    for image, label in zip(pixels, labels, strict=True):
        image[0, 2 * label + 4 : 2 * label + 6] += 130
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels))


DATA = Split(
    name="mnist5k",
    train=some_images(IMAGES, 1),
    evaluation=some_images(TESTED, 2),
    kind="test",
    digest="none",
    path="",
    classes=DATASETS["mnist5k"].classes,
    mean=(0.27,),
    std=(0.2,),
)
SPEC = Spec(
    name="tiny",
    model=networks.model_2(dropout=0.1),
    data=Data(name="mnist5k"),
    augment=Augment(rotation=7.0, shift=1.0, cutout=4),
    optimizer=Adam(lr=0.01),
    schedule=StepLR(step_size=1, gamma=0.5),
    train=Train(epochs=2, batch_size=BATCH),
)
PLAIN = SPEC.but(model={"dropout": 0.0}, augment=Augment(), schedule=Constant(), optimizer=SGD(lr=0.1))


def train(spec, seed=0, data=DATA, **options):
    return trainer.train(spec, seed, data=data, device="cpu", **options)


def numbers(result):
    """Return everything of an epoch but its times, the weights too."""
    weights = {name: value.clone() for name, value in result.state.network.state_dict().items()}
    figures = ("epoch", "train_loss", "train_accuracy", "loss", "accuracy", "learning_rate", "clean_train_accuracy")
    return {name: getattr(result, name) for name in figures}, weights


def same(one, two):
    return one[0] == two[0] and all(torch.equal(one[1][name], two[1][name]) for name in one[1] | two[1])


def watch(monkeypatch):
    """Return a record that fills while training runs: initial weights, batches before and after augmentation, rates."""
    seen = types.SimpleNamespace(weights=[], taken=[], given=[], rates=[])
    start, augment, by_kernels = trainer.start, operations.augment, native.augmented

    def started(*arguments):
        state = start(*arguments)
        seen.weights.append({name: value.clone() for name, value in state.network.state_dict().items()})
        state.optimizer.register_step_pre_hook(lambda used, *_: seen.rates.append(used.param_groups[0]["lr"]))
        return state

    def augmented(images, *arguments):
        seen.taken.append(images.clone())
        seen.given.append(augment(images, *arguments))
        return seen.given[-1]

    def augmented_by_kernels(images, chosen, *arguments):
        seen.taken.append(images[chosen].float() / 255)
        seen.given.append(by_kernels(images, chosen, *arguments))
        return seen.given[-1]

    monkeypatch.setattr(trainer, "start", started)
    monkeypatch.setattr(operations, "augment", augmented)
    monkeypatch.setattr(native, "augmented", augmented_by_kernels)
    return seen


def which(batch):
    """Return the training images that a batch, as it was before augmentation, is made of."""
    return [int((DATA.train.images.float() / 255 - image).abs().sum((1, 2, 3)).argmin()) for image in batch]


# --- the same numbers again ------------------------------------------------------------------------------------------


def test_the_same_spec_and_seed_give_the_same_numbers_to_the_last_bit():
    one, two, other = ([numbers(r) for r in train(SPEC, seed)] for seed in (5, 5, 6))
    assert len(one) == 2 and all(map(same, one, two))
    assert not same(one[0], other[0])


def test_seeds_trained_by_turns_give_the_numbers_of_one_at_a_time():
    alone = {seed: [numbers(r) for r in train(SPEC, seed)] for seed in (0, 1)}
    turns = {seed: [] for seed in alone}
    running = {seed: train(SPEC, seed) for seed in alone}
    for seed in (0, 1, 1, 0):
        torch.manual_seed(17)  # what the consumer does with torch's generator is its own affair
        torch.rand(seed + 3)
        turns[seed].append(numbers(next(running[seed])))
    assert all(same(a, b) for seed in alone for a, b in zip(alone[seed], turns[seed], strict=True))


def test_the_random_state_of_the_caller_is_left_alone():
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002  it is this old one that others may use
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    for _ in train(SPEC):
        assert torch.equal(torch.get_rng_state(), before[0])
    with pytest.raises(Diverged):
        list(train(SPEC, data=replace(DATA, std=(math.nan,))))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1] and (np.random.get_state()[1] == before[2]).all()  # noqa: NPY002


# --- streams ---------------------------------------------------------------------------------------------------------


def watched(monkeypatch, spec, seed=0):
    with monkeypatch.context() as patch:
        seen = watch(patch)
        for _ in train(spec, seed):
            pass
    return seen


def equal(one, two):
    return len(one) == len(two) > 0 and all(map(torch.equal, one, two))


def test_changing_one_stream_does_not_shift_the_others(monkeypatch):
    base = watched(monkeypatch, SPEC)
    unaugmented = watched(monkeypatch, SPEC.but(augment=Augment()))
    assert equal(base.taken, unaugmented.taken) and not equal(base.given, unaugmented.given)
    assert equal([*base.weights[0].values()], [*unaugmented.weights[0].values()])
    dropped = watched(monkeypatch, SPEC.but(model={"dropout": 0.5}))
    assert equal(base.taken, dropped.taken) and equal(base.given, dropped.given)
    assert equal([*base.weights[0].values()], [*dropped.weights[0].values()])
    other_network = watched(monkeypatch, SPEC.but(model=networks.model_1()))
    assert equal(base.taken, other_network.taken) and equal(base.given, other_network.given)


def test_another_seed_changes_every_stream(monkeypatch):
    one, two = (watched(monkeypatch, SPEC, seed) for seed in (0, 1))
    name = "0.0.weight"
    assert not torch.equal(one.weights[0][name], two.weights[0][name])
    assert [*map(which, one.taken)] != [*map(which, two.taken)]
    seeds = [
        stream_seed(seed, stream, epoch)
        for seed, stream, epoch in itertools.product((0, 1, 2**32 - 1), ("weights", "order", "augmentation"), (0, 1, 2))
    ]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**63 for seed in seeds)


def test_an_epoch_takes_each_image_at_most_once_in_a_new_order_and_leaves_out_the_incomplete_batch(monkeypatch):
    taken = [which(batch) for batch in watched(monkeypatch, SPEC).taken]
    assert [len(batch) for batch in taken] == [BATCH] * STEPS * 2
    first, second = sum(taken[:STEPS], []), sum(taken[STEPS:], [])
    assert len(set(first)) == len(first) == len(set(second)) == STEPS * BATCH and first != second


def test_an_image_is_augmented_anew_in_every_epoch(monkeypatch):
    seen = watched(monkeypatch, SPEC.but(train={"batch_size": IMAGES}))
    one, two = (dict(zip(which(t), g, strict=True)) for t, g in zip(seen.taken, seen.given, strict=True))
    assert not any(torch.equal(one[image], two[image]) for image in one)


# --- the arithmetic --------------------------------------------------------------------------------------------------


def normal(images):
    return (images.float() / 255 - DATA.mean[0]) / DATA.std[0]


def plain_network(spec, seen):
    network = networks.built(spec.model)
    network.load_state_dict(seen.weights[0])
    return network


# rates at which rounding, other on every processor, does not grow
OPTIMIZERS = [
    (SGD(lr=0.005), lambda p: torch.optim.SGD(p, lr=0.005)),
    (SGD(lr=0.005, momentum=0.8, weight_decay=1), lambda p: torch.optim.SGD(p, 0.005, momentum=0.8, weight_decay=1)),
    (SGD(lr=0.005, momentum=0.8, nesterov=True), lambda p: torch.optim.SGD(p, lr=0.005, momentum=0.8, nesterov=True)),
    (Adam(lr=0.01, beta1=0.7, beta2=0.9, eps=1e-3, weight_decay=0.1),
     lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.7, 0.9), eps=1e-3, weight_decay=0.1)),
    (AdamW(lr=0.01, beta1=0.7, beta2=0.9, eps=1e-3, weight_decay=0.1),
     lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.7, 0.9), eps=1e-3, weight_decay=0.1)),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "make"), OPTIMIZERS, ids=["SGD", "momentum", "Nesterov", "Adam", "AdamW"])
def test_training_is_what_a_plain_loop_does(monkeypatch, settings, make):
    spec = PLAIN.but(optimizer=settings)
    seen = watch(monkeypatch)
    results = [numbers(result) for result in train(spec)]
    network = plain_network(spec, seen)
    optimizer = make(network.parameters())
    for epoch in range(2):
        network.train()
        losses, right = [], 0
        for batch in seen.taken[epoch * STEPS : (epoch + 1) * STEPS]:
            chosen = which(batch)
            images, labels = DATA.train.images[chosen], DATA.train.labels[chosen]
            optimizer.zero_grad()
            logits = network(normal(images))
            loss = nn.CrossEntropyLoss()(logits, labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            right += int((logits.argmax(1) == labels).sum())
        figures, weights = results[epoch]
        assert figures["train_loss"] == pytest.approx(sum(losses) / STEPS, rel=1e-4)
        assert figures["train_accuracy"] == pytest.approx(100 * right / (STEPS * BATCH))
    for name, value in network.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)


def accuracy_by_hand(network, images):
    network.eval()
    with torch.no_grad():
        said = [int(network(normal(image[None])).argmax()) for image in images.images]  # one at a time
    return 100 * sum(map(int.__eq__, said, images.labels.tolist())) / len(said)


def test_the_figures_of_an_epoch_are_those_of_its_weights():
    for result in train(SPEC.but(train={"epochs": 3})):
        network = networks.built(SPEC.model)
        network.load_state_dict(result.state.network.state_dict())
        assert result.accuracy == pytest.approx(accuracy_by_hand(network, DATA.evaluation))
        log = torch.log_softmax(network.eval()(normal(DATA.evaluation.images)).detach().double(), 1)
        assert result.loss == pytest.approx(-log[range(TESTED), DATA.evaluation.labels].mean().item(), rel=1e-5)
        assert result.state.logits.argmax(1).tolist() == log.argmax(1).tolist()
        if result.epoch < 3:
            assert result.clean_train_accuracy is None
    assert result.clean_train_accuracy == pytest.approx(accuracy_by_hand(network, DATA.train))
    assert result.seconds > 0 and result.images_per_second > STEPS * BATCH / result.seconds


def test_label_smoothing_acts_in_training_only(monkeypatch):
    spec = PLAIN.but(loss=CrossEntropy(label_smoothing=0.2), train={"epochs": 1, "batch_size": IMAGES})
    start = trainer.start

    def surer(*arguments):
        state = start(*arguments)
        with torch.no_grad():
            [*state.network.parameters()][-1].mul_(30)  # smoothing shows where answers are not all alike
        return state

    monkeypatch.setattr(trainer, "start", surer)
    seen = watch(monkeypatch)
    (result,) = train(spec)
    log = torch.log_softmax(plain_network(spec, seen).train()(normal(DATA.train.images)), 1)
    right = log[range(IMAGES), DATA.train.labels]
    assert result.train_loss == pytest.approx(-(0.8 * right + 0.2 * log.mean(1)).mean().item(), rel=1e-4)
    log = torch.log_softmax(result.state.network.eval()(normal(DATA.evaluation.images)), 1)
    plain, spread = -log[range(TESTED), DATA.evaluation.labels].mean().item(), -log.mean().item()
    assert abs(spread - plain) > 0.05 and result.loss == pytest.approx(plain, rel=1e-4)


# --- learning rates --------------------------------------------------------------------------------------------------

PEAK, EPOCHS = 0.02, 5
TOTAL = EPOCHS * STEPS


def cosine(high, low, share):
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2


def line(high, low, share):
    return high + (low - high) * share


def cycle(step, between, pct_start=0.3, div=25.0, final_div=1e4):
    """One cycle over the steps 0 to TOTAL, of which the last is never taken (Smith & Topin; torch's OneCycleLR)."""
    top = pct_start * (TOTAL + 1) - 1
    if step <= top:
        return between(PEAK / div, PEAK, step / top)
    return between(PEAK, PEAK / div / final_div, (step - top) / (TOTAL - top))


SCHEDULES = [
    (Constant(), lambda step: PEAK),
    (StepLR(step_size=2, gamma=0.1), lambda step: PEAK * 0.1 ** (step // STEPS // 2)),
    (Cosine(floor=0.25), lambda step: cosine(PEAK, 0.25 * PEAK, step / TOTAL)),
    (OneCycle(), lambda step: cycle(step, cosine)),
    (OneCycle(pct_start=0.5, div_factor=10.0, final_div_factor=3.0, anneal="linear"),
     lambda step: cycle(step, line, 0.5, 10.0, 3.0)),
]  # fmt: skip


def test_one_cycle_falls_from_the_first_step_where_a_single_one_would_rise():
    weights = [torch.nn.Parameter(torch.zeros(1))]
    schedule = OneCycle(pct_start=0.2).build(SGD(lr=PEAK).build(weights), 2, 2)  # 0.2 of 5
    assert schedule.get_last_lr() == pytest.approx([PEAK])


@pytest.mark.parametrize(("settings", "formula"), SCHEDULES)
def test_every_step_is_taken_at_the_rate_of_the_formula(monkeypatch, settings, formula):
    seen = watch(monkeypatch)
    spec = PLAIN.but(optimizer=SGD(lr=PEAK, momentum=0.9), schedule=settings, train={"epochs": EPOCHS})
    results = list(train(spec))
    assert seen.rates == pytest.approx([formula(step) for step in range(TOTAL)], rel=1e-6, abs=1e-12)
    last_of_each = seen.rates[STEPS - 1 :: STEPS]
    assert [result.learning_rate for result in results] == last_of_each
    if settings.name == "OneCycle":
        assert results[0].state.optimizer.param_groups[0].get("momentum", 0.9) == 0.9  # only the rate is cycled


# --- ends ------------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_at_once_and_says_the_last_good_epoch():
    batches = []
    running = train(SPEC.but(train={"epochs": 5}), progress=batches.append)
    next(running)
    result = next(running)
    assert len(batches) == 2 * STEPS
    with torch.no_grad():
        next(result.state.network.parameters()).fill_(math.nan)  # the state is live
    with pytest.raises(Diverged) as caught:
        next(running)
    error = str(caught.value)
    assert "loss became nan in epoch 3, batch 1 of 3" in error and "last good epoch is 2" in error and "\n" not in error
    assert len(batches) == 2 * STEPS and next(running, None) is None and caught.value.exit_code == 1


def test_a_batch_larger_than_the_data_is_refused_in_one_line():
    with pytest.raises(SpecError) as caught:
        next(train(SPEC.but(train={"batch_size": IMAGES + 1})))
    assert f"train.batch_size: {IMAGES + 1}" in str(caught.value) and str(IMAGES) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_device_is_refused_in_one_line():
    for name in ("gpu", "cuda:99", "meta", "", "cpu:x"):
        with pytest.raises(UserError) as caught:
            pick_device(name)
        assert repr(name) in str(caught.value) and "\n" not in str(caught.value)
    assert pick_device("cpu").type == "cpu" and pick_device().type in ("cpu", "cuda", "mps")


# --- precision and compilation ---------------------------------------------------------------------------------------


def test_bfloat16_trains_and_keeps_weights_and_figures_in_float32():
    half, full = ([numbers(r) for r in train(SPEC.but(train={"precision": p}))] for p in ("bfloat16", "float32"))
    assert all(weight.dtype != torch.bfloat16 for weight in half[-1][1].values())
    assert all(math.isfinite(figures["train_loss"]) and math.isfinite(figures["loss"]) for figures, _ in half)
    assert half[0][0]["train_loss"] != full[0][0]["train_loss"]
    assert half[0][0]["train_loss"] == pytest.approx(full[0][0]["train_loss"], rel=0.05)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_trains_to_the_same_figures():
    spec = PLAIN.but(optimizer=SGD(lr=0.01))
    plain, fast = ([numbers(r) for r in train(spec.but(train={"compile": on}))] for on in (False, True))
    assert plain[1][1].keys() == fast[1][1].keys()  # no prefix: the checkpoint of one fits the other
    for name in ("train_loss", "loss"):
        assert fast[1][0][name] == pytest.approx(plain[1][0][name], rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_learns_the_same():
    plain = PLAIN.but(optimizer=SGD(lr=0.01))
    cpu, gpu = (list(trainer.train(plain, 0, data=DATA, device=name)) for name in ("cpu", "cuda"))
    for one, two in zip(cpu, gpu, strict=True):
        assert one.train_loss == pytest.approx(two.train_loss, rel=1e-2)
    assert all(math.isfinite(r.loss) for r in trainer.train(SPEC, 0, data=DATA, device="cuda"))


# --- imports ---------------------------------------------------------------------------------------------------------


def python(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_training_needs_only_torch_numpy_and_pydantic_and_leaves_torchs_compiler_to_those_who_use_it():
    code = """
import sys, types
for name in ("mlflow", "optuna", "pandas", "matplotlib", "sklearn", "torchvision", "mlxtend", "scipy", "tqdm", "rich"):
    sys.modules[name] = None  # importing it fails
import torch
from tinycnn.network.check import check
from tinycnn.data import Images, Split
from tinycnn.spec import Augment, Conv, Data, Head, MaxPool, Network, Spec, Train
from tinycnn.train import train
images = Images(torch.randint(0, 255, (16, 1, 28, 28)).to(torch.uint8), torch.arange(16) % 10)
data = Split("mnist5k", images, images, "test", "", "", tuple("0123456789"), (0.5,), (0.3,))
spec = Spec(name="bare", model=Network(Conv(8), MaxPool(2), Conv(8), Head()), data=Data(name="mnist5k"),
            augment=Augment(rotation=5.0), train=Train(epochs=1, batch_size=8))
check(spec)
print(*(result.epoch for result in train(spec, 0, data=data, device="cpu")), "torch._dynamo.utils" in sys.modules)
for name in [name for name, module in sys.modules.items() if module is None]:
    del sys.modules[name]
network = torch.nn.Linear(2, 2)
compiled = torch.compile(network, backend="eager")
print(torch.equal(compiled(torch.ones(1, 2)), network(torch.ones(1, 2))), "torch._dynamo.utils" in sys.modules)
import torch._dynamo
print(isinstance(torch._dynamo, types.ModuleType) and torch._dynamo.__file__ is not None)
"""
    assert python(code) == ["1", "False", "True", "True", "True"]


# --- averaged weights, teachers, momentum ----------------------------------------------------------------------------


def test_averaged_weights_are_the_exponential_average_of_those_after_each_batch():
    spec = PLAIN.but(average=Average(0.9, every=2), train={"epochs": 2})
    seen = []

    def keep(count):
        seen.append([p.detach().clone() for p in state.network.parameters()])

    state = trainer.start(spec, 0, DATA, torch.device("cpu"))
    *_, last = trainer.train(spec, 0, data=DATA, device="cpu", state=state, progress=keep)
    expected = seen[1]  # after the second batch the average begins
    for weights in seen[3::2]:
        expected = [0.9 * old + 0.1 * new for old, new in zip(expected, weights, strict=True)]
    for ours, wanted in zip(state.averaged.module.parameters(), expected, strict=True):
        torch.testing.assert_close(ours, wanted)
    assert (last.accuracy, last.loss) == (last.averaged_accuracy, last.averaged_loss)
    raw = next(iter(trainer.train(spec.but(average={"result": "raw"}), 0, data=DATA, device="cpu")))
    assert (raw.accuracy, raw.loss) == (raw.raw_accuracy, raw.raw_loss) != (raw.averaged_accuracy, raw.averaged_loss)


def test_averaging_changes_nothing_of_the_training_itself():
    plain, averaged = (list(train(each)) for each in (SPEC, SPEC.but(average=Average(0.9))))
    assert [r.train_loss for r in plain] == [r.train_loss for r in averaged]
    assert [r.loss for r in plain] == [r.raw_loss for r in averaged]
    assert plain[0].averaged_loss is None


def test_batch_norm_statistics_of_averaged_weights_are_those_of_the_images():
    spec = PLAIN.but(average=Average(0.9), train={"epochs": 1})
    (result,) = train(spec)
    network = copy.deepcopy(result.state.averaged.module)
    first = next(each for each in network.modules() if isinstance(each, nn.BatchNorm2d))
    conv = next(each for each in network.modules() if isinstance(each, nn.Conv2d))
    maps = conv(normal(DATA.train.images))
    torch.testing.assert_close(first.running_mean, maps.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(first.running_var, maps.var((0, 2, 3)), rtol=1e-3, atol=1e-4)


def test_a_pupil_learns_from_its_teacher_by_the_formula_of_hinton(tmp_path):
    teacher = SPEC.but(name="teacher", train={"epochs": 1})
    (result,) = train(teacher)
    path = tmp_path / "teacher.pt"
    checkpoint.save(path, {"spec": teacher.to_json()}, result.state, [result])
    loss = Distillation(str(path), temperature=3.0, share=0.7).build(DATA, torch.device("cpu"))
    images = normal(DATA.train.images[:8])
    logits, labels = torch.randn(8, 10), DATA.train.labels[:8]
    wanted = torch.softmax(result.state.network.eval()(images) / 3, 1)
    soft = (wanted * (wanted.log() - torch.log_softmax(logits / 3, 1))).sum(1).mean() * 9
    hard = -torch.log_softmax(logits, 1)[range(8), labels].mean()
    torch.testing.assert_close(loss(logits, labels, images), 0.7 * soft + 0.3 * hard)
    pupil = SPEC.but(loss=Distillation(str(path)))
    assert next(train(pupil)).loss != next(train(SPEC)).loss
    assert pupil.loss.used()["teacher"] == checkpoint.weights_digest(result.state.network)[:12]


def test_a_teacher_that_is_none_or_has_seen_the_validation_images_is_a_line(tmp_path):
    (tmp_path / "text.pt").write_text("no checkpoint")
    wrong = ("none.pt", "there is no such file"), ("text.pt", "is no checkpoint"), ("0" * 32, "no finished run")
    for name, words in wrong:
        text = name if len(name) == 32 else str(tmp_path / name)
        with pytest.raises(UserError, match=words):
            Distillation(text).build(DATA, torch.device("cpu"))
    teacher = SPEC.but(name="teacher", train={"epochs": 1})
    (result,) = train(teacher)
    path = tmp_path / "teacher.pt"
    checkpoint.save(path, {"spec": teacher.to_json()}, result.state, [result])
    with pytest.raises(SpecError, match="may have seen the validation images of mnist5k"):
        teachers.check(Distillation(str(path)), Data(name="mnist5k", validation=True))
    teachers.check(Distillation(str(path)), Data(name="mnist5k"))
    with pytest.raises(UserError, match="does not fit"):
        Distillation(str(path)).build(replace(DATA, classes=tuple("abc")), torch.device("cpu"))


def test_one_cycle_cycles_the_momentum_where_it_is_asked_to(monkeypatch):
    seen = []
    start = trainer.start

    def started(*arguments):
        state = start(*arguments)
        state.optimizer.register_step_pre_hook(lambda used, *_: seen.append(used.param_groups[0]["momentum"]))
        return state

    monkeypatch.setattr(trainer, "start", started)
    schedule = OneCycle(cycle_momentum=True, base_momentum=0.8, max_momentum=0.9)
    list(train(PLAIN.but(optimizer=SGD(lr=PEAK, momentum=0.9), schedule=schedule, train={"epochs": EPOCHS})))
    assert seen[0] == pytest.approx(0.9) and min(seen) == pytest.approx(0.8, abs=0.01) and seen[-1] > 0.89
    with pytest.raises(SpecError, match="no momentum to cycle"):
        next(train(PLAIN.but(optimizer=SGD(lr=PEAK), schedule=schedule)))


def test_augmentation_fades_over_the_last_epochs():
    settings = Augment(rotation=12.0, shift=2.0, cutout=4, flip=True, fade=4)
    seen = [settings.at(epoch, 10) for epoch in range(1, 11)]
    assert [each.rotation for each in seen] == [12.0] * 6 + [9.0, 6.0, 3.0, 0.0]
    assert [each.cutout for each in seen[-4:]] == [3, 2, 1, 0] and all(each.flip for each in seen)
