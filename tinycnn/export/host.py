"""Compiling the C of an exported network on this machine and running it on images."""

import shutil
import subprocess
from pathlib import Path

import numpy as np

from tinycnn.errors import UserError

MAIN = Path(__file__).with_name("host.c")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")


def compiler() -> str | None:
    """Return the C compiler of this machine, None if it has none."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def compiled(folder: Path, name: str, *command: str, program: str = "program") -> Path:
    """Compile ``name.c`` with a ``main`` that reads images, by a command such as ("gcc", "-O2"). Raises UserError."""
    made = folder / program
    defined = f'-DHEADER="{name}.h"', f"-DMODEL={name}", f"-I{folder}"
    words = [*command, *STRICT, *defined, str(MAIN), str(folder / f"{name}.c"), "-o", str(made)]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=300)
    if done.returncode:
        raise UserError(f"{name}.c: {command[0]} cannot compile it ({' '.join(done.stderr.split())[:300]})")
    return made


def run(program: Path, pixels: np.ndarray, classes: int, *before: str) -> tuple[np.ndarray, float | None]:
    """Return scores, int64 (N, classes), of uint8 images (N, C, H, W), and seconds for each where it was TIMED.

    ``before``: the words of an emulator that runs the program. Raises UserError where it fails.
    """
    given = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)).tobytes()
    done = subprocess.run([*before, str(program)], input=given, capture_output=True, timeout=500)
    scores = np.frombuffer(done.stdout, "<i4") if len(done.stdout) == 4 * classes * len(pixels) else None
    if done.returncode or scores is None:
        reason = " ".join(done.stderr.decode(errors="replace").split())[:300] or f"it ended with {done.returncode}"
        raise UserError(f"{program.name}: failed on this machine ({reason})")
    words = done.stderr.split()
    seconds = float(words[0]) / 1e6 / int(words[1]) if len(words) == 2 else None
    return scores.reshape(-1, classes).astype(np.int64), seconds
