"""What is measured. Every function returns plain values; what is measured several times is a ``spread``."""

import contextlib
import functools
import inspect
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from bench import plain_loop
from tinycnn import ROOT
from tinycnn.data import Images, load
from tinycnn.launch import local as launch
from tinycnn.network import native
from tinycnn.network.profile import measure
from tinycnn.spec import load as experiments
from tinycnn.study import definition as studies_of
from tinycnn.train import loop as trainer

CPU = torch.device("cpu")


def spread(values) -> dict:
    """Return median, least and most of some repeats, and the repeats."""
    values = [float(value) for value in values]
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "values": values}


def ratio(one: dict, other: dict) -> dict:
    """Divide repeat by repeat: what slows the machine down for a while slows both."""
    return spread(a / b for a, b in zip(one["values"], other["values"], strict=True))


def few(data, images: int, evaluated: int = 1000):
    """Return a data set cut down to its first images."""
    cut = {
        name: Images(part.images[:count], part.labels[:count])
        for name, part, count in (("train", data.train, images), ("evaluation", data.evaluation, evaluated))
    }
    return replace(data, **cut)


def with_kernels(spec, kernels: str):
    """Return the spec with these kernels."""
    return spec.but(train={"kernels": kernels})


@contextlib.contextmanager
def patched(owner, name, value):
    """Replace an attribute in a block."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


# --- images per second -----------------------------------------------------------------------------------------------


def rate(spec, data, epochs: int = 1) -> float:
    """Return training images per second, augmentation included, the best of ``epochs`` after one to warm up."""
    results = trainer.train(spec.but(train={"epochs": epochs + 1}), 0, data=data, device="cpu")
    return max([result.images_per_second for result in results][1:])


def interleaved(repeats: int, kinds: dict) -> dict:
    """Measure every kind (name -> function) in turn, ``repeats`` times over; return a spread for each."""
    found = {name: [] for name in kinds}
    for _ in range(repeats):
        for name, function in kinds.items():
            found[name].append(function())
    return {name: spread(values) for name, values in found.items()}


def throughput(spec, repeats: int) -> dict:
    """Compare training images per second with the plain loop, with both numbers of workers."""
    data = few(load(spec.data.name), 12_800)
    found = interleaved(
        repeats,
        {
            "plain loop, 0 workers": lambda: plain_loop.throughput(spec, 0, 6400),
            "plain loop, 2 workers": lambda: plain_loop.throughput(spec, 2, 6400),
            "tinycnn, torch's kernels": lambda: rate(with_kernels(spec, "torch"), data),
            "tinycnn": lambda: rate(spec, data),
        },
    )
    better = spread(map(max, *(found[f"plain loop, {workers} workers"]["values"] for workers in (0, 2))))
    ratios = {name: ratio(values, better) for name, values in found.items()}
    return {"images_per_second": found, "ratio": ratios}


# --- where the time goes ---------------------------------------------------------------------------------------------


def matrix_peak(threads: int) -> float:
    """Return FLOP/s of torch's product of float32 matrices of 2048 x 2048, the best of 5."""
    one, other = torch.rand(2048, 2048), torch.rand(2048, 2048)
    with launch.computing_with(threads):
        seconds = []
        for _ in range(6):
            begun = time.perf_counter()
            torch.mm(one, other)
            seconds.append(time.perf_counter() - begun)
    return 2 * 2048**3 / min(seconds[1:])


PARTS = ("augmentation", "normalisation", "forward", "loss", "backward", "optimizer", "schedule")


