"""A run by its id: taking it up where it was interrupted, making it again from its record, or closing it."""

import contextlib
import json
import re
import socket
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

from tinycnn import source
from tinycnn.errors import Undelivered, UserError
from tinycnn.launch.local import computing_with
from tinycnn.spec import Spec
from tinycnn.spec import load as experiments
from tinycnn.spec.version1 import hash_now
from tinycnn.track import provenance
from tinycnn.track.mlflow_store import PARENT, Store, database, is_number
from tinycnn.track.record import CLOCKS
from tinycnn.track.run import (
    Plan,
    Reporter,
    changed,
    children,
    claimed,
    finished,
    held,
    outcome,
    prepare,
    train_one,
    train_several,
)
from tinycnn.train import checkpoint


def resume(run_id: str, *, offline=False, workers: int = 1, reporter=None) -> dict:
    """Go on with a run as if nothing had happened, in the same MLflow run, and return what ``run`` would have.

    The run of one seed goes on from its checkpoint, or from its first epoch where there is none; a parent gets the
    seeds that are missing. What the store already has is not delivered again. Raises UserError where the numbers could
    not be the same (other code, packages or data), where another process is at it, and where it was begun elsewhere.
    """
    reporter = reporter or Reporter()
    store = Store(reporter.notice)
    entity = store.entity(run_id)
    plan = _plan(store, entity, offline, reporter)
    tags, parent = entity.data.tags, entity.data.tags.get(PARENT)
    several = tags["tinycnn.role"] == "seeds"
    if entity.info.status == "FINISHED":
        reporter.notice(f"run {run_id} has finished: there is nothing to resume")
        _clear(run_id, tags)
        summaries = [store.summary(each, plan.spec.target) for each in _seeds(store, entity)]
        summaries = [each for each in summaries if each] + [*_taken(store, plan, tags).values()]
        if not summaries:
            raise UserError(f"run {run_id}: has finished, but its record has no epochs; train anew with `run`")
        result = outcome(store, plan, sorted(summaries, key=lambda summary: summary["seed"]), run_id)
    else:
        _must_be_here(entity)
        _must_compute_the_same(store, entity, plan)
        threads = int(tags["tinycnn.machine.threads"])
        if several:
            first, count = int(tags["tinycnn.first_seed"]), int(tags["tinycnn.seeds"])
            done, seeds = _taken(store, plan, tags), range(first, first + count)
            workers = workers if threads == 1 else 1  # what was begun with all threads has the processors to itself
            return train_several(store, plan, seeds, done, reporter, run_id, workers=workers, threads=threads)
        with computing_with(threads):
            result = train_one(store, plan, int(tags["tinycnn.seed"]), reporter, run_id, parent)
    if plan.again and not result["undelivered"]:
        result["rerun"] = compare(store, plan.again, run_id)
    return result


def _taken(store, plan, tags):
    """Return the summaries of the seeds that a parent took from other runs, under --missing."""
    seeds = {int(seed) for seed in tags.get("tinycnn.seeds_taken", "").split()}
    return {seed: summary for seed, summary in finished(store, plan).items() if seed in seeds} if seeds else {}


def rerun(run_id: str, *, offline=False, reporter=None) -> list[dict]:
    """Make a run again from its record (of a parent, each of its seeds) and return what ``compare`` says of each.

    Raises Undelivered where the store did not take the new run.
    """
    reporter = reporter or Reporter()
    store = Store(reporter.notice)
    entity = store.entity(run_id)
    compared, again = [], _seeds(store, entity)
    if not again:
        raise UserError(f"run {run_id}: none of its seeds is in the store; train anew with `run`")
    for each in again:
        plan = replace(_plan(store, each, offline, reporter), again=each.info.run_id)
        _must_have_its_own_source(store, each, plan)
        for line in _differences(store, each, plan):
            reporter.notice(f"run {each.info.run_id}: {line}, so the numbers may come out otherwise")
        with computing_with(int(each.data.tags["tinycnn.machine.threads"])):
            result = train_one(store, plan, int(each.data.tags["tinycnn.seed"]), reporter)
        if result["undelivered"]:
            raise Undelivered(result["undelivered"], result["run_id"])
        compared.append(compare(store, each.info.run_id, result["run_id"]))
    return compared


