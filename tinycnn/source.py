"""References that find a class or function again, and digests of the source code that a run used.

A class or function of an experiment's own file is written as ``experiments/exp7.py:Mixup`` (relative to the repository
where possible). ``used_by`` follows the names that a class or function uses through this project's and the user's
files, not into installed packages: that code, and no other, is what a run's numbers depend on.
"""

import ast
import contextlib
import copy
import functools
import hashlib
import importlib
import operator
import sys
import sysconfig
import types
from pathlib import Path

from tinycnn import ROOT
from tinycnn.errors import SpecError

_WITHOUT_EFFECT = (
    "errors.py", "source.py", "spec/section.py", "spec/spec.py", "data/catalog.py", "data/download.py",
    "network/check.py", "network/profile.py", "network/startup.py",
)  # fmt: skip
"""Files of ``tinycnn`` that change no result: they describe, find, read and write."""
_DESCRIPTIVE = {"describe", "notices", "check", "settles", "used", "kinds", "__repr__", "__str__"}
"""Methods of ``tinycnn`` that change no result."""
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def load_file(path: Path) -> types.ModuleType:
    """Execute a Python file and return it as a new module, without ``__pycache__``. What it raises is passed on."""
    path = path.resolve()
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # so that a file may import another from ``experiments``
    name = f"experiments.{path.stem}"  # in the folder experiments the same module as for files that import from it
    if path.parent != ROOT / "experiments":  # without a dot: pickle would import what stands before it
        name = f"_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    sys.modules[name] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            exec(code, vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def reference(thing) -> str:
    """Return the reference of a class or function: ``FILE.py:Name``, or ``package.module:Name`` of installed ones.

    Raises SpecError unless it is defined by name at the top level of a file.
    """
    name, module = getattr(thing, "__qualname__", ""), sys.modules.get(getattr(thing, "__module__", None) or "")
    if not name or not module or "<" in name:
        raise SpecError(f"{name or thing!r}: define it by name at the top level of a file, so that it can be imported")
    path = _path_of(module.__name__)
    return f"{_relative(path) if path else module.__name__}:{name}"


def resolve(text: str):
    """Return the class or function of a reference. Raises SpecError where there is none any more."""
    where, _, name = text.rpartition(":")
    try:
        return operator.attrgetter(name)(_module(where))
    except AttributeError:
        raise SpecError(f"{where} no longer defines {name}; restore it, or check out the commit of the run") from None
    except (ImportError, OSError, ValueError) as error:
        raise SpecError(f"{text}: cannot be imported ({error})") from None


def _module(where: str):
    if not where.endswith(".py"):
        if where.partition(".")[0] in sys.stdlib_module_names:  # a record might name os:system
            raise ValueError("no part of a network is in Python's standard library")
        return sys.modules.get(where) or importlib.import_module(where)
    path = (ROOT / where).resolve()
    loaded = (module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == str(path))
    return next(loaded, None) or load_file(path)


def file_of(text: str) -> Path | None:
    """Return the file of a reference, or of a name as ``used_by`` returns it; None if it is installed."""
    where = text.rpartition(":")[0]
    return (ROOT / where).resolve() if where.endswith(".py") else None


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def _path_of(module: str) -> Path | None:
    """Return the file of a module of this project or of the user's; None for installed ones."""
    base = ROOT / module.replace(".", "/")
    if module.startswith(("tinycnn.", "experiments.")):  # perhaps not imported yet
        return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
    path = Path(getattr(sys.modules.get(module), "__file__", None) or "").resolve()
    return path if path.suffix == ".py" and not _installed(path) else None


