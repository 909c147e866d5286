"""What a person at the terminal sees while a run goes on: progress bars, or plain lines where there is no terminal."""

import sys

from tqdm import tqdm

from tinycnn import tables
from tinycnn.run import Plan, Reporter


class Terminal(Reporter):
    """Report on stderr; ``results`` also prints the table of the epochs on stdout after each seed."""

    def __init__(self, results: bool = True):
        self.results = results
        self.labels, self.bars = {}, {}  # by seed
        self.run_id = None  # what `resume` takes

    def notice(self, line):
        self._say(f"note: {line}")

    def warning(self, line):
        rule = "!" * 72
        self._say(f"{rule}\n{line}\n{rule}")

    def parent(self, plan: Plan, seeds, run_id):
        self.run_id = run_id
        self._say(f"{plan.spec.name} seeds {seeds[0]} to {seeds[-1]}: MLflow run {run_id}")

    def started(self, plan: Plan, seed, run_id, history):
        several = self.run_id not in (None, run_id)
        self.run_id = self.run_id or run_id
        self.kind, self.epochs = plan.data.kind, plan.spec.train.epochs
        label = self.labels[seed] = f"{plan.spec.name}{f' on {plan.data.name}' if plan.fallback else ''} seed {seed}"
        gone = f", from epoch {len(history) + 1}" if history else ""
        self._say(f"{label}: MLflow run {run_id or 'not made yet'}{gone}")
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
        self._say(
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

    def _say(self, line):
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()
