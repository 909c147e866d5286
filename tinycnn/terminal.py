"""What a person at the terminal sees while a run goes on: a progress bar, or plain lines where there is no terminal."""

import sys

from tqdm import tqdm

from tinycnn import tables
from tinycnn.run import Plan, Reporter


class Terminal(Reporter):
    """Report on stderr; ``results`` also prints the table of the epochs on stdout after each seed."""

    def __init__(self, results: bool = True):
        self.results = results
        self.bar = None
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
        self.run_id = self.run_id or run_id
        self.kind, self.epochs = plan.data.kind, plan.spec.train.epochs
        self.label = f"{plan.spec.name}{f' on {plan.data.name}' if plan.fallback else ''} seed {seed}"
        gone = f", from epoch {len(history) + 1}" if history else ""
        self._say(f"{self.label}: MLflow run {run_id or 'not made yet'}{gone}")
        if sys.stderr.isatty():
            batch = plan.spec.train.batch_size
            images = len(plan.data.train.labels) // batch * batch
            shape = {"total": images * self.epochs, "initial": images * len(history), "dynamic_ncols": True}
            self.bar = tqdm(unit=" images", unit_scale=True, desc=self.label, **shape)

    def images(self, count):
        if self.bar is not None:
            self.bar.update(count)

    def epoch(self, result):
        if self.bar is not None:
            self.bar.set_postfix_str(f"epoch {result.epoch}/{self.epochs} {self.kind} {result.accuracy:.2f} %")
            return
        self._say(
            f"{self.label}: epoch {result.epoch}/{self.epochs}, train {result.train_accuracy:.2f} %, {self.kind} "
            f"{result.accuracy:.2f} %, {result.seconds:.1f} s"
        )

    def finished(self, seed, history):
        self.close()
        if self.results:
            print(f"\n{self.label}\n{tables.epoch_table(history, self.kind)}\n", flush=True)

    def close(self):
        """Take the progress bar off the screen."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _say(self, line):
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()
