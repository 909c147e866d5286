"""The command that trains every arm of a sweep with every seed."""

import click

from tinycnn.cli.main import command
from tinycnn.cli.options import COUNT, DEVICE, OFFLINE, launched, processes
from tinycnn.errors import Undelivered


@command(
    click.argument("sweep", help="A name (short) or a file."),
    DEVICE, OFFLINE, launched,
    click.option("--seeds", type=COUNT, metavar="N", help="Seeds of each arm (default: the sweep's)."),
    examples=("sweep short", "sweep short --seeds 16"),
)  # fmt: skip
def sweep(sweep, device, offline, workers, cluster, seeds):
    """Train variants of a spec, each with the same seeds, and compare them; continues what was begun."""
    from tinycnn.cli.progress import SweepTerminal
    from tinycnn.spec.sweep import load
    from tinycnn.track.sweep import arms_table, plans, run_sweep

    loaded = load(sweep)
    with SweepTerminal(sweep) as reporter:
        ready = plans(loaded, device=device, offline=offline, fallback=False, reporter=reporter)
        how = {"workers": processes(workers), "cluster": cluster, "reporter": reporter}
        result = run_sweep(loaded, ready, seeds=seeds, **how)
    base, *arms = result["arms"]
    kind = base["evaluated_on"]
    about = f"accuracy on {kind} images after the last epoch; differences by seed, with their 95 % intervals"
    if others := [arm["arm"] for arm in arms if base["n"] and arm["n"] and not arm["against_base"]]:
        about += f"\non other images than the base, so no difference: {', '.join(others)}"
    error = Undelivered(result["undelivered"], f"sweep {sweep}") if result["undelivered"] else None
    return result, f"{arms_table(result)}\n{about}\n`make ui` shows the run {result['run_id']}", error
