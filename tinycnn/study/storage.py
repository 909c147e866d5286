"""A study in Optuna's storage: its trials, its budget, and which trial is trained next.

The storage is a journal file at the repository's root, or what OPTUNA_STORAGE names; the workers that share it may be
processes of several sessions and machines. There are two kinds of lock, and the end of a process releases its locks.
One of the study is held while its trials are counted and the next is asked for: no storage does both in one step, so
the budget would be exceeded. One of each worker shows the others that it is alive: only databases have a heartbeat.
"""

import contextlib
import hashlib
import os
import warnings
from collections import Counter

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from tinycnn.errors import SpecError, UserError
from tinycnn.network.check import check
from tinycnn.study.definition import Choice, Int, Study
from tinycnn.track.address import keep_apart, shown, with_cure
from tinycnn.track.address import studies as address

COMPLETE, PRUNED, DIVERGED = "complete", "pruned", "diverged"
TRAINED = (COMPLETE, PRUNED, DIVERGED)
"""States of trials that the budget counts: trained to the end, or ended while training."""
RUNNING, OVER_LIMIT, INVALID, INTERRUPTED, FAILED, LOST = (
    "running", "over_limit", "invalid", "interrupted", "failed", "lost",
)  # fmt: skip
"""Other states. Of a lost trial the process was killed."""
TRIES = 3
"""A trial that failed, or whose process was killed, so often is not tried again: it may be the cause."""

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of the Wilcoxon pruner and of constraints


def shown_address() -> str:
    """Return the address without a password."""
    return shown(address())


@contextlib.contextmanager
def storage_errors():
    """Turn whatever an address or a damaged storage makes Optuna raise into UserError with its first line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause = with_cure(error.__cause__ or error, "OPTUNA_STORAGE")
        raise UserError(f"the storage of studies {shown_address()}: {cause}") from error


def check_address() -> str | None:
    """Return the file that studies are stored in, None for a PostgreSQL server; nothing is made there.

    Raises UserError where studies cannot be stored.
    """
    where = address()
    with storage_errors():
        file = make_url(where).database if "://" in where else where
        keep_apart("OPTUNA_STORAGE")
        if where.startswith(("postgresql:", "postgresql+")):
            return None
        if not file or file == ":memory:" or ("://" in where and not where.startswith("sqlite:")):
            kinds = "a file, sqlite:///FILE or postgresql://HOST/NAME"
            raise UserError(f"OPTUNA_STORAGE: {shown_address()} is not {kinds}; set it to one of them")
        if file == where and os.path.exists(file):
            with open(file, "rb") as journal:
                if journal.read(1) not in (b"", b"{"):
                    raise UserError(f"OPTUNA_STORAGE: {file} is not a journal of studies; set it to another file")
    return file


def storage() -> optuna.storages.BaseStorage:
    """Open the storage. Raises UserError."""
    file, where = check_address(), address()
    with storage_errors():
        if file == where:
            return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(file))
        return optuna.storages.RDBStorage(where, engine_kwargs={"pool_pre_ping": True})


def names() -> list[str]:
    """Return the names of the studies in the storage."""
    with storage_errors():
        return sorted(optuna.get_all_study_names(storage()))


@contextlib.contextmanager
def locked(name: str, *, wait: bool = True):
    """Hold a lock on all machines that share the storage; yield whether it is held, always True after waiting.

    The file of a lock that nobody waits for, a worker's, is deleted afterwards.
    """
    file = check_address()
    if file is None:
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        call = text(f"SELECT {'pg_advisory_lock' if wait else 'pg_try_advisory_lock'}(:key)")
        with create_engine(address(), poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
            yield connection.execute(call, {"key": key}).scalar() is not False  # closing the connection unlocks
        return
    lock = FileLock(f"{file}.{name}.lock")
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        if not wait:
            os.unlink(lock.lock_file)
        lock.release()


def opened(study: Study, *, worker: int = 0, identity: dict | None = None) -> optuna.Study:
    """Return Optuna's study; with ``identity``, what its trials depend on, it is begun unless it exists.

    Raises UserError where it does not exist, or was begun with another definition, data set or code.
    """
    seed = np.random.SeedSequence([study.sampler_seed, worker]).generate_state(1)[0]
    if identity is None and study.name not in names():
        begin = f"python -m tinycnn search {study.name} begins it"
        raise UserError(f"study {study.name}: not in {shown_address()}; {begin}")
    with storage_errors():
        found = optuna.create_study(
            study_name=study.name,
            storage=storage(),
            sampler=optuna.samplers.TPESampler(seed=int(seed)),
            pruner=_pruner(study),
            direction="minimize" if study.objective == "validation_loss" else "maximize",
            load_if_exists=True,
        )
        if identity and "identity" not in found.user_attrs:
            found.enqueue_trial(study.base_parameters(), skip_if_exists=True)
            found.set_user_attr("identity", identity)
        begun_with = found.user_attrs.get("identity", {})
    wanted = identity or {"definition": study.digest}
    if different := [what for what in wanted if wanted[what] != begun_with.get(what, wanted[what])]:
        raise UserError(
            f"study {study.name} in {shown_address()} was begun with another {', '.join(different)}: its trials cannot "
            "be compared with new ones. Restore that, or give the file and the study another name"
        )
    return found


def _pruner(study):
    """Return what compares trials: several seeds by seed, one by epoch, trials of different lengths not at all."""
    if study.seeds > 1:  # two seeds that are both worse than the best trial's have p = 0.25
        return optuna.pruners.WilcoxonPruner(p_threshold=0.26, n_startup_steps=2)
    if "train.epochs" in study.ranges:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=8, n_min_trials=4)


def state(trial) -> str:
    """Return what became of a trial: Optuna's own state, or ours, which tells more."""
    own = trial.user_attrs.get("state", trial.state.name.lower())
    return LOST if trial.state == TrialState.FAIL and own not in (INTERRUPTED, FAILED) else own


