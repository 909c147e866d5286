"""The networks of a spec: ``Network``, made of layers, and ``Custom``, a class or function of the experiment's file."""

import inspect
from typing import Any

from pydantic import ConfigDict, ValidationError, create_model, model_validator

from tinycnn import source
from tinycnn.errors import SpecError, one_line
from tinycnn.spec.build import built, output
from tinycnn.spec.layers import Activations, Dropped, Layer, Layered, Norms, Padding, Share
from tinycnn.spec.section import Kind, Section, nested, nn, own_name


class Model(Kind):
    """A network: ``Network`` or ``Custom``.

    ``build(shape, classes)`` returns the ``nn.Module`` that maps float images (N, *shape) to logits (N, classes),
    ``describe()`` names it in a line, ``used()`` are the classes and references that its numbers depend on.
    """

    tag = "kind"
    kind = own_name


class Network(Layered, Model):
    """Layers in sequence, and the values of all layers that do not set their own.

    ``padding``: pixels of zeros around the input of each convolution but those of 1×1; "same" keeps the size of the
    map. ``dropout``: after each convolution, of whole feature maps or of elements.
    """

    padding: Padding = 0
    norm: Norms = "batch"
    activation: Activations = "relu"
    dropout: Share = 0.0
    dropout_of: Dropped = "maps"
    bias: bool = False

    @property
    def filled(self) -> tuple[Layer, ...]:
        """The layers with the network's values where their own are None."""
        return tuple(layer.filled(self) for layer in self.layers)

    def build(self, shape, classes):
        """Return an ``nn.Sequential`` with a module for each layer. Raises SpecError that names the layer at fault."""
        return built(self.filled, shape, classes)

    def used(self):
        return [type(self), *dict.fromkeys(type(layer) for layer in every(self.layers))]

    def describe(self):
        """Name the layers, e.g. ``Conv(8) MaxPool(2) Head()``."""
        return " ".join(map(repr, self.layers))


def every(layers):
    """Yield all layers, those inside others after them."""
    for layer in layers:
        yield layer
        yield from every(getattr(layer, "layers", ()))


_FROM_DATA = {
    **dict.fromkeys(("channels", "in_channels", "input_channels", "num_channels", "in_chans"), "channels"),
    **dict.fromkeys(("size", "image_size", "img_size", "input_size"), "size"),
    **dict.fromkeys(("classes", "num_classes", "n_classes", "out_classes"), "classes"),
}
"""The names of arguments that take a fact of the data set."""


class Custom(Model):
    """A network of your own: ``Custom(MyNet, width=8)``, an ``nn.Module`` class or a function that returns one.

    Arguments called ``channels``, ``size`` and ``classes`` (or ``in_channels``, ``image_size``, ``num_classes``) are
    given the values of the data set; all others are fields ``model.NAME``, of the type of their annotation or default.
    """

    model_config = ConfigDict(extra="allow")
    network: str

    def __init__(self, network=None, /, **fields):
        found = network if network is not None else fields.pop("network", None)
        super().__init__(network=found if isinstance(found, str) else source.reference(found), **fields)

    __init__.__pydantic_base_init__ = True

    @model_validator(mode="before")
    @classmethod
    def _arguments(cls, values):
        """Check the arguments against the signature, and add the defaults of those that are not given."""
        try:
            if not isinstance(values.get("network"), str):
                raise SpecError("name a class or function of a file, e.g. experiments/exp9.py:Net")
            section = _section_of(source.resolve(values["network"]))
            own = section(**{name: _listed(v) for name, v in values.items() if name not in ("network", cls.tag)})
        except (SpecError, ValidationError) as error:
            raise nested(error, "network") from None
        kept = {name: value for name, value in own if name not in _FROM_DATA or value is not None}
        return {"network": values["network"]} | kept

    @property
    def arguments(self) -> dict:
        """The arguments that are fields."""
        return dict(self.__pydantic_extra__ or {})

    def build(self, shape, classes):
        """Return the module. Raises SpecError where the class or function fails, with its own message."""
        function = source.resolve(self.network)
        facts = {"channels": shape[0], "size": shape[1], "classes": classes}
        parameters = inspect.signature(function).parameters
        given = {name: facts[_FROM_DATA[name]] for name in parameters if name in _FROM_DATA} | self.arguments
        for name in given.keys() & parameters.keys():
            given[name] = _like(parameters[name].default, given[name])
        try:
            module = function(**given)
        except Exception as error:  # whatever its author did wrong
            raise SpecError(f"network: {self.network} cannot be made ({one_line(error)})") from error
        if not isinstance(module, nn.Module):
            raise SpecError(f"network: {self.network} returned {type(module).__name__}, not a torch module")
        if any(map(nn.parameter.is_lazy, (*module.parameters(), *module.buffers()))):
            try:
                output(module, shape)  # gives them their shapes
            except SpecError as error:
                raise SpecError(f"network: {error}") from None
        return module

    def used(self):
        return [type(self), self.network]

    def describe(self):
        """Name the network, e.g. ``MyNet(width=8)``."""
        words = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.network.rpartition(':')[2]}({words})"

    __repr__ = describe


_TYPES = {kind.__name__: kind for kind in (bool, int, float, str)}


def _section_of(function):
    """Return a section class with the arguments of a function as its fields. Raises SpecError for what is none."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise SpecError(f"{function!r} is neither an nn.Module class nor a function") from None
    fields = {}
    for each in parameters:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) or each.name in ("network", Model.tag):
            continue
        stated, default = getattr(each.annotation, "__name__", each.annotation), _listed(each.default)
        wanted = _TYPES.get(stated) if isinstance(stated, str) else None
        if each.name in _FROM_DATA:  # also where it has a default, as a copied class may
            fields[each.name] = (int | None, None)
        elif default is each.empty:
            fields[each.name] = (wanted or Any, ...)
        elif default is None:  # also "depth: int = None"
            fields[each.name] = (wanted | None if wanted else Any, None)
        elif isinstance(default, (bool, int, float, str, list)):
            fields[each.name] = (wanted or type(default), default)
        # another object, e.g. nn.ReLU, stays the default and is part of the source
    return create_model(function.__name__, __base__=Section, **fields)


def _listed(value):
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def _like(default, value):
    """Return lists, which JSON has in place of tuples, as tuples where a default is one."""
    if not isinstance(value, list) or not isinstance(default, list | tuple):
        return value
    return type(default)(_like(default[0] if default else None, item) for item in value)
