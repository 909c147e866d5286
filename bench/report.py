"""From what was measured to ``bench.md`` and ``bench.png``; no number is written here."""

from matplotlib.figure import Figure

from analysis.plots.training import BLUE, VERMILION
from tinycnn.track import tables


def render(found: dict) -> str:
    """Return the sections that were measured as markdown."""
    return "\n\n".join(text(found[name]) for name, text in SECTIONS.items() if name in found) + "\n"


def _table(rows) -> str:
    """Write rows, each a dict of the same headers, the first column to the left."""
    return tables.markdown(
        tuple(rows[0]), [tuple(map(str, row.values())) for row in rows], "<" + ">" * (len(rows[0]) - 1)
    )


def _times(each, digits=2) -> str:
    """Write a ratio as median and range."""
    return f"{each['median']:.{digits}f} ({each['low']:.{digits}f} to {each['high']:.{digits}f})"


def _count(each) -> str:
    return f"{each['median']:,.0f} ({each['low']:,.0f} to {each['high']:,.0f})"


def _where(found) -> str:
    machine, versions = found["machine"], found["versions"]
    changed = ", with changes that are not committed" if found["uncommitted"] else ""
    return (
        "# How fast it is\n\n"
        "Written by `make bench`, which measures all of it in one run; `bench.json` has every repeat. Numbers are "
        "medians, "
        "with the least and the most of the repeats in brackets; ratios are taken repeat by repeat, since what else a "
        "machine does slows both sides.\n\n"
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; Python {versions['python']}, "
        f"torch {versions['torch']}; {found['experiment']} ({found['spec_hash']}) with the {found['kernels']} "
        "kernels; commit "
        f"{found['commit'][:12]}{changed}; {found['when']}."
    )


def _throughput(found) -> str:
    rows = [
        {"": name, "images/s": _count(values), "against the better plain loop": _times(found["ratio"][name])}
        for name, values in found["images_per_second"].items()
    ]
    return (
        "## Training images per second\n\n"
        "Augmentation included. The plain loop is `bench/plain_loop.py`: torchvision's data set and a transform for "
        "each "
        "image, a `DataLoader`, eager float32; the same network, optimizer and kinds of augmentation.\n\n"
        f"{_table(rows)}"
    )


def _time_and_arithmetic(found) -> str:
    kinds, rows = found["kernels"], []
    for part in next(iter(kinds.values()))["seconds_per_image"]:
        row = {"µs an image": "the whole step" if part == "step" else part}
        for name, each in kinds.items():
            seconds, whole = each["seconds_per_image"][part], each["seconds_per_image"]["step"]["median"]
            row[f"{name} kernels"] = f"{1e6 * seconds['median']:.1f}"
            row[f"{name}, share"] = f"{100 * seconds['median'] / whole:.0f} %"
        rows.append(row)
    row = {"µs an image": "evaluation (an image of the test set)"}
    for name, each in kinds.items():
        row |= {f"{name} kernels": f"{1e6 * each['evaluation_seconds_per_image']['median']:.1f}", f"{name}, share": ""}
    rows.append(row)
    arithmetic = [
        {
            "": f"{name} kernels",
            "GMAC/s, forward and backward": f"{each['macs_per_second']['median'] / 1e9:.1f}",
            "of the peak": _times(each["fraction_of_peak"]),
            "convolutions alone, of the peak": _times(each["fraction_of_peak_convolutions_alone"]),
            "whole step, of the peak": _times(each["fraction_of_peak_whole_step"]),
            "peak, GFLOP/s": f"{each['peak_flops']['median'] / 1e9:.0f}",
        }
        for name, each in kinds.items()
    ]
    return (
        "## Where the time goes\n\n"
        f"{_table(rows)}\n\n"
        f"Training takes {found['macs_per_image'] / 1e6:.2f} million multiply-accumulates (MAC) for an image: "
        "forward, to the "
        "weights, and back to all but the image. The peak is that of torch's product of two float32 matrices of 2048 x "
        f'2048 with {found["threads"]} threads, measured between the repeats; a MAC is two FLOP. "Convolutions '
        'alone" is '
        "the same network without batch norm, ReLU and dropout.\n\n"
        f"{_table(arithmetic)}\n\n"
        "What is lost between the convolutions alone and the whole forward and backward goes into the passes over the "
        "activations (batch statistics, normalising, ReLU, dropout, pooling), which move memory and compute little. "
        "What "
        "the convolutions themselves lose goes into maps whose width or number is no multiple of a tile of "
        "registers, into "
        "the first layer, whose one input channel gives few operations for each load, and into the borders that the "
        "way "
        "back to the input is padded with."
    )


def _candidates(found) -> str:
    rows = [
        {
            "": name,
            "images/s": _count(each["images_per_second"]),
            "times": _times(each["ratio"]) if each["against"] else "",
            "what": each["against"] or "(base)",
        }
        for name, each in found.items()
    ]
    return (
        "## What pays and what does not\n\n"
        'One change at a time, each against its base. "Torch\'s kernels" are eager float32 with channels last, fused '
        "optimizer and batches as the spec has them. Below 1 is slower. A ratio whose range includes 1 did not pay.\n\n"
        f"{_table(rows)}"
    )


