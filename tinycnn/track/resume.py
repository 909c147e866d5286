"""A run by its id: resuming it where it was interrupted, making it again from its record, or closing it."""

import contextlib
import json
import socket
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

from tinycnn import source
from tinycnn.errors import Undelivered, UserError
from tinycnn.launch.local import computing_with
from tinycnn.spec import Spec
from tinycnn.spec.load import hash_now
from tinycnn.track import provenance, select
from tinycnn.track.address import database
from tinycnn.track.mlflow_store import PARENT, Store
from tinycnn.track.plan import Plan, Reporter, prepare
from tinycnn.track.record import CLOCKS
from tinycnn.track.seed import changed, outcome, train_seed
from tinycnn.track.several import train_several
from tinycnn.train import checkpoint

_ROLES = ("seed", "rerun", "seeds")
_RUNNING = ("RUNNING", "SCHEDULED")


def resume(run_id: str, *, offline=False, workers: int = 1, reporter=None, draw=None) -> dict:
    """Continue a run as if nothing had happened, in the same MLflow run, and return what ``run`` would have.

    The run of one seed continues from its checkpoint, or from its first epoch where there is none; a parent gets the
    seeds that are missing. What the store already has is not delivered again. Raises UserError where the numbers could
    not be the same (other code, packages or data), where another process trains it, and where it was begun elsewhere.
    """
    reporter = reporter or Reporter()
    store = Store(reporter.notice)
    entity = _made_here(store.entity(run_id))
    plan = _plan(store, entity, offline, reporter, draw)
    tags, parent = entity.data.tags, entity.data.tags.get(PARENT)
    if entity.info.status == "FINISHED":
        reporter.notice(f"run {run_id} has finished: there is nothing to resume")
        _discard_checkpoints(entity)
        summaries = [select.summary(store, each, plan.spec.target) for each in _seeds(store, entity)]
        summaries = [each for each in summaries if each] + [*_taken(store, plan, tags).values()]
        if not summaries:
            raise UserError(f"run {run_id}: has finished, but its record has no epochs; train anew with `run`")
        result = outcome(plan, sorted(summaries, key=lambda each: each["seed"]), run_id, lambda: store)
    else:
        _must_be_here(entity)
        for line in _differences(store, entity, plan):
            if not line.startswith("the processor"):  # most compute the same
                raise UserError(f"run {run_id}: {line}; go back to that, or train anew: a run cannot mix both")
        threads = int(tags["tinycnn.machine.threads"])
        if tags["tinycnn.role"] == "seeds":
            first, count = int(tags["tinycnn.first_seed"]), int(tags["tinycnn.seeds"])
            done, seeds = _taken(store, plan, tags), range(first, first + count)
            workers = workers if threads == 1 else 1  # a run with several threads has the processors to itself
            return train_several(
                plan, seeds, done, lambda: store, reporter, run_id, workers=workers, threads=threads
            )
        with computing_with(threads):
            seed = int(tags["tinycnn.seed"])
            summary, failure = train_seed(plan, seed, lambda: store, reporter, run_id=run_id, parent=parent)
        result = outcome(plan, [summary], run_id, lambda: store, failure)
    if plan.again and not result["undelivered"]:
        result["rerun"] = compare_runs(store, plan.again, run_id)
    return result


def rerun(run_id: str, *, offline=False, reporter=None, draw=None) -> list[dict]:
    """Make a run again from its record (of a parent, each of its seeds); return ``compare_runs`` of each.

    Raises Undelivered where the store did not take the new run.
    """
    reporter = reporter or Reporter()
    store = Store(reporter.notice)
    compared, again = [], _seeds(store, _made_here(store.entity(run_id)))
    if not again:
        raise UserError(f"run {run_id}: none of its seeds is in the store; train anew with `run`")
    for each in again:
        plan = replace(_plan(store, each, offline, reporter, draw), again=each.info.run_id)
        _must_have_its_own_source(store, each, plan)
        for line in _differences(store, each, plan):
            reporter.notice(f"run {each.info.run_id}: {line}, so the numbers may differ")
        with computing_with(int(each.data.tags["tinycnn.machine.threads"])):
            summary, failure = train_seed(plan, int(each.data.tags["tinycnn.seed"]), lambda: store, reporter)
        if failure:
            raise Undelivered(failure, summary["run_id"])
        compared.append(compare_runs(store, each.info.run_id, summary["run_id"]))
    return compared


