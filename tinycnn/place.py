"""Where the store is, and what its troubles are called: what is known without MLflow, whose import takes seconds."""

import os
from pathlib import Path

from sqlalchemy import make_url

from tinycnn import ROOT


def uri() -> str:
    """Return where runs go: ``MLFLOW_TRACKING_URI``, or else ``mlflow.db`` at the repository's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def database() -> Path | None:
    """Return the SQLite file behind ``uri()``, or None where the store is a server."""
    name = make_url(uri()).database if uri().startswith("sqlite:///") else None
    return Path(name) if name else None


def with_cure(error: BaseException) -> str:
    """Return the first line of what a store came up with, and what to do about it."""
    line = first_line(error)
    cure = next((cure for sign, cure in _CURES.items() if sign in line), "see to it")
    return f"{line}; {cure}, or set MLFLOW_TRACKING_URI to another"


_CURES = {
    "locked": "end the process that holds it, or wait for it",
    "readonly": "make the file and its folder writable",
    "unable to open": "make the file and its folder writable",
    "Read-only": "make its folder writable",
    "full": "make room on its disk",
    "No space": "make room on its disk",
    "quota": "make room on its disk",
    "HTTP": "start the server again, or wait for it",
    "Connection": "start the server again, or wait for it",
}


def first_line(error: BaseException) -> str:
    """Return the line of an error that says what is wrong."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return next((line for line in lines if line.startswith("(sqlite3.")), lines[0])  # SQLAlchemy may say more before
