"""Measuring and training without the three seconds that importing torch's compiler takes.

Every torch optimizer and dispatch mode imports ``torch._dynamo``, only to tell the compiler to leave it alone
(``torch._compile`` and ``torch.optim.optimizer`` in torch 2.14). Until something needs more of it than
that, a stand-in answers.
"""

import importlib
import sys
import types

import torch

_NAME = "torch._dynamo"


class _StandIn(types.ModuleType):
    """``disable`` and ``graph_break`` as they act where nothing is compiled; anything else brings the real module."""

    @staticmethod
    def disable(fn=None, *_, **__):
        return fn

    @staticmethod
    def graph_break():
        pass

    def __getattr__(self, name):
        if name.startswith("__") and name != "__path__":  # ``inspect`` asks every module for its ``__file__``
            raise AttributeError(name)
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
            torch.__dict__.pop("_dynamo", None)
        return getattr(importlib.import_module(_NAME), name)


def postpone_compiler() -> None:
    """Put the stand-in where ``torch._dynamo`` is looked for, unless that has been imported."""
    if _NAME not in sys.modules:
        sys.modules[_NAME] = torch._dynamo = _StandIn(_NAME)
