"""A program in whole numbers as JSON and back, so that it can be run without training images to take ranges from.

Arrays are ``{"type", "shape", "base64"}``, numbers of the type one after another, low byte first.
"""

import base64
import dataclasses

import numpy as np

from tinycnn.integers import kernels
from tinycnn.integers.fixed import Format
from tinycnn.integers.steps import Program, Step

_TYPES = "int8", "uint8", "int16", "uint16", "int32"


def packed(program: Program) -> dict:
    """Return a program as plain values for JSON."""
    return {
        "steps": [
            {"kernel": type(step.operation).__name__, "inputs": list(step.inputs), "output": step.output}
            | {name: _plain(value) for name, value in vars(step.operation).items() if name != "units"}
            for step in program.steps
        ],
        "shapes": {str(number): list(shape) for number, shape in program.shapes.items()},
        "formats": {str(number): dataclasses.asdict(each) for number, each in program.formats.items()},
        "result": program.result,
        "macs": program.macs,
    }


def unpacked(values: dict) -> Program:
    """Return the program that ``packed`` gave."""
    steps = []
    for each in values["steps"]:
        fields = {name: _made(value) for name, value in each.items() if name not in ("kernel", "inputs", "output")}
        kind = getattr(kernels, each["kernel"])
        fields |= {"units": None} if issubclass(kind, kernels.Conv) else {}  # not needed to run it
        steps.append(Step(kind(**fields), tuple(each["inputs"]), each["output"]))
    shapes = {int(number): tuple(shape) for number, shape in values["shapes"].items()}
    formats = {int(number): _made(each) for number, each in values["formats"].items()}
    return Program(steps, shapes, formats, values["result"], values["macs"])


def _plain(value):
    if isinstance(value, np.ndarray):
        kind = next(each for each in _TYPES if np.array_equal(value.astype(each), value))
        numbers = base64.b64encode(value.astype(np.dtype(kind).newbyteorder("<")).tobytes()).decode("ascii")
        return {"type": kind, "shape": list(value.shape), "base64": numbers}
    return dataclasses.asdict(value) if isinstance(value, Format) else value


def _made(value):
    if isinstance(value, dict) and "base64" in value:
        kind = np.dtype(value["type"]).newbyteorder("<")
        return np.frombuffer(base64.b64decode(value["base64"]), kind).astype(np.int64).reshape(value["shape"])
    if isinstance(value, dict):
        return Format(**{name: _made(each) for name, each in value.items()})
    return tuple(value) if isinstance(value, list) else value