@functools.cache
def _installed(path: Path) -> bool:
    libraries = (sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
    return "site-packages" in path.parts or any(path.is_relative_to(Path(each).resolve()) for each in libraries)


def used_by(things, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the SHA-256 (12 hex digits) of the source of everything that ``things`` use, by ``FILE.py:name``.

    things   classes and functions, or references to them
    without  files of ``tinycnn`` that are not followed

    Installed packages, comments, docstrings, and in ``tinycnn`` also descriptive methods do not count.
    """
    found, skipped = {}, {ROOT / "tinycnn" / name for name in (*_WITHOUT_EFFECT, *without)}
    for thing in things:
        text = thing if isinstance(thing, str) else reference(thing)
        where, _, name = text.rpartition(":")
        if path := file_of(text) or _path_of(where):
            _follow(path, name.split(".")[0], found, skipped)
        else:
            found[text] = "installed"
    return found


def code_hash(code: dict[str, str]) -> str:
    """12 hex digits over what ``used_by`` returned."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(code.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def _follow(path: Path, name: str, found: dict, skipped: set):
    """Add the definition of a name in a file, and all that it uses, to ``found``."""
    key = f"{_relative(path)}:{name}"
    if key in found or key in skipped or path in skipped or _installed(path):
        return
    digest, uses = _definition(path, name, path.stat().st_mtime_ns)
    if digest:
        found[key] = digest
    else:
        skipped.add(key)  # two files may import everything from each other
    for used in uses:
        if isinstance(used, str):
            _follow(path, used, found, skipped)
        else:
            _follow_import(used, found, skipped)


def _follow_import(target: tuple, found: dict, skipped: set):
    """Follow ``(module,)``, ``(module, name)`` or ``(module, submodule, name)``."""
    module, *names = target
    while names and _path_of(f"{module}.{names[0]}"):
        module, *names = f"{module}.{names[0]}", *names[1:]
    path = _path_of(module)
    if path and names:
        _follow(path, names[0], found, skipped)


@functools.cache
def _definition(path: Path, name: str, changed: int) -> tuple[str, tuple]:
    """Return the digest of what defines a name in a file, "" where that only imports it, and the names that it uses.

    One that is imported is as ``_follow_import`` takes it.
    """
    definitions, imports = _parsed(path, changed)
    if name not in definitions:
        return "", (imports[name],) if name in imports else tuple((module, name) for module in imports.get("*", ()))
    uses = {}
    for node in definitions[name]:
        local, handled = imports | _imports(ast.walk(node), path), set()
        for each in ast.walk(node):  # breadth first, so that ``package.module.name`` comes before its parts
            base, attributes = _chain(each)
            if attributes and base in handled:
                continue
            if attributes and isinstance(base, ast.Name) and base.id in local:
                handled.add(base)
                uses[*local[base.id], *attributes] = True
            elif isinstance(each, ast.Name) and each not in handled:
                uses[local.get(each.id, each.id)] = True
    descriptive = _DESCRIPTIVE if path.is_relative_to(ROOT / "tinycnn") else ()
    text = "\n".join(_normalised(node, descriptive) for node in definitions[name])
    return hashlib.sha256(text.encode()).hexdigest()[:12], tuple(uses)


@functools.cache
def _parsed(path: Path, changed: int):
    """Return the statements that define each name at the top level of a file, and what its imports stand for."""
    body, definitions = ast.parse(path.read_bytes()).body, {}
    for statement in body:
        nodes = [statement] if isinstance(statement, _FUNCTIONS) else list(ast.walk(statement))
        names = {n.name for n in nodes if isinstance(n, _FUNCTIONS)}  # also those inside an if or try
        names |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for name in names:
            definitions.setdefault(name, []).append(statement)
    return definitions, _imports(body, path)


def _imports(nodes, path: Path) -> dict[str, tuple]:
    """Return what each imported name stands for, as ``_follow_import`` takes it; "*": the modules of star imports."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                found[alias.asname or first] = (alias.name if alias.asname else first,)
        elif isinstance(node, ast.ImportFrom):
            folder = _relative(path.parents[node.level - 1]).replace("/", ".") if node.level else ""
            module = f"{folder}.{node.module or ''}".strip(".")
            for alias in node.names:
                star = alias.name == "*"
                found[alias.asname or alias.name] = (*found.get("*", ()), module) if star else (module, alias.name)
    return found


def _chain(node) -> tuple:
    """Return what the attributes of ``base.a.b`` are of, and their names."""
    names = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return node, tuple(names)


def _normalised(node, descriptive) -> str:
    """Return a statement as text, without comments, docstrings, field descriptions and methods of these names.

    Not as ``ast.unparse`` writes it: Python 3.12 quotes the strings inside f-strings otherwise than its neighbours.
    """
    tree = ast.Module([copy.deepcopy(node)], [])
    for each in ast.walk(tree):
        if isinstance(each, ast.ClassDef):
            each.body = [n for n in each.body if getattr(n, "name", None) not in descriptive] or [ast.Pass()]
        if isinstance(each, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(each) is not None:
            each.body = each.body[1:] or [ast.Pass()]
        if isinstance(each, ast.Call):
            each.keywords = [keyword for keyword in each.keywords if keyword.arg != "description"]
    return _plain(tree)


def _plain(node) -> str:
    """Return a syntax tree as text that is the same in each version of Python: without the fields that are empty."""
    if isinstance(node, ast.AST):
        fields = (f"{name}={_plain(value)}" for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(fields)})"
    return f"[{', '.join(map(_plain, node))}]" if isinstance(node, list) else repr(node)
