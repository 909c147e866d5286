"""Exporting a trained network, and checking what was written on the whole test set."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

from tinycnn.data.files import Split
from tinycnn.errors import UserError
from tinycnn.export import emit, host, onnx_file, subject
from tinycnn.export.subject import Pixels, Subject
from tinycnn.integers import calibrate
from tinycnn.integers.quantise import program_of
from tinycnn.integers.rules import graph_of
from tinycnn.integers.steps import Graph, Program

ARM = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-Os")
"""What measures the code, where it is installed: a common microcontroller."""


def export(source: Path, to: str, folder: Path, *, offline: bool = False) -> dict:
    """Write what ``source`` holds (see ``subject.load``) into ``folder``, and check it.

    ``to``: onnx, int8, c or safetensors. Returns facts: ``files`` with their bytes; ``input`` and ``output`` in words;
    ``images``, how many of the test set (or, as ``evaluated_on`` says, of the validation set) were tried; ``accuracy``
    of what was written and ``float_accuracy`` of the network in torch, in percent; and what the format adds. Raises
    SpecError for a network that the format cannot express, and UserError.
    """
    return written(subject.load(source, offline=offline), to, folder)


def written(found: Subject, to: str, folder: Path, name: str | None = None) -> dict:
    """Do what ``export`` does for a subject; ``name``: of the files and of the C function, by default the spec's."""
    name = re.sub(r"\W", "_", name or found.spec.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _written(found, to, folder, name)
    except ModuleNotFoundError as error:
        raise UserError(f"--to {to}: needs the package {error.name}, which is not installed: make setup") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); choose another --output") from None


def _written(found: Subject, to: str, folder: Path, name: str) -> dict:
    data = found.data
    logits = network_logits(found, data)
    channels, height, width = data.shape
    facts = {
        "to": to,
        "experiment": found.spec.name,
        "spec_hash": found.spec.hash,
        "origin": found.origin,
        "parameters": sum(each.numel() for each in found.network.parameters()),
        "input": f"uint8 ({channels}, {height}, {width}), pixels 0 to 255",
        "output": f"{len(data.classes)} logits",
        "evaluated_on": data.kind,
        "images": len(logits),
        "float_accuracy": accuracy(logits, data),
    }
    made = {"onnx": _onnx, "int8": _int8, "c": _c, "safetensors": _safetensors}[to](found, folder, name, logits)
    return facts | made


@torch.no_grad()
def network_logits(found: Subject, data: Split) -> np.ndarray:
    """Return the logits (N, classes) of the evaluation images, in float32 whatever precision training had."""
    network = Pixels(found.network, found.mean, found.std).eval()
    return torch.cat([network(batch) for batch in data.evaluation.images.split(250)]).numpy()


def accuracy(logits: np.ndarray, data: Split) -> float:
    """Return the percentage of the evaluation images whose label has the largest logit (or score), (N, classes)."""
    return 100 * float((logits.argmax(1) == data.evaluation.labels.numpy()).mean())


def _compared(logits, float_logits, data) -> dict:
    """Return how an export did, beside the network in torch."""
    return {
        "accuracy": accuracy(logits, data),
        "other_predictions": int((logits.argmax(1) != float_logits.argmax(1)).sum()),
        "largest_difference": float(np.abs(logits - float_logits).max()),
    }


def _safetensors(found, folder, name, logits):
    paths = subject.save(found, folder)
    again = network_logits(subject.load(folder, offline=True), found.data)
    return {"files": _sizes(paths)} | _compared(again, logits, found.data)


def _onnx(found, folder, name, logits):
    path = folder / f"{name}.onnx"
    onnx_file.save(path, found)
    made = onnx_file.logits(path, found.data.evaluation.images.numpy())
    return {"files": _sizes([path])} | _compared(made, logits, found.data)


