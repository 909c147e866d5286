"""Whether a spec can be run as it is, found out before any data is read."""

from tinycnn.datasets import DATASETS
from tinycnn.errors import OverLimit, SpecError
from tinycnn.measure import Measured, measure


def check(spec) -> tuple[Measured, list[str]]:
    """Return what the network measures, and notices of what is allowed but probably not meant.

    Raises OverLimit for more parameters than ``target.parameter_limit``, SpecError for anything else that cannot work.
    """
    facts = DATASETS[spec.data.name]
    measured = measure(spec, facts)
    limit = spec.target.parameter_limit
    if limit is not None and measured.parameters > limit:
        raise OverLimit(
            f"{spec.name}: model: {measured.parameters:,} parameters are more than target.parameter_limit = {limit:,}; "
            "use fewer or smaller layers, or raise the limit"
        )
    for field in ("shift", "crop", "cutout"):
        if getattr(spec.augment, field) > facts.size:
            raise SpecError(
                f"{spec.name}: augment.{field}: {getattr(spec.augment, field)} pixels are more than a "
                f"{spec.data.name} picture has; use at most {facts.size}"
            )
    held_out = round(facts.train * spec.data.validation)
    if spec.data.validation and not 0 < held_out < facts.train:
        raise SpecError(
            f"{spec.name}: data.validation: {spec.data.validation} of the {facts.train} training pictures of "
            f"{spec.data.name} leaves one side without any; use true for the standard share"
        )
    training = facts.train - held_out
    if spec.data.images is not None:
        if spec.data.images > training:
            raise SpecError(
                f"{spec.name}: data.images: {spec.data.images} are more than the {training} training pictures "
                f"there are of {spec.data.name}; use at most that, or null for all"
            )
        training = spec.data.images
    if spec.train.batch_size > training:
        raise SpecError(
            f"{spec.name}: train.batch_size: {spec.train.batch_size} is more than the {training} training pictures of "
            f"{spec.data.name}; use at most that"
        )
    steps = spec.train.epochs * (training // spec.train.batch_size)
    if spec.schedule.name == "OneCycle" and spec.schedule.pct_start * (steps + 1) <= 1:
        raise SpecError(
            f"{spec.name}: schedule.pct_start: {spec.schedule.pct_start} of {steps} batches leaves none to rise in; "
            "use a larger share, more epochs or smaller batches"
        )
    return measured, list(_notices(spec))


def _notices(spec):
    schedule, epochs = spec.schedule, spec.train.epochs
    if schedule.name == "StepLR" and schedule.step_size >= epochs:
        yield f"schedule.step_size: the first step comes after epoch {schedule.step_size}, training ends at {epochs}"
    if epochs < spec.target.last_epochs and spec.target.accuracy is not None:
        yield (
            f"train.epochs: {epochs} are fewer than the {spec.target.last_epochs} the target looks at, "
            "so the verdict will be: not judged"
        )
