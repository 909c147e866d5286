"""One training in a process of its own, for what a process has only one of: peak memory, imports, allocator settings.

``python -m bench.point '{"changes": {"train.batch_size": 64}, "images": 4096, "size": 28, "epochs": 2, "threads": 2}'``
prints seconds for each image and the peak of the resident memory, in MiB, before training and after.
"""

import dataclasses
import json
import math
import sys
from pathlib import Path

import torch

from tinycnn.data import Images, Split
from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import measure
from tinycnn.spec import load as experiments
from tinycnn.train.loop import train

STATUS = Path("/proc/self/status")


def noise(name: str, images: int, size: int) -> Split:
    """Return a data set of random pixels in the shape of ``name``, but with images of another size."""
    facts, random = DATASETS[name], torch.Generator().manual_seed(0)

    def some(count):
        pixels = torch.randint(0, 256, (count, facts.channels, size, size), generator=random, dtype=torch.uint8)
        return Images(pixels, torch.randint(0, len(facts.classes), (count,), generator=random))

    half, sixth = (0.5,) * facts.channels, (0.29,) * facts.channels
    return Split(name, some(images), some(1000), "test", "noise", "", facts.classes, half, sixth)


def memory(what: str) -> float:
    """Return resident memory in MiB, from Linux: ``VmRSS`` now, ``VmHWM`` the most there was since ``forget_peak``.

    Not ``getrusage``: its peak counts what the parent had when it began this process. NaN on other systems.
    """
    if not STATUS.exists():
        return math.nan
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 2**10


def forget_peak():
    """Begin the peak anew."""
    if STATUS.exists():
        STATUS.with_name("clear_refs").write_text("5")


def main():
    """Train as told and print what it took."""
    told = {"experiment": "exp3", "changes": {}, "images": 4096, "size": 28, "epochs": 3, "threads": 2, "seeds": 1}
    told |= json.loads(sys.argv[1])
    torch.set_num_threads(told["threads"])
    spec = experiments.load(told["experiment"]).with_values(
        {"target.parameter_limit": None, "train.epochs": told["epochs"]} | told["changes"]
    )
    data = noise(spec.data.name, told["images"], told["size"])
    forget_peak()
    before = memory("VmRSS")
    seconds = []
    for seed in range(told["seeds"]):
        results = list(train(spec, seed, data=data, device="cpu"))
        seconds += [1 / result.images_per_second for result in results[1:] or results]  # the first is warming up
    facts = dataclasses.replace(spec.data.facts(), size=told["size"])
    measured = measure(spec, facts)
    found = {"seconds_per_image": min(seconds), "memory_before": before, "memory": memory("VmHWM")}
    print(json.dumps(found | {"parameters": measured.parameters, "macs": measured.macs}))


if __name__ == "__main__":
    main()
