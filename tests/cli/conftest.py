"""The command line called in this process: starting one of its own for each test would take minutes."""

import signal
import sys

import pytest

from tinycnn.cli import commands


@pytest.fixture(autouse=True)
def process_state(monkeypatch):
    """Restore what ``main`` changes: the signal handlers and where modules are found."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def tinycnn(capfd):
    """Run a command in this process; returns its exit code, stdout and stderr."""

    def call(*arguments):
        capfd.readouterr()
        return commands.main(list(arguments)), *capfd.readouterr()

    return call


@pytest.fixture
def spec_file(tiny, tmp_path):
    """``tiny`` as the spec.json of a run."""
    path = tmp_path / "spec.json"
    path.write_text(tiny.to_json())
    return str(path)
