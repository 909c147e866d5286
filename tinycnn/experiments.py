"""Finding experiments: by name (``exp3``), by file, or by the ``spec.json`` of a run."""

import importlib.util
import sys
from pathlib import Path

from pydantic import ValidationError

from tinycnn import ROOT
from tinycnn.errors import SpecError, UserError, nearest
from tinycnn.spec import Spec, explain

FOLDER = ROOT / "experiments"


def names() -> list[str]:
    """Return the names of the experiments, sorted: every file in ``experiments/`` that is not private."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def load(which: str) -> Spec:
    """Return the spec of an experiment, with its file's docstring as its notes. Raises SpecError in one line."""
    path = FOLDER / f"{which}.py"
    if which not in names():
        path = Path(which)
        if not _is_file(path):
            raise SpecError(f"no experiment or file {which!r}; {nearest(which, names())}")
    try:
        if path.suffix == ".json":
            return Spec.from_json(path.read_text(encoding="utf-8"), where=str(path))
        if path.suffix == ".py":
            return _from_python(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read ({error})") from None
    raise SpecError(f"{path}: an experiment is a .py file with a SPEC, or the spec.json of a run")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _from_python(path: Path) -> Spec:
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # so that a spec may import another from ``experiments``
    definition = importlib.util.spec_from_file_location(f"_experiment_{path.stem}", path)
    module = importlib.util.module_from_spec(definition)
    try:
        definition.loader.exec_module(module)
    except ValidationError as error:
        raise SpecError(f"{path.name}: {explain(error)}") from None
    except UserError as error:
        raise SpecError(f"{path.name}: {error}") from None
    except (Exception, SystemExit) as error:  # whatever the author of the file did wrong
        line = (error.lineno if isinstance(error, SyntaxError) else _line_in(error, path)) or "?"
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise SpecError(f"{path.name}, line {line}: {said}") from None
    spec = getattr(module, "SPEC", None)
    if not isinstance(spec, Spec):
        raise SpecError(f"{path.name}: has no SPEC; see experiments/exp3.py for an example")
    if spec.name != path.stem:
        raise SpecError(f"{path.name}: SPEC.name is {spec.name!r}; it must be the file's name, {path.stem!r}")
    return spec.model_copy(update={"notes": module.__doc__ or ""})


def _line_in(error: BaseException, path: Path) -> int | str:
    found, trace = "?", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            found = trace.tb_lineno
        trace = trace.tb_next
    return found