def _accuracy(found) -> str:
    seeds = len(next(iter(found.values()))["accuracies"])
    rows = [
        {
            "": name,
            "mean %": f"{each['mean']:.3f}",
            "std": "-" if each["std"] is None else f"{each['std']:.3f}",
            "difference to torch's kernels": f"{each['mean_difference']:+.3f}",
            "its standard error": "-" if each["standard_error"] is None else f"{each['standard_error']:.3f}",
        }
        for name, each in found.items()
    ]
    return (
        "## The same accuracy\n\n"
        f"Validation accuracy after a short training (9,600 images, 3 epochs), {seeds} seeds, each pair of the same "
        "initial "
        "weights and order of images. Kernels, precision and compilation are fields of the spec (`train.kernels`, "
        "`train.precision`, `train.compile`).\n\n"
        f"{_table(rows)}"
    )


def _time_to(found) -> str:
    mine = [
        {
            "sprint, seed": run["seed"],
            "last epoch's test %": f"{run['accuracy']:.2f}",
            "seconds": f"{run['seconds']:.1f}",
        }
        for run in found["sprint"]
    ]
    theirs = [
        {
            "plain loop, seed": run["seed"],
            "epochs": run["epochs"],
            "reached": "yes" if run["reached"] else "no: longer than its whole run",
            "seconds": ("" if run["reached"] else "> ") + f"{run['seconds']:.0f}",
        }
        for run in found["plain"]
    ]
    accuracy, seconds, plain = found["sprint_accuracy"], found["sprint_seconds"], found["plain_seconds"]
    std = "-" if accuracy["std"] is None else f"{accuracy['std']:.3f}"
    verdict = "reached" if accuracy["mean"] >= found["target"] else "missed"
    return (
        f"## Time to {found['target']} %\n\n"
        f"`experiments/sprint.py`: {accuracy['mean']:.3f} % after the last epoch, the mean of {len(found['sprint'])} "
        "seeds "
        f"(std {std}, min {accuracy['min']:.2f}): {found['target']} % is {verdict}, in {_times(seconds, 1)} s of "
        "training, all "
        f"evaluations included. The plain loop with {found['plain_workers']} workers takes {_times(plain, 0)} s to "
        "its first "
        f"epoch at {found['target']} % or more. That is **{found['ratio']:.1f} times** as long, and "
        f"**{found['ratio_with_compilation']:.1f} times** where sprint's time includes the "
        f"{found['compilation_seconds']:.1f} "
        "s of compiling the kernels, which happens once on a machine. A first epoch is picked on the test set, which "
        "favours "
        "the plain loop; sprint is judged by its last.\n\n"
        f"{_table(mine)}\n\n{_table(theirs)}"
    )


def _tracking(found) -> str:
    names = {
        "import torch": "importing torch",
        "other imports": "the other imports",
        "start_up": "from there to the first epoch (data, record; the store is there)",
        "first_start_up_makes_the_store": "the same, where the store has to be made first",
        "epoch": "an epoch, evaluation included",
        "tracking": "tracking it: checkpoint, metrics, progress",
        "end": "after the last epoch: pictures, model, summary",
    }
    rows = []
    for key, words in names.items():
        each = found[key]
        each = each if isinstance(each, dict) else {"median": each, "low": each, "high": each}
        rows.append({"": words, "seconds": _times(each, 3)})
    share = {name: 100 * found["share_of_an_epoch"][name] for name in ("median", "low", "high")}
    return (
        "## What tracking costs\n\n"
        f"{_times(share)} % of an epoch: the time between two epochs, during which training waits.\n\n{_table(rows)}"
    )


def _side_by_side(found) -> str:
    rows = [
        {
            "": f"{name} kernels",
            f"{found['cores']} processes of one thread, images/s": _count(each["images_per_second"]["processes"]),
            f"one process of {found['cores']} threads, images/s": _count(each["images_per_second"]["threads"]),
            "times": _times(each["ratio"]),
        }
        for name, each in found["kernels"].items()
    ]
    return (
        "## Side by side\n\n"
        "What `--seeds` does (`tinycnn/launch.py`): each seed with one thread, as many at once as there are cores.\n\n"
        f"{_table(rows)}"
    )


def _studies(found) -> str:
    share = {name: 100 * found["overhead"][name] for name in ("median", "low", "high")}
    rows = [{"workers": workers, "trials an hour": _count(rate)} for workers, rate in found["trials_per_hour"].items()]
    times = _times(found["ratio"])
    return (
        "## Studies\n\n"
        "Trials of 5 epochs on 6,400 images, counted while workers work (their start, some 10 s, is left out). One "
        f"worker computes with as many threads as there are cores. {found['workers']} workers do {times} "
        f"times as many. Asking Optuna, storage and MLflow take {_times(share)} % of these short trials' time; of the "
        "trials of the committed studies less, see `reports/evidence/studies/`.\n\n"
        f"{_table(rows)}"
    )


