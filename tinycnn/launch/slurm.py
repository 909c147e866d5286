"""Tasks as jobs of Slurm, through submitit: an array of jobs that outlives this process and is joined again.

What is known of the jobs lies in a folder that all nodes see: which job does which task, what each is to do, its log,
its result. A job that is preempted, or reaches its time limit, is requeued and begins its task anew: a task must find
out by itself how far it has got. So a task is done by one job at a time, and by the one that the folder names.
"""

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tinycnn.errors import SpecError, UserError, nearest, one_line
from tinycnn.launch.local import WorkerLost, computing_with, picklable

_RECORD = "jobs.json"
_LIMITS_REACHED = 50
"""How often a job is requeued at its time limit: an epoch longer than the limit would be begun for ever."""
_ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
_NOT_GIVEN = {"additional_parameters", "setup", "teardown", "srun_args", "use_srun", "stderr_to_stdout", "nodes"}
_NOT_GIVEN |= {"tasks_per_node", "ntasks_per_node", "array_parallelism"}
"""Options that are no words, would have several processes do the same task, or have another place."""
_SHORTEST, _LONGEST = 2, 30
"""Seconds between two looks at the queue: few at first, more the longer one has waited, to spare the controller."""


@dataclass(frozen=True)
class Cluster:
    """Where jobs are sent: submitit's ``options`` (``options_of`` reads them), and how many run at once, if limited."""

    options: dict
    most: int | None = None

    @property
    def device(self) -> str:
        """What ``auto`` is there: a GPU where one is asked for."""
        return "cuda" if any(name.startswith(("gpus", "gres", "num_gpus")) for name in self.options) else "cpu"


def options_of(words: str) -> dict:
    """Read ``"partition=gpu timeout_min=60"``. Raises SpecError for what submitit does not know, or has no value."""
    import submitit
    from submitit.slurm.slurm import SlurmExecutor

    known = (submitit.AutoExecutor._valid_parameters() | SlurmExecutor._valid_parameters()) - _NOT_GIVEN
    found = {}
    for word in words.split():
        name, given, value = word.partition("=")
        if name not in known or not value:
            hint = "has no value" if name in known else f"is not known; {nearest(name, sorted(known))}"
            wrong = repr(word if name in known else name)
            raise SpecError(f"--slurm: {wrong} {hint}; e.g. \"partition=gpu timeout_min=60\"")
        kind = submitit.AutoExecutor._typed_parameters().get(name, int if value.isdigit() else str)
        try:
            found[name] = True if value == "True" else kind(value)  # of a flag, such as exclusive
        except ValueError:
            raise SpecError(f"--slurm: {word} is not a number") from None
    return found


def map_tasks(
    function, tasks: list, *, names: list[str], folder: Path, cluster: Cluster, threads=1, on_event=lambda *event: None
) -> list:
    """Return ``[function(task, send) for task in tasks]``, each computed by a job with ``threads`` threads.

    ``names`` tells tasks apart: one whose job, of an earlier call with this ``folder``, is still queued, runs or has a
    result is not submitted again. The events of a job arrive when it has ended. On Ctrl-C the jobs stay. Raises
    WorkerLost if jobs ended without a result, and what a task raises, both when all other jobs have ended: the next
    call submits these again. The folder is deleted if there is nothing to raise. Raises UserError where Slurm takes no
    jobs, or does not say which it has.
    """
    if not tasks:
        shutil.rmtree(folder, ignore_errors=True)
        return []
    jobs = recorded(folder)[1]
    states = _states() if jobs else {}
    alive = {name for name, job in jobs.items() if (folder / _result(job)).exists() or _is_queued(job, states)}
    joined = {name: jobs[name] for name in names if name in alive}
    waiting = [number for number, name in enumerate(names) if name not in joined]
    if joined:
        on_event("notice", f"joining {len(joined)} jobs that were submitted before")
    if waiting:
        ids = _submit(function, [(names[n], tasks[n]) for n in waiting], folder, cluster, threads)
        jobs |= dict(zip((names[n] for n in waiting), ids, strict=True))
        _write(folder, cluster, jobs)
        arrays = dict.fromkeys(job.partition("_")[0] for job in ids)
        on_event("notice", f"{len(ids)} jobs are submitted to Slurm: {', '.join(arrays)}")
    try:
        results, lost = _wait({name: jobs[name] for name in names}, folder, on_event)
    except KeyboardInterrupt:
        on_event("notice", "the jobs stay in Slurm's queue; the same command joins them")
        raise
    errors = {name: content for name, (what, content) in results.items() if what == "error"}
    if not errors and not lost:
        shutil.rmtree(folder)
        return [results[name][1] for name in names]
    _write(folder, cluster, {name: job for name, job in jobs.items() if name not in errors.keys() | lost.keys()})
    if errors:
        raise next(iter(errors.values()))
    name, reason = next(iter(lost.items()))
    raise WorkerLost(f"{len(lost)} of {len(names)} jobs ended without a result, {name} first ({reason})")


