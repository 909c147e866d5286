"""A simulated cluster: where the launcher itself becomes the limit, whatever the jobs do and Slurm takes.

The launcher's own code runs, with submitit. ``sbatch`` and ``squeue`` are scripts that answer at once, and the clock
advances by what the launcher computes and by what it would sleep: hours of jobs take seconds.
"""

import heapq
import os
import pickle
import random
import tempfile
import time
from pathlib import Path
from unittest import mock

from tinycnn.launch import slurm

_EVENTS = [("epoch", 0, tuple(range(12)))] * 15  # about what a job of fifteen epochs reports


def simulate(jobs: int, slots: int, seconds: float) -> dict:
    """Launch ``jobs`` of about ``seconds`` each on a cluster that runs ``slots`` of them at once.

    Returns seconds: ``shortest``, what the jobs take; ``took``, until the launcher has all results; ``submitting`` and
    ``launcher``, what it computed for the first and in all; ``longest``, most between two looks at the queue.
    """
    with tempfile.TemporaryDirectory() as folder:
        cluster = _Cluster(Path(folder), jobs, slots, seconds)
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        with mock.patch.dict(os.environ, PATH=path), mock.patch.object(slurm, "time", cluster):
            names = [f"seed {number}" for number in range(jobs)]
            cluster.since = time.perf_counter()
            how = {"folder": cluster.folder, "cluster": slurm.Cluster({"timeout_min": 60})}
            slurm.map_tasks(print, names, names=names, **how)
        return {
            "jobs": jobs,
            "shortest": round(cluster.ends[-1], 1),
            "took": round(cluster.monotonic() - cluster.begun, 1),
            "submitting": round(cluster.begun, 2),
            "launcher": round(cluster.computed, 2),
            "longest": round(max(cluster.looks), 2),
        }


class _Cluster:
    """In place of the module ``time`` in the launcher, and what stands behind the two scripts."""

    time_ns = staticmethod(time.time_ns)

    def __init__(self, folder: Path, jobs: int, slots: int, seconds: float):
        self.folder, self.queue = folder / "jobs", folder / "queue"
        self.now, self.computed, self.since, self.begun, self.looks, self.done = 0.0, 0.0, 0.0, None, [], 0
        _script(folder / "sbatch", "echo Submitted batch job 1")
        _script(folder / "srun", "exit 1")  # submitit looks whether it is there
        _script(folder / "squeue", f"cat {self.queue}")
        draw, free = random.Random(0), [0.0] * min(slots, jobs)
        self.ends = []  # of each job, in the order of their ends
        for _ in range(jobs):
            end = heapq.heappop(free) + draw.uniform(0.8, 1.2) * seconds
            self.ends.append(end)
            heapq.heappush(free, end)
        self.order = sorted(range(jobs), key=self.ends.__getitem__)
        self.ends.sort()
        self._write_queue()

    def monotonic(self) -> float:
        """Return the simulated time: jobs begin when the launcher first asks for it, after submitting them."""
        now = self.now + time.perf_counter() - self.since
        if self.begun is None:
            self.begun = now
        return now

    def sleep(self, seconds: float):
        """Advance the clock, and end the jobs that end until then; that takes no simulated time."""
        spent = time.perf_counter() - self.since
        self.computed += spent
        self.looks.append(spent if self.looks else spent - self.begun)
        self.now += spent + seconds
        while self.done < len(self.ends) and self.begun + self.ends[self.done] <= self.now:
            job = self.order[self.done]
            result = ("success", ("result", {"seed": job, "accuracy": 99.5}, _EVENTS))
            (self.folder / f"1_{job}_0_result.pkl").write_bytes(pickle.dumps(result))
            self.done += 1
        self._write_queue()
        self.since = time.perf_counter()

    def _write_queue(self):
        self.queue.write_text("".join(f"1_{job} RUNNING\n" for job in self.order[self.done :]))


def _script(path: Path, line: str):
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
