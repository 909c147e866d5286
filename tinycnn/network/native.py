"""This project's own CPU kernels (``native.cpp``): the same network, several times as fast, in float32.

``Native(network)`` is called in place of the network. It works on the network's own parameters and running statistics,
and leaves gradients where the network would. The kernels compute the first layers of an ``nn.Sequential`` (nested ones
too): convolutions (stride 1, square, any padding below the kernel's size), each with what follows of batch norm, ReLU,
``Dropout2d``, max-pool and the average over the whole map, in this order. From the first other layer on torch computes.

They are compiled for this processor at their first use, by ``$CXX``, ``c++``, ``g++`` or ``clang++``, and cached in the
user's cache folder. Without a compiler ``missing()`` says so, and torch computes everything.
"""

import ctypes
import functools
import hashlib
import math
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import nn

SOURCE = Path(__file__).with_name("native.cpp")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fPIC", "-shared")
_WHOLE, _REAL, _POINTER = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


def missing() -> str:
    """Return why the kernels cannot be used on this machine, "" where they can; compiles them if need be."""
    return _library()[1]


@functools.cache
def _library():
    """Return the compiled kernels and "", or None and why there are none."""
    try:
        library = ctypes.CDLL(str(_compile()))
    except (OSError, subprocess.SubprocessError) as error:
        return None, " ".join(str(error).split())[:200]
    for function in (library.forward, library.evaluate, library.backward):
        sixth = _WHOLE if function is library.backward else _POINTER
        function.argtypes = [_POINTER, _WHOLE, _POINTER, _WHOLE, _POINTER, sixth, _WHOLE]
        function.restype = None
    return library, ""


