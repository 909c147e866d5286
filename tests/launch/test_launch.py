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
from tinycnn.launch.local import WorkerLost, map_tasks


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
        raise Diverged("the loss became nan")
    if what == "odd":
        raise type("Odd", (Exception,), {})("of a class that cannot be pickled")
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


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks_and_every_event_arrives(workers):
    events = []
    tasks = [("square", n) for n in range(5)]
    assert map_tasks(work, tasks, workers=workers, on_event=lambda *event: events.append(event)) == [0, 1, 4, 9, 16]
    assert sorted(events) == [("squared", n) for n in range(5)] and map_tasks(work, [], workers=2) == []


def test_each_process_computes_with_its_own_threads_and_one_worker_is_this_process():
    before = os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()
    found = map_tasks(work, [("environment",)] * 2, workers=2, threads=2)
    assert len({os.getpid(), *(pid for pid, _, _ in found)}) == 3
    assert [each[1:] for each in found] == [(2, "2")] * 2
    ((pid, threads, _),) = map_tasks(work, [("environment",)], workers=3, threads=3)
    assert (pid, threads) == (os.getpid(), 3)
    assert (os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()) == before


def test_the_number_of_workers_changes_no_bit():
    tasks = [("matrix", 0), ("matrix", torch.ones(3))]
    (here, _), _ = map_tasks(work, tasks, workers=1)
    for there, _ in map_tasks(work, tasks, workers=2):
        assert torch.equal(here, there)


def test_an_error_of_a_task_is_raised_here_with_its_exit_code_and_the_others_are_interrupted_first(tmp_path):
    with pytest.raises(Diverged, match="became nan") as raised:
        map_tasks(work, [("wait", tmp_path / "other"), ("diverge",)], workers=2)
    assert raised.value.exit_code == 1
    assert not (tmp_path / "other").exists() or (tmp_path / "other").read_text() == "interrupted"
    with pytest.raises(RuntimeError, match="Odd: of a class that cannot be pickled"):
        map_tasks(work, [("odd",), ("square", 1)], workers=2)


def test_a_killed_process_is_an_error_or_its_task_is_done_again_while_the_others_continue(tmp_path):
    with pytest.raises(WorkerLost, match="^a worker process was killed, and the others were interrupted$"):
        map_tasks(work, [("die",), ("square", 1)], workers=2)
    lost = []
    tasks = [("die once", tmp_path / "died"), ("square", 3)]
    found = map_tasks(work, tasks, workers=2, retry=lambda task, error: lost.append(error) or task)
    assert found == ["anew", 9] and [type(error) for error in lost] == [WorkerLost]


def test_an_interrupt_here_interrupts_the_tasks_and_waits_for_them(tmp_path):
    def interrupt(*event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_tasks(work, [("wait", tmp_path / "0"), ("wait", tmp_path / "1")], workers=2, on_event=interrupt)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"interrupted"}


PARENT = """
import sys
from test_launch import work
from tinycnn.launch.local import map_tasks
if __name__ == "__main__":
    try:
        map_tasks(work, [("wait", sys.argv[1]), ("wait", sys.argv[2])], workers=2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("how", ["SIGINT to all", "SIGKILL"])
def test_no_process_outlives_the_one_that_began_it(tmp_path, how):
    (tmp_path / "parent.py").write_text(PARENT)
    files = [tmp_path / "0", tmp_path / "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, tmp_path / "parent.py", *files]
    parent = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE)
    until(lambda: all(file.exists() and file.read_text().startswith("begun") for file in files))
    pids = [int(file.read_text().split()[1]) for file in files]
    if how == "SIGKILL":
        parent.kill()
    else:
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does
    _, said = parent.communicate(timeout=60)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids) if Path("/proc").exists() else True)
    if how != "SIGKILL":
        assert parent.returncode == 130 and said == b""
        assert [file.read_text() for file in files] == ["interrupted"] * 2
