"""What is measured in a process of its own: ``python -m bench.drivers NAME ARGUMENT ...``. Imports no torch itself."""

import contextlib
import json
import os
import runpy
import statistics
import sys
import threading
import time
from pathlib import Path


def rate(experiment: str, kernels: str, threads: str, images: str, epochs: str):
    """Print training images per second: the median epoch, without the first and the last.

    Several processes are measured side by side; in those two epochs the others may not be training.
    """
    import torch

    from bench.measures import few, with_kernels
    from tinycnn.data import load
    from tinycnn.spec import load as experiments
    from tinycnn.train.loop import train

    torch.set_num_threads(int(threads))
    spec = with_kernels(experiments.load(experiment), kernels).but(train={"epochs": int(epochs)})
    data = few(load(spec.data.name), int(images))
    results = list(train(spec, 0, data=data, device="cpu"))
    print(statistics.median(result.images_per_second for result in results[1:-1]))


def tracked(experiment: str, epochs: str):
    """Print the seconds of an epoch, of tracking between two epochs, and from the last epoch to the end, as JSON."""
    from tinycnn.train import loop

    train, seconds, waits, ended = loop.train, [], [], []

    def timed(*args, **options):
        for result in train(*args, **options):
            ended.append(time.perf_counter())
            yield result
            seconds.append(result.seconds)
            waits.append(time.perf_counter() - ended[-1])  # training waits until the consumer asks for the next epoch

    loop.train = timed
    run_tinycnn("run", experiment, "--offline", "--no-fallback", "--set", f"train.epochs={epochs}")
    found = {"epoch": statistics.median(seconds), "tracking": statistics.median(waits[:-1])}
    print(json.dumps(found | {"end": time.perf_counter() - ended[-1]}))


def first_batch(file: str, *command: str):
    """Run ``python -m tinycnn COMMAND`` until the first optimizer step, write the time (epoch seconds), and end."""

    def watch():
        while not hasattr(sys.modules.get("torch.optim.optimizer"), "register_optimizer_step_post_hook"):
            time.sleep(0.01)
        sys.modules["torch.optim.optimizer"].register_optimizer_step_post_hook(stop)

    def stop(*_):
        Path(file).write_text(str(time.time()))
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    run_tinycnn(*command)


def run_tinycnn(*command: str):
    """Run ``python -m tinycnn COMMAND`` in this process."""
    sys.argv = ["tinycnn", *command]
    with contextlib.suppress(SystemExit):
        runpy.run_module("tinycnn", run_name="__main__")


if __name__ == "__main__":
    {"rate": rate, "tracked": tracked, "first_batch": first_batch}[sys.argv[1]](*sys.argv[2:])