def compare_runs(store: Store, then: str, now: str) -> dict:
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
    entity = _made_here(store.entity(run_id))
    _must_be_here(entity)
    status = entity.info.status
    for each in {each.info.run_id: each for each in [entity, *_seeds(store, entity)]}.values():
        if each.info.status in _RUNNING:
            with store.run("", {}, run_id=each.info.run_id) as tracked:
                tracked.open()
                tracked.end("KILLED")
    deleted = _discard_checkpoints(entity)
    ended = "is now KILLED" if status in _RUNNING else "had ended"
    gone = f"deleted: {', '.join(map(str, deleted))}" if deleted else "there was no checkpoint to delete"
    return f"run {run_id} {ended}; what was logged is kept, {gone}"


def left_over(announce=lambda line: None) -> list[dict]:
    """Return the runs that no living process of this machine is training, though they are RUNNING or have a checkpoint.

    ``where`` is "" for those that can be resumed from here; ``study`` names the study that is to be searched again.
    """
    none_yet = database() is not None and not database().exists()  # and looking does not make one
    store = None if none_yet else Store(announce)
    found, running = [], {}
    for each in store.search({}, ("RUNNING",)) if store else []:
        tags = each.data.tags
        if tags.get("tinycnn.role") == "study":
            row = {"run_id": each.info.run_id, "name": each.info.run_name, "status": "RUNNING", "where": ""}
            found.append(row | {"study": tags.get("tinycnn.study")})
        elif tags.get("tinycnn.role") in _ROLES:
            running[each.info.run_id] = each
    for run_id, entity in running.items():
        tags = entity.data.tags
        if tags.get(PARENT) in running or checkpoint.is_claimed(tags.get(PARENT) or run_id):
            continue
        where = "" if _is_here(entity) else f"{tags.get('tinycnn.host')}, {tags.get('tinycnn.checkpoints')}"
        found.append({"run_id": run_id, "name": entity.info.run_name, "status": "RUNNING", "where": where})
    known = running.keys() | {each.data.tags.get(PARENT) for each in running.values()}
    waiting = {path.parent.name: path for path in sorted(checkpoint.folder(".").glob("*/seed-*.pt"))}
    for run_id, path in waiting.items():
        if run_id not in known and not checkpoint.is_claimed(run_id):
            found.append({"run_id": run_id, "name": f"checkpoint {path}", "status": "ended", "where": ""})
    return found


def _made_here(entity):
    """Return a run that tinycnn made, and can make again. Raises UserError for any other."""
    run_id, tags = entity.info.run_id, entity.data.tags
    if name := tags.get("tinycnn.study"):
        raise UserError(f"run {run_id}: belongs to the study {name}: python -m tinycnn search {name} continues that")
    try:
        numbers = ("seeds", "first_seed") if tags["tinycnn.role"] == "seeds" else ("seed",)
        made = tags["tinycnn.role"] in _ROLES and all(tags[f"tinycnn.{each}"] for each in ("spec_hash", "device"))
        for name in (*numbers, "machine.threads"):
            int(tags[f"tinycnn.{name}"])
        [*map(int, tags.get("tinycnn.seeds_taken", "").split())]
    except (KeyError, ValueError) as error:
        made, name = False, error
    if not made:
        raise UserError(f"run {run_id}: was not made by tinycnn, or its tags were changed since ({name})")
    return entity


def _taken(store, plan, tags):
    """Return the summaries of the seeds that a parent took from other runs, under --missing."""
    seeds = {int(seed) for seed in tags.get("tinycnn.seeds_taken", "").split()}
    return {seed: each for seed, each in select.finished(store, plan).items() if seed in seeds} if seeds else {}


def _seeds(store, entity):
    """Return the runs of one seed that a run consists of: itself, or a parent's children."""
    if entity.data.tags["tinycnn.role"] != "seeds":
        return [entity]
    found = select.children(store, entity.info.run_id, entity.data.tags["tinycnn.spec_hash"])
    return [each for _, each in sorted(found.items())]


