"""Tasks in several processes: results in order, events passed on, and no process that outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tinycnn.errors import Diverged
from tinycnn.launch import local
from tinycnn.launch.local import WorkerLost, map_tasks, picklable


def work(task, send):
    """Do what a task of one of these tests says."""
    what, *rest = task
    if what == "square":
        send("squared", rest[0])
        return rest[0] ** 2
    if what == "environment":
        return os.getpid(), torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]
    if what == "matrix":
        torch.manual_seed(1)
        return torch.rand(400, 400) @ torch.rand(400, 400), rest[0]
    if what == "diverge":
        until(lambda: rest[0].exists())
        raise Diverged("the loss became nan")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "die once":
        if Path(rest[0]).exists():
            return "anew"
        Path(rest[0]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "wait":
        path = Path(rest[0])
        try:
            path.write_text(f"begun {os.getpid()}")
            send("begun")
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(0.3)  # tidying up
            path.write_text("interrupted")
            raise
    raise AssertionError(what)


def until(true):
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("waited for a minute")


def test_whatever_the_number_of_workers_results_come_in_order_with_every_event_and_the_same_bits():
    before, events = (os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()), []
    tasks = [("environment",), *(("square", n) for n in range(5)), ("matrix", torch.ones(3)), ("environment",)]
    here = map_tasks(work, tasks, workers=1, threads=2, on_event=lambda *event: events.append(event))
    beside = map_tasks(work, tasks, workers=2, threads=2, on_event=lambda *event: events.append(event))
    assert here[1:6] == beside[1:6] == [0, 1, 4, 9, 16] and sorted(events) == sorted(
        [("squared", n) for n in range(5)] * 2
    )
    assert torch.equal(here[6][0], beside[6][0])
    assert here[0][:2] == here[7][:2] == (os.getpid(), 2)
    assert os.getpid() not in {beside[0][0], beside[7][0]} and beside[0][1:] == beside[7][1:] == (2, "2")
    assert (os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()) == before and map_tasks(
        work, [], workers=2
    ) == []


def test_an_error_of_a_task_is_raised_here_with_its_exit_code_and_the_others_are_interrupted_first(tmp_path):
    with pytest.raises(Diverged, match="became nan") as raised:
        map_tasks(work, [("wait", tmp_path / "other"), ("diverge", tmp_path / "other")], workers=2)
    assert raised.value.exit_code == 1 and (tmp_path / "other").read_text() == "interrupted"
    odd = type("Odd", (Exception,), {})("of a class that cannot be pickled")
    assert repr(picklable(odd)) == "RuntimeError('Odd: of a class that cannot be pickled')"


def test_a_killed_process_is_an_error_or_its_task_is_done_again_while_the_others_continue(tmp_path):
    lost, tasks = [], [("die once", tmp_path / "died"), ("square", 3)]
    found = map_tasks(work, tasks, workers=2, retry=lambda task, error: lost.append(error) or task)
    assert found == ["anew", 9] and [type(error) for error in lost] == [WorkerLost]
    with pytest.raises(WorkerLost, match="^a worker process was killed, and the others were interrupted$"):
        map_tasks(work, [("die",), ("square", 1)], workers=2)


class Fatal:
    """A function that kills the process it is sent to, before that has a task."""

    def __reduce__(self):
        return os._exit, (3,)


def test_a_process_that_ends_before_its_first_task_is_an_error_too():
    with pytest.raises(WorkerLost):
        map_tasks(Fatal(), [1, 2], workers=2)


def test_while_processes_start_the_terminals_signals_are_heard(monkeypatch):
    heard, start = [], local._CONTEXT.Process.start
    record = lambda process: heard.append(signal.getsignal(signal.SIGINT)) or start(process)  # noqa: E731
    monkeypatch.setattr(local._CONTEXT.Process, "start", record)
    map_tasks(work, [("square", 1), ("square", 2)], workers=2)
    assert heard == [signal.getsignal(signal.SIGINT)] * 2 != [signal.SIG_IGN] * 2


PARENT = """
import signal, sys
from test_launch import work
from tinycnn.launch.local import map_tasks
if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        map_tasks(work, [("wait", sys.argv[1]), ("wait", sys.argv[2])], workers=2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("how", ["SIGINT to all", "SIGTERM to all", "SIGKILL"])
def test_no_process_outlives_the_one_that_began_it(tmp_path, how):
    (tmp_path / "parent.py").write_text(PARENT)
    files = [tmp_path / "0", tmp_path / "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, tmp_path / "parent.py", *files]
    parent = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE)
    until(lambda: all(file.exists() and file.read_text().startswith("begun") for file in files))
    if how == "SIGKILL":
        parent.kill()
    else:
        os.killpg(parent.pid, getattr(signal, how.split()[0]))  # as a terminal and as `timeout` do
    _, said = parent.communicate(timeout=60)
    of_its_session = ["ps", "-o", "pid=", "-s", str(parent.pid)]
    until(lambda: not subprocess.run(of_its_session, capture_output=True).stdout.strip())
    if how != "SIGKILL":
        assert parent.returncode == 130 and said == b""
        assert [file.read_text() for file in files] == ["interrupted"] * 2


@pytest.mark.parametrize(
    "given, expected", [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_threads_that_wait_sleep_soon_unless_the_user_says_how_long_they_spin(given, expected):
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = "import os, tinycnn; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert subprocess.check_output([sys.executable, "-c", code], env=clean | given, text=True).strip() == expected
