"""Whether a spec can be run as it is, found out before any training, and before the published data sets are read."""

from tinycnn.errors import OverLimit, SpecError
from tinycnn.network.profile import Measured, measure


def check(spec) -> tuple[Measured, list[str]]:
    """Return what the network measures, and notices of what is allowed but probably not meant.

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
        if getattr(spec.augment, field) > facts.size:
            raise SpecError(
                f"{spec.name}: augment.{field}: {getattr(spec.augment, field)} pixels are more than a "
                f"{spec.data.short} picture has; use at most {facts.size}"
            )
    held_out = round(facts.train * spec.data.validation)
    if spec.data.validation and not 0 < held_out < facts.train:
        raise SpecError(
            f"{spec.name}: data.validation: {spec.data.validation} of the {facts.train} training pictures of "
            f"{spec.data.short} leaves one side without any; use true for the standard share"
        )
    training = facts.train - held_out
    if spec.data.images is not None:
        if spec.data.images > training:
            raise SpecError(
                f"{spec.name}: data.images: {spec.data.images} are more than the {training} training pictures "
                f"there are of {spec.data.short}; use at most that, or null for all"
            )
        training = spec.data.images
    check_steps(spec, training)
    return measured, list(_notices(spec))


def check_steps(spec, images: int) -> int:
    """Return the batches of an epoch of so many images. Raises SpecError for none, or too few to schedule."""
    steps = images // spec.train.batch_size
    if not steps:
        raise SpecError(
            f"{spec.name}: train.batch_size: {spec.train.batch_size} is more than the {images} training pictures of "
            f"{spec.data.short}; use at most that"
        )
    try:
        spec.schedule.check(spec.train.epochs, steps)
    except ValueError as error:
        raise SpecError(f"{spec.name}: {error}") from None
    return steps


def _notices(spec):
    epochs = spec.train.epochs
    yield from spec.schedule.notices(epochs)
    if spec.augment.fade > epochs:
        yield f"augment.fade: {spec.augment.fade} epochs are more than the {epochs} of training"
    if epochs < spec.target.last_epochs and spec.target.accuracy is not None:
        yield (
            f"train.epochs: {epochs} are fewer than the {spec.target.last_epochs} of the target, "
            "so the verdict will be: not judged"
        )
