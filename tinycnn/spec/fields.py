"""Data, augmentation, averaging, quantisation, training and target of a spec: type, limits, default of each field.

``Data`` and ``Augment`` also do what they describe. One of your own is a class in the experiment's file, derived from
one of these.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tinycnn.data.catalog import DATASETS, Facts
from tinycnn.errors import SpecError
from tinycnn.spec.section import Kind, Section, name_of, own_name


class Data(Kind):
    """The data set, its fallback where it cannot be downloaded, the validation share, the number trained on.

    ``name``: one of the published sets, or ``npz`` or ``folder`` with a ``path`` to your own; see ``tinycnn.data.own``.
    A class of your own defines ``read(part)``, which returns uint8 images (N, C, H, W) and integer labels (N,) for
    "train" and for "test".
    """

    name: Literal["mnist", "fashion_mnist", "cifar10", "mnist5k", "npz", "folder"] = "mnist"
    fallback: Literal["mnist5k"] | None = "mnist5k"
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    images: Annotated[int, Field(ge=2, description="train on so many, a fixed choice; null for all")] | None = None
    path: Annotated[str, Field(min_length=1, description="of npz and folder")] | None = None
    size: Annotated[int, Field(ge=4, le=256, description="of folder: sides in pixels; null: as they are")] | None = None
    channels: Annotated[Literal[1, 3], Field(description="of folder: 1 grey, 3 colour")] = 1

    @classmethod
    def kinds(cls):
        return dict.fromkeys((*DATASETS, "npz", "folder"), Data)

    @field_validator("validation", mode="before")  # of the field: JSON's lists would be no tuples for one of the whole
    @classmethod
    def _standard_split(cls, value, info):
        """Read ``validation=True`` as the data set's standard split, e.g. 50,000 / 10,000 for MNIST."""
        if isinstance(value, bool):
            facts = DATASETS.get(info.data.get("name"))
            return (facts.standard_validation if facts else 1 / 6) if value else 0.0
        return value

    @model_validator(mode="after")
    def _path_of_files(self):
        if not type(self).__module__.startswith("tinycnn."):
            object.__setattr__(self, "name", name_of(type(self)))
        elif (self.name in DATASETS) == (self.path is not None):
            raise ValueError(f"data.name={self.name} {'needs' if self.path is None else 'has no'} data.path")
        return self

    @property
    def short(self) -> str:
        """The name without the file it may come from."""
        return self.name.rpartition(":")[2]

    def facts(self) -> Facts:
        """Return channels, size, classes and numbers of images. Raises UserError where files of your own are wrong."""
        if self.name in DATASETS:
            return DATASETS[self.name]
        from tinycnn.data import own

        return own.facts(self)

    def read(self, part: str):
        """Return (images, labels) of "train" or "test"; defined by classes of your own."""
        raise SpecError(f"data: {self.short} needs a method read(self, part)")

    def load(self, *, offline: bool = False):
        """Return the ``tinycnn.data.Split`` to train on and to evaluate. Raises DataMissing, UserError."""
        from tinycnn.data import files, own

        if self.name in DATASETS:
            return files.load(self.name, self.validation, self.images, offline=offline)
        return own.load(self)


class Augment(Kind):
    """Random changes to each training image, drawn anew for every image and epoch; 0 or False is off.

    Derive from it to change batches in another way too: ``apply`` may also mix labels.
    """

    name = own_name
    rotation: Annotated[float, Field(ge=0, le=180, description="degrees either way")] = 0.0
    shift: Annotated[float, Field(ge=0, le=64, description="pixels either way, on each axis")] = 0.0
    scale: Annotated[float, Field(ge=0, lt=1, description="size is drawn from 1-scale to 1+scale")] = 0.0
    shear: Annotated[float, Field(ge=0, le=60, description="degrees either way, along x")] = 0.0
    elastic: Annotated[float, Field(ge=0, le=16, description="standard deviation of a pixel's shift, in pixels")] = 0.0
    elastic_width: Annotated[float, Field(gt=0, le=32, description="pixels over which such shifts agree")] = 4.0
    crop: Annotated[int, Field(ge=0, le=64, description="pixels of padding before a random crop")] = 0
    flip: Annotated[bool, Field(description="mirror every second image, left to right")] = False
    cutout: Annotated[int, Field(ge=0, le=64, description="side in pixels of a square that is blanked")] = 0
    fade: Annotated[int, Field(ge=0, description="last epochs, over which all but flip falls evenly to nothing")] = 0

    @classmethod
    def kinds(cls):
        return {"Augment": Augment}

    def at(self, epoch: int, epochs: int) -> "Augment":
        """Return the augmentation of an epoch, counted from 1; over the last ``fade`` epochs it falls linearly."""
        if epoch <= epochs - self.fade:
            return self
        strength = (epochs - epoch) / self.fade
        names = ("rotation", "shift", "scale", "shear", "elastic", "crop", "cutout")
        full = {name: getattr(self, name) for name in names}
        return self.model_copy(update={n: type(value)(round(strength * value, 6)) for n, value in full.items()})

    def apply(self, images, labels, generator, data):
        """Return images and targets of a batch, each image changed by its own random amounts.

        images     float32 (N, C, H, W), values in [0, 1], on any device; left as it is
        labels     int64 (N,)
        generator  on the CPU: all that is random is drawn from it
        data       the ``Split``: its classes, and the mean that cutout leaves

        Targets are labels, or shares (N, classes) that add up to 1.
        """
        from tinycnn.data.augment import augment

        return augment(images, self, generator, data.mean), labels


class Average(Section):
    """Exponentially averaged weights, beside those that are trained (Polyak & Juditsky 1992).

    After every ``every`` batches the average moves by 1 - ``decay`` towards the weights. Its batch-norm statistics are
    recomputed before each evaluation, from augmented training images. ``result``: which weights are the run's.
    """

    positional = ("decay",)
    decay: Annotated[float, Field(ge=0, lt=1, description="0: no average")] = 0.0
    every: Annotated[int, Field(ge=1, description="batches")] = 1
    result: Literal["averaged", "raw"] = "averaged"


class Quantise(Section):
    """Quantisation-aware training: in the last ``epochs`` weights and maps are rounded as the C program's are.

    Gradients pass the rounding as if it were not there. In these epochs dropout is off and batch norm keeps its running
    statistics. Test accuracies stay those of the network in floating point; ``export --to c`` states the others.
    """

    positional = ("epochs",)
    epochs: Annotated[int, Field(ge=0, le=10_000, description="the last ones of train.epochs; 0: none")] = 0


class Train(Section):
    """The training loop: ``seed`` is the first seed; an incomplete last batch is dropped from its epoch."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 15
    batch_size: Annotated[int, Field(ge=2, le=60_000)] = 128
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    kernels: Annotated[
        Literal["torch", "native"],
        Field(description="native: network/native, where it applies (CPU, float32, not compiled, a C++ compiler)"),
    ] = "native"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Target(Section):
    """The goal of the iteration. Accuracies are test accuracies in percent, on ``data`` (null: the spec's data set)."""

    parameter_limit: Annotated[int, Field(ge=1, description="most parameters allowed; null for no limit")] | None = 8000
    max_epochs: Annotated[int, Field(ge=1)] = 15
    accuracy: Annotated[float, Field(gt=0, le=100)] | None = 99.4
    last_epochs: Annotated[int, Field(ge=1, description="the accuracy must hold in each of these")] = 5
    data: Annotated[str, Field(description="the data set that the accuracy is about")] | None = None