def profile(spec, data, steps: int = 150, overlapped: bool = False) -> dict:
    """Time the parts of a training step as ``train.py`` takes them; seconds for an image of each, and of a whole step.

    ``overlapped`` lets another thread prepare the batches ahead.
    """
    state = trainer.start(spec, 0, data, CPU)
    forward = trainer.accelerated(spec, state.network, CPU)
    forward.train()
    generator, batch = torch.Generator().manual_seed(0), spec.train.batch_size
    taken, spent = torch.randint(len(data.train.labels), (steps, batch)), dict.fromkeys(PARTS, 0.0)
    clock = time.perf_counter

    def prepared():
        for chosen in taken:
            times = [clock()]
            labels = data.train.labels[chosen]
            pixels, _ = spec.augment.apply(data.train.images[chosen].float().div_(255), labels, generator, data)
            times.append(clock())
            pixels = trainer.normalise(pixels, data)
            times.append(clock())
            spent["augmentation"] += times[1] - times[0]
            spent["normalisation"] += times[2] - times[1]
            yield pixels, labels

    for number, (pixels, labels) in enumerate(_ahead(prepared()) if overlapped else prepared()):
        if number == 10:  # warm
            spent = spent | dict.fromkeys(PARTS, 0.0)
            begun = clock()
        times = [clock()]
        logits = forward(pixels)
        times.append(clock())
        loss = F.cross_entropy(logits, labels, label_smoothing=spec.loss.label_smoothing)
        loss.item()
        times.append(clock())
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        times.append(clock())
        state.optimizer.step()
        times.append(clock())
        state.schedule.step()
        times.append(clock())
        for name, one, other in zip(PARTS[2:], times, times[1:], strict=False):
            spent[name] += other - one
    images = (steps - 10) * batch
    return {name: seconds / images for name, seconds in spent.items()} | {"step": (clock() - begun) / images}


def _ahead(batches):
    """Yield what another thread makes, up to four ahead."""
    made = queue.Queue(4)

    def make():
        for each in batches:
            made.put(each)
        made.put(None)

    threading.Thread(target=make, daemon=True).start()
    while (each := made.get()) is not None:
        yield each


def training_macs(measured) -> int:
    """Return the multiply-accumulates of training on one image: forward, to the weights, and back to all but the image.

    Only convolutions count.
    """
    first = next(layer.macs for layer in measured.layers if layer.macs)
    return 3 * measured.macs - first


def time_and_arithmetic(spec, repeats: int) -> dict:
    """Say where the time goes, and what share of this machine's matrix-product peak forward and backward reach."""
    data, facts = few(load(spec.data.name), 12_800, 10_000), spec.data.facts()
    macs, threads = training_macs(measure(spec, facts)), torch.get_num_threads()
    found = {"macs_per_image": macs, "threads": threads, "kernels": {}}
    for kernels in ("native", "torch"):
        chosen, runs = with_kernels(spec, kernels), []
        for _ in range(repeats):
            alone = profile(bare_convolutions(chosen), data, 60)
            runs.append((matrix_peak(threads), profile(chosen, data), alone, evaluation(chosen, data, 1000)))
        peaks, steps, alone, evaluated = zip(*runs, strict=True)
        rates = [macs / (step["forward"] + step["backward"]) for step in steps]
        bare_macs = training_macs(measure(bare_convolutions(spec), facts))
        bare_rates = [bare_macs / (step["forward"] + step["backward"]) for step in alone]
        found["kernels"][kernels] = {
            "seconds_per_image": {name: spread(step[name] for step in steps) for name in (*PARTS, "step")},
            "evaluation_seconds_per_image": spread(evaluated),
            "macs_per_second": spread(rates),
            "peak_flops": spread(peaks),
            "fraction_of_peak": spread(2 * done / peak for done, peak in zip(rates, peaks, strict=True)),
            "fraction_of_peak_convolutions_alone": spread(
                2 * done / peak for done, peak in zip(bare_rates, peaks, strict=True)
            ),
            "fraction_of_peak_whole_step": spread(
                2 * macs / step["step"] / peak for step, peak in zip(steps, peaks, strict=True)
            ),
        }
    return found


def bare_convolutions(spec):
    """Return the spec without batch norm, activation and dropout: what is left is convolving."""
    return spec.but(model={"norm": "none", "activation": "none", "dropout": 0.0})


def evaluation(spec, data, batch: int) -> float:
    """Return seconds for each image evaluated, in batches of this size."""
    network = trainer.accelerated(spec, trainer.start(spec, 0, data, CPU).network, CPU)
    with patched(trainer, "_EVALUATION_BATCH", batch):
        trainer.predict(network, data.evaluation, data, spec)
        begun = time.perf_counter()
        trainer.predict(network, data.evaluation, data, spec)
    return (time.perf_counter() - begun) / len(data.evaluation.labels)


# --- candidates ------------------------------------------------------------------------------------------------------