def count(found: optuna.Study) -> tuple[int, int, int]:
    """Return how many trials were trained, are running, and were refused: over the limit or invalid."""
    states = Counter(map(state, found.get_trials(deepcopy=False)))
    return sum(states[each] for each in TRAINED), states[RUNNING], states[OVER_LIMIT] + states[INVALID]


def worker_lock(study_name: str, worker: int):
    """Return the lock that a worker holds as long as it lives; it yields False while another process holds it."""
    return locked(f"{study_name}.worker-{worker}", wait=False)


def retry_lost(found: optuna.Study) -> list[str]:
    """Have the trials of killed workers tried again; return their MLflow runs. To be called with the study locked."""
    run_ids = []
    for trial in found.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        with worker_lock(found.study_name, trial.user_attrs.get("worker", 0)) as is_lost:
            if is_lost:
                retry(found, trial.number)
                run_ids += [trial.user_attrs["run_id"]] if "run_id" in trial.user_attrs else []
    return run_ids


def retry(found: optuna.Study, number: int) -> None:
    """End a trial that was not trained to its end and have its values tried again, ``TRIES`` times in all.

    An interrupted try does not count. To be called with the study locked.
    """
    ended = found.tell(number, state=TrialState.FAIL, skip_if_finished=True)
    tries = ended.user_attrs.get("tries", 1) + (state(ended) != INTERRUPTED)
    if ended.state == TrialState.FAIL and tries <= TRIES:
        values = ended.system_attrs.get("fixed_params", {}) | ended.params
        found.enqueue_trial(values, user_attrs={"retry_of": number, "tries": tries})


def ask(found: optuna.Study, study: Study, worker: int):
    """Return the next trial, its spec and what its network measures; None where its values must not be trained.

    Its parameters are counted without any data. To be called with the study locked.
    """
    trial = found.ask({name: _distribution(given) for name, given in study.ranges.items()})
    trial.set_user_attr("worker", worker)
    limit = study.base.target.parameter_limit
    try:
        spec = study.spec(trial.params)
        measured, _ = check(spec.with_values({"target.parameter_limit": None}))
    except SpecError as error:
        return finish(found, trial, state=INVALID, reason=str(error))
    trial.set_user_attr("parameters", measured.parameters)
    if limit is not None:
        trial.set_constraint("parameters", measured.parameters - limit)
        if measured.parameters > limit:
            return finish(found, trial, state=OVER_LIMIT)
    return trial, spec, measured


def _distribution(given):
    if isinstance(given, Choice):
        return CategoricalDistribution(given.words)
    return (IntDistribution if isinstance(given, Int) else FloatDistribution)(**given.model_dump())


def finish(found: optuna.Study, trial: optuna.Trial, value: float | None = None, **attributes) -> None:
    """End a trial: complete with a value, else pruned. Its ``attributes`` say what became of it."""
    for name, each in attributes.items():
        trial.set_user_attr(name, each)
    found.tell(trial, value, None if value is not None else TrialState.PRUNED)
