"""A program in whole numbers -> one .h and one .c file: C99, no dependency, no heap."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinycnn.export.memory import offsets
from tinycnn.integers import fixed, kernels
from tinycnn.integers.steps import Graph, Program

KERNELS = Path(__file__).with_name("kernels")
_ORDER = ("requantise", "to_byte", "sigmoid", "curve", "window", "max_pool", "average", "gated_pool", "blur",
          "convolved", "conv", "curved", "linear", "add", "scale", "lookup")  # fmt: skip
_SIZES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4}
_POINTER = 4  # bytes on the 32-bit processors that this is for


@dataclass(frozen=True)
class Files:
    """The header and source as text; ``flash``: bytes of constants, ``weights`` those of weights; ``ram``: of maps."""

    name: str
    header: str
    source: str
    weights: int
    flash: int
    ram: int


def files(name: str, graph: Graph, program: Program, classes, about: str) -> Files:
    """Return the C of a program; ``about``: lines for the head of both files, ``classes`` the names of the classes."""
    name = re.sub(r"\W", "_", name)
    places, ram = offsets(graph, program)
    constants, tables = _Constants(), _Constants()
    calls = "\n".join(f"    {call}" for call in _calls(constants, program, places))
    used = {each for step in program.steps for each in (step.operation.name, *step.operation.needs)}
    if "sigmoid" in used:
        tables.array("uint16_t", fixed.sigmoid_table(), "sigmoid_table")
    parts = [(KERNELS / f"{each}.c").read_text() for each in _ORDER if each in used]
    channels, height, width = program.shapes[0]
    flash = constants.bytes + tables.bytes
    facts = {
        "name": name, "about": _comment(about), "height": height, "width": width, "channels": channels,
        "classes": len(classes), "labels": _comment(", ".join(classes)),
        "step": f"{program.step:.9g}", "macs": program.macs, "flash": flash, "weights": constants.weights, "ram": ram,
        "kernels": "\n".join([*tables.lines, *parts]), "constants": "\n".join(constants.lines), "calls": calls,
        "scores": _scores(program, places), "memory": _MEMORY.format(words=-(-ram // 4)) if ram else "",
        "bytes": _BYTES if "bytes +" in calls else "",
    }  # fmt: skip
    return Files(name, _HEADER.format_map(facts), _SOURCE.format_map(facts), constants.weights, flash, ram)


class _Constants:
    """The constants while they are collected: arrays of the same type and numbers are stored once."""

    def __init__(self):
        self.lines, self.names, self.bytes, self.weights = [], {}, 0, 0

    def array(self, kind: str, numbers, name: str) -> str:
        """Add an array, unless there is one like it, and return its name; of None, what C calls no array."""
        if numbers is None:
            return "0"
        numbers = np.asarray(numbers).ravel()
        key = kind, numbers.tobytes()
        if key not in self.names:
            self.names[key] = name
            self.bytes += numbers.size * _SIZES[kind]
            self.weights += numbers.size * (kind == "int8_t")
            rows = [", ".join(map(str, numbers[i : i + 20])) for i in range(0, numbers.size, 20)]
            body = ",\n    ".join(rows)
            self.lines.append(f"static const {kind} {name}[{numbers.size}] = {{\n    {body}}};")
        return self.names[key]

    def struct(self, found: kernels.Struct, name: str) -> str:
        """Add the constants of a kernel, and return the address."""
        self.lines.append(f"static const struct {found.kind} {name} = {self.initialiser(found, name)};")
        self.bytes += struct_size(found.kind)
        return f"&{name}"

    def initialiser(self, found: kernels.Struct, name: str) -> str:
        """Return what the fields of a struct are set to."""
        words, names = [], [field for field, _ in _fields(found.kind)]
        for field in found.fields:
            if isinstance(field, kernels.Struct):
                words.append(self.initialiser(field, name))
            elif isinstance(field, tuple):
                words.append(self.array(*field, f"{name}_{names[len(words)]}"))
            else:
                words.append(str(int(field)))
        return f"{{{', '.join(words)}}}"


def struct_size(kind: str) -> int:
    """Return the bytes of a struct of ``kernels/`` on a 32-bit processor."""
    place, widest = 0, 1
    for _, size in _flat(kind):
        place = -(-place // size) * size + size
        widest = max(widest, size)
    return -(-place // widest) * widest


def _flat(kind: str):
    """Yield the names and sizes of the fields of a struct, those of a struct within it in its place."""
    for name, size in _fields(kind):
        yield from _flat(size) if isinstance(size, str) else [(name, size)]


@functools.cache
def _fields(kind: str) -> list[tuple[str, int | str]]:
    """Return the fields of a struct with their sizes in bytes on a 32-bit processor, or the kinds of structs."""
    text = next(text for text in (path.read_text() for path in KERNELS.glob("*.c")) if f"struct {kind} {{" in text)
    body, found = re.sub(r"/\*.*?\*/", "", text, flags=re.S).split(f"struct {kind} {{")[1].split("\n};")[0], []
    for declared in filter(None, map(str.strip, body.split(";"))):
        *types, names = re.match(r"(?:const )?(struct )?(\w+) (.*)", declared, re.S).groups()
        for name in names.split(","):
            size = _POINTER if "*" in name else types[1] if types[0] else _SIZES[types[1]]
            found.append((name.strip(" *\n"), size))
    return found


def _calls(constants, program, places):
    """Yield the calls of the kernels, in order."""
    for number, step in enumerate(program.steps):
        kernel, shapes = step.operation, [program.shapes[each] for each in (*step.inputs, step.output)]
        given = [_place(program, places, each) for each in step.inputs]
        made = _place(program, places, step.output)
        name = f"step{number}"
        if isinstance(kernel, kernels.Lookup):
            channels, height, width = shapes[0]
            table = constants.array("uint8_t", kernel.table, f"{name}_table")
            yield f"lookup({table}, {channels * height * width}, {given[0]}, {made});"
            continue
        address = constants.struct(kernel.struct(*shapes), name)
        if kernel.name in ("conv", "linear", "average"):  # into bytes or into int32
            made = f"0, {made}" if kernel.out.wide else f"{made}, 0"
        yield f"{kernel.name}({address}, {', '.join([*given, made])});"


def _place(program, places, number: int) -> str:
    """Return the address of a value in C."""
    if number == 0:
        return "image"
    if number not in places:
        return "scores"
    return f"words + {places[number] // 4}" if program.formats[number].wide else f"bytes + {places[number]}"


def _scores(program, places) -> str:
    """Return the line that turns a result in bytes into scores; "" where it is the scores."""
    result = program.formats[program.result]
    if result.wide:
        return ""
    return (
        f"    for (int i = 0; i < {program.shapes[program.result][0]}; i++)\n"
        f"        scores[i] = (int32_t)bytes[{places[program.result]} + i] - {result.zero};\n"
    )


def _comment(text: str) -> str:
    return "\n   ".join(line.replace("*/", "* /") for line in text.splitlines())


_MEMORY = """\
static int32_t words[{words}]; /* every map, one after another in the same place */

