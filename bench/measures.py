"""What is measured. Every function returns plain values; what is measured several times is a ``spread``."""

import contextlib
import functools
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from bench import plain_loop
from tinycnn import ROOT
from tinycnn.data import Images, load
from tinycnn.launch import local as launch
from tinycnn.network import native
from tinycnn.network.profile import measure
from tinycnn.spec import load as experiments
from tinycnn.train import loop as trainer


def spread(values) -> dict:
    """Return the median, the lowest and the highest of some repeats, and the repeats."""
    values = [float(value) for value in values]
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "values": values}


def ratio(one: dict, other: dict) -> dict:
    """Divide repeat by repeat: whatever slows the machine down for a while slows both."""
    return spread(a / b for a, b in zip(one["values"], other["values"], strict=True))


def interleaved(repeats: int, kinds: dict) -> dict:
    """Measure every kind (name -> function) in turn, ``repeats`` times; return a spread for each."""
    found = {name: [] for name in kinds}
    for _ in range(repeats):
        for name, function in kinds.items():
            found[name].append(function())
    return {name: spread(values) for name, values in found.items()}


def few(data, images: int):
    """Return a data set cut down to its first training images and 1,000 evaluation images."""
    train, evaluation = (
        Images(part.images[:count], part.labels[:count])
        for part, count in ((data.train, images), (data.evaluation, 1000))
    )
    return replace(data, train=train, evaluation=evaluation)


def with_kernels(spec, kernels: str):
    """Return the spec with these kernels."""
    return spec.but(train={"kernels": kernels})


def run_python(*arguments, environment: dict | None = None) -> str:
    """Return what a Python process prints. Raises RuntimeError if it fails."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | (environment or {}), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-500:]}")
    return done.stdout


@contextlib.contextmanager
def own_store():
    """Yield the environment of processes that track into a new, empty store."""
    with tempfile.TemporaryDirectory() as folder:
        yield {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "TINYCNN_CHECKPOINTS": f"{folder}/checkpoints"}


# --- images per second -----------------------------------------------------------------------------------------------


def throughput(spec, repeats: int) -> dict:
    """Compare training images per second with the plain loop, augmentation included, with 0 and 2 workers."""
    data = few(load(spec.data.name), 12_800)

    def rate(chosen):  # of the second epoch: the first one warms up
        *_, last = trainer.train(chosen.but(train={"epochs": 2}), 0, data=data, device="cpu")
        return last.images_per_second

    found = interleaved(
        repeats,
        {
            "plain loop, 0 workers": lambda: plain_loop.throughput(spec, 0, 6400),
            "plain loop, 2 workers": lambda: plain_loop.throughput(spec, 2, 6400),
            "tinycnn, torch's kernels": lambda: rate(with_kernels(spec, "torch")),
            "tinycnn": lambda: rate(spec),
        },
    )
    better = spread(map(max, *(found[f"plain loop, {workers} workers"]["values"] for workers in (0, 2))))
    ratios = {name: ratio(values, better) for name, values in found.items()}
    return {"experiment": spec.name, "images_per_second": found, "ratio": ratios}


def matrix_peak() -> float:
    """Return the FLOP/s of torch's product of float32 matrices of 2048 x 2048, the best of 5."""
    one, other, seconds = torch.rand(2048, 2048), torch.rand(2048, 2048), []
    for _ in range(6):
        begun = time.perf_counter()
        torch.mm(one, other)
        seconds.append(time.perf_counter() - begun)
    return 2 * 2048**3 / min(seconds[1:])


def computing_rate(spec, data, kernels: str, steps: int = 150) -> float:
    """Return images per second of forward, loss and backward alone, on one batch again and again."""
    network = trainer.start(spec, 0, data, torch.device("cpu")).network
    forward = native.Native(network) if kernels == "native" else network
    forward.train()
    pixels = torch.randn(spec.train.batch_size, *data.shape)
    labels = data.train.labels[: len(pixels)]
    for step in range(steps + 10):
        if step == 10:  # warm
            begun = time.perf_counter()
        network.zero_grad(set_to_none=True)
        F.cross_entropy(forward(pixels), labels).backward()
    return steps * len(pixels) / (time.perf_counter() - begun)


def training_macs(measured) -> int:
    """Return the multiply-accumulates of training on one image: forward, to the weights, and back to all but the image.

    Only convolutions count.
    """
    first = next(layer.macs for layer in measured.layers if layer.macs)
    return 3 * measured.macs - first


def arithmetic(spec, repeats: int) -> dict:
    """Return what share of this machine's matrix-product peak forward and backward reach."""
    data, macs = few(load(spec.data.name), 1000), training_macs(measure(spec, spec.data.facts()))
    kinds = {
        "peak": matrix_peak,
        "native": lambda: macs * computing_rate(spec, data, "native"),
        "torch": lambda: macs * computing_rate(spec, data, "torch"),
    }
    found = interleaved(repeats, kinds)
    peak, kernels = found.pop("peak"), {}
    for name, each in found.items():
        share = [2 * done / most for done, most in zip(each["values"], peak["values"], strict=True)]  # a MAC is 2 FLOP
        kernels[name] = {"macs_per_second": each, "peak_flops": peak, "fraction_of_peak": spread(share)}
    return {"macs_per_image": macs, "threads": torch.get_num_threads(), "kernels": kernels}


# --- time to an accuracy ---------------------------------------------------------------------------------------------