class Unfolded(nn.Module):
    """A convolution as one product of matrices."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, images):
        kernel, pad = self.conv.kernel_size, self.conv.padding
        height, width = (side + 2 * p - k + 1 for side, p, k in zip(images.shape[2:], pad, kernel, strict=True))
        columns = F.unfold(images, kernel, padding=pad)
        return (self.conv.weight.flatten(1) @ columns).view(len(images), -1, height, width)


class Largest(nn.Module):
    """A max-pool that keeps no indices."""

    def __init__(self, pool):
        super().__init__()
        self.side = pool.kernel_size

    def forward(self, images):
        height, width = (size // self.side for size in images.shape[2:])
        whole = images[:, :, : height * self.side, : width * self.side]
        return whole.reshape(*images.shape[:2], height, self.side, width, self.side).amax((3, 5))


def _exchange(network, kind, substitute):
    for name, child in network.named_children():
        if isinstance(child, kind):
            setattr(network, name, substitute(child))
        else:
            _exchange(child, kind, substitute)
    return network


def _starting(change):
    """Return a block in which training starts from a changed state."""
    start = trainer.start

    def changed(spec, seed, data, device):
        state = start(spec, seed, data, device)
        change(state)
        steps = len(data.train.labels) // spec.train.batch_size
        state.schedule = spec.schedule.build(state.optimizer, spec.train.epochs, steps)
        return state

    return patched(trainer, "start", changed)


def _unfuse(state):
    """Take torch's own default for the optimizer in place of the fused one."""
    old, settings = state.optimizer, {}
    for name in inspect.signature(type(old)).parameters:
        if name in old.defaults and name not in ("fused", "foreach"):
            settings[name] = old.defaults[name]
    state.optimizer = type(old)(state.network.parameters(), **settings)


def candidates(spec, repeats: int) -> dict:
    """Measure one change at a time, each against what it would change: images per second, as a ratio."""
    repeats = min(repeats, 3)  # compiling takes its time
    data, nothing = few(load(spec.data.name), 6400), contextlib.nullcontext
    torchs, ours = with_kernels(spec, "torch"), with_kernels(spec, "native")
    fast = {"precision": "bfloat16"}
    onednn = functools.partial(torch.backends.mkldnn.flags, enabled=False)
    tried = {
        # name: (spec, block, the base it is compared with)
        "torch's kernels": (torchs, nothing, None),
        "contiguous in place of channels last": (
            torchs, lambda: _starting(lambda s: s.network.to(memory_format=torch.contiguous_format)), "torch's kernels",
        ),
        "optimizer not fused": (torchs, lambda: _starting(_unfuse), "torch's kernels"),
        "without oneDNN": (torchs, onednn, "torch's kernels"),
        "bfloat16": (torchs.but(train=fast), nothing, "torch's kernels"),
        "torch.compile": (torchs.but(train={"compile": True}), nothing, "torch's kernels"),
        "torch.compile, bfloat16": (torchs.but(train=fast | {"compile": True}), nothing, "torch's kernels"),
        "pooling without indices": (
            torchs, lambda: _starting(lambda s: _exchange(s.network, nn.MaxPool2d, Largest)), "torch's kernels",
        ),
        "convolution as matrix products": (
            torchs, lambda: _starting(lambda s: _exchange(s.network, nn.Conv2d, Unfolded)), "torch's kernels",
        ),
        "batches of 256": (torchs.but(train={"batch_size": 256}), nothing, "torch's kernels"),
        "own kernels": (ours, nothing, "torch's kernels"),
        "own kernels, optimizer not fused": (ours, lambda: _starting(_unfuse), "own kernels"),
        "own kernels, batches of 128": (ours.but(train={"batch_size": 128}), nothing, "own kernels"),
        "own kernels, batches of 256": (ours.but(train={"batch_size": 256}), nothing, "own kernels"),
        "own kernels, no augmentation at all": (ours.but(augment=type(spec.augment)()), nothing, "own kernels"),
    }  # fmt: skip
    if native.missing():
        tried = {name: each for name, each in tried.items() if not name.startswith("own")}

    def measured(chosen, block):
        with block():
            return rate(chosen, data)

    found = interleaved(repeats, {name: functools.partial(measured, *each[:2]) for name, each in tried.items()})
    rows = {
        name: {"images_per_second": found[name], "against": base, "ratio": ratio(found[name], found[base or name])}
        for name, (_, _, base) in tried.items()
    }
    steps = interleaved(
        repeats,
        {
            name: lambda overlapped=overlapped: 1 / profile(spec, data, overlapped=overlapped)["step"]
            for name, overlapped in (("a step", False), ("augmentation overlapped, in a thread", True))
        },
    )
    name = "augmentation overlapped, in a thread"
    rows[name] = {
        "images_per_second": steps[name], "against": "a step", "ratio": ratio(steps[name], steps["a step"])
    }  # fmt: skip
    larger = few(load(spec.data.name), 100, 10_000)
    kinds = {
        f"evaluation in batches of {batch:,}": lambda batch=batch: 1 / evaluation(spec, larger, batch)
        for batch in (1000, 100, 10_000)
    }
    base = "evaluation in batches of 1,000"
    rows |= {
        name: {"images_per_second": values, "against": base if name != base else None, "ratio": values}
        for name, values in interleaved(repeats, kinds).items()
    }
    for name in kinds:
        rows[name]["ratio"] = ratio(rows[name]["images_per_second"], rows[base]["images_per_second"])
    allocator = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
    told = {"images": 6400, "changes": {"train.kernels": "torch"}, "threads": torch.get_num_threads()}
    kinds = {
        name: lambda extra=extra: 1 / point(spec, told, extra)["seconds_per_image"]
        for name, extra in (("as it is", {}), ("malloc keeps what is freed", allocator))
    }
    kept = interleaved(repeats, kinds)
    name = "malloc keeps what is freed"
    rows[name] = {
        "images_per_second": kept[name],
        "against": "torch's kernels",
        "ratio": ratio(kept[name], kept["as it is"]),
    }
    return rows


