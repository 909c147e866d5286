"""Whether a spec can be run as it is, before any training and before the published data sets are read."""

import inspect

import torch

from tinycnn.data.files import held_out
from tinycnn.errors import OverLimit, SpecError, one_line
from tinycnn.integers.rules import graph_of
from tinycnn.network.profile import Measured, measure, prefixed
from tinycnn.spec.build import fresh
from tinycnn.spec.section import is_ours


def check(spec) -> tuple[Measured, list[str]]:
    """Return the profile of the network, and warnings of what is allowed but probably not intended.

    Raises OverLimit for more parameters than ``target.parameter_limit``, SpecError for anything else that cannot work.
    """
    facts = spec.data.facts()
    measured = measure(spec, facts)
    limit = spec.target.parameter_limit
    if limit is not None and measured.parameters > limit:
        raise OverLimit(
            f"{spec.name}: model: {measured.parameters:,} parameters are more than target.parameter_limit = {limit:,}; "
            "use fewer or smaller layers, or raise the limit"
        )
    for field in ("shift", "crop", "cutout"):
        if (pixels := getattr(spec.augment, field)) > facts.size:
            raise SpecError(
                f"{spec.name}: augment.{field}: {pixels} pixels are more than an image of {spec.data.short} has; "
                f"use at most {facts.size}"
            )
    try:
        training = facts.train - held_out(spec.data.short, facts.train, spec.data.validation, spec.data.images)
    except SpecError as error:
        raise SpecError(f"{spec.name}: {error}") from None
    check_steps(spec, spec.data.images or training)
    _check_training(spec, facts)
    if spec.quantise.epochs:
        _check_rules(spec, facts)
    return measured, list(_warnings(spec))


def check_steps(spec, images: int) -> int:
    """Return the batches of an epoch of so many images. Raises SpecError for none."""
    steps = images // spec.train.batch_size
    if not steps:
        raise SpecError(
            f"{spec.name}: train.batch_size: {spec.train.batch_size} is more than the {images} training images of "
            f"{spec.data.short}; use at most that"
        )
    return steps


def _check_training(spec, facts) -> None:
    """Raise SpecError where code of one's own fails in training mode, or an optimizer needs what it is not given."""
    shape = facts.channels, facts.size, facts.size
    network = fresh(spec.model, shape, len(facts.classes))
    with prefixed(spec), torch.no_grad(), torch.random.fork_rng([]):
        try:
            given = network.train()(torch.rand(2, *shape))
        except Exception as error:  # whatever its author did wrong
            raise SpecError(f"network: fails in training mode ({one_line(error)})") from error
        if not isinstance(given, torch.Tensor):
            raise SpecError(f"network: gives a {type(given).__name__} in training mode; return the logits alone")
    if is_ours(type(spec.optimizer)):
        return
    try:
        closure = inspect.signature(spec.optimizer.build(network.parameters()).step).parameters.get("closure")
    except Exception as error:
        raise SpecError(f"{spec.name}: optimizer: cannot be built ({one_line(error)})") from error
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise SpecError(f"{spec.name}: optimizer: its step needs a closure, which it is not given; use another one")


def _check_rules(spec, facts) -> None:
    """Raise SpecError where quantisation-aware epochs cannot be: for want of earlier ones, or of a module's rule."""
    last, epochs = spec.quantise.epochs, spec.train.epochs
    if last >= epochs:
        raise SpecError(
            f"{spec.name}: quantise.epochs: {last} of train.epochs = {epochs} leave none before them, in which batch "
            f"norm gets its statistics; use at most {epochs - 1}"
        )
    shape, classes = (facts.channels, facts.size, facts.size), len(facts.classes)
    try:
        graph_of(fresh(spec.model, shape, classes), shape, classes, (0.5,) * shape[0], (0.5,) * shape[0])
    except SpecError as error:
        raise SpecError(f"{spec.name}: quantise.epochs: must be 0, since {error}") from None


def _warnings(spec):
    epochs = spec.train.epochs
    yield from spec.schedule.notices(epochs)
    if spec.augment.fade > epochs:
        yield f"augment.fade: {spec.augment.fade} epochs are more than the {epochs} of training"
    if epochs < spec.target.last_epochs and spec.target.accuracy is not None:
        yield (
            f"train.epochs: {epochs} are fewer than the {spec.target.last_epochs} of the target, "
            "so the verdict will be: not judged"
        )
