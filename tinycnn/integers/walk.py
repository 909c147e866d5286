"""What a rule for a type of module is, and the graph while rules make it. The rules themselves are in ``rules``."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from tinycnn.errors import SpecError
from tinycnn.integers import operations as ops
from tinycnn.integers.steps import Graph, Step

RULES: dict[type, Callable] = {}
"""By the type of a module, the function (walk, module, value) -> value that adds its operations."""


@dataclass(frozen=True)
class Value:
    """A value of the graph by its number, with its shape (C, H, W); ``flat``: flattened to (C × H × W)."""

    number: int
    shape: tuple[int, int, int]
    flat: bool = False


def rule(*kinds: type):
    """Register the decorated function as the rule of these types of modules."""

    def register(function):
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


class Walk:
    """The graph while it is made. ``pinned`` values are needed as they are: nothing may be merged into their step.

    ``learning``: its numbers are float32 and pass gradients on to the network's parameters, else float64 without.
    """

    def __init__(self, shape, affine, learning: bool = False):
        self.graph, self.pinned, self.path, self.count, self.learning = Graph(shape), set(), [], 0, learning
        self.affine = tuple(map(self.numbers, affine))

    def numbers(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a parameter or a buffer as numbers of the graph."""
        return tensor.float() if self.learning else tensor.detach().double()

    def __call__(self, module: nn.Module, value: Value, name: str) -> Value:
        """Add the operations of a module called ``name``. Raises SpecError where there is no rule for it."""
        self.path.append(name)
        function = RULES.get(type(module))
        if function is None:
            raise self.refusal(module, "has no rule")
        if module._forward_pre_hooks or module._forward_hooks:
            raise self.refusal(module, "with hooks has no rule")
        found = function(self, module, value)
        self.path.pop()
        return found

    def refusal(self, module, problem: str) -> SpecError:
        """Return the error for a module that cannot be exported."""
        known = "convolutions, norms, pools, activations, linear layers and tinycnn's own layers, in nn.Sequential"
        return SpecError(
            f"{'.'.join(self.path)}: {type(module).__name__} {problem} in C; use {known}, add a rule "
            "(docs/export.md), or export to onnx"
        )

    def add(self, operation: ops.Operation, *values: Value) -> Value:
        """Add a step, and return what it makes."""
        self.count += 1
        self.graph.steps.append(Step(operation, tuple(value.number for value in values), self.count))
        return Value(self.count, operation.shape)

    def map(self, module, value: Value) -> Value:
        """Return the value as a map that any operation takes: not flattened, and not as pixels."""
        self.must_be_map(module, value)
        return value if value.number else self.scaled(value)

    def must_be_map(self, module, value: Value) -> None:
        """Raise SpecError where the channels of a value are lost, because it has been flattened."""
        if value.flat and value.shape[1:] != (1, 1):
            raise self.refusal(module, "after a flattened map has no rule")

    def mergeable(self, value: Value, kind: type):
        """Return the operation that made a value if it is of this kind and no other step needs its value as it is."""
        steps = self.graph.steps
        last = steps[-1].operation if steps and steps[-1].output == value.number else None
        return last if isinstance(last, kind) and value.number not in self.pinned else None

    def scaled(self, value: Value, factor=None, shift=None) -> Value:
        """Add channels × factor + shift ((C,) each, by default 1 and 0) as a convolution of each by itself."""
        channels = value.shape[0]
        conv = ops.Conv(
            self.numbers(torch.ones(channels, 1, 1, 1)),
            self.numbers(torch.ones(channels) if factor is None else factor),
            self.numbers(torch.zeros(channels) if shift is None else shift),
            value.shape,
            groups=channels,
            affine=None if value.number else self.affine,
        )
        return replace(self.add(conv, value), flat=value.flat)

    def conv(self, module: nn.Conv2d, value: Value, pad, shape) -> Value:
        """Add a convolution whose output has this shape."""
        bias = torch.zeros(module.out_channels) if module.bias is None else module.bias
        conv = ops.Conv(
            self.numbers(module.weight),
            self.numbers(torch.ones(module.out_channels)),
            self.numbers(bias),
            shape,
            tuple(module.stride),
            tuple(module.dilation),
            pad,
            module.groups,
            affine=None if value.number else self.affine,
        )
        return self.add(conv, value)