def recorded(folder: Path) -> tuple[Cluster | None, dict[str, str]]:
    """Return where the jobs of a folder were sent, None for a folder without any, and each one's id by its name."""
    try:
        found = json.loads((folder / _RECORD).read_text())
    except FileNotFoundError:
        return None, {}
    return Cluster(found["options"], found["most"]), found["jobs"]


def queued(folder: Path) -> Counter:
    """Return how many jobs of a folder are in the queue by state, e.g. PENDING. Raises UserError without Slurm."""
    jobs = recorded(folder)[1]
    states = _states() if jobs else {}
    return Counter(states[job] for job in jobs.values() if _is_queued(job, states))


def cancel(folder: Path) -> None:
    """Cancel the jobs of a folder that are in the queue, wait until they have ended, and delete the folder."""
    left = [*recorded(folder)[1].values()]
    while left:
        states = _states()
        if left := [job for job in left if _is_queued(job, states)]:
            subprocess.run(["scancel", *left], capture_output=True)
            time.sleep(_SHORTEST)
    shutil.rmtree(folder, ignore_errors=True)


def _write(folder, cluster, jobs):
    partial = folder / f"{_RECORD}.partial"
    partial.write_text(json.dumps({"options": cluster.options, "most": cluster.most, "jobs": jobs}))
    os.replace(partial, folder / _RECORD)


def _submit(function, tasks, folder, cluster, threads) -> list[str]:
    """Submit a job for each (name, task) and return their ids. What they share is stored once: it holds the data."""
    from submitit.helpers import clean_env, environment_variables

    folder.mkdir(parents=True, exist_ok=True)
    shared = folder / f"function-{time.time_ns()}.pkl"
    shared.write_bytes(pickle.dumps(function))
    here = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": threads}
    inside = clean_env() if "SLURM_JOB_ID" in os.environ else contextlib.nullcontext()  # of a job that launches jobs
    try:
        with inside, environment_variables(**here):
            jobs = executor(folder, cluster).submit_array([_Job(shared, *each, threads) for each in tasks])
        return [job.job_id for job in jobs]
    except Exception as error:  # submitit raises many kinds, and of sbatch the whole output
        lines = [line for line in str(error).splitlines() if "error:" in line] or [one_line(error)]
        shutil.rmtree(folder) if not recorded(folder)[1] else shared.unlink()
        raise UserError(f"Slurm takes no jobs: {lines[-1].strip()}; see --slurm") from None


def executor(folder: Path, cluster: Cluster):
    """Return what submits jobs. Raises RuntimeError where there is no Slurm, AssertionError for an option's type."""
    import submitit

    options = {"name": "tinycnn", "timeout_min": 60} | cluster.options
    if cluster.most:
        options["array_parallelism"] = cluster.most
    generic = submitit.AutoExecutor._valid_parameters()
    made = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=_LIMITS_REACHED)
    made.update_parameters(
        **{name if name in generic else f"slurm_{name}": value for name, value in options.items()},
        slurm_additional_parameters={"requeue": True},
    )
    return made


