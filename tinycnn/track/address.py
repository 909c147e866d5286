"""The addresses of the MLflow store and of Optuna's storage, checked without importing either, which takes seconds."""

import contextlib
import os
import re
import sqlite3
from pathlib import Path
from urllib.parse import unquote

from tinycnn import ROOT
from tinycnn.errors import UserError


def uri() -> str:
    """Return the store of runs: ``MLFLOW_TRACKING_URI``, or else ``mlflow.db`` at the repository's root."""
    return os.environ.get("MLFLOW_TRACKING_URI", "").strip() or f"sqlite:///{default()}"


def default() -> Path:
    """Return the file of the store at the repository's root."""
    return ROOT / "mlflow.db"


def studies() -> str:
    """Return the storage of studies: ``OPTUNA_STORAGE``, or else a journal file at the repository's root."""
    return os.environ.get("OPTUNA_STORAGE", "").strip() or str(ROOT / "optuna.journal")


def shown(text: str) -> str:
    """Return an address, or a text that holds some, without passwords."""
    text = re.sub(r"://([^:/@\s]*):\S*@", r"://\1:***@", text)  # to the last @: the password may hold one
    return re.sub(r"\b(\w*(?:password|passwd|token)=)[^&\s]*", r"\1***", text, flags=re.IGNORECASE)


def database() -> Path | None:
    """Return the SQLite file behind ``uri()``, None where the store is a server. Raises UserError."""
    if not uri().startswith("sqlite:"):
        return None
    path = unquote(uri().removeprefix("sqlite:///").partition("?")[0])
    if not uri().startswith("sqlite:///") or path in ("", ":memory:"):
        raise UserError(f"the store {shown(uri())} is not a file, so it would be lost; set MLFLOW_TRACKING_URI")
    return Path(path)


def check_store() -> bool:
    """Return whether the store is a file that can be written, or made; of a server nothing is known yet.

    Raises UserError where there is a file that cannot be used, or a database that holds Optuna's studies.
    """
    keep_apart("MLFLOW_TRACKING_URI")
    file = database()
    if file is None:
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            with contextlib.closing(sqlite3.connect(file, timeout=5)) as opened:
                opened.execute("BEGIN IMMEDIATE")  # fails at once where MLflow would try for 100 s
                opened.execute("ROLLBACK")
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"the store {shown(uri())} cannot be used: {with_cure(error)}") from None
    return True


def keep_apart(setting: str) -> None:
    """Raise UserError where runs and studies have the same address: MLflow and Optuna use tables of the same name."""
    if uri() == studies():
        raise UserError(
            f"MLFLOW_TRACKING_URI and OPTUNA_STORAGE are both {shown(uri())}; set {setting} to a database of its own"
        )


def with_cure(error: BaseException, setting: str = "MLFLOW_TRACKING_URI") -> str:
    """Return the line of an error that says what is wrong, and what to do about it."""
    line = first_line(error)
    cure = next((cure for signs, cure in _CURES.items() if re.search(signs, line)), "see to it")
    return f"{line}; {cure}, or set {setting} to another"


_CURES = {
    "No module named": "install it into .venv",
    "locked": "end the process that holds it, or wait for it",
    "readonly|unable to open|Read-only": "make the file and its folder writable",
    "full|No space|quota": "make room on its disk",
    "HTTP|Connection": "start the server again, or wait for it",
}


def first_line(error: BaseException) -> str:
    """Return the line of an error that says what is wrong, without passwords."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return shown(next((line for line in lines if line.startswith("(sqlite3.")), lines[0]))  # SQLAlchemy says more
