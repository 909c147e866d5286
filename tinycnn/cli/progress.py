"""What the user sees while a run or a study is trained: progress bars, or plain lines where there is no terminal."""

import shutil
import sys

from tqdm import tqdm

from tinycnn.cli.main import as_called, fitted
from tinycnn.errors import Interrupted
from tinycnn.study.definition import as_stored
from tinycnn.track import tables
from tinycnn.track.plan import Plan, Reporter

BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
WIDE = 100
"""Columns of a terminal that has room for the images a second too."""


class _OnTerminal(Reporter):
    """What all reporters do; as a context, it turns an interruption into a line with the command that continues."""

    resumed_by, said, bar = "", frozenset(), None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()
        if kind in (KeyboardInterrupt, BrokenPipeError):
            hint = f"; `python -m tinycnn {self.resumed_by}` continues" if self.resumed_by else ""
            raise Interrupted(f"interrupted; what was logged is kept{hint}") from None

    def close(self):
        """Remove the progress bar."""
        if self.bar is not None:  # interrupted before it was there
            self.bar.close()

    def notice(self, line):
        if line not in self.said:  # of each of several specs, seeds or workers
            self.said |= {line}
            _print(f"note: {line}")

    def warning(self, line):
        rule = "!" * 72
        _print(f"{rule}\n{line}\n{rule}")


class Terminal(_OnTerminal):
    """Report a run on stderr, and the epochs of its only seed, or with ``verbose`` of each, as a table on stdout."""

    def __init__(self, verbose: bool = False):
        self.verbose, self.several = verbose, False
        self.labels, self.bars = {}, {}  # by seed
        self.kind, self.epochs, self.label = "", 0, "seed"

    def parent(self, plan: Plan, seeds, run_id):
        self.several, self.resumed_by = True, f"resume {run_id}"
        self._plan(plan)
        _print(f"{plan.spec.name} seeds {seeds[0]} to {seeds[-1]}: MLflow run {run_id}")

    def _plan(self, plan):
        self.kind, self.epochs = plan.data.kind, plan.spec.train.epochs
        self.label = f"{plan.spec.name}{f' on {plan.data.name}' if plan.fallback else ''} seed"

    def started(self, plan: Plan, seed, history):
        self._plan(plan)
        label = self.labels[seed] = f"{self.label} {seed}"
        _print(f"{label}: training epochs {len(history) + 1} to {self.epochs}")
        if sys.stderr.isatty():
            images = len(plan.data.train.labels) // plan.spec.train.batch_size * plan.spec.train.batch_size
            shape = {"total": images * self.epochs, "initial": images * len(history), "dynamic_ncols": True}
            rate = ", {rate_fmt}" if shutil.get_terminal_size().columns >= WIDE else ""
            units = {"unit": " images", "unit_scale": True, "bar_format": BAR + rate}
            # of several bars at once, those that end would leave gaps
            self.bars[seed] = tqdm(desc=label, leave=not self.several, **shape, **units)

    def recorded(self, seed, run_id):
        if not self.several:
            self.resumed_by = f"resume {run_id}"
        label = self.labels.get(seed, f"seed {seed}")  # a resumed run is recorded before it starts
        _print(f"{label}: MLflow run {run_id}")

    def images(self, seed, count):
        if seed in self.bars:
            self.bars[seed].update(count)

    def epoch(self, seed, result):
        number = f"epoch {result.epoch}/{self.epochs}"
        if seed in self.bars:
            self.bars[seed].set_postfix_str(f"{number} {self.kind} {result.accuracy:.2f} %")
            return
        accuracies = f"train {result.train_accuracy:.2f} %, {self.kind} {result.accuracy:.2f} %"
        _print(f"{self.labels[seed]}: {number}, {accuracies}, {result.seconds:.1f} s")

    def finished(self, seed, history):
        if not self.several:
            self.resumed_by = ""
        if seed not in self.labels:  # of a job, which tells no more than this
            self.labels[seed] = f"{self.label} {seed}"
            _print(f"{self.labels[seed]}: {self.kind} {history[-1].accuracy:.2f} % after {len(history)} epochs")
        if seed in self.bars:
            self.bars.pop(seed).close()
        if self.verbose or not self.several:
            tqdm.write(f"\n{self.labels[seed]}\n{tables.epoch_table(history, self.kind)}\n", file=sys.stdout)
            sys.stdout.flush()

    def close(self):
        """Remove the progress bars."""
        while self.bars:
            self.bars.popitem()[1].close()


class StudyTerminal(_OnTerminal):
    """Report a study on stderr: a bar of its trials, and a line for each."""

    def __init__(self, study: str):
        self.resumed_by = f"search {study}"
        self.best = None

    def study(self, study, budget, done, best, workers, run_id):
        self.best, self.smallest = best, study.objective == "validation_loss"
        before = f" ({done} trained before)" if done else ""
        _print(f"study {study.name}: {budget} trials{before}, {workers} at a time, MLflow run {run_id}")
        shape = {"total": budget, "initial": min(done, budget), "dynamic_ncols": True}
        self.bar = tqdm(unit=" trials", desc=study.name, disable=None, **shape)  # None: only on a terminal

    def trial(self, number, outcome, values, parameters):
        value = outcome.value
        if value is not None and (self.best is None or (value < self.best) == self.smallest):
            self.best = value
        result = outcome.state if value is None else f"{value:.5f}, {outcome.accuracy:.2f} %"
        fields = ", ".join(f"{name.partition('.')[2] or name} {as_stored(each)}" for name, each in values.items())
        best = "" if self.best is None else f"best {self.best:.5f}"
        line = f"trial {number}: {result} after {len(outcome.epochs)} epochs, {outcome.seconds:.0f} s ({fields})"
        _print(f"{line}{best and ', ' + best}")
        self.bar.set_postfix_str(best, refresh=False)
        self.bar.update()


class SweepTerminal(_OnTerminal):
    """Report a sweep on stderr: a bar over the images of all trainings, and a line for each that ends."""

    def __init__(self, sweep: str):
        self.resumed_by = f"sweep {sweep}"

    def sweep(self, name, plans, seeds, todo, run_id):
        done = f" ({len(plans) * seeds - len(todo)} trained before)" if len(todo) < len(plans) * seeds else ""
        _print(f"sweep {name}: {len(plans)} arms with {seeds} seeds each{done}, MLflow run {run_id}")
        specs = [(plans[label].spec.train, len(plans[label].data.train.labels)) for label, _ in todo]
        images = sum(count // train.batch_size * train.batch_size * train.epochs for train, count in specs)
        self.bar = tqdm(desc=name, total=images, bar_format=BAR, dynamic_ncols=True, disable=None)

    def images(self, count):
        self.bar.update(count)

    def trained(self, label, seed, accuracy):
        _print(f"{label}, seed {seed}: {'diverged' if accuracy is None else f'{accuracy:.2f} %'}")


def _print(text):
    tqdm.write(fitted(as_called(text), sys.stderr), file=sys.stderr)
    sys.stderr.flush()
