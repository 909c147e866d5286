"""A run by its id: resuming it where it was interrupted, or making it again from its record."""

import json
from dataclasses import replace

import torch

from tinycnn import source
from tinycnn.errors import Undelivered, UserError
from tinycnn.launch.local import computing_with
from tinycnn.spec import Spec
from tinycnn.spec.load import hash_now
from tinycnn.track import jobs, provenance, select
from tinycnn.track.close import discard_checkpoints, made_here, must_be_here, seeds_of
from tinycnn.track.mlflow_store import PARENT, Store, facts, read_file
from tinycnn.track.plan import Plan, Reporter, prepare
from tinycnn.track.record import compared
from tinycnn.track.run import outcome, train_several
from tinycnn.track.seed import train_seed
from tinycnn.train.device import pick_device


def resume(run_id: str, *, offline=False, workers=1, cluster=None, reporter=None, draw=None) -> dict:
    """Continue a run as if nothing had happened, in the same MLflow run, and return what ``run`` would have.

    The run of one seed continues from its checkpoint, or from its first epoch where there is none; a parent gets the
    seeds that are missing, as jobs of a ``cluster`` or where it has jobs, which are joined. What the store already has
    is not delivered again. Raises UserError where the numbers could not be the same (other code, packages or data),
    where another process trains it, and where it was begun elsewhere.
    """
    reporter = reporter or Reporter()
    store = Store(reporter.notice)
    entity = made_here(store.entity(run_id), store)
    tags, parent = entity.data.tags, entity.data.tags.get(PARENT)
    cluster = jobs.cluster_of(run_id, cluster) if tags["tinycnn.role"] == "seeds" else None
    plan = _plan(entity, offline, reporter, draw, elsewhere=bool(cluster))
    if entity.info.status == "FINISHED":
        reporter.notice(f"run {run_id} has finished: there is nothing to resume")
        discard_checkpoints(entity)
        summaries = [select.summary(store, each, plan.spec.target) for each in seeds_of(store, entity)]
        if not (summaries := [*filter(None, summaries)]):
            raise UserError(f"run {run_id}: has finished, but its record has no epochs; train anew with `run`")
        result = outcome(plan, summaries, run_id, lambda: store)
    else:
        must_be_here(entity)
        for line in _differences(entity, plan):
            if not line.startswith("the processor"):  # most compute the same
                raise UserError(f"run {run_id}: {line}; go back to that, or train anew: a run cannot mix both")
        threads = int(facts(entity)["machine.threads"])
        if tags["tinycnn.role"] == "seeds":
            first, count = int(tags["tinycnn.first_seed"]), int(tags["tinycnn.seeds"])
            taken = {int(seed) for seed in tags.get("tinycnn.seeds_taken", "").split()}  # from other runs: --missing
            done = {seed: each for seed, each in select.finished(store, plan).items() if seed in taken} if taken else {}
            workers = workers if threads == 1 else 1  # a run with several threads has the processors to itself
            how = {"workers": workers, "threads": threads, "cluster": cluster}
            return train_several(plan, range(first, first + count), done, lambda: store, reporter, run_id, **how)
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
    compared, again = [], seeds_of(store, made_here(store.entity(run_id)))
    if not again:
        raise UserError(f"run {run_id}: none of its seeds is in the store; train anew with `run`")
    for each in again:
        plan = replace(_plan(each, offline, reporter, draw), again=each.info.run_id)
        _must_have_its_own_source(each, plan)
        for line in _differences(each, plan):
            reporter.notice(f"run {each.info.run_id}: {line}, so the numbers may differ")
        with computing_with(int(facts(each)["machine.threads"])):
            summary, failure = train_seed(plan, int(each.data.tags["tinycnn.seed"]), lambda: store, reporter)
        if failure:
            raise Undelivered(failure, f"resume {summary['run_id']}")
        compared.append(compare_runs(store, each.info.run_id, summary["run_id"]))
    return compared


