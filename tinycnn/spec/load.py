"""Finding experiments: by name (``exp3``), by file, or by the ``spec.json`` of a run."""

import json
import os
import traceback
from pathlib import Path

from pydantic import ValidationError

from tinycnn import ROOT, source
from tinycnn.errors import SpecError, UserError, nearest, one_line, shown
from tinycnn.spec.section import explain
from tinycnn.spec.spec import Spec

FOLDER = ROOT / "experiments"
_WANTED = "give the name of an experiment, a .py file with a SPEC, or the spec.json of a run"


def names(folder: Path | None = None) -> list[str]:
    """Return the names of the experiments, sorted: every file in ``experiments/``, or ``folder``, not private."""
    return sorted(path.stem for path in (folder or FOLDER).glob("*.py") if path.stem[0] != "_")


def load(which: str) -> Spec:
    """Return the spec of an experiment, with its file's docstring as its notes. Raises SpecError in one line."""
    known = names()
    path = FOLDER / f"{which}.py" if which in known else Path(which)
    if which not in known and not os.path.exists(which):
        raise SpecError(f"no experiment or file is called {shown(which)}; {nearest(which, known)}")
    if path.suffix == ".py":
        return defined(path, "SPEC", Spec, "experiments/exp3.py")
    try:
        return Spec.from_json(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read ({one_line(error)}); {_WANTED}") from None


def from_folder(kind: type, folder: Path, which: str, example: str):
    """Return the study or sweep, by ``kind``, of a name in its folder, or of another file. Raises SpecError."""
    what, known = kind.__name__, names(folder)
    path = folder / f"{which}.py" if which in known else Path(which)
    if path.suffix != ".py" or not path.is_file():
        raise SpecError(f"no {what.lower()} or .py file is called {shown(which)}; {nearest(which, known)}")
    return defined(path, what.upper(), kind, f"experiments/{folder.name}/{example}.py")


def defined(path: Path, variable: str, kind: type, example: str):
    """Return what a Python file defines under this name, with the file's docstring as its notes. Raises SpecError."""
    made = execute(path)
    found = made.get(variable)
    if not isinstance(found, kind):
        raise SpecError(f"{path.name}: has no {variable}; see {example} for an example")
    if found.name != path.stem:
        name = f"{path.name}: {variable}.name is {found.name!r}"
        raise SpecError(f"{name}; it must be the file's name, {shown(path.stem)}")
    return found.model_copy(update={"notes": made.get("__doc__") or ""})


def execute(path: Path) -> dict:
    """Execute a file and return what it defines. Raises SpecError in one line, whatever is wrong with it."""
    try:
        return vars(source.load_file(path))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the author of the file did wrong
        text = one_line(error).removesuffix(":")
        if isinstance(error, ValidationError):
            text = explain(error)
        elif isinstance(error, UserError):
            text = str(error)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path.resolve())]
        if isinstance(error, SyntaxError) and error.filename == str(path.resolve()):
            lines = [error.lineno]
        where = f"{path.name}, line {lines[-1]}" if lines else path.name
        raise SpecError(f"{where}: {text}") from None


def hash_now(text: str, recorded: str) -> str | None:
    """Return the present hash of a spec recorded as JSON under the hash ``recorded``; None where they do not match.

    One of version 1 had another hash, which is not computed again.
    """
    try:
        now = Spec.from_json(text).hash
        return now if now == recorded or json.loads(text).get("version") == 1 else None
    except (SpecError, TypeError):
        return None
