"""Tasks side by side on the CPU, each in a process of its own, with the same results whatever the number of processes.

Processes of one thread each train more images a second than one process with as many threads (``make bench`` says by
how much), and a training with one thread computes the same numbers wherever it runs.
"""

import collections
import contextlib
import os
import pickle
import signal
import sys
import threading
from multiprocessing import connection, parent_process

import torch
import torch.multiprocessing  # passes tensors to other processes as shared memory, without a copy

from tinycnn.errors import UserError


class Lost(UserError):
    """A process that ended before its task did."""


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def computing_with(threads: int):
    """Compute with this many threads in a block: their number may change the last bits of a result."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(
    function,
    tasks: list,
    *,
    workers: int,
    threads: int = 1,
    hear=lambda *event: None,
    name=str,
    again=lambda lost: False,
) -> list:
    """Return ``[function(task, hear) for task in tasks]``, computed by up to ``workers`` processes.

    function  can be pickled, as its tasks and results can; what it tells ``hear`` is heard in this process
    workers   1 stays in this process
    threads   those of each process
    name      says what a task is, for the reader of an error
    again     is told of a process that was killed, as Lost, and returns whether another is to do its task anew

    What a task raises is raised here, and so is Lost where a process was killed and that was that. Then, and on
    Ctrl-C, the other tasks get a KeyboardInterrupt and are waited for. Should this process be killed, the others end
    at once.
    """
    workers = min(workers, len(tasks))
    if workers < 2:
        with computing_with(threads):
            return [function(task, hear) for task in tasks]
    waiting, results, staff = collections.deque(enumerate(tasks)), {}, {}
    try:
        for _ in range(workers):
            _hire(staff, function, threads, waiting)
        while len(results) < len(tasks):
            for pipe in connection.wait(list(staff)):
                try:
                    kind, content = staff[pipe].answer(name)
                except Lost as lost:
                    if not again(lost):
                        raise
                    gone = staff.pop(pipe)
                    waiting.appendleft((gone.number, gone.task))
                    _hire(staff, function, threads, waiting)
                    continue
                if kind == "told":
                    hear(*content)
                elif kind == "raised":
                    raise content
                else:
                    results[staff[pipe].number] = content
                    if waiting:
                        staff[pipe].begin(waiting)
                    else:
                        staff.pop(pipe).end()
    except BaseException:
        for worker in staff.values():
            worker.interrupt()
        raise
    finally:
        for worker in staff.values():
            worker.process.join()
    return [results[number] for number in range(len(tasks))]


def _hire(staff, function, threads, waiting):
    worker = _Worker(function, threads)
    staff[worker.pipe] = worker
    worker.begin(waiting)


class _Worker:
    """A process, seen from the one that began it."""

    def __init__(self, function, threads):
        context = torch.multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, function, threads), daemon=True)
        with _inherited(threads):
            self.process.start()
        theirs.close()

    def begin(self, waiting):
        """Give it the next task."""
        self.number, self.task = waiting.popleft()
        with contextlib.suppress(OSError):  # it has ended: so will say who listens to it
            self.pipe.send(self.task)

    def answer(self, name):
        """Return what it says next. Raises Lost."""
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise Lost(f"{name(self.task)}: its process {how}; the others were interrupted") from None

    def end(self):
        self.pipe.close()
        self.process.join()

    def interrupt(self):
        self.process.terminate()
        self.pipe.close()  # or it might wait for ever to be heard


@contextlib.contextmanager
def _inherited(threads):
    """Let a process that begins in this block be deaf to the terminal, which tells its parent, and know its threads."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
    numbers = numbers if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    spinning = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if spinning is not None:
            os.environ["OMP_NUM_THREADS"] = spinning
        for number, handler in before.items():
            signal.signal(number, handler)


def _work(pipe, function, threads):
    """Do tasks until there are no more: all that a worker's process does."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    torch.set_num_threads(threads)
    with (
        contextlib.redirect_stdout(sys.stderr),  # stdout is for results
        contextlib.suppress(KeyboardInterrupt, EOFError, OSError),  # told to end, or nobody is left to hear
    ):
        while True:
            task = pipe.recv()
            try:
                answer = "done", function(task, lambda *event: pipe.send(("told", event)))
            except Exception as error:
                answer = "raised", _portable(error)
            pipe.send(answer)


def _interrupt(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is the tidying up
    raise KeyboardInterrupt


def _end_with(parent):
    """End this process as soon as its parent has, as SIGKILL would have if they were one."""
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _portable(error):
    """Return an exception that arrives in another process, whatever became of it here."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
