"""Where runs and studies go, and what is wrong with that: what is known without MLflow, whose import takes seconds."""

import contextlib
import os
import re
from pathlib import Path

from sqlalchemy import create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from tinycnn import ROOT
from tinycnn.errors import UserError

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_TABLES = {"MLFLOW_TRACKING_URI": {"experiments", "latest_metrics"}, "OPTUNA_STORAGE": {"studies", "study_directions"}}
"""By setting, tables of MLflow's, or Optuna's, that tell whose a database is."""


def uri() -> str:
    """Return where runs go: ``MLFLOW_TRACKING_URI``, or else ``mlflow.db`` at the repository's root."""
    return _given("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def studies() -> str:
    """Return where studies go: ``OPTUNA_STORAGE``, or else a journal file at the repository's root."""
    return _given("OPTUNA_STORAGE") or str(ROOT / "optuna.journal")


def _given(setting: str) -> str:
    value = os.environ.get(setting, "")
    return value if value.strip() else ""


def shown(address: str) -> str:
    """Return an address without its password."""
    return re.sub(r"://([^:/@]*):[^@]*@", r"://\1:***@", address)


def database() -> Path | None:
    """Return the SQLite file behind ``uri()``, or None where the store is a server.

    Raises UserError where there is something that is no file: to open a pipe would wait for ever.
    """
    name = make_url(uri()).database if uri().startswith("sqlite:///") else None
    if not name:
        return None
    try:
        if name == ":memory:" or (Path(name).exists() and not Path(name).is_file()):
            raise UserError(f"the store {uri()} is no regular file; set MLFLOW_TRACKING_URI to another")
    except OSError as error:
        raise UserError(f"the store {uri()} cannot be used: {with_cure(error)}") from None
    return Path(name)


def keep_apart(setting: str) -> None:
    """Raise UserError where what a setting names is the other's too: MLflow and Optuna both keep ``alembic_version``.

    Nothing is made. Raises what SQLAlchemy does where the database cannot be asked.
    """
    other = next(each for each in _TABLES if each != setting)
    address = uri() if setting == "MLFLOW_TRACKING_URI" else studies()
    if _whereabouts(uri()) == _whereabouts(studies()):
        raise UserError(f"{setting} and {other} both name {shown(address)}; set one of them to a database of its own")
    if address.startswith(_DATABASES) and _TABLES[other] <= _tables(address):
        raise UserError(f"{setting}: {shown(address)} holds what {other} is for; set it to a database of its own")


def _whereabouts(address):
    """Return what is the same for two addresses of one file or database."""
    with contextlib.suppress(ArgumentError, ValueError):
        url = make_url(address)
        if url.get_backend_name() == "sqlite":
            return os.path.realpath(url.database) if url.database else address
        return url.set(drivername=url.get_backend_name(), username=None, password=None)
    return os.path.realpath(address) if "://" not in address else address


def _tables(address) -> set[str]:
    url = make_url(address)
    if url.get_backend_name() == "sqlite" and not (url.database and os.path.exists(url.database)):
        return set()  # to connect would make it
    return set(inspect(create_engine(url, poolclass=NullPool)).get_table_names())


def with_cure(error: BaseException, setting: str = "MLFLOW_TRACKING_URI") -> str:
    """Return the first line of what a store came up with, and what to do about it."""
    line = shown(first_line(error))
    cure = next((cure for sign, cure in _CURES.items() if sign in line), "see to it")
    return f"{line}; {cure}, or set {setting} to another"


_CURES = {
    "No module named": "install it into .venv",
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