def _int8(found, folder, name, logits):
    path, training = folder / f"{name}.int8.onnx", found.data.train.images
    with tempfile.TemporaryDirectory() as temporary:
        plain = Path(temporary) / "float.onnx"
        onnx_file.save(plain, found)
        chosen = training[:: max(1, len(training) // onnx_file.CALIBRATION)][: onnx_file.CALIBRATION]
        onnx_file.save_int8(path, plain, chosen.numpy())
    made = onnx_file.logits(path, found.data.evaluation.images.numpy())
    return {"files": _sizes([path]), "calibrated_on": len(chosen)} | _compared(made, logits, found.data)


def in_integers(found: Subject) -> tuple[Graph, Program]:
    """Return the graph of a network and its program in whole numbers. Raises SpecError where C cannot express it."""
    data = found.data
    graph = graph_of(found.network, data.shape, len(data.classes), found.mean, found.std)
    return graph, program_of(graph, data.train.images, corrected=not found.rounded)


def _c(found, folder, name, logits):
    data, images = found.data, found.data.evaluation.images.numpy()
    graph, program = in_integers(found)
    about = "\n".join(f"{key:<11}{value}" for key, value in found.origin.items())
    files = emit.files(name, graph, program, data.classes, about)
    paths = [folder / f"{files.name}.h", folder / f"{files.name}.c"]
    for path, text in zip(paths, (files.header, files.source), strict=True):
        path.write_text(text, encoding="ascii", errors="backslashreplace")
    scores = program.run(images)
    channels, height, width = data.shape
    facts = {
        "input": f"uint8 ({height}, {width}, {channels}), pixels 0 to 255",
        "output": f"{len(data.classes)} int32 scores, × {program.step:.6g} the logits",
        "files": _sizes(paths), "flash": files.flash, "weights": files.weights, "ram": files.ram, "macs": program.macs,
        "step": program.step, "calibrated_on": min(calibrate.IMAGES, len(data.train.images)),
        "code": _code(folder, files.name),
    }  # fmt: skip
    return facts | _compared(scores * program.step, logits, data) | c_run(folder, files.name, scores, images)


def c_run(folder: Path, name: str, scores: np.ndarray, images: np.ndarray) -> dict:
    """Compile ``name.c`` on this machine and compare its scores with those of the reference in Python, on every image.

    Returns the name of the ``compiler``, None without one, how many images ``differing`` scores have, which is 0, and
    ``seconds_per_image``. Raises UserError where a score differs.
    """
    if not host.compiler():
        return {"compiler": None}
    with tempfile.TemporaryDirectory() as temporary:
        for path in (folder / f"{name}.h", folder / f"{name}.c"):
            shutil.copy(path, temporary)
        program = host.compiled(Path(temporary), name, host.compiler(), "-O2", "-DTIMED")
        found, seconds = host.run(program, images, scores.shape[1])
    differing = int((found != scores).any(1).sum())
    if differing:
        raise UserError(
            f"{name}.c: gives other scores than its reference for {differing} of {len(images)} images on this machine; "
            "do not use it, and report this with the run's spec"
        )
    return {"compiler": Path(host.compiler()).name, "differing": differing, "seconds_per_image": seconds}


def _code(folder: Path, name: str) -> int | None:
    """Return the bytes of machine code for a microcontroller, None without a compiler for it."""
    if not shutil.which(ARM[0]):
        return None
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / "made.o"
        subprocess.run([*ARM, "-std=c99", "-c", str(folder / f"{name}.c"), "-o", str(made)], check=True, timeout=300)
        listed = subprocess.run(["arm-none-eabi-size", "-A", str(made)], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return sum(int(row[1]) for row in rows if row and row[0].startswith(".text"))


def _sizes(paths) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in paths}


def text(facts: dict) -> str:
    """Return the facts of ``export`` as lines for a person."""
    lines = [f"wrote {path}, {size:,} bytes" for path, size in facts["files"].items()]
    lines.append(f"takes {facts['input']}; gives {facts['output']}")
    kind = f"{facts['images']:,} {facts['evaluated_on']} images"
    if facts["to"] == "c":
        code = "" if facts["code"] is None else f", and {facts['code']:,} of code (Cortex-M4, -Os)"
        lines.append(f"flash {facts['flash']:,} bytes of constants, {facts['weights']:,} of them weights{code}")
        lines.append(f"RAM {facts['ram']:,} bytes; {facts['macs']:,} multiply-accumulates")
        if facts["compiler"]:
            lines.append(
                f"compiled by {facts['compiler']}: bit-equal with its reference on all {kind}, "
                f"{facts['seconds_per_image'] * 1e3:.2f} ms an image on one core"
            )
        else:
            lines.append("not compiled: there is no C compiler here")
    if "calibrated_on" in facts:
        lines.append(f"ranges for 8 bits from {facts['calibrated_on']:,} training images")
    lines.append(f"accuracy {facts['accuracy']:.2f} %, in float {facts['float_accuracy']:.2f} % ({kind})")
    differing = facts["other_predictions"]
    same = f"{differing} predictions differ" if differing else "the same prediction for every image"
    same = "1 prediction differs" if differing == 1 else same
    lines.append(f"{same}; largest difference of a logit {facts['largest_difference']:.2g}")
    return "\n".join(lines)
