"""Several seeds -> a parent run with a child each, trained side by side."""

import functools
import time
from dataclasses import replace

import torch

from tinycnn.errors import UserError
from tinycnn.launch.local import WorkerLost, computing_with, map_tasks
from tinycnn.track.plan import Plan, Reporter, record_tags
from tinycnn.track.seed import open_store, outcome, train_seed
from tinycnn.train import checkpoint


def train_several(
    plan: Plan, seeds: range, done: dict, store, reporter, run_id: str | None = None, *, workers=1, threads=1
) -> dict:
    """Train the seeds that are not ``done``, each as a child of a parent, a new one, or the one of that id."""
    from tinycnn.track import select
    from tinycnn.track.record import ParentRecord

    if plan.device.type != "cpu":
        workers, threads = 1, torch.get_num_threads()
    with computing_with(threads):  # so it stands in the parent's record, as in those of its children
        tags = plan.tags | record_tags(plan) | {"tinycnn.role": "seeds", "tinycnn.first_seed": seeds[0]}
    tags |= {"tinycnn.seeds": len(seeds), "tinycnn.seeds_taken": " ".join(map(str, done))}
    summaries = {seed: done[seed] for seed in seeds if seed in done}
    with store().run(plan.name(f"seeds {seeds[0]} to {seeds[-1]}"), tags, run_id=run_id) as tracked:
        if run_id is None:
            tracked.open()
        with checkpoint.claimed(tracked.id) as folder:
            record = ParentRecord(tracked, plan, reporter.warning)
            record.deliver()
            reporter.parent(plan, seeds, tracked.id)
            begun = {} if run_id is None else select.children(store(), tracked.id, plan.spec.hash)
            for seed in [seed for seed, child in begun.items() if child.info.status == "FINISHED"]:
                if summary := select.summary(store(), begun.pop(seed), plan.spec.target):
                    summaries[seed] = summary
            tasks = [(seed, begun[seed].info.run_id if seed in begun else None) for seed in seeds]
            tasks = [(seed, child) for seed, child in tasks if seed not in summaries]
            try:
                trained = map_tasks(
                    functools.partial(_train_child, plan, tracked.id, folder),
                    tasks,
                    workers=workers,
                    threads=threads,
                    on_event=functools.partial(_report, plan, reporter),
                )
            except WorkerLost as error:
                way = f"; `python -m tinycnn resume {tracked.id}` continues from there"
                raise UserError(f"{plan.spec.name}: {error}{way}") from None
            summaries |= {summary["seed"]: summary for summary, _ in trained}
            failure = next((failure for _, failure in trained if failure), "")
            result = outcome(plan, [summaries[seed] for seed in seeds], tracked.id, store, failure)
            if failure:
                tracked.failure = failure
            elif not record.complete(result):
                result["undelivered"] = tracked.failure
    return result


def _train_child(plan, parent, folder, task, send):
    """Train one of several seeds, perhaps in a process of its own."""
    seed, run_id = task
    reporter = _Forwarding(send)
    return train_seed(plan, seed, open_store(reporter), reporter, run_id=run_id, parent=parent, folder=folder)


class _Forwarding(Reporter):
    """Reports to the process that ``send`` leads to: what can be pickled, and not each batch at once."""

    def __init__(self, send):
        self._send, self._count, self._sent = send, 0, time.monotonic()

    def notice(self, line):
        self._send("notice", line)

    def warning(self, line):
        self._send("warning", line)

    def started(self, plan, seed, history):
        self._send("started", seed, [replace(result, state=None) for result in history])

    def recorded(self, seed, run_id):
        self._send("recorded", seed, run_id)

    def images(self, seed, count):
        self._count += count
        if time.monotonic() - self._sent > 0.1:  # seconds
            self._send("images", seed, self._count)
            self._count, self._sent = 0, time.monotonic()

    def epoch(self, seed, result):
        self._send("images", seed, self._count)
        self._count = 0
        self._send("epoch", seed, replace(result, state=None))

    def finished(self, seed, history):
        self._send("finished", seed, [replace(result, state=None) for result in history])


def _report(plan, reporter, what, *content):
    getattr(reporter, what)(*((plan,) if what == "started" else ()), *content)
