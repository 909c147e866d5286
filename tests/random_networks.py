"""Random networks for hypothesis: every kind of layer, nested, with all of its options."""

from hypothesis import assume  # noqa: I001
from hypothesis import strategies as st

from tinycnn.errors import SpecError
from tinycnn.spec import (
    Activation, AvgPool, BlurPool, Conv, Depthwise, Dropout, GatedPool, Head, MaxPool, Network, Norm, Pointwise,
    Repeat, Residual, SqueezeExcite,
)  # fmt: skip

ACTIVATIONS = st.sampled_from(["relu", "prelu", "prelu_per_channel", "silu", "gelu", "none"])
WIDTHS, GROUPS, STRIDES = st.sampled_from([4, 4, 4, 8]), st.sampled_from([1, 1, 2, 4]), st.sampled_from([1, 1, 1, 2])
PADDINGS = st.sampled_from([0, 1, 2, "same"])
COMMON = {
    "bias": st.none() | st.booleans(),
    "norm": st.sampled_from([None, "batch", "none"]),
    "activation": st.none() | ACTIVATIONS,
    "dropout": st.sampled_from([None, 0.0, 0.25]),
    "dropout_of": st.sampled_from([None, "maps", "elements"]),
}
SPATIAL = {
    "kernel": st.sampled_from([1, 2, 3, 3, 3, 5]),
    "padding": st.none() | PADDINGS,
    "stride": STRIDES,
    "dilation": st.sampled_from([1, 1, 2]),
}
POOLED = {"size": st.sampled_from([1, 2, 2, 3]), "stride": st.sampled_from([None, 1, 2])}
SINGLE = st.one_of(
    st.builds(Conv, channels=WIDTHS, groups=GROUPS, **SPATIAL, **COMMON),
    st.builds(Depthwise, multiplier=st.sampled_from([1, 1, 2]), **SPATIAL, **COMMON),
    st.builds(Pointwise, channels=WIDTHS, groups=GROUPS, **COMMON),
    *(st.builds(pool, **POOLED) for pool in (MaxPool, AvgPool, GatedPool)),
    st.builds(BlurPool, width=st.integers(1, 4), **POOLED),
    st.builds(Activation, function=ACTIVATIONS),
    st.builds(Dropout, rate=st.sampled_from([0.0, 0.5]), of=st.sampled_from(["maps", "elements"])),
    st.builds(SqueezeExcite, hidden=st.integers(1, 3)),
    st.just(Norm()),
)


def _nested(inner):
    layers = st.lists(inner, min_size=1, max_size=2).map(tuple)
    norms = st.sampled_from([None, "batch", "none"])
    return st.one_of(
        st.builds(Residual, layers=layers, norm=norms, activation=ACTIVATIONS),
        st.builds(Repeat, layers=layers, times=st.integers(1, 3), shared=st.booleans()),
    )


LAYERS = st.recursive(SINGLE, _nested, max_leaves=4)
HEADS = st.builds(
    Head,
    reduce=st.sampled_from(["average", "flatten"]),
    by=st.sampled_from(["conv", "linear"]),
    bias=st.none() | st.booleans(),
    classes_first=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5]),
)


@st.composite
def networks(draw, size=40, channels=1, heads=HEADS):
    """Draw a network that can take square images of ``size``."""
    first = Conv(4, draw(st.sampled_from([1, 3, 5])))
    layers = draw(st.lists(LAYERS, min_size=1, max_size=4))
    options = {"padding": PADDINGS, "norm": st.sampled_from(["batch", "none"]), "activation": ACTIVATIONS,
               "dropout": st.sampled_from([0.0, 0.25]), "bias": st.booleans()}  # fmt: skip
    network = Network(first, *layers, draw(heads), **{name: draw(each) for name, each in options.items()})
    try:
        network.build((channels, size, size), 10)
    except SpecError:
        assume(False)
    return network