def compare(store: Store, then: str, now: str) -> dict:
    """Compare every number of two runs but the clock readings: those of each epoch and of the end, and the weights.

    Of a run that did not finish, what it has. ``first`` is where they first differ, None where they do not.
    """
    runs = [store.entity(run_id) for run_id in (then, now)]
    names = sorted(runs[0].data.metrics.keys() - CLOCKS)
    both = {name: [store.history(run_id, name) for run_id in (then, now)] for name in names}
    points = sorted((epoch, name) for name, (old, _) in both.items() for epoch in old)
    weights = [entity.data.tags.get("tinycnn.weights") for entity in runs]
    differing = [
        {"epoch": epoch, "metric": name, "then": both[name][0][epoch], "now": both[name][1].get(epoch)}
        for epoch, name in points
        if both[name][0][epoch] != both[name][1].get(epoch)
    ]
    return {
        "run_id": then,
        "rerun": now,
        "epochs": max((epoch for epoch, _ in points), default=0),
        "numbers": len(points),
        "same_weights": weights[0] == weights[1] if weights[0] else None,
        "same": not differing and weights[0] in (None, weights[1]),
        "differing": len(differing),
        "first": differing[0] if differing else None,
    }


def close(run_id: str, announce=lambda line: None) -> str:
    """End an interrupted run for good: KILLED, with what was logged; its checkpoint goes. Return what was done."""
    store = Store(announce)
    entity = store.entity(run_id)
    _known(entity)
    _must_be_here(entity)
    parent = entity.data.tags.get(PARENT)
    with claimed(parent or run_id) as folder:
        if entity.data.tags["tinycnn.role"] == "seeds":
            runs, waiting = [entity, *_seeds(store, entity)], list(folder.glob("seed-*.pt"))
        else:
            runs, waiting = [entity], list(folder.glob(f"seed-{entity.data.tags['tinycnn.seed']}.pt"))
        for each in runs:
            if each.info.status in ("RUNNING", "SCHEDULED"):
                with store.run("", {}, run_id=each.info.run_id) as tracked:
                    tracked.open()
                    tracked.end("KILLED")
        for path in waiting:
            checkpoint.discard(path)
    ended = "had ended" if entity.info.status not in ("RUNNING", "SCHEDULED") else "is now KILLED"
    gone = f"deleted: {', '.join(map(str, waiting))}" if waiting else "there was no checkpoint to delete"
    return f"run {run_id} {ended}; what was logged is kept, {gone}"


def left_over(announce=lambda line: None) -> list[dict]:
    """Return the runs that no living process of this machine is training, though they are RUNNING or have a checkpoint.

    ``where`` is "" for those that can be taken up from here.
    """
    none_yet = database() is not None and not database().exists()  # and looking does not make one
    store = None if none_yet else Store(announce)
    studies, running = [], {}
    for each in store.search({}, ("RUNNING",)) if store else []:
        role = each.data.tags.get("tinycnn.role")
        if role in (None, "trial"):  # a study takes up its trials itself
            continue
        if why := _alien(each):
            store.leave_out(each, why)
        elif role == "study":
            studies.append(each)
        else:
            running[each.info.run_id] = each
    found = [_left_study(each) for each in studies if not _searching(each)]
    for run_id, entity in running.items():
        tags = entity.data.tags
        if tags.get(PARENT) in running or held(tags.get(PARENT) or run_id):
            continue
        where = "" if _is_here(entity) else f"{tags.get('tinycnn.host')}, {tags.get('tinycnn.checkpoints')}"
        found.append({"run_id": run_id, "name": entity.info.run_name, "status": "RUNNING", "where": where})
    known = running.keys() | {each.data.tags.get(PARENT) for each in running.values()}
    for path in sorted(checkpoint.folder(".").glob("*/seed-*.pt")):
        run_id = path.parent.name
        if run_id not in known and not held(run_id):
            found.append({"run_id": run_id, "name": f"checkpoint {path}", "status": "ended", "where": ""})
            known = known | {run_id}
    return found