def _growth(found) -> str:
    written = []
    for name, rows in found.items():
        first = rows[0]
        table = [
            {
                name: f"{row['at']:,}",
                "MAC forward": f"{row['macs']:,}",
                "µs an image": f"{1e6 * row['seconds_per_image']['median']:.1f}",
                "seconds an epoch": f"{row['seconds']['median']:.2f}",
                "ns a MAC, against the first": f"{_per_mac(row) / _per_mac(first):.2f}",
                "memory of training, MiB": f"{row['memory_of_training']['median']:.0f}",
                "peak, MiB": f"{row['memory']['median']:.0f}",
            }
            for row in rows
        ]
        written.append(_table(table))
    return (
        "## How cost grows\n\n"
        "Random pixels, the spec's network unless it is what changes; each point in a process of its own, whose peak "
        "of "
        "resident memory includes torch itself. Seeds here one after the other.\n\n"
        "![Seconds an epoch and memory against parameters, image size, data set size and seeds](bench.png)\n\n"
        + "\n\n".join(written)
    )


def _per_mac(row):
    return row["seconds_per_image"]["median"] / row["macs"]


def summary(found: dict) -> str:
    """Return what the README says of a whole run of the benchmark."""
    fast, reached, machine = found["throughput"]["ratio"]["tinycnn"], found["time_to"], found["where"]["machine"]
    native = found["time_and_arithmetic"]["kernels"]["native"]["fraction_of_peak"]
    beside = found["side_by_side"]["kernels"]["native"]["ratio"]
    return (
        f"- **{fast['median']:.1f} times** the training images per second of a plain loop (torchvision's data set and "
        "transforms, a `DataLoader`, eager float32) on exp3's network, augmentation included. Forward and backward run "
        f"at {100 * native['median']:.0f} % of the processor's float32 matrix-product peak.\n"
        f"- **{reached['target']} % in {reached['sprint_seconds']['median']:.0f} s** of training: `make sprint`, "
        f"{reached['sprint_accuracy']['mean']:.3f} % after the last epoch as a mean over {len(reached['sprint'])} "
        f"seeds (min {reached['sprint_accuracy']['min']:.2f}). A plain loop with exp3's recipe takes "
        f"{reached['plain_seconds']['median']:.0f} s to its first epoch there: {reached['ratio']:.0f} times as long, "
        f"{reached['ratio_with_compilation']:.0f} times with the compiling of the kernels counted to ours.\n"
        f"- Tracking costs {100 * found['tracking']['share_of_an_epoch']['median']:.1f} % of an epoch. Seeds side by "
        f"side train {beside['median']:.1f} times as many images a second as one after the other.\n\n"
        f"Measured on {machine['cores']} cores ({machine['processor']}) by `make bench`; all of it, and what did not "
        "pay, is in [reports/bench.md](reports/bench.md)."
    )


BEGIN, END = "<!-- speed: written by `make bench` -->", "<!-- end of speed -->"


def with_summary(text: str, found: dict) -> str:
    """Return the README's text with its summary as it should be."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{summary(found)}\n{END}{rest.partition(END)[2]}"


SECTIONS = {
    "where": _where,
    "throughput": _throughput,
    "time_and_arithmetic": _time_and_arithmetic,
    "candidates": _candidates,
    "accuracy": _accuracy,
    "time_to": _time_to,
    "tracking": _tracking,
    "side_by_side": _side_by_side,
    "studies": _studies,
    "growth": _growth,
}
"""In the order of the report."""


def figure(found: dict) -> Figure:
    """Draw seconds and memory against what they grow with, both axes logarithmic, a dotted line being proportional."""
    drawn = Figure(figsize=(11, 5.6), layout="constrained")
    axes = drawn.subplots(2, len(found), sharex="col")
    for column, (name, rows) in enumerate(found.items()):
        at = [row["at"] for row in rows]
        for axis, key, colour in ((axes[0, column], "seconds", BLUE), (axes[1, column], "memory", VERMILION)):
            middle = [row[key]["median"] for row in rows]
            below = [m - row[key]["low"] for m, row in zip(middle, rows, strict=True)]
            above = [row[key]["high"] - m for m, row in zip(middle, rows, strict=True)]
            axis.errorbar(at, middle, [below, above], marker="o", color=colour, capsize=3)
            axis.set_xscale("log")
            axis.minorticks_off()
            axis.set_xticks(at, [f"{value:,}" if value < 1000 else f"{value / 1000:.2g}k" for value in at], fontsize=8)
            axis.grid(alpha=0.3)
        power = 2 if name == "image size" else 1
        line = [rows[0]["seconds"]["median"] * (value / at[0]) ** power for value in at]
        axes[0, column].plot(at, line, ":", color="grey", label="proportional" if power == 1 else "its square")
        axes[0, column].set_yscale("log")
        axes[0, column].legend(frameon=False, fontsize=8)
        axes[1, column].set_ylim(0)
        axes[1, column].set_xlabel(name if name != "image size" else "image size (pixels a side)")
    axes[0, 0].set_ylabel("seconds of training an epoch")
    axes[1, 0].set_ylabel("peak memory, MiB")
    return drawn
