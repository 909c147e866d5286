"""What ``launch.py`` promises: results in order, heard events, and no process that outlives what began it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tinycnn.errors import Diverged
from tinycnn.launch.local import Lost, cores, side_by_side


def work(task, tell):
    """Do what a task says, which a test in this file has thought of."""
    what, *rest = task
    if what == "square":
        tell("told", rest[0])
        return rest[0] ** 2
    if what == "environment":
        return os.getpid(), torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]
    if what == "matrix":
        torch.manual_seed(1)
        return torch.rand(400, 400) @ torch.rand(400, 400), rest[0]
    if what == "sum":
        return float(rest[0].sum())
    if what == "diverge":
        raise Diverged("the loss became nan")
    if what == "odd":
        raise type("Odd", (Exception,), {})("of a class that nobody else knows")
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
            tell("begun")
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(0.3)  # the tidying up
            path.write_text("interrupted")
            raise
    raise AssertionError(what)


def until(true):
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("waited for a minute")


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_results_come_in_the_order_of_the_tasks_and_every_word_is_heard_here(workers):
    heard = []
    found = side_by_side(work, [("square", n) for n in range(5)], workers=workers, hear=lambda *e: heard.append(e))
    assert found == [0, 1, 4, 9, 16] and sorted(heard) == [("told", n) for n in range(5)]


def test_nothing_to_do_is_done_at_once():
    assert side_by_side(work, [], workers=2) == []


def test_each_process_is_another_and_computes_with_its_threads_alone():
    before = os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()
    found = side_by_side(work, [("environment",)] * 2, workers=2, threads=2)
    assert len({os.getpid(), *(pid for pid, _, _ in found)}) == 3
    assert [each[1:] for each in found] == [(2, "2")] * 2
    assert (os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()) == before


def test_one_worker_stays_in_this_process_and_puts_the_threads_back():
    before = torch.get_num_threads()
    ((pid, threads, _),) = side_by_side(work, [("environment",)], workers=3, threads=before + 1)
    assert (pid, threads, torch.get_num_threads()) == (os.getpid(), before + 1, before)


def test_the_number_of_workers_changes_no_bit():
    tasks = [("matrix", 0), ("matrix", 1)]
    (here, _), _ = side_by_side(work, tasks, workers=1)
    for there, _ in side_by_side(work, tasks, workers=2):
        assert torch.equal(here, there)


def test_tensors_are_passed_whole():
    assert side_by_side(work, [("sum", torch.ones(1000)), ("sum", torch.ones(7))], workers=2) == [1000, 7]


def test_what_a_task_raises_is_raised_here_with_its_exit_code_and_the_others_are_interrupted_first(tmp_path):
    with pytest.raises(Diverged, match="became nan") as raised:
        side_by_side(work, [("wait", tmp_path / "other"), ("diverge",)], workers=2)
    assert raised.value.exit_code == 1
    assert not (tmp_path / "other").exists() or (tmp_path / "other").read_text() == "interrupted"
    with pytest.raises(RuntimeError, match="Odd: of a class that nobody else knows"):
        side_by_side(work, [("odd",), ("square", 1)], workers=2)


def test_a_process_that_is_killed_is_said_in_one_line_by_the_name_of_its_task():
    with pytest.raises(Lost, match=r"^seed 7: its process was killed by SIGKILL; the others were interrupted$"):
        side_by_side(work, [("die",), ("square", 1)], workers=2, name=lambda task: "seed 7")


def test_the_task_of_a_process_that_was_killed_is_done_anew_where_that_is_wanted(tmp_path):
    lost = []
    tasks = [("die once", tmp_path / "died"), ("square", 3)]
    found = side_by_side(work, tasks, workers=2, again=lambda error: lost.append(error) or True)
    assert found == ["anew", 9] and [type(error) for error in lost] == [Lost]


def test_an_interrupt_here_is_one_there_and_is_waited_for(tmp_path):
    def hear(*event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(work, [("wait", tmp_path / "0"), ("wait", tmp_path / "1")], workers=2, hear=hear)
    for path in tmp_path.iterdir():  # the second may have been stopped before it began
        assert path.read_text() == "interrupted"
    assert list(tmp_path.iterdir())


PARENT = """
import sys
from test_launch import work
from tinycnn.launch.local import side_by_side
if __name__ == "__main__":
    try:
        side_by_side(work, [("wait", sys.argv[1]), ("wait", sys.argv[2])], workers=2)
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


def test_the_cores_are_those_this_process_may_use():
    assert 1 <= cores() <= os.cpu_count()
