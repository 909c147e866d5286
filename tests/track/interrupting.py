"""Runs that are interrupted, here or in a process of their own."""

import os
import subprocess
import sys

import pytest

from tinycnn import ROOT
from tinycnn.track import run as runs
from tinycnn.track.plan import Reporter


class Stop(Reporter):
    """Press Ctrl-C after an epoch of a seed; remember what was reported."""

    def __init__(self, epoch=None, seed=None):
        self.at, self.seed, self.lines, self.trained, self.ids = epoch, seed, [], [], []

    def notice(self, line):
        self.lines.append(line)

    warning = notice

    def recorded(self, seed, run_id):
        self.ids.append(run_id)

    def epoch(self, seed, result):
        self.trained.append((seed, result.epoch))
        if result.epoch == self.at and self.seed in (None, seed):
            raise KeyboardInterrupt


def interrupted(plan, epoch, **options):
    """Train until Ctrl-C after ``epoch``; return the id of the (parent) run."""
    reporter = Stop(epoch)
    reporter.parent = lambda plan, seeds, run_id: reporter.ids.insert(0, run_id)
    with pytest.raises(KeyboardInterrupt):
        runs.run(plan, reporter=reporter, **options)
    return reporter.ids[0]


def process(*arguments):
    """Start ``python -m tinycnn`` as a process of its own."""
    command = [sys.executable, "-m", "tinycnn", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes)