def time_to(target: float, spec, plain_seeds: int, sprint_seeds: int, say) -> dict:
    """Time training with ``sprint`` to its end, and the plain loop with ``spec`` to its first epoch at ``target``."""
    sprint = experiments.load("sprint")
    data, runs, plain = load(sprint.data.name), [], []
    for seed in range(sprint_seeds):
        begun = time.perf_counter()
        *_, last = trainer.train(sprint, seed, data=data, device="cpu")
        runs.append({"seed": seed, "seconds": time.perf_counter() - begun, "accuracy": last.accuracy})
        say(f"sprint seed {seed}: {last.accuracy:.2f} % in {runs[-1]['seconds']:.1f} s")
    rates = {workers: plain_loop.throughput(spec, workers, 6400) for workers in (0, 2)}
    workers = max(rates, key=rates.get)
    for seed in range(plain_seeds):
        for epoch in plain_loop.train(spec, seed, workers):
            say(f"plain loop seed {seed}, epoch {epoch.epoch}: {epoch.accuracy:.2f} % after {epoch.seconds:.0f} s")
            if epoch.accuracy >= target:
                break
        reached = epoch.accuracy >= target
        plain.append({"seed": seed, "reached": reached, "epochs": epoch.epoch, "seconds": epoch.seconds})
    mine, theirs = spread(run["seconds"] for run in runs), spread(run["seconds"] for run in plain)
    accuracies, compiled, commands = [run["accuracy"] for run in runs], compilation(), []
    with own_store() as store:
        for seed in range(min(3, sprint_seeds)):
            begun = time.perf_counter()
            arguments = ("run", sprint.name, "--offline", "--no-fallback", "--first-seed", str(seed))
            run_python("-m", "tinycnn", *arguments, environment=store)
            commands.append(time.perf_counter() - begun)
    return {
        "target": target,
        "sprint": runs,
        "sprint_epochs": sprint.train.epochs,
        "sprint_seconds": mine,
        "sprint_accuracy": {
            "mean": statistics.mean(accuracies),
            "std": statistics.stdev(accuracies) if sprint_seeds > 1 else None,
            "min": min(accuracies),
        },
        "command_seconds": spread(commands),
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
    code = "import time; from tinycnn.network import native; b = time.time(); native.missing(); print(time.time() - b)"
    with tempfile.TemporaryDirectory() as folder:
        return float(run_python("-c", code, environment={"XDG_CACHE_HOME": folder}))


# --- a tracked run ---------------------------------------------------------------------------------------------------


def tracking(spec, repeats: int) -> dict:
    """Time what tracking adds to an epoch, and what comes after the last one."""
    with own_store() as store:
        found = [
            json.loads(run_python("-m", "bench.drivers", "tracked", spec.name, 5, environment=store).splitlines()[-1])
            for _ in range(repeats)
        ]
    times = {name: spread(each[name] for each in found) for name in found[0]}
    return times | {"share_of_an_epoch": ratio(times["tracking"], times["epoch"])}


def start_up(spec, repeats: int) -> dict:
    """Time ``run`` to its first line on a terminal and to its first batch, ``import torch`` alone, list and doctor.

    All from the start of the process; the first repeat, which makes the store and fills the caches, does not count.
    """

    def timed(*arguments):
        begun = time.time()
        subprocess.run([sys.executable, *arguments], cwd=ROOT, env=os.environ | store, capture_output=True)
        return time.time() - begun

    found = []
    with own_store() as store:
        for _ in range(repeats + 1):
            first_line, first_batch = to_first_batch(store, "run", spec.name, "--offline", "--no-fallback")
            found.append(
                {
                    "first line": first_line,
                    "first batch": first_batch,
                    "import torch": timed("-c", "import torch"),
                    "list": timed("-m", "tinycnn", "list"),
                    "doctor": timed("-m", "tinycnn", "doctor"),
                }
            )
    seconds = {name: spread(each[name] for each in found[1:]) for name in found[0]}
    return {"seconds": seconds, "ratio": ratio(seconds["first batch"], seconds["import torch"])}


def to_first_batch(environment: dict, *command: str) -> tuple[float, float]:
    """Return the seconds to the first line on a terminal and to the first batch. Raises RuntimeError without either."""
    with tempfile.TemporaryDirectory() as folder:
        file, output, first_line = Path(folder, "time"), b"", None
        terminal, end = pty.openpty()
        begun = time.time()
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.drivers", "first_batch", file, *command],
            cwd=ROOT, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=end, stderr=end,
        )  # fmt: skip
        os.close(end)
        with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as lines:  # it is closed by an error
            while more := lines.read(4096):
                output += more
                if first_line is None and b"\n" in output:
                    first_line = time.time() - begun
        child.wait()
        if not file.exists() or first_line is None:
            raise RuntimeError(f"{' '.join(command)} ended before its first batch: {output.decode()[-500:]}")
        return first_line, float(file.read_text()) - begun


def side_by_side(spec, repeats: int) -> dict:
    """Compare as many processes of one thread as there are cores with one of as many threads, and with one of one."""

    def total(kernels, processes, threads):
        """Return images per second of all processes together."""
        images, epochs = (25_600, 5) if kernels == "native" else (6400, 4)
        arguments = map(str, ("rate", spec.name, kernels, threads, images, epochs))
        command = [sys.executable, "-m", "bench.drivers", *arguments]
        children = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(processes)]
        return sum(float(child.communicate()[0]) for child in children)

    found, cores = {}, launch.cores()
    for kernels in ("native", "torch"):
        both = {
            "processes": functools.partial(total, kernels, cores, 1),
            "threads": functools.partial(total, kernels, 1, cores),
            "one": functools.partial(total, kernels, 1, 1),
        }
        each = interleaved(repeats, both)
        ratios = {"ratio": ratio(each["processes"], each["threads"]), "scaling": ratio(each["processes"], each["one"])}
        found[kernels] = {"images_per_second": each} | ratios
    return {"cores": cores, "kernels": found}
