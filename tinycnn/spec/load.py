"""Finding experiments: by name (``exp3``), by file, or by the ``spec.json`` of a run."""

import os
from pathlib import Path

from pydantic import ValidationError

from tinycnn import ROOT, source
from tinycnn.errors import SpecError, UserError, nearest, shown
from tinycnn.spec.section import explain
from tinycnn.spec.spec import Spec

FOLDER = ROOT / "experiments"
LARGEST = 1 << 20
"""Bytes; a spec has about two thousand, its notes among them."""
_WANTED = "give the name of an experiment, a .py file with a SPEC, or the spec.json of a run"


def names() -> list[str]:
    """Return the names of the experiments, sorted: every file in ``experiments/`` that is not private."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def load(which: str) -> Spec:
    """Return the spec of an experiment, with its file's docstring as its notes. Raises SpecError in one line."""
    known = names()
    path = FOLDER / f"{which}.py" if which in known else Path(which)
    if which not in known and not is_there(which):
        raise SpecError(f"no experiment or file is called {shown(which)}; {nearest(which, known)}")
    try:
        if not path.is_file():  # opening a pipe would wait for ever, and some devices never end
            what = "is no regular file" if path.exists() else "is a link that leads nowhere"
            raise SpecError(f"{path}: {what}; {_WANTED}")
        if path.suffix == ".json":
            return Spec.from_json(_content(path).decode(), where=str(path))
        if path.suffix == ".py":
            return _from_python(path)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}); {_WANTED}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: cannot be read (byte {error.start} is not UTF-8); {_WANTED}") from None
    raise SpecError(f"{path}: is neither .py nor .json; {_WANTED}")


def is_there(path: str) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:  # a name that no file can have
        return False


def _content(path: Path) -> bytes:
    """Return a regular file's bytes, no more than its size promises: what /proc holds says 0, and may never end."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > LARGEST:
            raise SpecError(f"{path}: has {size:,} bytes, a spec has at most {LARGEST:,}; {_WANTED}")
        return stream.read(size)


def execute(path: Path) -> dict:
    """Run a file and return what it defines. Raises SpecError in one line, whatever is wrong with it."""
    if path.stat().st_size > LARGEST:
        raise SpecError(f"{path}: has {path.stat().st_size:,} bytes, a spec has at most {LARGEST:,}; {_WANTED}")
    try:
        return vars(source.load_file(path))
    except ValidationError as error:
        line = _line_in(error, path)
        raise SpecError(f"{path.name}{f', line {line}' if line else ''}: {explain(error)}") from None
    except UserError as error:
        raise SpecError(f"{path.name}: {error}") from None
    except KeyboardInterrupt:
        raise
    except OSError as error:
        if error.filename and Path(error.filename) != path:  # what the file itself opened
            raise SpecError(f"{path.name}, line {_line_in(error, path)}: {_said(error, path)}") from None
        raise
    except BaseException as error:  # whatever the author of the file did wrong
        line = _line_in(error, path)
        raise SpecError(f"{path.name}{f', line {line}' if line else ''}: {_said(error, path)}") from None


def _from_python(path: Path) -> Spec:
    made = execute(path)
    spec = made.get("SPEC")
    if not isinstance(spec, Spec):
        raise SpecError(f"{path.name}: has no SPEC; see experiments/exp3.py for an example")
    # checked once more: model_construct and model_copy make specs that nobody has looked at
    values = spec.model_dump(warnings=False) | {"notes": made.get("__doc__") or ""}
    spec = Spec.from_dict(values, where=path.name)
    if spec.name != path.stem:
        raise SpecError(f"{path.name}: SPEC.name is {spec.name!r}; it must be the file's name, {shown(path.stem)}")
    return spec


def _said(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(path.resolve()):
        return f"{type(error).__name__}: {error.msg}"
    try:
        words = str(error).partition("For further information visit")[0]  # as pydantic adds
        return " ".join(f"{type(error).__name__}: {words}".split()).removesuffix(":")
    except Exception:  # an exception of the author's own that cannot even say what it is
        return type(error).__name__


def _line_in(error: BaseException, path: Path) -> int | None:
    """Return the line of the file in which an error arose, None where that is not known."""
    if isinstance(error, SyntaxError) and error.filename == str(path.resolve()):
        return error.lineno
    found, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path.resolve()):
            found = trace.tb_lineno
        trace = trace.tb_next
    return found