def point(spec, told: dict, environment: dict | None = None) -> dict:
    """Train in a process of its own, see ``bench/point.py``."""
    command = [sys.executable, "-m", "bench.point", json.dumps({"experiment": spec.name} | told)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | (environment or {}), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-500:]}")
    return json.loads(done.stdout)


# --- the same accuracy -----------------------------------------------------------------------------------------------


def accuracy(spec, seeds: int) -> dict:
    """Compare accuracies with and without what is fast, seed by seed, after a short training, on validation images."""
    share = spec.data.facts().standard_validation
    data = few(load(spec.data.name, share), 9600, 10_000)
    short = spec.but(train={"epochs": 3}, data={"validation": share})
    kinds = {
        "torch's kernels": {"kernels": "torch"},
        "own kernels": {"kernels": "native"},
        "bfloat16": {"kernels": "torch", "precision": "bfloat16"},
        "torch.compile": {"kernels": "torch", "compile": True},
    }

    def last(settings, seed):
        return list(trainer.train(short.but(train=settings), seed, data=data, device="cpu"))[-1].accuracy

    found = {name: [last(settings, seed) for seed in range(seeds)] for name, settings in kinds.items()}
    base = found["torch's kernels"]
    return {
        name: {
            "accuracies": values,
            "mean": statistics.mean(values),
            "std": statistics.stdev(values) if seeds > 1 else None,
            "mean_difference": statistics.mean(a - b for a, b in zip(values, base, strict=True)),
            "standard_error": _standard_error([a - b for a, b in zip(values, base, strict=True)]),
        }
        for name, values in found.items()
    }


def _standard_error(values):
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


# --- time to an accuracy ---------------------------------------------------------------------------------------------


