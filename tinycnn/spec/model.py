"""The networks of a spec: ``Network``, made of layers, and ``Custom``, a class or function of the experiment's file."""

import inspect
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic_core import PydanticCustomError

from tinycnn import source
from tinycnn.errors import SpecError
from tinycnn.spec.layers import Activations, Dropped, Layer, Norms, Padding, Shape, Share, call
from tinycnn.spec.section import Kind, Section, any_of, own_name, problems


class Model(Kind):
    """A network: ``Network`` or ``Custom``."""

    tag = "kind"
    kind = own_name

    def build(self, shape: Shape, classes: int):
        """Return the ``nn.Module`` that maps float images (N, *shape) to logits (N, classes)."""
        raise NotImplementedError

    def describe(self) -> str:
        """Name the network in a line."""
        return repr(self)

    def used(self) -> list:
        """Return the classes and references whose source the network's numbers depend on."""
        raise NotImplementedError


class Network(Model):
    """Layers in sequence, and what holds for all of them that do not say otherwise.

    ``padding``: pixels of zeros around the input of each convolution but those of 1×1; "same" keeps the size of the
    map. ``dropout``: after each convolution, of whole feature maps or of elements.
    """

    layers: Annotated[tuple[any_of(Layer), ...], Field(min_length=1)]
    padding: Padding = 0
    norm: Norms = "batch"
    activation: Activations = "relu"
    dropout: Share = 0.0
    dropout_of: Dropped = "maps"
    bias: bool = False

    def __init__(self, *layers, **fields):
        super().__init__(**({"layers": layers} if layers else {}), **fields)

    __init__.__pydantic_base_init__ = True

    @property
    def filled(self) -> tuple[Layer, ...]:
        """The layers with the network's values where their own are None."""
        return tuple(layer.filled(self) for layer in self.layers)

    def build(self, shape, classes):
        """Return an ``nn.Sequential`` of a module for each layer. Raises SpecError that names the layer at fault."""
        from tinycnn.spec.build import built

        return built(self.filled, shape, classes)

    def used(self):
        """Return the classes of the network and its layers."""
        return [type(self), *dict.fromkeys(type(layer) for layer in every(self.layers))]

    def __repr__(self):
        return call(self, map(repr, self.layers))

    def describe(self):
        """Name the layers, e.g. ``Conv(8) MaxPool(2) Head()``."""
        return " ".join(map(repr, self.layers))


def every(layers):
    """Yield all layers, those inside others after them."""
    for layer in layers:
        yield layer
        yield from every(getattr(layer, "layers", ()))


_TOLD = {
    "channels": ("channels", "in_channels", "input_channels", "num_channels", "in_chans"),
    "size": ("size", "image_size", "img_size", "input_size"),
    "classes": ("classes", "num_classes", "n_classes", "out_classes"),
}
"""What the data set decides, and the names of the arguments that ask for it."""
_NAMES = {name: what for what, names in _TOLD.items() for name in names}


