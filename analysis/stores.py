"""The only reader of the stores: runs and the values of their metrics, in a handful of calls however many they are.

A SQLite file is read with SQL and never written to: MLflow's client takes a call for each metric of a run, makes what
it does not find, and is long imported. Every other kind of store is read through MLflow.
"""

import concurrent.futures
import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import pathname2url

from tinycnn.errors import StoreTrouble
from tinycnn.track.address import database, uri, with_cure

RUN = ("run_id", "started", "status", "artifacts")
EVERY = ("FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED")

_OURS = """
    from runs r join experiments e using (experiment_id) join tags role on role.run_uuid = r.run_uuid
    where r.lifecycle_stage = 'active' and e.lifecycle_stage = 'active'
      and role.key = 'tinycnn.role' and role.value = 'seed'
"""


def runs(tags: dict[str, str], metrics: tuple[str, ...]) -> list[dict]:
    """Return every run of one seed: RUN, the ``tags`` under the names they are given for, and the latest ``metrics``.

    A SQLite file that is not there has no runs. Raises StoreTrouble.
    """
    file = database()
    return _runs_by_client(tags, metrics) if file is None else _runs_by_sql(file, tags, metrics)


def values(run_ids: list[str], metrics: tuple[str, ...]) -> list[tuple]:
    """Return (run, metric, epoch, value, time) of every value of these metrics. Raises StoreTrouble."""
    file = database()
    return _values_by_client(run_ids, metrics) if file is None else _values_by_sql(file, run_ids, metrics)


def foreign() -> int:
    """Return how many runs of a SQLite file were not made by this project; of other stores that is not asked."""
    file = database()
    if file is None:
        return 0
    with _opened(file) as query:
        found = query(
            "select count(*) from runs r where lifecycle_stage = 'active' and not exists "
            "(select 1 from tags t where t.run_uuid = r.run_uuid and t.key like 'tinycnn.%')"
        )
    return found[0][0] if found else 0


def text(place: str, name: str) -> str | None:
    """Return the text of a run's file; None where it cannot be had any more, as when the folder has moved."""
    parsed = urlparse(place)
    if parsed.scheme in ("", "file"):
        path = Path(unquote(parsed.path)) / name
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    from tinycnn.track.mlflow_store import read_file

    with contextlib.suppress(StoreTrouble):
        return read_file(f"{place.rstrip('/')}/{name}")


@contextlib.contextmanager
def _opened(file: Path):
    """Yield what runs a query on a SQLite file; where there is no file there are no rows."""
    if not file.exists():
        yield lambda query, values=(): []
        return
    place = f"file:{pathname2url(str(file.resolve()))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(place, uri=True, timeout=30)) as connection:
            connection.execute("begin")  # every query sees the same runs, whatever begins or is deleted meanwhile
            yield lambda query, values=(): connection.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise StoreTrouble(f"the store {uri()} cannot be read: {with_cure(error)}") from None


def _runs_by_sql(file, tags, metrics) -> list[dict]:
    names = {tag: name for name, tag in tags.items()}
    chosen = f"and run_uuid in (select r.run_uuid {_OURS})"
    with _opened(file) as query:
        found = query(f"select r.run_uuid, r.start_time, r.status, r.artifact_uri {_OURS}")
        rows = {row[0]: dict(zip(RUN, row, strict=True)) for row in found}
        for run_id, key, value in query(
            f"select run_uuid, key, value from tags where key in ({_marks(names)}) {chosen}", [*names]
        ):
            rows[run_id][names[key]] = value
        for run_id, key, value in query(
            f"select run_uuid, key, value from latest_metrics where not is_nan and key in ({_marks(metrics)}) {chosen}",
            metrics,
        ):
            rows[run_id][key] = value
    return list(rows.values())


def _values_by_sql(file, run_ids, metrics) -> list[tuple]:
    found = []
    with _opened(file) as query:
        for first in range(0, len(run_ids), 5000):  # SQLite takes 32,766 values a query
            part = run_ids[first : first + 5000]
            found += query(
                "select run_uuid, key, step, case when is_nan then null else value end, timestamp from metrics "
                f"where key in ({_marks(metrics)}) and run_uuid in ({_marks(part)})",
                [*metrics, *part],
            )
    return found


def _marks(names) -> str:
    return ", ".join("?" * len(names))


def _runs_by_client(tags, metrics) -> list[dict]:
    from tinycnn.track.mlflow_store import Store

    rows = []
    for entity in Store.to_read().search({"tinycnn.role": "seed"}, EVERY, everywhere=True):
        info, data = entity.info, entity.data
        row = dict(zip(RUN, (info.run_id, info.start_time, info.status, info.artifact_uri), strict=True))
        row |= {name: data.tags.get(tag) for name, tag in tags.items()}
        rows.append(row | {name: data.metrics.get(name) for name in metrics})
    return rows


def _values_by_client(run_ids, metrics) -> list[tuple]:
    from tinycnn.track.mlflow_store import Store

    store = Store.to_read()
    parts = [(run_ids[first : first + 100], name) for name in metrics for first in range(0, len(run_ids), 100)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return [each for found in pool.map(lambda part: store.histories(*part), parts) for each in found]
