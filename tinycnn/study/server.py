"""PostgreSQL as the storage of studies: locks that end with their holder, and a server that is restarted meanwhile.

Only the server's clock is asked for the time, so that those of the machines may differ.
"""

import contextlib
import hashlib
import os
import select
import threading
import time

from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from tinycnn.track.address import studies as address

PATIENCE = 600.0
"""Seconds that one who has been connected waits for a server that has gone."""
_LOOKS = 5.0  # seconds between two looks of a worker at whether its lock is still held
_SETTLED = 30.0  # seconds after its start until a server has the locks of all workers again
_LOCK, _TRY = (text(f"SELECT pg_{kind}advisory_lock(:key)") for kind in ("", "try_"))
_HELD = text(
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_known = set()  # addresses that this process has been connected to


def patient(engine):
    """Have an engine wait for a server that this process has been connected to; return the engine."""

    @event.listens_for(engine, "do_connect")
    def connect(dialect, record, arguments, options):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                connection = dialect.connect(*arguments, **options)
                _known.add(address())
                return connection
            except dialect.loaded_dbapi.OperationalError:
                if address() not in _known or time.monotonic() > end:
                    raise
                time.sleep(1)

    return engine


def gone(error: BaseException) -> bool:
    """Tell whether an error, or its cause, is that the connection to the server was lost."""
    cause = error.__cause__ or error
    return isinstance(cause, DBAPIError) and cause.connection_invalidated


def _engine():
    return patient(create_engine(address(), poolclass=NullPool, isolation_level="AUTOCOMMIT"))


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


@contextlib.contextmanager
def locked(name: str):
    """Hold a lock in this block, having waited for it. The server releases it when the connection ends."""
    engine = _engine()
    with contextlib.ExitStack() as stack:
        while True:
            connection = stack.enter_context(engine.connect())
            try:
                connection.execute(_LOCK, {"key": _key(name)})
                break
            except OperationalError as error:
                if not gone(error):
                    raise
        yield True


@contextlib.contextmanager
def kept(name: str):
    """Hold a lock in this block, unless another has it, and take it again where the server was restarted.

    Yields whether it is held.
    """
    engine = _engine()
    connection = engine.connect()
    if not connection.execute(_TRY, {"key": _key(name)}).scalar():
        connection.close()
        yield False
        return
    ended, end = os.pipe()  # an Event's wait is upset by the fast clock of a test, libfaketime's
    keeper = threading.Thread(target=_keep, args=(engine, connection, name, ended), daemon=True)
    keeper.start()
    try:
        yield True
    finally:
        os.close(end)
        keeper.join(_LOOKS)  # not for ever: it may be waiting for the server, and is a daemon


def _keep(engine, connection, name, ended):
    def is_over(seconds=0.0):
        return bool(select.select([ended], [], [], seconds)[0])

    while not is_over():
        with contextlib.suppress(SQLAlchemyError), connection:
            connection.execute(_LOCK, {"key": _key(name)})  # once more does no harm: it ends with the connection
            while not is_over(_LOOKS):
                connection.execute(text("SELECT 1"))
        if not is_over():
            with contextlib.suppress(SQLAlchemyError):
                connection = engine.connect()
    os.close(ended)


def held(names: set[str]) -> set[str]:
    """Return which of these locks are held, now or as soon as their holders found a server that was just started."""
    with _engine().connect() as connection:
        up = connection.execute(text("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")).scalar()
        time.sleep(max(0.0, _SETTLED - float(up)))
        keys = set(connection.execute(_HELD).scalars())
    return {name for name in names if _key(name) in keys}
