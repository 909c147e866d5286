"""Every test has a store and an environment of its own: what the user has set, stored or fetched does not reach it.

``TINYCNN_DATA`` alone is honoured, as the place of the full data sets; ``standins.real`` skips what needs one of them.
"""

import contextlib
import functools
import os
import shutil
import signal
import sqlite3
from dataclasses import replace

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
# MAKE: called by make, commands name others as make's targets; ARGS of `make test` would be those of a test's own make
for _name in [name for name in os.environ if name.startswith(("MLFLOW_", "_MLFLOW_", "OPTUNA_", "MAKE", "MFLAGS"))]:
    del os.environ[_name]
for _name in ("TINYCNN_MIRROR", "TINYCNN_DEBUG", "ARGS"):
    os.environ.pop(_name, None)

for _signal, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_signal) == signal.SIG_IGN:  # in the background, or under nohup; so children would ignore it
        signal.signal(_signal, _default)

import hypothesis  # noqa: E402
import networks  # noqa: E402
import pytest  # noqa: E402
import sqlalchemy  # noqa: E402
from filelock import FileLock  # noqa: E402

# The same examples in every run, however slow: whether a test passes is not a matter of chance.
_OF_SPEED = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much]
hypothesis.settings.register_profile(
    "tests", derandomize=True, database=None, deadline=None, suppress_health_check=_OF_SPEED
)
hypothesis.settings.load_profile("tests")


@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "connect")
def do_not_wait_for_the_disk(connection, _):
    """A store loses no more to a killed process for that, and no test cuts the power."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


CLOSED = "http://127.0.0.1:1"  # nobody listens there, so nothing is fetched from anywhere


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """Point at a store that is not there yet, and at a mirror that never will be; put back what a test changes."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}")
    monkeypatch.setenv("TINYCNN_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("TINYCNN_MIRROR", CLOSED)


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """Nothing but mnist5k can be had, wherever the suite runs."""
    from tinycnn.data import files as data

    monkeypatch.setenv("TINYCNN_DATA", str(tmp_path / "no data"))
    monkeypatch.setattr(data, "ROOT", tmp_path / "repository")


@pytest.fixture(scope="session", autouse=True)
def parsed_once():
    """mnist5k's files are read and checked once in a process, not by each test that loads it."""
    from tinycnn.data import files

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_read_mnist5k", functools.cache(files._read_mnist5k))
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Return a context with the folder of a name, for one process of the suite at a time, and whether it is new."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    @contextlib.contextmanager
    def made(name):
        folder = root / name
        with FileLock(root / f"{name}.lock"):
            yield folder, not (folder / "complete").exists()
            folder.mkdir(exist_ok=True)
            (folder / "complete").touch()

    return made


@pytest.fixture(scope="session")
def template(made_once):
    """A migrated database without runs: making one takes seconds, copying it none."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from tinycnn.track import mlflow_store as tracking  # noqa: F401  quietens mlflow

    with made_once("template") as (folder, new):
        if new:
            folder.mkdir()
            SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "mlruns")).engine.dispose()
    return folder / "mlflow.db"


@pytest.fixture
def database(template, tmp_path):
    """The file of this test's store, empty and ready."""
    (tmp_path / "store").mkdir()
    return shutil.copy(template, tmp_path / "store" / "mlflow.db")


@pytest.fixture
def store(database):
    """This test's store, empty."""
    from tinycnn.track.mlflow_store import Store

    return Store()


@pytest.fixture(scope="session")
def tiny():
    """A spec that trains in a second on ``tiny_data``."""
    from tinycnn.spec import Adam, Augment, Data, Spec, Target, Train

    return Spec(
        name="tiny",
        notes="A try.\n\nTarget    more than chance\nChange    everything\nAnalysis  it learns\n",
        model=networks.model_2(dropout=0.05),
        data=Data(name="mnist5k"),
        augment=Augment(rotation=5.0),
        optimizer=Adam(lr=0.01),
        train=Train(epochs=3, batch_size=32),
        target=Target(accuracy=0.5, last_epochs=2),
    )


@pytest.fixture(scope="session")
def tiny_data():
    """Every twentieth image of mnist5k's training and every tenth of its test set."""
    from tinycnn.data import Images, load

    whole = load("mnist5k", offline=True)
    few = {
        part: Images(images.images[::step].clone(), images.labels[::step].clone())
        for part, images, step in (("train", whole.train, 20), ("evaluation", whole.evaluation, 10))
    }
    return replace(whole, digest="d" * 64, **few)


@pytest.fixture(scope="session")
def plan(tiny, tiny_data):
    """``tiny`` made ready to run."""
    import torch

    from tinycnn.network.check import check
    from tinycnn.track.plan import Plan

    return Plan(tiny, tiny_data, check(tiny)[0], torch.device("cpu"))


@pytest.fixture
def few_images(monkeypatch, tiny_data):
    """What ``run`` loads as mnist5k is ``tiny_data``; other data sets are looked for as ever."""
    from tinycnn.data import files

    load = files.load

    def smaller(name, *how, **options):
        return tiny_data if name == "mnist5k" else load(name, *how, **options)

    monkeypatch.setattr(files, "load", smaller)


@pytest.fixture
def no_artifacts(monkeypatch):
    """Leave out the model at the end of a run, which takes longer than its training."""
    from tinycnn.track import mlflow_run

    monkeypatch.setattr(mlflow_run.Run, "model", lambda *_, **__: None)
