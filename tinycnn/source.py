"""Where the code of an experiment comes from: references that find a class again, and the source that a run used.

A class or function of an experiment's own file is written down as ``experiments/exp7.py:Mixup`` (relative to the
repository where it can be). ``used_by`` follows the names that a class or function uses, through this project's and the
user's own files, never into installed packages: that, and nothing else, is the code a run's numbers depend on.
"""

import ast
import contextlib
import functools
import hashlib
import importlib
import os
import sys
import sysconfig
import types
import warnings
from pathlib import Path

from tinycnn import ROOT
from tinycnn.errors import SpecError

_NO_NUMBERS = (
    "errors.py", "source.py", "spec/section.py", "spec/spec.py", "data/catalog.py", "data/download.py",
    "network/check.py", "network/profile.py",
)  # fmt: skip
"""Files of ``tinycnn`` that change no number: they explain, find, read and write."""
_WORDS_ONLY = {"describe", "notices", "check", "settles", "used", "kinds", "__repr__", "__str__"}
"""Methods that change no number."""


def load_file(path: Path) -> types.ModuleType:
    """Execute a Python file anew and return it as a module.

    Not by way of the import system, which writes a ``__pycache__`` beside the file and may read an outdated one.
    Whatever the file raises comes through; ``OSError`` and ``UnicodeDecodeError`` where it cannot be read.
    """
    path = path.resolve()
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # so that a file may import another from ``experiments``
    with warnings.catch_warnings(action="ignore"):
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    module = types.ModuleType(_module_name(path))
    module.__file__ = str(path)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            exec(code, vars(module))
    except BaseException:
        sys.modules.pop(module.__name__)
        if before is not None:
            sys.modules[module.__name__] = before
        raise
    return module


def _module_name(path: Path) -> str:
    if path.parent == ROOT / "experiments":
        return f"experiments.{path.stem}"  # the same module as for files that import from it
    return f"_experiment_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def reference(thing) -> str:
    """Return what finds a class or function again: ``FILE.py:Name``, or ``package.module:Name`` of installed ones.

    Raises SpecError for one that has no name of its own at the top level of a file.
    """
    name, module = getattr(thing, "__qualname__", ""), sys.modules.get(getattr(thing, "__module__", None) or "")
    if not name or not module or "<" in name:
        raise SpecError(
            f"{name or thing!r}: define it by name at the top level of a file, so that it can be found again"
        )
    file = getattr(module, "__file__", None)
    if file is None or _installed(Path(file)):
        return f"{module.__name__}:{name}"
    return f"{_shown(Path(file))}:{name}"


def resolve(text: str):
    """Return the class or function that ``reference`` named so. Raises SpecError where it is not there any more."""
    where, _, name = text.rpartition(":")
    try:
        found = _module(where)
        for part in name.split("."):
            found = getattr(found, part)
        return found
    except AttributeError:
        raise SpecError(
            f"{where} has no {name} any more; put it back, or take the version the run was made with"
        ) from None
    except (ImportError, ValueError) as error:
        raise SpecError(f"{text}: cannot be found ({error})") from None
    except OSError as error:
        raise SpecError(f"{where}: cannot be read ({error.strerror}); {name} is defined there") from None


def _module(where: str):
    if not where.endswith(".py"):
        return sys.modules.get(where) or importlib.import_module(where)
    path = (ROOT / where).resolve()
    main = sys.modules.get("__main__")
    if getattr(main, "__file__", None) and Path(main.__file__).resolve() == path:
        return main
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == str(path):
            return module
    return load_file(path)


def _shown(path: Path) -> str:
    path = path.resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def file_of(text: str) -> Path | None:
    """Return the file that a reference, or a name as ``used_by`` gives, points into; None where that is installed."""
    where = text.rpartition(":")[0]
    return (ROOT / where).resolve() if where.endswith(".py") else None


