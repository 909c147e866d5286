"""From what was measured to ``bench.md``; no number is written here."""

from tinycnn.track import tables


def render(found: dict) -> str:
    """Return the sections that were measured as Markdown."""
    return "\n\n".join(text(found[name]) for name, text in SECTIONS.items() if name in found) + "\n"


def _table(rows) -> str:
    """Return rows, dicts with the same keys, as a Markdown table, the first column aligned left."""
    cells = [tuple(map(str, row.values())) for row in rows]
    return tables.markdown(tuple(rows[0]), cells, "<" + ">" * (len(rows[0]) - 1))


def _range(each, digits=2) -> str:
    """Return median and range."""
    return f"{each['median']:,.{digits}f} ({each['low']:,.{digits}f} to {each['high']:,.{digits}f})"


def _percent(each) -> str:
    return _range({name: 100 * each[name] for name in ("median", "low", "high")})


def _where(found) -> str:
    machine, versions = found["machine"], found["versions"]
    changed = ", with uncommitted changes" if found["uncommitted"] else ""
    return f"""# How fast it is

Written by `make bench`; `bench.json` has every repeat. Numbers are medians, the range of the repeats in brackets. \
Ratios are taken repeat by repeat, because whatever else the machine does slows both sides.

{machine["processor"]}, {machine["cores"]} cores, {machine["threads"]} threads; Python {versions["python"]}, \
torch {versions["torch"]}; {found["experiment"]} ({found["spec_hash"]}) with the {found["kernels"]} kernels; \
commit {found["commit"][:12]}{changed}; {found["when"]}."""


def _throughput(found) -> str:
    rows = [
        {"": name, "images/s": _range(values, 0), "against the better plain loop": _range(found["ratio"][name])}
        for name, values in found["images_per_second"].items()
    ]
    return f"""## Training images per second, {found["experiment"]}

Augmentation included. The plain loop is `bench/plain_loop.py`: torchvision's data set, a transform for each image, \
a `DataLoader`, eager float32; the same network, optimizer and kinds of augmentation.

{_table(rows)}"""


def _arithmetic(found) -> str:
    rows = [
        {
            "": f"{name} kernels",
            "GMAC/s, forward and backward": f"{each['macs_per_second']['median'] / 1e9:.1f}",
            "of the peak": _range(each["fraction_of_peak"]),
            "peak, GFLOP/s": f"{each['peak_flops']['median'] / 1e9:.0f}",
        }
        for name, each in found["kernels"].items()
    ]
    return f"""## Forward and backward against the processor's peak

Training takes {found["macs_per_image"] / 1e6:.2f} million multiply-accumulates (MAC) per image: forward, to \
the weights, and back to all but the image. The peak is that of torch's product of two float32 matrices of 2048 x \
2048 with {found["threads"]} threads, measured between the repeats; a MAC is two FLOP.

{_table(rows)}"""


def _layers(found) -> str:
    rows = [
        {
            "": f"`{kind}`",
            "images/s": _range(each["images_per_second"]["native"], 0),
            "times torch's kernels": _range(each["ratio"]),
            "of the peak": _range(each["fraction_of_peak"]),
        }
        for kind, each in found["kinds"].items()
    ]
    slow = [kind for kind, each in found["kinds"].items() if each["ratio"]["median"] < LAYER_TARGET]
    below = f"below it: {', '.join(slow)}" if slow else "none is below it"
    return f"""## Every kind of layer

Forward and backward of a network of four such layers (one where the map shrinks) between a convolution and a head, \
with batches of {found["batch"]}. The target is {LAYER_TARGET} times torch's kernels; {below}. Only the \
multiply-accumulates of convolutions count to the share of the peak.

{_table(rows)}"""


LAYER_TARGET = 3


def _tried(found) -> str:
    rows = [
        {
            "": name,
            "images/s": _range(each["images_per_second"], 0),
            "times": _range(each["ratio"]) if each["against"] else "",
            "base": each["against"] or "(base)",
        }
        for name, each in found["candidates"].items()
    ]
    return f"""## What paid and what did not

Measured once, to decide ({found["when"]}, commit {found["commit"][:12]}, which has the code), and not again: \
one change at a time, each against its base. "Torch's kernels" are eager float32 with channels last, fused optimizer \
and batches as in the spec. Below 1 is slower. A ratio whose range includes 1 did not pay.

{_table(rows)}"""


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
            "reached": "yes" if run["reached"] else "no, in its whole run",
            "seconds": ("" if run["reached"] else "> ") + f"{run['seconds']:.0f}",
        }
        for run in found["plain"]
    ]
    target, accuracy = found["target"], found["sprint_accuracy"]
    std = "-" if accuracy["std"] is None else f"{accuracy['std']:.3f}"
    verdict = "reached" if accuracy["mean"] >= target else "missed"
    return f"""## Time to {target} %

`experiments/sprint.py`: {accuracy["mean"]:.3f} % after the last epoch, the mean of {len(mine)} seeds (std {std}, \
min {accuracy["min"]:.2f}): {target} % is {verdict}, in {_range(found["sprint_seconds"], 1)} s of training, all \
evaluations included. From the command to the verdict, everything counted, it takes \
{_range(found["command_seconds"], 1)} s; the first of three makes the store. The plain loop with \
{found["plain_workers"]} workers takes {_range(found["plain_seconds"], 0)} s to its first epoch at {target} % or more: \
**{found["ratio"]:.1f} times** as long, and **{found["ratio_with_compilation"]:.1f} times** if sprint's time includes \
the {found["compilation_seconds"]:.1f} s of compiling the kernels, once per machine. A first epoch is chosen on the \
test set, which favours the plain loop; sprint is judged by its last.

{_table(mine)}

{_table(theirs)}"""


