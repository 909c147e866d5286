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

    def notice(self, line):
        self._say(f"note: {line}")

    def warning(self, line):
        rule = "!" * 72
        self._say(f"{rule}\n{line}\n{rule}")

    def started(self, plan: Plan, seed, run_id):
        self.kind, self.epochs = plan.data.kind, plan.spec.train.epochs
        self.label = f"{plan.spec.name}{f' on {plan.data.name}' if plan.fallback else ''} seed {seed}"
        self._say(f"{self.label}: MLflow run {run_id}")
        if sys.stderr.isatty():
            batch = plan.spec.train.batch_size
            images = len(plan.data.train.labels) // batch * batch * self.epochs
            self.bar = tqdm(total=images, unit=" images", unit_scale=True, desc=self.label, dynamic_ncols=True)

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