def compare_runs(store: Store, then: str, now: str) -> dict:
    """Compare every number of two runs but the clock readings: those of each epoch and of the end, and the weights.

    Of a run that did not finish, what it has. ``first`` is where they first differ, None where they do not.
    """
    runs = [store.entity(run_id) for run_id in (then, now)]
    names = sorted(compared(runs[0].data.tags["tinycnn.evaluated_on"]))
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


def _plan(entity, offline, reporter, draw, *, elsewhere=False) -> Plan:
    """Return what a run was made from, by its record alone: its spec, data set and device.

    Raises UserError where this machine has no such device, unless the run is trained ``elsewhere``.
    """
    run_id, found = entity.info.run_id, facts(entity)
    if not found.get("spec"):
        raise UserError(f"run {run_id}: its environment.json cannot be read, so it cannot be made from that")
    text = json.dumps(found["spec"])
    spec = Spec.from_json(text, where=f"run {run_id}, environment.json")
    if hash_now(text, found["spec_hash"]) is None:
        hashes = f"(hash {spec.hash}, then {found['spec_hash']})"
        raise UserError(f"run {run_id}: its spec is not what it was made with {hashes}; check out that commit")
    try:
        device = torch.device(found["device"]) if elsewhere else pick_device(found["device"])
    except UserError:
        where = f"was trained on {found['device']}, which is not available on this machine"
        raise UserError(f"run {run_id}: {where}: go on where it is, or train anew with DEVICE=cpu") from None
    how = {"device": device, "offline": offline, "reporter": reporter, "draw": draw}
    plan = prepare(spec, fallback=False, settings=found.get("settings", ""), **how)
    return replace(plan, fallback=found.get("fallback_reason", ""), again=found.get("rerun_of", ""))


def _differences(entity, plan) -> list[str]:
    """Say what differs here from a record, of what may change numbers."""
    found, versions = facts(entity), provenance.number_versions()
    here = {"data_digest": plan.data.digest, "machine.processor": provenance.machine()["processor"]}
    here |= {f"version.{name}": version for name, version in versions.items()}
    differing = [name for name in here if found.get(name) != here[name]]
    words = {name: name.partition(".")[2] or "data" for name in differing}
    lines = [f"the {words[name]} was {found.get(name)}, here it is {here[name]}" for name in differing]
    if found.get("together"):
        lines.append(f"it was trained as one computation with other seeds ({found['together']} in all), here alone")
    if found["code_hash"] != source.code_hash(plan.code):
        recorded = _recorded_code(entity)
        names = f": {_changed(recorded, plan.code)} changed" if recorded else ""
        commit = entity.data.tags.get("mlflow.source.git.commit")
        lines.insert(0, f"the code is not that of commit {commit} any more{names}")
    return lines


def _recorded_code(entity) -> dict:
    """Return what ``Plan.code`` was when a run was made, {} where that is not recorded."""
    return json.loads(read_file(entity.info.artifact_uri, "code.json") or "{}")


def _changed(then: dict, now: dict) -> str:
    """Name what differs in the code of two runs, e.g. ``tinycnn/train/loop.py:train and 2 more have``."""
    names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"{shown} {'has' if len(names) == 1 else 'have'}"


def _must_have_its_own_source(entity, plan):
    """Raise UserError where the experiment's own file is not what the run was made with, and say how to see it."""
    recorded = _recorded_code(entity)
    own = provenance.own_files(recorded | plan.code)
    then, now = ({n: d for n, d in code.items() if source.file_of(n) in own} for code in (recorded, plan.code))
    if recorded and then != now:
        run_id = entity.info.run_id
        path = next(source.file_of(name) for name in sorted(then | now) if then.get(name) != now.get(name))
        see = f"mlflow artifacts download -r {run_id} -a source -d then && diff then/source/{path.name} {path}"
        changed = f"{_changed(then, now)} changed since, so it cannot be made again"
        raise UserError(f"run {run_id}: {changed}; to see how: {see}")