def _left_study(entity) -> dict:
    found = {"run_id": entity.info.run_id, "name": entity.info.run_name, "status": "RUNNING", "where": ""}
    return found | {"study": entity.data.tags["tinycnn.study"]}


def _searching(entity) -> bool:
    """Tell whether the process that last began to search still does, as far as can be seen from here."""
    from tinycnn.study.storage import alive

    try:
        return alive(json.loads(entity.data.tags["tinycnn.process"]), time.time())
    except (KeyError, TypeError, ValueError):
        return False


def _seeds(store, entity):
    _known(entity)
    if entity.data.tags["tinycnn.role"] != "seeds":
        return [entity]
    found = children(store, entity.info.run_id, entity.data.tags["tinycnn.spec_hash"])
    return [each for _, each in sorted(found.items())]


def _known(entity):
    """Raise UserError unless a run has the tags that it is taken up or made again by."""
    tags = entity.data.tags
    if name := tags.get("tinycnn.study"):
        raise UserError(
            f"run {entity.info.run_id}: belongs to the study {name}: python -m tinycnn search {name} goes on with that"
        )
    if why := _alien(entity):
        raise UserError(f"run {entity.info.run_id}: {why}")


def _alien(entity) -> str:
    """Return why a run is not one that tinycnn made and can go on with, "" where it is."""
    tags = entity.data.tags
    wanted = _WANTED.get(tags.get("tinycnn.role"), _WANTED["seed"])
    if missing := [f"tinycnn.{name}" for name in sorted(wanted) if f"tinycnn.{name}" not in tags]:
        return f"was not made by tinycnn, or not by one that can do this: it has no {', '.join(missing)}"
    if tags["tinycnn.role"] not in _WANTED:
        return "its tag tinycnn.role is none that tinycnn gives; put the original back"
    for name in wanted & _NUMBERS.keys():
        if not re.fullmatch(_NUMBERS[name], tags[f"tinycnn.{name}"]):
            return f"its tag tinycnn.{name} is no number, or cannot be; put the original back"
    if not all(map(is_number, tags.get("tinycnn.seeds_taken", "").split())):
        return "its tag tinycnn.seeds_taken holds other things than numbers; put the original back"
    if not re.fullmatch(r"[0-9a-f]{32}", tags.get(PARENT, entity.info.run_id)):  # it names a folder
        return f"its tag {PARENT} is not the id of a run; put the original back"
    return ""


_SEED = {"role", "spec_hash", "device", "machine.threads", "seed"}
_SEVERAL = _SEED - {"seed"} | {"seeds", "first_seed"}
_WANTED = {"seed": _SEED, "rerun": _SEED, "seeds": _SEVERAL, "study": {"role", "study"}}
"""By role, the tags that a run is taken up by."""
_NUMBERS = {
    "seed": r"[0-9]{1,10}",
    "first_seed": r"[0-9]{1,10}",
    "seeds": r"[1-9][0-9]{0,3}",
    "machine.threads": r"[1-9][0-9]{0,3}",
}


def _plan(store, entity, offline, reporter) -> Plan:
    """Return what a run was made from, by its record alone: its spec, data set and device."""
    run_id, tags = entity.info.run_id, entity.data.tags
    _known(entity)
    text = store.read(run_id, "spec.json") or tags.get("tinycnn.spec")
    if text is None:
        raise UserError(f"run {run_id}: its record has no spec.json, so it cannot be made from it; `close` ends it")
    spec = Spec.from_json(text, where=f"run {run_id}, spec.json")
    if "notes" not in spec.model_fields_set:  # they were too long for a tag
        spec = spec.model_copy(update={"notes": _notes(spec)})
    if hash_now(text, tags.get("tinycnn.spec_hash")) is None:
        raise UserError(
            f"run {run_id}: its spec.json (hash {spec.hash}) is not the spec it was made with (hash "
            f"{tags.get('tinycnn.spec_hash')}); put the original back"
        )
    plan = prepare(
        spec,
        device=tags["tinycnn.device"],
        offline=offline,
        fallback=False,
        settings=tags.get("tinycnn.settings", ""),
        reporter=reporter,
    )
    stood_in = tags.get("tinycnn.fallback") == "true"
    reason = tags.get("tinycnn.fallback_reason", f"FALLBACK: this trains on {plan.data.name} and is not judged")
    return replace(plan, fallback=reason if stood_in else "", again=tags.get("tinycnn.rerun_of", ""))


