"""Which layers the kernels compute."""

from torch import nn

from tinycnn.spec import modules


def leaves(network) -> list[nn.Module]:
    """Return the layers of nested ``nn.Sequential`` in order."""
    opened = type(network) is nn.Sequential and not hooked(network)
    return [leaf for child in network for leaf in leaves(child)] if opened else [network]


def supported(layer) -> bool:
    """Return whether the kernels compute this layer, for maps of a fitting shape.

    They call no hooks, and read parameters row by row.
    """
    check = _CHECKS.get(type(layer))
    if check is None or hooked(layer):
        return False
    return check(layer) and all(each.is_contiguous() for each in (*layer.parameters(), *layer.buffers()))


def hooked(layer) -> bool:
    """Return whether torch calls functions of the user's around this layer; weight norm and pruning are such."""
    return any((layer._forward_pre_hooks, layer._forward_hooks, layer._backward_pre_hooks, layer._backward_hooks))


def parts(network) -> list[tuple[bool, list[nn.Module]]]:
    """Return the layers of a network in runs of those that the kernels compute, and do not compute."""
    found = []
    for layer in leaves(network):
        if not found or found[-1][0] != supported(layer):
            found.append((supported(layer), []))
        found[-1][1].append(layer)
    return found


def square(value):
    """Return the side of a square window, None for another."""
    sides = set(value) if isinstance(value, tuple | list) else {value}
    return sides.pop() if len(sides) == 1 and all(type(side) is int for side in sides) else None


def _is_convolution(conv) -> bool:
    settings = square(conv.stride), padding_of(conv), square(conv.dilation)
    return conv.padding_mode == "zeros" and None not in settings


def padding_of(conv):
    """Return the pixels of padding on all sides, None where sides differ."""
    if conv.padding == "same":
        twice = {(taps - 1) * dilation for taps, dilation in zip(conv.kernel_size, conv.dilation, strict=True)}
        return max(twice) // 2 if len(twice) == 1 and max(twice) % 2 == 0 else None
    return 0 if conv.padding == "valid" else square(conv.padding)


def _is_pool(pool) -> bool:
    whole = square(pool.padding) == 0 and not pool.ceil_mode and None not in (square(pool.kernel_size), stride_of(pool))
    return whole and (getattr(pool, "dilation", 1) == 1 and getattr(pool, "divisor_override", None) is None)


def stride_of(pool):
    """Return how far apart the windows of a pool are, None where it differs between the axes."""
    return square(pool.kernel_size if pool.stride is None else pool.stride)


def _is_residual(block) -> bool:
    first = leaves(block.skip)[0]
    adapts = type(first) is nn.Conv2d and (first.kernel_size, first.padding) == ((1, 1), (0, 0))
    inside = (*leaves(block.layers), *leaves(block.skip), block.activation)
    return (adapts or type(block.skip) is nn.Identity) and all(map(supported, inside))


_CHECKS = {
    nn.Conv2d: _is_convolution,
    nn.Linear: lambda layer: True,
    nn.BatchNorm2d: lambda norm: bool(norm.affine and norm.track_running_stats and norm.momentum),
    nn.ReLU: lambda layer: True,
    nn.PReLU: lambda layer: True,
    nn.SiLU: lambda layer: True,
    nn.GELU: lambda layer: layer.approximate == "none",
    nn.Dropout: lambda drop: drop.p < 1,
    nn.Dropout2d: lambda drop: drop.p < 1,
    nn.MaxPool2d: lambda pool: _is_pool(pool) and not pool.return_indices,
    nn.AvgPool2d: _is_pool,
    nn.AdaptiveAvgPool2d: lambda pool: pool.output_size in (1, (1, 1)),
    nn.Flatten: lambda layer: (layer.start_dim, layer.end_dim) == (1, -1),
    nn.Identity: lambda layer: True,
    modules.Residual: _is_residual,
    modules.GatedPool: lambda pool: True,
    modules.BlurPool: lambda pool: True,
    modules.SqueezeExcite: lambda layer: True,
}