def _plan(store, entity, offline, reporter, draw) -> Plan:
    """Return what a run was made from, by its record alone: its spec, data set and device."""
    run_id, tags = entity.info.run_id, entity.data.tags
    text = store.read(run_id, "spec.json") or tags.get("tinycnn.spec")
    if text is None:
        raise UserError(f"run {run_id}: its record has no spec.json, so it cannot be made from it; `close` ends it")
    spec = Spec.from_json(text, where=f"run {run_id}, spec.json")
    if hash_now(text, tags["tinycnn.spec_hash"]) is None:
        raise UserError(
            f"run {run_id}: its spec.json (hash {spec.hash}) is not the spec it was made with (hash "
            f"{tags['tinycnn.spec_hash']}); put the original back"
        )
    settings = tags.get("tinycnn.settings", "")
    how = {"device": tags["tinycnn.device"], "offline": offline, "reporter": reporter, "draw": draw}
    plan = prepare(spec, fallback=False, settings=settings, **how)
    fallback = ""
    if tags.get("tinycnn.fallback") == "true":
        fallback = tags.get("tinycnn.fallback_reason", f"FALLBACK: this trains on {plan.data.name} and is not judged")
    return replace(plan, fallback=fallback, again=tags.get("tinycnn.rerun_of", ""))


def _differences(store, entity, plan) -> list[str]:
    """Say what differs here from a record, of what may change numbers."""
    tags = entity.data.tags
    now = {"data": ("tinycnn.data_digest", plan.data.digest)}
    now |= {name: (f"tinycnn.version.{name}", version) for name, version in provenance.number_versions().items()}
    now["processor"] = "tinycnn.machine.processor", provenance.machine()["processor"]
    differing = {what: (tags.get(tag), here) for what, (tag, here) in now.items() if tags.get(tag) != here}
    lines = [f"the {what} was {then}, here it is {here}" for what, (then, here) in differing.items()]
    if tags.get("tinycnn.code_hash") != source.code_hash(plan.code):
        recorded = _recorded_code(store, entity)
        names = f": {changed(recorded, plan.code)} changed" if recorded else ""
        lines.insert(0, f"the code is not that of commit {tags.get('mlflow.source.git.commit')} any more{names}")
    return lines


def _recorded_code(store, entity) -> dict:
    """Return what ``Plan.code`` was when a run was made, {} where that is not recorded."""
    with contextlib.suppress(ValueError):
        return json.loads(store.read(entity.info.run_id, "code.json") or "{}")
    return {}


def _must_have_its_own_source(store, entity, plan):
    """Raise UserError where the experiment's own file is not what the run was made with, and say how to see it."""
    recorded = _recorded_code(store, entity)
    own = provenance.own_files(recorded | plan.code)
    then, now = ({n: d for n, d in code.items() if source.file_of(n) in own} for code in (recorded, plan.code))
    if not recorded or then == now:
        return
    run_id, address = entity.info.run_id, urlparse(entity.info.artifact_uri)
    path = next(source.file_of(name) for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name))
    kept = Path(unquote(address.path)) / "source" / path.name
    local = address.scheme in ("", "file")
    see = f"diff {kept} {path}" if local else f"mlflow artifacts download -r {run_id} -a source"
    raise UserError(f"run {run_id}: {changed(then, now)} changed since, so it cannot be made again; to see how: {see}")


def _is_here(entity) -> bool:
    """Tell whether the process that began a run kept its checkpoints where this one would."""
    tags, here = entity.data.tags, checkpoint.folder(".")
    if (here / (tags.get(PARENT) or entity.info.run_id)).is_dir():
        return True
    there = tags.get("tinycnn.checkpoints", "")
    return tags.get("tinycnn.host") == socket.gethostname() and (there == str(here) or not Path(there).is_dir())


def _must_be_here(entity):
    if not _is_here(entity):
        tags = entity.data.tags
        raise UserError(
            f"run {entity.info.run_id}: was begun on {tags.get('tinycnn.host')} with its checkpoints in "
            f"{tags.get('tinycnn.checkpoints')}; continue there, or set TINYCNN_CHECKPOINTS to that folder"
        )


def _discard_checkpoints(entity) -> list[Path]:
    """Delete the checkpoints of a run that has ended, and return them."""
    tags = entity.data.tags
    with checkpoint.claimed(tags.get(PARENT) or entity.info.run_id) as folder:
        name = "seed-*.pt" if tags["tinycnn.role"] == "seeds" else f"seed-{tags['tinycnn.seed']}.pt"
        found = sorted(folder.glob(name))
        for path in found:
            checkpoint.discard(path)
    return found
