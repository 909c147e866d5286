"""Runs in the store that belong together: the seeds of a parent, what has finished before, what was evaluated."""

import math
from types import SimpleNamespace

from tinycnn.track import verdict
from tinycnn.track.mlflow_store import EVERY, PARENT, Store


def finished(store: Store, plan) -> dict[int, dict]:
    """Return the summaries of the runs that need not be made again, by seed."""
    runs = store.search({**plan.tags, "tinycnn.role": "seed"})
    summaries = [summary(store, entity, plan.spec.target) for entity in runs]
    return {each["seed"]: each for each in summaries if each}


def children(store: Store, parent: str, spec_hash: str) -> dict:
    """Return the runs of a parent by seed, as MLflow's entities; of two with the same seed, a finished one.

    Runs that are not seeds of this spec are left out: anybody may put a run below another.
    """
    found = {}
    for entity in sorted(store.search({PARENT: parent}, EVERY), key=lambda entity: entity.info.status == "FINISHED"):
        tags = entity.data.tags
        if (tags.get("tinycnn.role"), tags.get("tinycnn.spec_hash")) != ("seed", spec_hash):
            _leave_out(store, entity, f"it is a child of run {parent}, and its tags are not those of a seed of that")
        elif why := _unreadable(entity):
            _leave_out(store, entity, why)
        else:
            found[int(tags["tinycnn.seed"])] = entity
    return found


def specs_evaluated(store: Store, data_digest: str) -> int:
    """Return how many different specs have been evaluated on this data set's test (or validation) images so far."""
    runs = store.search({"tinycnn.data_digest": data_digest, "tinycnn.role": "seed"}, EVERY)
    return len({entity.data.tags.get("tinycnn.spec_hash") for entity in runs} - {None})


def summary(store: Store, entity, target) -> dict | None:
    """Return what a finished run came to, as ``verdict.summarise`` does, with regard to ``target`` as it is now.

    None, and the run is left out, where its record is not as tinycnn writes it.
    """
    if why := _unreadable(entity):
        return _leave_out(store, entity, why)
    metrics, tags = entity.data.metrics, entity.data.tags
    trained = {name: metrics.get(name) for name in ("train_accuracy", "clean_train_accuracy")}
    accuracies = store.history(entity.info.run_id, _accuracy(entity))
    if not all(math.isfinite(value) for value in [*accuracies.values(), *trained.values()] if value is not None):
        return _leave_out(store, entity, "one of its accuracies is not a number")
    epochs = [SimpleNamespace(epoch=e, accuracy=value, **trained) for e, value in sorted(accuracies.items())]
    return verdict.summarise(epochs, target) | {"seed": int(tags["tinycnn.seed"]), "run_id": entity.info.run_id}


def _unreadable(entity) -> str:
    """Return what in the record of a run of one seed is not as tinycnn writes it, "" where nothing is."""
    if not entity.data.tags.get("tinycnn.seed", "").isdecimal():
        return "its tag tinycnn.seed is not a number"
    last = entity.data.metrics.get(_accuracy(entity))
    if entity.info.status == "FINISHED" and (last is None or not math.isfinite(last)):
        return f"it has finished, and its metric {_accuracy(entity)} is not a number"
    return ""


def _leave_out(store, entity, why: str) -> None:
    store.announce(f"run {entity.info.run_id} in the store is left out: {why}")


def _accuracy(entity) -> str:
    return f"{entity.data.tags.get('tinycnn.evaluated_on')}_accuracy"
