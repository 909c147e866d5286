"""Tasks side by side on the CPU, each in a process of its own, with the same results whatever the number of processes.

Processes of one thread each train more images a second than one process with as many threads (``make bench`` says by
how much), and a training with one thread computes the same numbers in any of them.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from concurrent.futures.process import BrokenProcessPool

import torch
import torch.multiprocessing  # passes tensors to other processes as shared memory, without a copy

from tinycnn.errors import UserError

_CONTEXT = torch.multiprocessing.get_context("spawn")


class WorkerLost(UserError):
    """A process that was killed before its task was done."""


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def computing_with(threads: int):
    """Compute with this many threads in a block: their number may change the last digits of a result."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_tasks(
    function,
    tasks: list,
    *,
    workers: int,
    threads: int = 1,
    on_event=lambda *event: None,
    retry=lambda task, error: None,
) -> list:
    """Return ``[function(task, send) for task in tasks]``, computed by up to ``workers`` processes of ``threads`` each.

    ``function``, tasks and results can be pickled; ``send(*event)`` calls ``on_event(*event)`` in this process. One
    worker is this process itself. When a process was killed, ``retry(task, error)`` returns the task to do in place of
    its own, or None to give up. Raises WorkerLost then, and what a task raises. In both cases, and on Ctrl-C, the other
    tasks get a KeyboardInterrupt and are waited for. When this process is killed, the others end at once.
    """
    workers = min(workers, len(tasks))
    if workers < 2:
        with computing_with(threads):
            return [function(task, on_event) for task in tasks]
    waiting, results = list(enumerate(tasks))[::-1], {}
    team = [_Worker(function, threads) for _ in range(workers)]
    try:
        while len(results) < len(tasks):
            for worker in team:
                if worker.future is None and waiting:
                    worker.begin(*waiting.pop())
            busy = [worker for worker in team if worker.future is not None]
            concurrent.futures.wait([worker.future for worker in busy], 0.05, concurrent.futures.FIRST_COMPLETED)
            for worker in busy:
                done = worker.future.done()  # asked first, so that no event comes after its result
                for event in worker.events():
                    on_event(*event)
                if not done:
                    continue
                number, task = worker.number, worker.task
                try:
                    results[number] = worker.result()
                except BrokenProcessPool:
                    lost = WorkerLost("a worker process was killed, and the others were interrupted")
                    if (task := retry(task, lost)) is None:
                        raise lost from None
                    waiting.append((number, task))
                    team[team.index(worker)] = _Worker(function, threads)
    except BaseException:
        while busy := [worker for worker in team if worker.interrupt()]:  # again: it may have just begun
            concurrent.futures.wait([worker.future for worker in busy], 0.2)
        raise
    finally:
        for worker in team:
            worker.executor.shutdown(cancel_futures=True)
    return [results[number] for number in range(len(tasks))]


class _Worker:
    """A pool of one process, so that one that is killed leaves the others alone, and a pipe for its events."""

    def __init__(self, function, threads):
        self.function, self.threads, self.future, self.pid = function, threads, None, None
        self.pipe, theirs = _CONTEXT.Pipe(duplex=False)
        self.executor = concurrent.futures.ProcessPoolExecutor(1, _CONTEXT, _initialise, (theirs, threads))

    def begin(self, number, task):
        self.number, self.task = number, task
        with _environment(self.threads):  # of the process, which the first task starts
            self.future = self.executor.submit(_call, self.function, task)

    def events(self):
        """Yield the events that have arrived."""
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):  # of a process that was killed
            while self.pipe.poll():
                kind, content = self.pipe.recv()
                if kind == "pid":
                    self.pid = content
                else:
                    yield content

    def result(self):
        future, self.future = self.future, None
        return future.result()

    def interrupt(self) -> bool:
        """Interrupt the task, and tell whether it still is being done."""
        if self.future is None or self.future.done():
            return False
        list(self.events())  # the first says which process it is
        if self.pid is not None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGTERM)
        return True


@contextlib.contextmanager
def _environment(threads):
    """Start processes in this block that do not get the terminal's signals, which this one does, and know threads."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
    numbers = numbers if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    outer = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if outer is not None:
            os.environ["OMP_NUM_THREADS"] = outer
        for number, handler in before.items():
            signal.signal(number, handler)


_pipe = None
"""In a worker: where its events go."""
_working = False
"""In a worker: whether a task is being done, which SIGTERM interrupts."""


def _initialise(pipe, threads):
    """Prepare a worker's process."""
    global _pipe
    _pipe = pipe
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    pipe.send(("pid", os.getpid()))


def _call(function, task):
    global _working
    try:
        _working = True
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            return function(task, lambda *event: _pipe.send(("event", event)))
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            raise RuntimeError(f"{type(error).__name__}: {error}") from None
        raise
    finally:
        _working = False


def _interrupt(number, frame):
    if _working:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is the tidying up
        raise KeyboardInterrupt


def _end_with_parent():
    """End this process as soon as its parent has ended, however that was."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGKILL)