"""
_BYTES = """\
    uint8_t *const bytes = (uint8_t *)words;
"""
_HEADER = """\
/* {about}

   Image    {height} x {width} x {channels} uint8, row by row from the top left, the channels of a pixel together
   Classes  {labels}
   Flash    {flash} bytes of constants, {weights} of them weights; and the code
   RAM      {ram} bytes; image and scores are the caller's
   Work     {macs} multiply-accumulates */
#ifndef {name}_h
#define {name}_h

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

enum {{
    {name}_height = {height},
    {name}_width = {width},
    {name}_channels = {channels},
    {name}_pixels = {height} * {width} * {channels},
    {name}_classes = {classes}
}};

/* Return the class of an image, the one with the largest score. Scores times {step} are the logits.
   Not reentrant: it works in memory of its own. */
int {name}_predict(const uint8_t image[{name}_pixels], int32_t scores[{name}_classes]);

#ifdef __cplusplus
}}
#endif
#endif
"""

_SOURCE = """\
/* {about}

   Weights are int8, maps uint8, sums int32; a sum becomes a byte by a multiplier and a shift: see requantise. */
#include "{name}.h"

{kernels}
{constants}

{memory}int {name}_predict(const uint8_t image[{name}_pixels], int32_t scores[{name}_classes])
{{
    int best = 0;
{bytes}
{calls}
{scores}    for (int i = 1; i < {name}_classes; i++)
        best = scores[i] > scores[best] ? i : best;
    return best;
}}
"""