def time_to(target: float, spec, plain_seeds: int, sprint_seeds: int, say) -> dict:
    """Time training with ``sprint`` to its end, and the plain loop with ``spec`` to its first epoch at ``target``."""
    sprint, workers = experiments.load("sprint"), 0
    data = load(sprint.data.name)
    runs = []
    for seed in range(sprint_seeds):
        begun = time.perf_counter()
        results = list(trainer.train(sprint, seed, data=data, device="cpu"))
        runs.append({"seed": seed, "seconds": time.perf_counter() - begun, "accuracy": results[-1].accuracy})
        say(f"sprint seed {seed}: {runs[-1]['accuracy']:.2f} % in {runs[-1]['seconds']:.1f} s")
    rates = {workers: plain_loop.throughput(spec, workers, 6400) for workers in (0, 2)}
    workers = max(rates, key=rates.get)
    plain = []
    for seed in range(plain_seeds):
        history = []
        for epoch in plain_loop.train(spec, seed, workers):
            history.append(epoch)
            say(f"plain loop seed {seed}, epoch {epoch.epoch}: {epoch.accuracy:.2f} % after {epoch.seconds:.0f} s")
            if epoch.accuracy >= target:
                break
        reached = history[-1].accuracy >= target
        plain.append({"seed": seed, "reached": reached, "epochs": len(history), "seconds": history[-1].seconds})
    mine, theirs = spread(run["seconds"] for run in runs), spread(run["seconds"] for run in plain)
    accuracies = [run["accuracy"] for run in runs]
    compiled = compilation()
    return {
        "target": target,
        "sprint": runs,
        "sprint_seconds": mine,
        "sprint_accuracy": {
            "mean": statistics.mean(accuracies),
            "std": statistics.stdev(accuracies) if sprint_seeds > 1 else None,
            "min": min(accuracies),
        },
        "plain_workers": workers,
        "plain": plain,
        "plain_seconds": theirs,
        "compilation_seconds": compiled,
        "ratio": theirs["median"] / mine["median"],
        "ratio_with_compilation": theirs["median"] / (mine["median"] + compiled),
    }


def compilation() -> float:
    """Return the seconds that compiling the kernels takes, once on a machine; 0 where there is no compiler."""
    if native.missing():
        return 0.0
    code = "import time; from tinycnn.network import native; b = time.time(); native._compile(); print(time.time() - b)"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code]
        environment = os.environ | {"XDG_CACHE_HOME": folder}
        return float(subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout)


# --- the cost of tracking --------------------------------------------------------------------------------------------

TRACKED = """
import json, sys, time
begun = time.perf_counter()
import torch
torchs = time.perf_counter()
from tinycnn import run
from tinycnn.spec import load as experiments
imported = time.perf_counter()
class Watch(run.Reporter):
    started_at, ends, inside = None, [], []
    def started(self, *_): self.started_at = time.perf_counter()
    def epoch(self, seed, result):
        self.ends.append(time.perf_counter())
        self.inside.append(result.seconds)
watch = Watch()
spec = experiments.load(sys.argv[1]).but(train={"epochs": int(sys.argv[2])})
plan = run.prepare(spec, device="cpu", offline=True, fallback=False, reporter=watch)
run.run(plan, reporter=watch)
over = time.perf_counter()
between = [b - a - inside for a, b, inside in zip(watch.ends, watch.ends[1:], watch.inside[1:])]
print(json.dumps({
    "import torch": torchs - begun, "other imports": imported - torchs, "start_up": watch.started_at - imported,
    "epoch": sorted(watch.inside)[len(watch.inside) // 2], "tracking": sorted(between)[len(between) // 2],
    "end": over - watch.ends[-1],
}))
"""


def tracking(spec, repeats: int) -> dict:
    """Time what tracking adds to an epoch, what comes before the first and after the last, and the imports.

    In processes of their own, with a store of its own that is there already.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "TINYCNN_CHECKPOINTS": f"{folder}/checkpoints"}
        for number in range(repeats + 1):
            command = [sys.executable, "-c", TRACKED, spec.name, "2" if number == 0 else "5"]
            done = subprocess.run(command, cwd=ROOT, env=os.environ | store, capture_output=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    first, *later = found  # the first makes the store
    return {
        "first_start_up_makes_the_store": first["start_up"],
        **{name: spread(each[name] for each in later) for name in first},
        "share_of_an_epoch": spread(each["tracking"] / each["epoch"] for each in later),
    }


# --- side by side ----------------------------------------------------------------------------------------------------


def _beside(spec, images, epochs, seed, hear) -> float:
    """Return images per second while the others are at it too: of the epochs but the first and the last."""
    data = few(load(spec.data.name), images)
    results = list(trainer.train(spec.but(train={"epochs": epochs}), seed, data=data, device="cpu"))
    return statistics.median(result.images_per_second for result in results[1:-1])


def side_by_side(spec, repeats: int) -> dict:
    """Compare as many processes of one thread as there are cores with one process of as many threads."""
    found, cores = {}, launch.cores()
    for kernels, images, epochs in (("native", 25_600, 5), ("torch", 6400, 4)):
        function = functools.partial(_beside, with_kernels(spec, kernels), images, epochs)
        kinds = {
            "processes": lambda f=function: sum(launch.side_by_side(f, list(range(cores)), workers=cores)),
            "threads": lambda f=function: launch.side_by_side(f, [0], workers=1, threads=cores)[0],
        }
        each = interleaved(repeats, kinds)
        found[kernels] = {"images_per_second": each, "ratio": ratio(each["processes"], each["threads"])}
    return {"cores": cores, "kernels": found}


# --- studies ---------------------------------------------------------------------------------------------------------

STUDY = """from experiments.{name} import SPEC
from tinycnn.study import Float, Study