class Custom(Model):
    """A network of your own: ``Custom(MyNet, width=8)``, an ``nn.Module`` class or a function that returns one.

    Arguments called ``channels``, ``size`` and ``classes`` (or ``in_channels``, ``image_size``, ``num_classes``) are
    told what the data set has; all others are fields ``model.NAME``, of the type of their annotation or their default.
    """

    model_config = ConfigDict(extra="allow")
    network: str

    def __init__(self, network=None, /, **fields):
        made = network if network is not None else fields.pop("network", None)
        super().__init__(network=made if isinstance(made, str) else source.reference(made), **fields)

    __init__.__pydantic_base_init__ = True

    @model_validator(mode="before")
    @classmethod
    def _arguments(cls, values):
        """Check the arguments against the signature, and write down those that were left at their defaults too."""
        try:
            if not isinstance(values.get("network"), str):
                raise SpecError("name a class or function of a file, e.g. experiments/exp9.py:Net")
            function = source.resolve(values["network"])
            section = _section_of(function)
        except SpecError as error:
            raise PydanticCustomError("nested", "{problems}", {"problems": [(("network",), str(error))]}) from None
        given = {name: _listed(value) for name, value in values.items() if name not in ("network", cls.tag)}
        try:
            own = section(**given).model_dump()
        except ValidationError as error:
            raise PydanticCustomError("nested", "{problems}", {"problems": problems(error, section)}) from None
        left = {name: value for name, value in own.items() if name not in _NAMES or value is not None}
        return {"network": values["network"]} | left

    @property
    def arguments(self) -> dict:
        """The arguments that are fields."""
        return dict(self.__pydantic_extra__ or {})

    def build(self, shape, classes):
        """Return the module. Raises SpecError where the class or function fails, in its words."""
        from torch import nn

        function = source.resolve(self.network)
        facts = {"channels": shape[0], "size": shape[1], "classes": classes}
        parameters = inspect.signature(function).parameters
        given = {name: facts[_NAMES[name]] for name in parameters if name in _NAMES} | self.arguments
        for name in [name for name in given if name in parameters]:
            given[name] = _like(parameters[name].default, given[name])
        try:
            made = function(**given)
        except SpecError:
            raise
        except Exception as error:  # whatever its author did wrong
            words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise SpecError(f"network: {self.network} cannot be made ({words})") from error
        if not isinstance(made, nn.Module):
            raise SpecError(f"network: {self.network} returned {type(made).__name__}, not a torch module")
        if any(map(nn.parameter.is_lazy, (*made.parameters(), *made.buffers()))):
            # their shapes come from the first picture
            from tinycnn.spec.build import output

            try:
                output(made, shape)
            except SpecError as error:
                raise SpecError(f"network: {error}") from None
        return made

    def used(self):
        """Return what the network's source is followed from."""
        return [type(self), self.network]

    def describe(self):
        """Name the network, e.g. ``MyNet(width=8)``."""
        words = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.network.rpartition(':')[2]}({words})"

    __repr__ = describe


def _section_of(function):
    """Return the section that a function's arguments make. Raises SpecError for arguments that no JSON can hold."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise SpecError(f"{function!r} is neither an nn.Module class nor a function") from None
    fields, name = {}, function.__name__
    for each in parameters:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            continue
        if each.name in ("network", Model.tag):  # what JSON has these names for
            if each.default is not each.empty:
                continue
            raise SpecError(f"{name}: its argument {each.name} has a name that Custom needs itself; call it otherwise")
        if each.kind is each.POSITIONAL_ONLY:
            raise SpecError(f"{name}: its argument {each.name} cannot be given by name")
        told = each.name in _NAMES
        if each.default is each.empty:
            if told:
                fields[each.name] = (int | None, None)
            else:
                fields[each.name] = (_annotated(each) or Any, ...)
        elif told:  # also where it has a default, as a class copied from somewhere may
            fields[each.name] = (int | None, None)
        elif _plain(each.default):
            stated = _annotated(each)  # "depth: int = None" may also be None
            wanted = stated | None if stated and each.default is None else stated or _type_of(each.default)
            fields[each.name] = (wanted, _listed(each.default))
        # else an object, e.g. nn.ReLU: it stays the default, and is part of the source
    return create_model(name, __base__=Section, **fields)


def _listed(value):
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def _like(default, value):
    """Return lists, which JSON has in place of tuples, as tuples where a default is one."""
    if not isinstance(value, list) or not isinstance(default, list | tuple):
        return value
    inside = default[0] if default else None
    return type(default)(_like(inside, item) for item in value)


def _plain(value) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _type_of(default):
    if default is None:
        return Any
    if isinstance(default, list | tuple):
        kinds = {_type_of(item) for item in default}
        return list[kinds.pop()] if len(kinds) == 1 else list
    return type(default)


def _annotated(parameter):
    """Return the annotation of an argument if it is one that JSON can hold, None where the default must tell."""
    known = {kind.__name__: kind for kind in (bool, int, float, str)}
    annotation = parameter.annotation
    return (
        known.get(annotation) if isinstance(annotation, str) else annotation if annotation in known.values() else None
    )
