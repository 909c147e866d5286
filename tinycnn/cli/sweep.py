"""``sweep``: train every arm of a sweep with every seed; and the bar that is seen meanwhile."""

import sys

import click
from tqdm import tqdm

from tinycnn.cli.main import command
from tinycnn.cli.options import COUNT, DEVICE, OFFLINE, WORKERS, processes
from tinycnn.errors import Undelivered


@command(
    click.argument("sweep", help="A name (budgets) or a file."),
    DEVICE, OFFLINE, WORKERS,
    click.option("--seeds", type=COUNT, metavar="N", help="Seeds of each arm (default: the sweep's)."),
    examples=("sweep pooling", "sweep pooling --seeds 16"),
)  # fmt: skip
def sweep(sweep, device, offline, workers, seeds):
    """Train variants of a spec, each with the same seeds, and compare them; continues what was begun."""
    from tinycnn.spec.sweep import load
    from tinycnn.track.sweep import arms_table, plans, run_sweep

    loaded = load(sweep)
    with terminal(sweep) as reporter:
        ready = plans(loaded, device=device, offline=offline, fallback=False, reporter=reporter)
        result = run_sweep(loaded, ready, seeds=seeds, workers=processes(workers), reporter=reporter)
    kind = result["arms"][0]["evaluated_on"]
    about = f"accuracy on {kind} images after the last epoch; differences by seed, with their 95 % intervals"
    error = Undelivered(result["undelivered"], result["run_id"]) if result["undelivered"] else None
    return result, f"{arms_table(result)}\n{about}\n`make ui` shows the run {result['run_id']}", error


def terminal(name: str):
    """Return a reporter of a sweep: a bar over the images of all trainings, and a line for each that ends."""
    from tinycnn.cli.progress import BAR, OnTerminal, show_line
    from tinycnn.track.sweep import SweepReporter

    class Terminal(OnTerminal, SweepReporter):
        resumed_by, bar = f"sweep {name}", None

        def sweep(self, name, plans, seeds, todo, run_id):
            done = f" ({len(plans) * seeds - len(todo)} trained before)" if len(todo) < len(plans) * seeds else ""
            show_line(f"sweep {name}: {len(plans)} arms with {seeds} seeds each{done}, MLflow run {run_id}")
            if sys.stderr.isatty():
                specs = [(plans[label].spec.train, len(plans[label].data.train.labels)) for label, _ in todo]
                images = sum(count // train.batch_size * train.batch_size * train.epochs for train, count in specs)
                self.bar = tqdm(desc=name, total=images, bar_format=BAR, dynamic_ncols=True)

        def images(self, count):
            if self.bar is not None:
                self.bar.update(count)

        def trained(self, label, seed, accuracy):
            show_line(f"{label}, seed {seed}: {'diverged' if accuracy is None else f'{accuracy:.2f} %'}")

        def close(self):
            if self.bar is not None:
                self.bar.close()

    return Terminal()
