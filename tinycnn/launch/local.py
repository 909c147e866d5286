"""Tasks side by side on the CPU, each in a process of its own, with the same results whatever the number of processes.

Processes of one thread each train more images a second than one process with as many threads (``make bench`` says by
how much), and a training with one thread computes the same numbers in any of them.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import pickle
import signal
import sys
import threading

import torch
import torch.multiprocessing  # passes tensors to other processes as shared memory, without a copy

from tinycnn.errors import UserError

_CONTEXT = torch.multiprocessing.get_context("forkserver")  # imports once what each worker would need seconds for
_TERMINAL = signal.SIGINT, signal.SIGHUP


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
                if worker.task is None and waiting:
                    worker.begin(waiting.pop())
            busy = {worker.pipe: worker for worker in team if worker.task is not None}
            for pipe in multiprocessing.connection.wait(busy):
                worker = busy[pipe]
                number, task = worker.task
                try:
                    what, content = pipe.recv()
                except (EOFError, OSError):
                    lost = "a worker process was killed"
                    if (task := retry(task, WorkerLost(lost))) is None:
                        raise WorkerLost(f"{lost}, and the others were interrupted") from None
                    waiting.append((number, task))
                    team[team.index(worker)] = _Worker(function, threads)
                    continue
                if what == "event":
                    on_event(*content)
                elif what == "result":
                    results[number], worker.task = content, None
                else:
                    raise content
    except BaseException:
        for worker in team:
            worker.process.terminate()  # which interrupts its task
        raise
    finally:
        for worker in team:
            worker.end()
        for worker in team:
            worker.wait()
    return [results[number] for number in range(len(tasks))]


class _Worker:
    """A process that does one task after another, and a pipe for tasks, events and results."""

    def __init__(self, function, threads):
        self.pipe, theirs = _CONTEXT.Pipe()
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.process = _CONTEXT.Process(target=_work, args=(theirs, function, threads, environment))
        self.task = None
        _CONTEXT.set_forkserver_preload([name for name in sys.modules if name.startswith("tinycnn.")])
        with _environment(threads):
            multiprocessing.forkserver.ensure_running()
        self.process.start()
        theirs.close()  # so that a process that ends closes the pipe

    def begin(self, task: tuple):
        self.task = task
        with contextlib.suppress(OSError):  # killed before; the next ``recv`` says so
            self.pipe.send(task[1])

    def end(self):
        """Let the process end once it has no task."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)

    def wait(self):
        """Wait until the process has ended, also where a signal to all has ended the one that would report this."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                self.pipe.recv()
        self.process.join()


@contextlib.contextmanager
def _environment(threads):
    """Start in this block the process that forks workers: all ignore the terminal's signals, which this one gets."""
    numbers = _TERMINAL if threading.current_thread() is threading.main_thread() else []
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


def _work(pipe, function, threads, environment):
    """Do tasks in a worker's process until the pipe is closed."""
    os.environ.clear()  # it is that of when the first workers began
    os.environ.update(environment)
    for number in _TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)

    def send(what, content):
        with contextlib.suppress(OSError):  # nobody listens any more to a task that was interrupted
            pipe.send((what, content))

    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while (task := pipe.recv()) is not None:
            try:
                with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
                    result = function(task, lambda *event: send("event", event))
            except Exception as error:
                send("error", picklable(error))
            else:
                pipe.send(("result", result))


def picklable(error: Exception) -> Exception:
    """Return an error, or one that says the same if it cannot be pickled."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _interrupt(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is the tidying up
    raise KeyboardInterrupt


def _end_with_parent():
    """End this process as soon as its parent has ended, however that was."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGKILL)