def _notes(spec) -> str:
    """Return the notes of the experiment of this name, if it still is this one."""
    with contextlib.suppress(UserError):
        if spec.name in experiments.names() and (known := experiments.load(spec.name)).hash == spec.hash:
            return known.notes
    return ""


def _differences(store, entity, plan) -> list[str]:
    """Say what is other here than in a record, of what may change numbers."""
    tags = entity.data.tags
    now = {
        "code": ("tinycnn.code_hash", source.code_hash(plan.code)),
        "data": ("tinycnn.data_digest", plan.data.digest),
    }
    now |= {name: (f"tinycnn.version.{name}", version) for name, version in checkpoint.number_versions().items()}
    now["processor"] = "tinycnn.machine.processor", provenance.machine()["processor"]
    differing = {what: (tags.get(tag), here) for what, (tag, here) in now.items() if tags.get(tag) != here}
    lines = []
    for what, (then, here) in differing.items():
        if what == "code":
            recorded = _recorded_code(store, entity)
            names = f": {changed(recorded, plan.code)} changed" if recorded else ""
            lines.append(f"the code is not that of commit {tags.get('mlflow.source.git.commit')} any more{names}")
        else:
            lines.append(f"the {what} was {then}, here it is {here}")
    return lines


def _recorded_code(store, entity) -> dict:
    """Return what ``Plan.code`` was when a run was made, {} where that is not recorded."""
    try:
        found = json.loads(store.read(entity.info.run_id, "code.json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _must_have_its_own_source(store, entity, plan):
    """Raise UserError where the experiment's own file is not what the run was made with, and say how to see it."""
    recorded = _recorded_code(store, entity)
    own = provenance.own_files(recorded | plan.code)
    then, now = ({n: d for n, d in code.items() if source.file_of(n) in own} for code in (recorded, plan.code))
    if not recorded or then == now:
        return
    run_id, place = entity.info.run_id, urlparse(entity.info.artifact_uri)
    path = next(source.file_of(name) for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name))
    kept = Path(unquote(place.path)) / "source" / path.name
    see = f"diff {kept} {path}" if place.scheme in ("", "file") else f"mlflow artifacts download -r {run_id} -a source"
    raise UserError(f"run {run_id}: {changed(then, now)} changed since, so it cannot be made again; to see how: {see}")


def _must_compute_the_same(store, entity, plan):
    for line in _differences(store, entity, plan):
        if not line.startswith("the processor"):  # most compute the same
            raise UserError(
                f"run {entity.info.run_id}: {line}; go back to that, or train anew: a run has one kind of numbers"
            )


def _is_here(entity) -> bool:
    """Tell whether the process that began a run kept its checkpoints where this one would."""
    tags, here = entity.data.tags, checkpoint.folder(".")
    if (here / (tags.get(PARENT) or entity.info.run_id)).is_dir():
        return True
    there = tags.get("tinycnn.checkpoints", "")
    return tags.get("tinycnn.host") == socket.gethostname() and (there == str(here) or not Path(there).is_dir())


def _must_be_here(entity):
    tags = entity.data.tags
    if not _is_here(entity):
        host, folder = tags.get("tinycnn.host", "an unknown host"), tags.get("tinycnn.checkpoints", "an unknown folder")
        raise UserError(
            f"run {entity.info.run_id}: was begun on {host} with its checkpoints in {folder}; go on there, or set "
            "TINYCNN_CHECKPOINTS to that folder"
        )


def _clear(run_id, tags):
    """Delete the checkpoints of a run that has finished: the process was killed just before it did."""
    with claimed(tags.get(PARENT) or run_id) as folder:
        for path in folder.glob("seed-*.pt" if tags["tinycnn.role"] == "seeds" else f"seed-{tags['tinycnn.seed']}.pt"):
            checkpoint.discard(path)