@functools.cache
def _foreign() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple({Path(paths[kind]).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")})


def _installed(path: Path) -> bool:
    path = path.resolve()
    return "site-packages" in path.parts or any(path.is_relative_to(folder) for folder in _foreign())


def used_by(things, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the SHA-256 (12 hex digits) of the source of all that ``things`` use, by ``FILE.py:name``.

    things   classes and functions, or references to them
    without  files of ``tinycnn`` that are not followed either

    Comments, docstrings, descriptions of fields and what only explains do not count, and neither do installed packages.
    """
    found, stop = {}, {ROOT / "tinycnn" / name for name in (*_NO_NUMBERS, *without)}
    for thing in things:
        text = thing if isinstance(thing, str) else reference(thing)
        where, _, name = text.rpartition(":")
        path = file_of(text) or _path_of(where)
        if path is None:
            found[text] = "installed"
        else:
            _follow(path, name.split(".")[0], found, stop)
    return found


def code_hash(code: dict[str, str]) -> str:
    """12 hex digits over what ``used_by`` returned."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(code.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def _follow(path: Path, name: str, found: dict, stop: set):
    key = f"{_shown(path)}:{name}"
    if key in found or path in stop or _installed(path):
        return
    definitions, imports = _parsed(path, *_stamp(path))
    if name not in definitions:
        if name in imports:
            _follow_import(imports[name], found, stop)
        elif (path, name) not in stop:  # of two files that import all of one another, each is asked once
            stop.add((path, name))
            for module in imports.get("*", ()):
                _follow_import((module, name), found, stop)
        return
    nodes = definitions[name]
    found[key] = hashlib.sha256("\n".join(map(_normalised, nodes)).encode()).hexdigest()[:12]
    for node in nodes:
        local, handled = imports | _imports(ast.walk(node), path), set()
        for each in ast.walk(node):
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id in local:
                handled.add(each.value)
                _follow_import((*local[each.value.id], each.attr), found, stop)
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each not in handled:
                if each.id in local:
                    _follow_import(local[each.id], found, stop)
                else:
                    _follow(path, each.id, found, stop)


def _follow_import(target: tuple, found, stop):
    """Follow ``(module,)``, ``(module, name)`` or ``(module, submodule, name)``."""
    module, *names = target
    while names and _path_of(f"{module}.{names[0]}"):
        module, *names = f"{module}.{names[0]}", *names[1:]
    path = _path_of(module)
    if path and names:
        _follow(path, names[0], found, stop)


def _path_of(module: str) -> Path | None:
    """Return the file of a module that is not installed, None for all others."""
    if module == "tinycnn" or module.startswith(("tinycnn.", "experiments.")):
        base = ROOT / module.replace(".", "/")
        candidates = (base.with_suffix(".py"), base / "__init__.py")
        return next((path for path in candidates if path.is_file()), None)
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).resolve() if file and file.endswith(".py") and not _installed(Path(file)) else None


def _stamp(path: Path) -> tuple:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


@functools.cache
def _parsed(path: Path, *stamp):
    """Return the statements that define each name at the top of a file, and what its imports stand for."""
    body, definitions = ast.parse(path.read_bytes()).body, {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = {statement.name}
        else:
            names = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            names |= {
                n.name for n in ast.walk(statement) if isinstance(n, ast.FunctionDef | ast.ClassDef)
            }  # in an if or a try
        for name in names:
            definitions.setdefault(name, []).append(statement)
    return definitions, _imports(body, path)


def _imports(nodes, path: Path) -> dict[str, tuple]:
    """Return what each imported name stands for, as ``_follow_import`` takes it; "*": the modules all is taken from."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (
                    (alias.name,) if alias.asname else (alias.name.split(".")[0],)
                )
        elif isinstance(node, ast.ImportFrom) and (module := _absolute(node, path)):
            for alias in node.names:
                if alias.name == "*":
                    found["*"] = (*found.get("*", ()), module)
                else:
                    found[alias.asname or alias.name] = module, alias.name
    return found


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    """Return the module that a statement of a file imports from, "" for one beside a file outside the repository."""
    if not node.level:
        return node.module
    folder = path.parents[node.level - 1]
    parts = folder.relative_to(ROOT).parts if folder.is_relative_to(ROOT) else ()
    return ".".join((*parts, *([node.module] if node.module and parts else [])))


def _normalised(node) -> str:
    """Return the source of a statement without comments, docstrings, descriptions and what only explains."""
    tree = ast.parse(ast.unparse(node))
    for each in ast.walk(tree):
        if isinstance(each, ast.ClassDef):
            each.body = [n for n in each.body if getattr(n, "name", None) not in _WORDS_ONLY] or [ast.Pass()]
        if isinstance(each, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(each) is not None:
            each.body = each.body[1:] or [ast.Pass()]
        if isinstance(each, ast.Call):
            each.keywords = [keyword for keyword in each.keywords if keyword.arg != "description"]
    return ast.unparse(tree)
