"""The commands that export a finished run or a record, and that measure the C of every seed."""

import functools
import json
import re
import tempfile
from pathlib import Path

import click

from tinycnn.cli.main import command, note
from tinycnn.cli.options import OFFLINE, full_id
from tinycnn.errors import UserError

FORMATS = click.Choice(["onnx", "int8", "c", "safetensors"])


@command(
    click.argument("subject", metavar="RUN_OR_FOLDER"),
    click.option("--to", required=True, type=FORMATS, help="ONNX, ONNX in 8 bits, C, or safetensors with the spec."),
    click.option("--output", default="export", metavar="FOLDER", help="Where to write (default: export)."),
    OFFLINE,
    examples=("export 98597d8b --to c", "export 98597d8b --to safetensors --output my_net", "export my_net --to onnx"),
)  # fmt: skip
def export(subject, to, output, offline):
    """Export the weights of a finished run, checked on the whole test set.

    RUN_OR_FOLDER is the id of a run of one seed, or its first digits; its checkpoint.pt; or a folder with spec.json and
    weights.safetensors.
    """
    from tinycnn.export.export import export, text

    with tempfile.TemporaryDirectory() as folder:
        is_run = re.fullmatch("([0-9a-f]{4,32})?", subject) and not (subject and Path(subject).exists())
        source = _fetched(subject, Path(folder)) if is_run else Path(subject)
        facts = export(source, to, Path(output), offline=offline)
    return facts, text(facts)


@command(
    click.argument("experiments", nargs=-1, metavar="[EXPERIMENT]...", help="Which ones (default: the records)."),
    OFFLINE,
    examples=("device", "device record_8k"),
)  # fmt: skip
def device(experiments, offline):
    """Write reports/evidence/device.csv: the C of every seed, tried on all test images.

    Each finished run of an experiment's spec in the store is exported, compiled, and compared with its reference.
    """
    from analysis import device
    from tinycnn.track.tables import markdown

    written = device.write(list(experiments), functools.partial(note, label=""), offline=offline)
    summary = device.summarise(device.read())
    text = "\n".join([markdown(*device.table(summary)) if len(summary) else "nothing was measured", *map(str, written)])
    return {"written": written, "experiments": json.loads(summary.to_json(orient="records"))}, text


def _fetched(run_id: str, folder: Path) -> Path:
    """Return the checkpoint of the finished run whose id begins so, brought from the store. Raises UserError."""
    from tinycnn.track.close import seeds_of
    from tinycnn.track.mlflow_store import Store

    run_id, store = full_id(None, None, run_id), Store(note)
    entity = store.entity(run_id)
    if entity.data.tags.get("tinycnn.role") == "seeds":
        seeds = [each.info.run_id for each in seeds_of(store, entity) if each.info.status == "FINISHED"]
        raise UserError(f"run {run_id}: has several seeds; export one of them: {', '.join(seeds) or 'none finished'}")
    if entity.info.status != "FINISHED":
        raise UserError(f"run {run_id}: has not finished; resume it first")
    store.fetch_checkpoint(run_id, folder / "checkpoint.pt")
    return folder / "checkpoint.pt"
