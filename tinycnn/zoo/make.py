"""Making a record of the zoo from a finished run of several seeds."""

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from tinycnn.data.catalog import DATASETS
from tinycnn.errors import SpecError, UserError, shown
from tinycnn.track import mlflow_store
from tinycnn.zoo import card, record

_SEED = ("seed", "run_id", "last", "clean_train")


def add(store, run_id: str, name: str, folder: Path, *, offline: bool = False) -> Path:
    """Write the record ``name`` of a parent run in ``store`` into ``folder``; return the record's folder.

    Raises SpecError for a name that cannot be used or a network that an export cannot express, and UserError.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise SpecError(f"--as {shown(name)}: use small letters, digits and _, a letter first; it names the C function")
    if (folder / name).exists():
        raise SpecError(f"--as {name}: {folder / name} exists; delete it first, or choose another name")
    entity = store.entity(run_id)
    tags = entity.data.tags
    if tags.get("tinycnn.role") != "seeds":
        raise UserError(f"run {run_id}: is not of several seeds; give the id of the parent run of `run --seeds N`")
    if entity.info.status != "FINISHED":
        raise UserError(f"run {run_id}: has not finished; resume it first")
    outcome = json.loads(store.read(run_id, "summary.json") or "{}")
    if not outcome.get("seeds"):
        raise UserError(f"run {run_id}: its summary.json cannot be had from the store")
    about = {"name": name, "run": run_id, "commit": tags.get("mlflow.source.git.commit")}
    about |= {"dirty": mlflow_store.facts(entity).get("git_dirty") == "true"}
    about |= {"settings": tags.get("tinycnn.settings", ""), "seeds": _seeds(outcome), "chosen": choose(outcome)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as temporary:
            checkpoint = Path(temporary) / "checkpoint.pt"
            store.fetch_checkpoint(about["chosen"]["run_id"], checkpoint)
            made = write(Path(temporary) / name, checkpoint, about, offline=offline)
            return made.rename(folder / name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); choose another --folder") from None


def choose(outcome: dict) -> dict:
    """Return the seed whose weights are shipped: the median one, never chosen by test images.

    By accuracy on validation images, where the runs were evaluated on those, and else by accuracy on the training
    images as they are, without augmentation; of an even number, the lower one of the two in the middle. ``outcome``: a
    run's summary.json. Raises UserError where a seed has no such accuracy.
    """
    on_validation = outcome["evaluated_on"] == "validation"
    seeds = [each | {"value": each["last" if on_validation else "clean_train"]} for each in outcome["seeds"]]
    if any(each["value"] is None for each in seeds):
        raise UserError(f"run {outcome['run_id']}: has seeds without their accuracy on the training images")
    median = sorted(seeds, key=lambda each: (each["value"], each["seed"]))[(len(seeds) - 1) // 2]
    by = "validation images" if on_validation else "the training images, not augmented"
    return {"by": by} | {key: median[key] for key in ("seed", "run_id", "value")}


def _seeds(outcome: dict) -> dict:
    kept = ("evaluated_on", "n", "last", "last_std", "last_min", "last_low", "last_high")
    each = [{key: seed[key] for key in _SEED} for seed in outcome["seeds"]]
    return {key: outcome[key] for key in kept} | {"each": each}


def write(folder: Path, checkpoint: Path, about: dict, *, offline: bool = False) -> Path:
    """Write a record of a checkpoint into a new folder, and check each file on the whole test set; return the folder.

    ``about``: ``name``, ``seeds``, ``chosen`` and where the run comes from, see ``add``.
    """
    from tinycnn.export import subject
    from tinycnn.export.export import in_integers, written
    from tinycnn.export.program_file import packed

    found = replace(subject.load(checkpoint, offline=offline), on_test=True)
    made = {to: written(found, to, folder, about["name"]) for to in ("safetensors", "onnx", "int8", "c")}
    _, program = in_integers(found)
    (folder / record.PROGRAM).write_text(json.dumps(packed(program), separators=(",", ":")), encoding="ascii")
    c, known = made["c"], DATASETS.get(found.spec.data.short)
    facts = about | {
        "experiment": found.spec.name,
        "network": found.spec.model.describe(),
        "spec_hash": found.spec.hash,
        "data": {
            "name": found.spec.data.short,
            "licence": known.licence if known else "not known here",
            "source": known.source if known else "no published set",
        },
        "classes": list(found.data.classes),
        "shape": list(found.data.shape),
        "weights": found.origin["weights"],
        **{key: c[key] for key in ("parameters", "macs", "flash", "ram", "step", "images", "float_accuracy")},
        "accuracy": {
            record.WEIGHTS: made["safetensors"]["accuracy"],
            f"{about['name']}.onnx": made["onnx"]["accuracy"],
            f"{about['name']}.int8.onnx": made["int8"]["accuracy"],
            f"{about['name']}.c": c["accuracy"],
        },
        "bytes": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }
    (folder / record.CARD).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (folder / record.TEXT).write_text(card.text(facts), encoding="utf-8")
    record.seal(folder)
    return folder