STUDY = Study(name="study_of_bench", base=SPEC, fidelity={{"data.images": 6400, "train.epochs": 5}}, trials={trials},
              ranges={{"optimizer.lr": Float(0.002, 0.02, log=True)}})
"""


def studies(spec, repeats: int) -> dict:
    """Compare trials an hour of one worker with all threads and of a worker per core; share of Optuna and MLflow."""
    from tinycnn.study import results as findings
    from tinycnn.study import storage as search

    found = {workers: [] for workers in (1, launch.cores())}
    overheads = []
    for workers in [*found] * min(repeats, 2):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "study_of_bench.py"
            path.write_text(STUDY.format(name=spec.name, trials=8))
            own = {
                "OPTUNA_STORAGE": f"{folder}/journal",
                "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            }
            command = [sys.executable, "-m", "tinycnn", "search", str(path), "--workers", str(workers)]
            subprocess.run(command, cwd=ROOT, env=os.environ | own, capture_output=True, check=True)
            with patched(os, "environ", os.environ | own):
                study = studies_of.load(str(path))
                trials = findings.frame(study, search.opened(study))
        busy = (trials["seconds"] + trials["overhead"]).groupby(trials["worker"])
        found[workers].append(float((3600 * busy.count() / busy.sum()).sum()))
        overheads.append(float(trials["overhead"].sum() / trials["seconds"].sum()))
    rates = {workers: spread(values) for workers, values in found.items()}
    least, most = min(found), max(found)
    return {
        "workers": most,
        "trials_per_hour": rates,
        "ratio": ratio(rates[most], rates[least]),
        "overhead": spread(overheads),
    }


# --- how cost grows --------------------------------------------------------------------------------------------------


def growth(spec, repeats: int) -> dict:
    """Measure seconds and memory against parameters, image size, size of the data set and number of seeds."""
    threads = torch.get_num_threads()
    widths = [tuple(round(width * factor) for width in (8, 12, 12, 12, 12, 10, 18)) for factor in (0.5, 1, 1.5, 2, 3)]
    series = {
        "parameters": [{"changes": {"model.name": "model_3", "model.widths": list(each)}} for each in widths],
        "image size": [{"size": size, "images": 2048} for size in (28, 40, 56, 80, 112)],
        "data set size": [{"images": images} for images in (4096, 8192, 16_384, 32_768, 65_536)],
        "seeds": [{"seeds": seeds} for seeds in (1, 2, 4, 8)],
    }
    found = {}
    for name, told in series.items():
        rows = []
        for each in told:
            runs = [point(spec, {"threads": threads, "epochs": 2} | each) for _ in range(min(repeats, 3))]
            images, seeds = each.get("images", 4096), each.get("seeds", 1)
            at = {"parameters": runs[0]["parameters"], "image size": each.get("size", 28), "data set size": images}
            rows.append(
                {
                    "at": at.get(name, seeds),
                    "macs": runs[0]["macs"],
                    "seconds": spread(run["seconds_per_image"] * images * seeds for run in runs),
                    "seconds_per_image": spread(run["seconds_per_image"] for run in runs),
                    "memory": spread(run["memory"] for run in runs),
                    "memory_of_training": spread(run["memory"] - run["memory_before"] for run in runs),
                }
            )
        found[name] = rows
    return found


def where(spec) -> dict:
    """Return what machine, code and packages this was measured with."""
    from tinycnn.track import provenance

    return {
        "machine": provenance.machine(),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "uncommitted": bool(provenance.uncommitted()),
        "experiment": spec.name,
        "spec_hash": spec.hash,
        "kernels": "native" if not native.missing() else "torch",
        "when": time.strftime("%Y-%m-%d"),
    }
