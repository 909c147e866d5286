"""The kernels' library: compiled for this processor at its first use, and cached in the user's cache folder.

By ``$CXX``, ``c++``, ``g++`` or ``clang++``. The structures here are those of ``network.h``, field by field.
"""

import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

SOURCES = sorted(each for each in Path(__file__).parent.iterdir() if each.suffix in (".cpp", ".h"))
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-Wno-psabi", "-fPIC", "-shared")
PROCESSOR = ("-march=native",)
_WHOLE, _REAL, _POINTER = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
PARAMETERS = 4
"""The most parameters of a step."""


class Map(ctypes.Structure):
    """A map; see ``network.h``."""

    _fields_ = (
        *(
            (name, _WHOLE)
            for name in ("channels", "height", "width", "border", "halo", "wanted", "brief_data", "brief_grad")
        ),
        *((name, _POINTER) for name in ("data", "grad", "normed")),
    )


class Step(ctypes.Structure):
    """What computes a map from another; see ``network.h``."""

    _fields_ = (
        *((name, _WHOLE) for name in (
            "kind", "in_", "out", "other", "rows", "columns", "stride", "pad", "dilation", "groups",
            "function", "pool", "batch_norm", "drop_each", "again")),
        ("size", _WHOLE * PARAMETERS), ("partials", _WHOLE),
        ("eps", _REAL), ("momentum", _REAL),
        ("parameter", _POINTER * PARAMETERS), ("gradient", _POINTER * PARAMETERS),
        *((name, _POINTER) for name in (
            "running_mean", "running_var", "drop", "packed", "packed_back",
            "scale", "shift", "mean", "inverse", "d_shift", "d_scale", "sums", "partial")),
    )  # fmt: skip


class Network(ctypes.Structure):
    """Maps, steps and scratch; see ``network.h``."""

    _fields_ = (
        ("maps", ctypes.POINTER(Map)), ("steps", ctypes.POINTER(Step)), ("count", _WHOLE), ("threads", _WHOLE),
        ("scratch", _POINTER), ("scratch_size", _WHOLE),
    )  # fmt: skip


def missing() -> str:
    """Return why the kernels cannot be used on this machine, "" where they can; compiles them if need be."""
    return load()[1]


@functools.cache
def load(processor: tuple[str, ...] = PROCESSOR):
    """Return the kernels compiled for a processor and "", or None and why there are none."""
    try:
        loaded = ctypes.CDLL(str(_compiled(processor)))
    except (OSError, subprocess.SubprocessError) as error:
        return None, " ".join(str(error).split())[:200]
    for function in (loaded.forward, loaded.evaluate, loaded.backward):
        function.argtypes = [ctypes.POINTER(Network), _POINTER, _WHOLE, _POINTER]
        function.restype = None
    loaded.lay_out.argtypes = [_POINTER, _WHOLE, _WHOLE, ctypes.c_float, _POINTER]
    loaded.lay_out.restype = None
    loaded.augment.argtypes = [_POINTER, _POINTER, _POINTER, _WHOLE, _POINTER, _POINTER, _POINTER, _WHOLE]
    loaded.augment.restype = None
    return loaded, ""


def _compiled(processor) -> Path:
    """Return the compiled library, from the cache if it is there for these sources, compiler and processor."""
    named = shlex.split(os.environ.get("CXX", ""))
    compiler = named or next(([found] for found in map(shutil.which, ("c++", "g++", "clang++")) if found), None)
    if not compiler or not shutil.which(compiler[0]):
        raise OSError(f"no C++ compiler ({' '.join(named) or 'c++, g++, clang++'}) is installed")
    # its predefined macros state its version and the instruction set of this processor
    probe = [*compiler, *processor, "-dM", "-E", "-x", "c++", os.devnull]
    macros = subprocess.run(probe, capture_output=True, timeout=60).stdout
    # torch's own OpenMP: with two of them, their threads wait for each other
    folder = Path(torch.__file__).parent / "lib"
    openmp = ("-fopenmp", f"-L{folder}") if (folder / "libgomp.so.1").exists() else ("-fopenmp",)
    key = [*(each.read_bytes() for each in SOURCES), macros, repr((compiler, FLAGS, processor, openmp)).encode()]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinycnn"
    found = cache / f"native-{hashlib.sha256(b'|'.join(key)).hexdigest()[:16]}.so"
    if found.exists():
        return found
    cache.mkdir(parents=True, exist_ok=True)
    units = [str(each) for each in SOURCES if each.suffix == ".cpp"]
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        compiled = Path(temporary) / "native"
        for extra in (openmp, ()):  # without threads rather than not at all
            command = [*compiler, *FLAGS, *processor, *extra, *units, "-o", str(compiled)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
            if done.returncode == 0:
                os.replace(compiled, found)  # atomic, as another process may be compiling too
                return found
    raise OSError(f"{compiler[0]} cannot compile the kernels: {' '.join(done.stderr.split())[:150]}")