def _tracking(found) -> str:
    names = {
        "epoch": "an epoch, evaluation included",
        "tracking": "tracking it: checkpoint, metrics, progress",
        "end": "after the last epoch: figures, model, summary",
    }
    rows = [{"": text, "seconds": _range(found[name], 3)} for name, text in names.items()]
    return f"""## What tracking costs

{_percent(found["share_of_an_epoch"])} % of an epoch: the time between two epochs, during which training waits.

{_table(rows)}"""


TARGETS = {"first line": 0.3, "list": 1, "doctor": 5}
"""Seconds, on two cores."""
RATIO_TARGET = 2.5


def _start_up(found) -> str:
    names = {
        "first line": "`run`: the first line on the terminal",
        "first batch": "`run`: the end of the first batch",
        "import torch": "`import torch` alone",
        "list": "`list`, to its end",
        "doctor": "`doctor`, to its end",
    }
    rows = [
        {"": text, "seconds": _range(found["seconds"][name]), "target": TARGETS.get(name, "")}
        for name, text in names.items()
    ]
    return f"""## Start-up

From the start of the process, data and store being there and files cached. The first batch is trained after \
{_range(found["ratio"])} times the seconds of `import torch` alone; the target is {RATIO_TARGET}.

{_table(rows)}"""


def _side_by_side(found) -> str:
    cores = found["cores"]
    rows = [
        {
            "": f"{name} kernels",
            f"{cores} processes of one thread, images/s": _range(each["images_per_second"]["processes"], 0),
            f"one process of {cores} threads, images/s": _range(each["images_per_second"]["threads"], 0),
            "times": _range(each["ratio"]),
            "one process of one thread, images/s": _range(each["images_per_second"]["one"], 0),
            "times that": _range(each["scaling"]),
        }
        for name, each in found["kernels"].items()
    ]
    return f"""## Seeds side by side

What `--seeds` does (`tinycnn/launch/local.py`): each seed with one thread, as many at once as there are cores.

{_table(rows)}"""


def summary(found: dict) -> str:
    """Return what `docs/speed.md` says of a whole run of the benchmark."""
    start = colour = ""
    if "cifar" in found:
        rate, times = (found["cifar"][each]["tinycnn"]["median"] for each in ("images_per_second", "ratio"))
        name = found["cifar"]["experiment"]
        colour = f" **{times:.1f} times** on CIFAR-10 with {name}'s, {rate:,.0f} images per second."
    if "start_up" in found:
        seconds = {name: each["median"] for name, each in found["start_up"]["seconds"].items()}
        start = (
            f"- The first line appears {seconds['first line']:.1f} s after the command, and the first batch is trained "
            f"after {seconds['first batch']:.1f} s, {found['start_up']['ratio']['median']:.1f} times `import torch` "
            "alone.\n"
        )
    fast, reached, machine = found["throughput"]["ratio"]["tinycnn"], found["time_to"], found["where"]["machine"]
    native = found["arithmetic"]["kernels"]["native"]["fraction_of_peak"]
    beside = found["side_by_side"]["kernels"]["native"]["ratio"]
    return (
        f"- **{fast['median']:.1f} times** the training images per second of a plain loop (torchvision's data set and "
        "transforms, a `DataLoader`, eager float32) on exp3's network, augmentation included."
        f"{colour} Forward and backward run at {100 * native['median']:.0f} % of the processor's float32 "
        "matrix-product peak.\n"
        f"- **{reached['target']} % in {reached['sprint_seconds']['median']:.0f} s** of training: `make sprint`, "
        f"{reached['sprint_accuracy']['mean']:.3f} % after the last epoch as a mean over {len(reached['sprint'])} "
        f"seeds (min {reached['sprint_accuracy']['min']:.2f}). A plain loop with exp3's recipe takes "
        f"{reached['plain_seconds']['median']:.0f} s to its first epoch there: {reached['ratio']:.0f} times as long, "
        f"{reached['ratio_with_compilation']:.0f} times with the compiling of the kernels counted to ours.\n"
        f"- Tracking costs {100 * found['tracking']['share_of_an_epoch']['median']:.1f} % of an epoch. Seeds side by "
        f"side train {beside['median']:.1f} times as many images a second as one after the other.\n"
        f"{start}\n"
        f"Measured on {machine['cores']} cores ({machine['processor']}) by `make bench`; all of it, and what did not "
        "pay, is in [reports/bench.md](../reports/bench.md)."
    )


BEGIN, END = "<!-- speed: written by `make bench` -->", "<!-- end of speed -->"


def with_summary(text: str, found: dict) -> str:
    """Return the text of `docs/speed.md` with its summary as it should be."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{summary(found)}\n{END}{rest.partition(END)[2]}"


SECTIONS = {
    "where": _where,
    "throughput": _throughput,
    "cifar": _throughput,
    "arithmetic": _arithmetic,
    "layers": _layers,
    "tried": _tried,
    "time_to": _time_to,
    "tracking": _tracking,
    "start_up": _start_up,
    "side_by_side": _side_by_side,
}
"""In the order of the report."""
