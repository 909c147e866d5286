"""What a person at the terminal sees while a run goes on: progress bars, or plain lines where there is no terminal."""

import sys

from tqdm import tqdm

from tinycnn.study.worker import Watcher
from tinycnn.track import tables
from tinycnn.track.run import Plan, Reporter


class Terminal(Reporter):
    """Report on stderr; ``results`` also prints the table of the epochs on stdout after each seed."""

    def __init__(self, results: bool = True):
        self.results = results
        self.labels, self.bars = {}, {}  # by seed
        self.run_id = None  # what `resume` takes

    def notice(self, line):
        _say(f"note: {line}")

    def warning(self, line):
        rule = "!" * 72
        _say(f"{rule}\n{line}\n{rule}")

    def parent(self, plan: Plan, seeds, run_id):
        self.run_id = run_id
        _say(f"{plan.spec.name} seeds {seeds[0]} to {seeds[-1]}: MLflow run {run_id}")

    def started(self, plan: Plan, seed, run_id, history):
        several = self.run_id not in (None, run_id)
        self.run_id = self.run_id or run_id
        self.kind, self.epochs = plan.data.kind, plan.spec.train.epochs
        label = self.labels[seed] = f"{plan.spec.name}{f' on {plan.data.name}' if plan.fallback else ''} seed {seed}"
        gone = f", from epoch {len(history) + 1}" if history else ""
        _say(f"{label}: MLflow run {run_id or 'not made yet'}{gone}")
        if sys.stderr.isatty():
            batch = plan.spec.train.batch_size
            images = len(plan.data.train.labels) // batch * batch
            shape = {"total": images * self.epochs, "initial": images * len(history), "dynamic_ncols": True}
            # of several at once, those that end would leave gaps
            self.bars[seed] = tqdm(unit=" images", unit_scale=True, desc=label, leave=not several, **shape)

    def images(self, seed, count):
        if seed in self.bars:
            self.bars[seed].update(count)

    def epoch(self, seed, result):
        if seed in self.bars:
            self.bars[seed].set_postfix_str(f"epoch {result.epoch}/{self.epochs} {self.kind} {result.accuracy:.2f} %")
            return
        _say(
            f"{self.labels[seed]}: epoch {result.epoch}/{self.epochs}, train {result.train_accuracy:.2f} %, "
            f"{self.kind} {result.accuracy:.2f} %, {result.seconds:.1f} s"
        )

    def finished(self, seed, history):
        if seed in self.bars:
            self.bars.pop(seed).close()
        if self.results:
            tqdm.write(f"\n{self.labels[seed]}\n{tables.epoch_table(history, self.kind)}\n", file=sys.stdout)
            sys.stdout.flush()

    def close(self):
        """Take the progress bars off the screen."""
        while self.bars:
            self.bars.popitem()[1].close()


class StudyTerminal(Watcher):
    """Report a study on stderr: a bar of its trials, or a line for each."""

    def __init__(self):
        self.bar, self.best = None, None

    def notice(self, line):
        _say(f"note: {line}")

    def warning(self, line):
        _say(f"warning: {line}")

    def study(self, study, budget, done, best, workers, run_id):
        self.best = best
        self.objective, self.smallest = study.objective, study.objective == "validation_loss"
        begun = f", {done} trained before" if done else ""
        _say(f"study {study.name}: {budget} trials{begun}, {workers} at a time: MLflow run {run_id}")
        if sys.stderr.isatty():
            shape = {"total": budget, "initial": min(done, budget), "dynamic_ncols": True}
            self.bar = tqdm(unit=" trials", desc=study.name, **shape)

    def trial(self, number, outcome, values, parameters):
        came = f"{outcome.value:.5f}, {outcome.accuracy:.2f} %" if outcome.value is not None else outcome.state
        if outcome.value is not None and (self.best is None or (outcome.value < self.best) == self.smallest):
            self.best = outcome.value
        fields = ", ".join(f"{name.partition('.')[2]} {_brief(value)}" for name, value in values.items())
        best = "" if self.best is None else f", best {self.best:.5f}"
        if self.bar is not None:
            self.bar.set_postfix_str(best.removeprefix(", "), refresh=False)
            self.bar.update()
        _say(f"trial {number}: {came} after {len(outcome.epochs)} epochs, {outcome.seconds:.0f} s ({fields}){best}")

    def close(self):
        """Take the bar off the screen."""
        if self.bar is not None:
            self.bar.close()


def _brief(value):
    return "-".join(map(str, value)) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else value


def _say(line):
    tqdm.write(line, file=sys.stderr)
    sys.stderr.flush()