@dataclass
class _Job:
    """What a job does, on a node: ``function(task, send)``, where it is the one recorded for the task."""

    shared: Path
    name: str
    task: object
    threads: int

    def __call__(self) -> tuple:
        events, left = [], []
        signal.signal(signal.SIGUSR2, _interrupted_by(signal.getsignal(signal.SIGUSR2), left))
        try:
            self._must_be_recorded()
            with computing_with(self.threads):
                function = pickle.loads(self.shared.read_bytes())
                result = function(self.task, lambda *event: events.append(event))
        except KeyboardInterrupt:
            raise left[0] if left else KeyboardInterrupt from None
        except Exception as error:
            return "error", picklable(error), events
        return "result", result, events

    def checkpoint(self):
        """Return what is done after a requeue, as submitit asks at a time limit: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _must_be_recorded(self):
        """Raise UserError in a job that another has replaced, or that its submitter, killed, did not record."""
        from submitit import JobEnvironment

        own = JobEnvironment().job_id
        for _ in range(60):
            if job := recorded(self.shared.parent)[1].get(self.name):
                break
            time.sleep(1)  # the record is written once all jobs are submitted
        if job != own:
            raise UserError(f"{self.name}: is the task of job {job}, not of this one, {own}")


def _interrupted_by(requeue, left: list):
    """Return a handler that calls submitit's, and interrupts the task as Ctrl-C does, so that it tidies up.

    What submitit ends the process with is put into ``left``.
    """

    def handler(number, frame):
        try:
            requeue(number, frame)
        except SystemExit as error:
            left.append(error)
            raise KeyboardInterrupt from None

    return handler


def _wait(jobs: dict, folder, on_event) -> tuple[dict, dict]:
    """Wait until each job has a result or has left the queue; return results by name, and of the lost ones why."""
    results, lost, doubtful, begun = {}, {}, set(), time.monotonic()
    while True:
        there = set(os.listdir(folder))  # one call, however many jobs, and it refreshes the cache of a network's disk
        for name, job in jobs.items():
            if name not in results and _result(job) in there:
                lost.pop(name, None)
                *results[name], events = _read(folder, job)
                for event in events:
                    on_event(*event)
        left = {name: job for name, job in jobs.items() if name not in results}
        if not left.keys() - lost.keys():
            return results, lost
        with contextlib.suppress(UserError):  # of a controller that does not answer now nothing is concluded
            states = _states()
            gone = {name for name, job in left.items() if not _is_queued(job, states)}
            for name in gone & doubtful:  # twice in a row: a result may be seen later than the end of its job
                log = folder / f"{left[name]}_0_log.err"
                lost[name] = f"job {left[name]} {states.get(left[name], 'ended')}, see {log}"
            doubtful = gone
        time.sleep(min(_LONGEST, max(_SHORTEST, (time.monotonic() - begun) / 10)))


def _read(folder, job) -> tuple:
    """Return (what, content, events) of a job: what ``_Job`` returned, or that it could not even begin or go on."""
    what, content = pickle.loads((folder / _result(job)).read_bytes())
    if what == "success":
        return content
    return "error", UserError(f"job {job} failed: {content.strip().splitlines()[-1]}; see {folder}"), []


def _result(job: str) -> str:
    return f"{job}_0_result.pkl"  # as submitit calls it


def _is_queued(job, states) -> bool:
    return job in states and states[job] not in _ENDED


def _states() -> dict[str, str]:
    """Return the state of each of this user's jobs that Slurm still knows. Raises UserError where it does not say."""
    command = ["squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i %T"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", "") or one_line(error)
        raise UserError(f"Slurm's queue cannot be read here: {' '.join(str(reason).split())[:200]}") from None
    return dict(line.split() for line in said.splitlines())
