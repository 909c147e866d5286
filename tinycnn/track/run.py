"""Spec x seeds -> tracked runs. Prints nothing; a reporter is told what happens."""

from tinycnn.errors import SpecError
from tinycnn.track.plan import Plan, Reporter, prepare
from tinycnn.track.seed import open_store, outcome, train_seed
from tinycnn.track.several import train_several

__all__ = ["Plan", "Reporter", "prepare", "run"]


def run(
    plan: Plan, *, seeds: int = 1, first_seed: int | None = None, missing=False, workers: int = 1, reporter=None
) -> dict:
    """Train ``plan`` once per seed and return the results as plain values, as ``run --json`` prints them.

    One seed makes one MLflow run; several make a parent run with a child each, which up to ``workers`` processes train
    side by side on the CPU, each child with one thread: the numbers do not depend on the processes. With ``missing``,
    seeds that have finished before with the same spec, data and code are not trained again, and their figures are taken
    from the store. Raises UserError where the store takes no run at all; what it refuses later waits in a
    checkpoint, and the result says so under ``undelivered``.
    """
    reporter = reporter or Reporter()
    first = plan.spec.train.seed if first_seed is None else first_seed
    if first + seeds > 2**32:
        raise SpecError(f"{plan.spec.name}: train.seed: the last seed, {first + seeds - 1}, is more than {2**32 - 1}")
    store = open_store(reporter)
    done = {}
    if missing:
        from tinycnn.track import select

        done = select.finished(store(), plan)
    if seeds > 1:
        return train_several(plan, range(first, first + seeds), done, store, reporter, workers=workers)
    if first in done:
        return outcome(plan, [done[first]], done[first]["run_id"], store)
    summary, failure = train_seed(plan, first, store, reporter)
    return outcome(plan, [summary], summary["run_id"], store, failure)
