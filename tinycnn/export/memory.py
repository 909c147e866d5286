"""Where in one block of memory each value of a program lies, so that the block is small.

Values that are needed at the same time lie apart, with one exception: an operation that goes through its input from the
top may write its output over the rows that it needs no more.
"""

import itertools
import random
from dataclasses import dataclass

from tinycnn.integers.steps import Graph, Program

_TRIES = 300
"""Orders of placing values that are tried, besides three that are likely good; always the same ones."""
_ALIGNED = 4  # bytes: numbers of 32 bits need it


@dataclass(frozen=True)
class _Rule:
    """A value must not touch ``other``, unless it begins so many bytes ``before`` it or ``after``, where one is set."""

    other: int
    before: int | None = None
    after: int | None = None


def offsets(graph: Graph, program: Program) -> tuple[dict[int, int], int]:
    """Return the place in bytes of each value but the image and int32 logits, and the size of the block in bytes.

    Each value is placed as low as it can be, in one order after another; the smallest block is taken.
    """
    sizes = {step.output: size_of(program, step.output) for step in program.steps}
    if program.formats[program.result].wide:
        del sizes[program.result]  # written where the caller says
    rules = _rules(graph, program, sizes)
    draws, made = random.Random(0), list(sizes)
    orders = [made, made[::-1], sorted(made, key=sizes.get, reverse=True)]
    orders += [draws.sample(made, len(made)) for _ in range(_TRIES)]
    plans = [_placed(order, sizes, rules) for order in orders]
    ends = [max((place + sizes[number] for number, place in plan.items()), default=0) for plan in plans]
    return plans[ends.index(min(ends))], min(ends)


def size_of(program: Program, number: int) -> int:
    """Return the size of a value in bytes."""
    channels, height, width = program.shapes[number]
    return channels * height * width * (4 if program.formats[number].wide else 1)


def _rules(graph, program, sizes) -> dict[int, list[_Rule]]:
    """Return, for each value, how it must lie to those that are needed while it is."""
    made = {step.output: time for time, step in enumerate(program.steps)}
    last = dict(made)
    for time, step in enumerate(program.steps):
        last |= {number: time for number in step.inputs if number in sizes}
    rules = {number: [] for number in sizes}
    for one, other in itertools.combinations(sorted(sizes, key=made.get), 2):  # ``other`` is made later
        if last[one] < made[other]:
            continue
        inputs, distance = program.steps[made[other]].inputs, None
        if last[one] == made[other] and inputs[0] == one:
            distance = _distance(graph.step_of(other).operation, program, one, other)
        rules[one].append(_Rule(other, after=distance))
        rules[other].append(_Rule(one, before=distance))
    return rules


def _distance(operation, program, taken: int, made: int) -> int:
    """Return how many bytes before its input an output begins, so that no byte is written that is needed later."""
    if operation.elementwise:
        return 0
    (_, height, _), (_, rows, _) = program.shapes[taken], program.shapes[made]
    line, written = size_of(program, taken) // height, size_of(program, made) // rows
    needed = (min(max(operation.first_row(row), 0), height) for row in range(rows))
    return max((row + 1) * written - first * line for row, first in enumerate(needed))


def _placed(order, sizes, rules) -> dict[int, int]:
    """Return the places of values that are each placed as low as they can be, in this order."""
    places = {}
    for number in order:
        known = [rule for rule in rules[number] if rule.other in places]
        ends = {0}
        for rule in known:
            start = places[rule.other]
            ends |= {start + sizes[rule.other], start + (rule.after or 0), start - (rule.before or 0)}
        aligned = {side for end in ends for side in (end // _ALIGNED * _ALIGNED, -(-end // _ALIGNED) * _ALIGNED)}
        places[number] = min(
            place
            for place in aligned
            if place >= 0 and all(_fits(place, sizes[number], rule, places[rule.other], sizes) for rule in known)
        )
    return places


def _fits(place, size, rule, start, sizes) -> bool:
    apart = place + size <= start or start + sizes[rule.other] <= place
    before = rule.before is not None and place + rule.before <= start
    return apart or before or (rule.after is not None and place >= start + rule.after)
