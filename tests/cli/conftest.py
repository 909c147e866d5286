"""The command line called in this process: starting one of its own for each test would take minutes."""

import contextlib
import fcntl
import os
import re
import signal
import struct
import sys
import termios

import pytest

from tinycnn import ROOT
from tinycnn.cli import commands


@pytest.fixture(autouse=True)
def process_state(monkeypatch):
    """Restore what ``main`` changes, the signal handlers and where modules are found."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(ROOT)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
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
def screen(monkeypatch):
    """Run a function with its output on a terminal of so many columns; returns the lines and frames that it shows."""

    def show(columns, function):
        monkeypatch.setenv("COLUMNS", str(columns))
        reading, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with os.fdopen(terminal, "w") as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", file)
            patch.setattr(sys, "stderr", file)
            function()
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while part := os.read(reading, 4096):
                shown += part
        os.close(reading)
        return re.split("[\r\n]+", shown.decode())

    return show


@pytest.fixture
def spec_file(tiny, tmp_path):
    """``tiny`` as the spec.json of a run."""
    path = tmp_path / "spec.json"
    path.write_text(tiny.to_json())
    return str(path)
