"""Runs in the store that belong together: the seeds of a parent, what has finished before, what was evaluated."""

from types import SimpleNamespace

from tinycnn.track import verdict
from tinycnn.track.mlflow_store import EVERY, PARENT, Store, last

_SAME = "tinycnn.spec_hash", "tinycnn.data_digest", "tinycnn.code_hash"


def finished(store: Store, plan) -> dict[int, dict]:
    """Return the summaries of the runs that need not be made again, by seed."""
    same = {name: value for name, value in plan.tags.items() if name != "tinycnn.experiment"}  # that changes no number
    runs = store.search({**same, "tinycnn.role": "seed"})
    summaries = [summary(store, entity, plan.spec.target) for entity in runs]
    return {each["seed"]: each for each in summaries if each}


def children(store: Store, parent: str, tags: dict) -> dict:
    """Return the runs of a parent by seed, as MLflow's entities; of two with the same seed, a finished one.

    Those that it took from other runs, as its ``tags`` say, are among them. Runs that are not seeds of the spec, data
    and code in ``tags`` are left out: they may be older, and anybody may put a run below another.
    """
    same = {name: tags[name] for name in _SAME if name in tags}
    taken = tags.get("tinycnn.seeds_taken", "").split()
    others = store.search({"tinycnn.role": "seed", **same}) if taken else []
    found = [each for each in others if each.data.tags["tinycnn.seed"] in taken]
    found += store.search({PARENT: parent, "tinycnn.role": "seed", **same}, EVERY)
    found.sort(key=lambda entity: entity.info.status == "FINISHED")
    return {int(entity.data.tags["tinycnn.seed"]): entity for entity in found}


def specs_evaluated(store: Store, plan) -> int:
    """Return how many different specs have been evaluated on this plan's test (or validation) images so far.

    On whatever images they were trained.
    """
    images = {name: str(value) for name, value in plan.spec.evaluation_images().items()}
    runs = store.search({"tinycnn.evaluated_on": plan.data.kind, "tinycnn.role": "seed"}, EVERY)
    same = [each.data for each in runs if images.items() <= each.data.params.items()]
    return len({each.tags.get("tinycnn.spec_hash") for each in same} - {None})


def summary(store: Store, entity, target) -> dict | None:
    """Return what a run came to, as ``verdict.summarise`` does, with regard to ``target`` as it is now.

    None where its record has no epochs.
    """
    tags, run_id = entity.data.tags, entity.info.run_id
    trained = {"train_accuracy": last(entity, "train/accuracy")}
    trained["clean_train_accuracy"] = last(entity, "train/clean_accuracy")
    accuracies = store.history(run_id, f"{tags['tinycnn.evaluated_on']}/accuracy")
    epochs = [SimpleNamespace(epoch=e, accuracy=value, **trained) for e, value in sorted(accuracies.items())]
    return verdict.summarise(epochs, target) | {"seed": int(tags["tinycnn.seed"]), "run_id": run_id} if epochs else None