def _compile() -> Path:
    """Return the compiled library, from the cache if it is there for this source, compiler and processor."""
    named = shlex.split(os.environ.get("CXX", ""))
    compiler = named or next(([found] for found in map(shutil.which, ("c++", "g++", "clang++")) if found), None)
    if not compiler or not shutil.which(compiler[0]):
        raise OSError(f"no C++ compiler ({' '.join(named) or 'c++, g++, clang++'}) is installed")
    # its predefined macros state its version and the instruction set of this processor
    probe = [*compiler, "-march=native", "-dM", "-E", "-x", "c++", os.devnull]
    macros = subprocess.run(probe, capture_output=True, timeout=60).stdout
    # torch's own OpenMP: with two of them, their threads wait for each other
    folder = Path(torch.__file__).parent / "lib"
    openmp = ("-fopenmp", f"-L{folder}") if (folder / "libgomp.so.1").exists() else ("-fopenmp",)
    key = [SOURCE.read_bytes(), macros, repr((compiler, FLAGS, openmp)).encode()]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinycnn"
    library = cache / f"native-{hashlib.sha256(b'|'.join(key)).hexdigest()[:16]}.so"
    if library.exists():
        return library
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        compiled = Path(temporary) / "native"
        for extra in (openmp, ()):  # without threads rather than not at all
            command = [*compiler, *FLAGS, "-Wno-psabi", *extra, str(SOURCE), "-o", str(compiled)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
            if done.returncode == 0:
                os.replace(compiled, library)  # atomic, as another process may be compiling too
                return library
    raise OSError(f"{compiler[0]} cannot compile the kernels: {' '.join(done.stderr.split())[:150]}")


class _Stage(ctypes.Structure):
    """A convolution and what follows it, as ``native.cpp`` has it."""

    _fields_ = (
        *((name, _WHOLE) for name in (
            "channels", "height", "width", "kernel", "pad", "outputs", "out_height", "out_width",
            "pool", "average", "pooled_height", "pooled_width", "batch_norm", "relu")),
        ("eps", _REAL), ("momentum", _REAL),
        *((name, _POINTER) for name in (
            "weight", "gamma", "beta", "running_mean", "running_var", "drop", "packed", "packed_back",
            "scale", "shift", "mean", "inverse", "in_", "y", "grad", "sums", "partial",
            "d_weight", "d_gamma", "d_beta")),
    )  # fmt: skip


class Layers:
    """The layers of one stage; those that are absent are None or False."""

    def __init__(self, conv):
        self.conv, self.norm, self.relu, self.drop, self.pool, self.average = conv, None, False, None, 1, False

    def take(self, layer) -> bool:
        """Add a layer to this stage if it may come next; return whether it may."""
        full_size = self.drop is None and self.pool == 1 and not self.average
        if type(layer) is nn.BatchNorm2d and full_size and self.norm is None and not self.relu:
            if not (layer.affine and layer.track_running_stats and layer.momentum) or self.conv.bias is not None:
                return False
            self.norm = layer
        elif type(layer) is nn.ReLU and full_size and not self.relu:
            self.relu = True
        elif type(layer) is nn.Dropout2d and full_size and 0 <= layer.p < 1:
            self.drop = layer
        elif type(layer) is nn.MaxPool2d and self.pool == 1 and not self.average:
            side, settings = layer.kernel_size, (layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
            if type(side) is not int or settings != (side, 0, 1, False):
                return False
            self.pool = side
        elif type(layer) is nn.AdaptiveAvgPool2d and layer.output_size in (1, (1, 1)) and not self.average:
            self.average = True
        else:
            return False
        return True


def _leaves(network):
    """Return the layers of nested ``nn.Sequential`` in order."""
    return [leaf for child in network for leaf in _leaves(child)] if type(network) is nn.Sequential else [network]


def _starts(layer) -> bool:
    """Return whether the kernels compute this convolution."""
    return (
        type(layer) is nn.Conv2d
        and layer.stride == (1, 1)
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.kernel_size[0] == layer.kernel_size[1]
        and layer.padding_mode == "zeros"
        and type(layer.padding) is tuple
        and layer.padding[0] == layer.padding[1] < layer.kernel_size[0]
    )


def stages(network) -> tuple[list[Layers], nn.Sequential]:
    """Return the stages of a network that the kernels compute, and the rest."""
    leaves, taken = _leaves(network), []
    while leaves:
        if _starts(leaves[0]):
            taken.append(Layers(leaves.pop(0)))
        elif taken and taken[-1].take(leaves[0]):
            leaves.pop(0)
        else:
            break
    return taken, nn.Sequential(*leaves)


def coverage(network) -> tuple[int, int, str]:
    """Return the number of convolutions that the kernels compute, of all, and the first layer that they cannot."""
    taken, rest = stages(network)
    total = sum(isinstance(each, nn.Conv2d) for each in network.modules())
    first = next((each for each in rest if type(each) is not nn.Flatten), None)
    name = "" if first is None else type(first).__name__
    if isinstance(first, nn.Conv2d):
        name = f"a convolution with stride {first.stride[0]}, dilation {first.dilation[0]} and groups={first.groups}"
    return len(taken), total, name


class Native:
    """A network that computes with the kernels; call it with images (N, C, H, W), float32, on the CPU.

    In training mode the running statistics are updated and ``backward`` of the output gives the parameters their
    gradients, as with the network itself: one ``backward`` for each call, before the next. Images get no gradient.
    """

    def __init__(self, network: nn.Module):
        # the kernels read weights row by row
        self.network = network.to(memory_format=torch.contiguous_format)
        self.stages, self.rest = stages(network)
        modules = [module for stage in self.stages for module in (stage.conv, stage.norm) if module is not None]
        self.parameters = [parameter for module in modules for parameter in module.parameters()]
        self._library = _library()[0]
        self._lanes = self._library.lanes()
        self._buffers = {}
        self.train, self.eval = network.train, network.eval

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        images = images.contiguous()
        if self.network.training:
            return self.rest(_Training.apply(self, images, *self.parameters))
        buffers = self.buffers(images, False)
        out = images.new_empty(len(images), *buffers.out_shape)
        self._library.evaluate(*buffers.arguments(images, out))
        return self.rest(out)

    def buffers(self, images, training):
        """Return stages and buffers of the kernels for batches like ``images``, with the present parameters."""
        slots = math.ceil(len(images) / self._lanes) if training else torch.get_num_threads()
        key = slots, *images.shape[1:]
        if self._buffers.get(training, (None,))[0] != key:  # one of each, since they are large
            self._buffers[training] = key, _Buffers(self, training, *key)
        buffers = self._buffers[training][1]
        buffers.update_pointers(self)
        return buffers


class _Buffers:
    """The buffers of all stages for a number of slots (groups of images in training, threads in evaluation)."""

    def __init__(self, native, training, slots, channels, height, width):
        lanes, threads = native._lanes, torch.get_num_threads()
        self.threads, self.kept, self.stages = threads, [], (_Stage * len(native.stages))()
        largest = 0
        for s, layers in zip(self.stages, native.stages, strict=True):
            conv, norm = layers.conv, layers.norm
            s.channels, s.height, s.width = channels, height, width
            s.kernel, s.pad = conv.kernel_size[0], conv.padding[0]
            s.outputs, s.pool, s.average, s.relu = conv.out_channels, layers.pool, layers.average, layers.relu
            s.out_height, s.out_width = (side + 2 * s.pad - s.kernel + 1 for side in (height, width))
            s.pooled_height, s.pooled_width = s.out_height // s.pool, s.out_width // s.pool
            if channels != conv.in_channels or min(s.pooled_height, s.pooled_width) < 1:
                raise RuntimeError(f"{conv} cannot take a map of {channels} x {height} x {width}")
            s.batch_norm = norm is not None
            s.eps, s.momentum = (norm.eps, norm.momentum) if norm else (0.0, 0.0)
            weights, border = conv.weight.numel(), s.kernel - 1 - s.pad
            s.in_ = self.new(slots * s.channels * (height + 2 * s.pad) * (width + 2 * s.pad) * lanes)
            s.y = self.new(slots * s.outputs * s.out_height * s.out_width * lanes)
            s.packed, s.packed_back = self.new(weights), self.new(weights)
            s.scale, s.shift, s.mean, s.inverse = (self.new(s.outputs) for _ in range(4))
            if training:
                side = (s.out_height + 2 * border) * (s.out_width + 2 * border)
                s.grad = self.new(slots * s.outputs * side * lanes)
                s.partial = self.new(slots * max(weights, 2 * s.outputs))
                s.sums = self.new(threads * weights * lanes)
            channels = s.outputs
            height, width = (1, 1) if s.average else (s.pooled_height, s.pooled_width)
            largest = max(largest, channels * height * width)
        self.out_shape = (channels, height, width)
        self.map = self.new(slots * math.prod(self.out_shape) * lanes)
        self.slot_size = largest
        self.scratch = self.new(slots * largest * lanes) if training else None

    def new(self, count):
        """Return the address of so many new numbers."""
        self.kept.append(torch.zeros(count))
        return self.kept[-1].data_ptr()

    def update_pointers(self, native):
        """Set the present addresses of parameters and statistics."""
        for s, layers in zip(self.stages, native.stages, strict=True):
            s.weight = layers.conv.weight.data_ptr()
            if layers.norm is not None:
                s.gamma, s.beta = layers.norm.weight.data_ptr(), layers.norm.bias.data_ptr()
                s.running_mean, s.running_var = layers.norm.running_mean.data_ptr(), layers.norm.running_var.data_ptr()
            elif layers.conv.bias is not None:
                s.beta = layers.conv.bias.data_ptr()

    def arguments(self, images, out):
        """Return the arguments of the kernels ``forward`` and ``evaluate``."""
        data = images.data_ptr(), len(images), out.data_ptr()
        return self.stages, len(self.stages), *data, self.map, self.threads


class _Training(torch.autograd.Function):
    """The stages as one autograd function."""

    @staticmethod
    def forward(ctx, native, images, *parameters):
        buffers = native.buffers(images, True)
        number, padded = len(images), math.ceil(len(images) / native._lanes) * native._lanes
        buffers.drops = []
        for s, layers in zip(buffers.stages, native.stages, strict=True):
            if layers.norm is not None:
                layers.norm.num_batches_tracked += 1
            s.drop = None
            if layers.drop is not None and layers.drop.p:
                factors = torch.zeros(padded, s.outputs)  # drawn as torch's Dropout2d does
                factors[:number] = torch.empty(number, s.outputs).bernoulli_(1 - layers.drop.p).div_(1 - layers.drop.p)
                buffers.drops.append(factors)
                s.drop = factors.data_ptr()
        out = images.new_empty(number, *buffers.out_shape)
        native._library.forward(*buffers.arguments(images, out))
        ctx.native, ctx.buffers, ctx.number = native, buffers, number
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_out):
        buffers, native, d_out = ctx.buffers, ctx.native, d_out.contiguous()
        gradients = [torch.empty_like(each, memory_format=torch.contiguous_format) for each in native.parameters]
        rest = iter(gradients)
        for s, layers in zip(buffers.stages, native.stages, strict=True):
            s.d_weight = next(rest).data_ptr()
            if layers.norm is not None:
                s.d_gamma = next(rest).data_ptr()
            if layers.norm is not None or layers.conv.bias is not None:
                s.d_beta = next(rest).data_ptr()
        native._library.backward(
            buffers.stages, len(buffers.stages), d_out.data_ptr(), ctx.number, buffers.scratch, buffers.slot_size,
            buffers.threads,
        )  # fmt: skip
        return None, None, *gradients
