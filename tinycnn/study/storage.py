"""A study in Optuna's storage: its trials, its budget, and which trial is trained next.

The workers that share a storage may be processes of several sessions and machines. The end of a process releases its
locks, of two kinds. One of the study is held while trials are counted and the next is asked for: no storage does both
in one step, so the budget would be exceeded. One of each worker shows that it is alive: a journal has no heartbeat.
"""

import contextlib
import os
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.trial import TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tinycnn.errors import SpecError, UserError
from tinycnn.network.check import check
from tinycnn.network.profile import count_parameters
from tinycnn.study import server
from tinycnn.study.definition import Choice, Int, Study, as_stored
from tinycnn.track.address import keep_apart, shown, with_cure
from tinycnn.track.address import studies as address

TRAINED = ("complete", "pruned", "diverged")
"""States of trials that the budget counts, the others are over_limit, invalid, interrupted, failed, lost, running."""
REFUSED = 100
"""A search is given up with so many refused trials, and ten for each of the budget's."""
TRIES = 3
"""A trial that failed, or whose process was killed, so often is not tried again: it may be the cause."""

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore", ExperimentalWarning)  # of the Wilcoxon pruner and of constraints


@contextlib.contextmanager
def errors():
    """Turn what an address or a damaged storage makes Optuna raise into UserError with its first line."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, OSError, ImportError, ValueError, LookupError) as error:
        cause = with_cure(error.__cause__ or error, "OPTUNA_STORAGE")
        raise UserError(f"the storage of studies {shown(address())}: {cause}") from error


def _file() -> str | None:
    """Return the file that studies are stored in, None for a PostgreSQL server. Raises UserError for other places."""
    where = address()
    with errors():
        keep_apart("OPTUNA_STORAGE")
        file = make_url(where).database if "://" in where else where
    if where.startswith(("postgresql:", "postgresql+")):
        return None
    if not file or file == ":memory:" or ("://" in where and not where.startswith("sqlite:")):
        kinds = "a file, sqlite:///FILE or postgresql://HOST/NAME"
        raise UserError(f"OPTUNA_STORAGE: {shown(where)} is not {kinds}; set it to one of them")
    return file


def storage() -> optuna.storages.BaseStorage:
    """Open the storage. Raises UserError."""
    file, where = _file(), address()
    with errors():
        if file is None:
            opened = optuna.storages.RDBStorage(where, engine_kwargs={"pool_pre_ping": True})
            server.patient(opened.engine)
            return opened
        if file != where:
            return optuna.storages.RDBStorage(where)
        if os.path.exists(file) and Path(file).read_bytes()[:1] not in (b"", b"{"):  # Optuna would append to it
            raise UserError(f"OPTUNA_STORAGE: {file} is not a journal of studies; set it to another file")
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(file))


def names() -> list[str]:
    """Return the names of the studies in the storage."""
    with errors():
        return optuna.get_all_study_names(storage())


def insist(call, *arguments):
    """Return ``call(*arguments)``, called again where a server was lost meanwhile. Raises UserError."""
    with errors():
        while True:
            try:
                return call(*arguments)
            except (StorageInternalError, DBAPIError) as error:
                if not server.gone(error):
                    raise


@contextlib.contextmanager
def locked(name: str, *, wait: bool = True):
    """Hold a lock on all machines that share the storage; yield whether it is held, always True after waiting.

    The file of a lock that nobody waits for, a worker's, is deleted afterwards.
    """
    file = _file()
    if file is None:
        with server.locked(name) if wait else server.kept(name) as is_held:
            yield is_held
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


def opened(study: Study, *, identity: dict | None = None, worker: int = 0) -> optuna.Study:
    """Return Optuna's study; with ``identity``, what its trials depend on, it is begun unless it exists.

    Raises UserError where it does not exist, or was begun with another definition, data set or code.
    """
    with errors():
        where = storage()
        if study.name not in optuna.get_all_study_names(where):
            if identity is None:
                begin = f"`python -m tinycnn search {study.name}` begins it"
                raise UserError(f"study {study.name}: not in {shown(address())}; {begin}")
            direction = "minimize" if study.objective == "validation_loss" else "maximize"
            begun = optuna.create_study(study_name=study.name, storage=where, direction=direction)
            begun.enqueue_trial(study.base_parameters())
            begun.set_user_attr("identity", identity)
        found = optuna.load_study(study_name=study.name, storage=where, pruner=_pruner(study))
        if found.metric_names is None:
            found.set_metric_names([study.objective])
        seed = np.random.SeedSequence([study.sampler_seed, worker, len(found.trials)]).generate_state(1)[0]
        found.sampler = optuna.samplers.TPESampler(seed=int(seed))
        begun_with = found.user_attrs.get("identity", {})
    wanted = identity or {"definition": study.digest}
    if different := [what for what in wanted if wanted[what] != begun_with.get(what, wanted[what])]:
        raise UserError(
            f"study {study.name} in {shown(address())} was begun with another {', '.join(different)}: its trials "
            "cannot be compared with new ones; restore that, or give the file and the study another name"
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
    known = trial.user_attrs if trial.state.is_finished() else {}  # ours is stored before Optuna's
    own = known.get("state", trial.state.name.lower())
    return "lost" if trial.state == TrialState.FAIL and own not in ("interrupted", "failed") else own


def taken(found: optuna.Study) -> int:
    """Return how many trials of the budget were trained, or are being trained."""
    return sum(state(trial) in (*TRAINED, "running") for trial in found.get_trials(deepcopy=False))


def given_up(found: optuna.Study, budget: int) -> bool:
    """Tell whether so many values were refused, over the limit or invalid, that there is no point in more."""
    refused = sum(state(trial) in ("over_limit", "invalid") for trial in found.get_trials(deepcopy=False))
    return refused >= max(REFUSED, 10 * budget) and taken(found) < budget


def worker_lock(study: str, worker: int):
    """Return the lock that a worker holds as long as it lives; it yields False where another process holds it."""
    return locked(_lock_of(study, worker), wait=False)


def _lock_of(study, worker) -> str:
    return f"{study}.worker-{worker}"


def _living(study: str, workers: set) -> set:
    """Return which of these workers live, on whatever machine."""
    if workers and _file() is None:
        held = server.held({_lock_of(study, each) for each in workers})
        return {each for each in workers if _lock_of(study, each) in held}
    living = set()
    for each in workers:
        with worker_lock(study, each) as is_free:
            living |= set() if is_free else {each}
    return living


def retry_lost(found: optuna.Study, worker: int | None = None) -> None:
    """Have the trials of killed workers tried again. Call it with the study locked, as a worker before it asks."""
    running = found.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    owners = {trial.number: trial.user_attrs.get("worker", worker) for trial in running}
    living = _living(found.study_name, {*owners.values()} - {worker})
    for number, owner in owners.items():
        if owner not in living:  # or this worker's own, from before it was killed and replaced
            retry(found, number)


def retry(found: optuna.Study, number: int) -> None:
    """End a trial that was not trained to its end and have its values tried again, ``TRIES`` times in all.

    A try that was interrupted does not count. Call it with the study locked.
    """
    ended = found.tell(number, state=TrialState.FAIL, skip_if_finished=True)
    tries = ended.user_attrs.get("tries", 1) + (state(ended) != "interrupted")
    if ended.state == TrialState.FAIL and tries <= TRIES:
        values = ended.system_attrs.get("fixed_params", {}) | ended.params
        found.enqueue_trial(values, user_attrs={"retry_of": number, "tries": tries})


def ask(found: optuna.Study, study: Study, worker: int):
    """Return the next trial, its spec and what its network measures; None where its values must not be trained.

    Its parameters are counted without any data. Call it with the study locked.
    """
    trial = found.ask({name: _distribution(given) for name, given in study.ranges.items()})
    trial.set_user_attr("worker", worker)
    limit = study.base.target.parameter_limit
    try:
        values = study.values(trial.params)
        trial.set_user_attr("trained", {name: as_stored(value) for name, value in values.items()})
        spec = study.trained.with_values(values)
        parameters = count_parameters(spec, spec.data.facts())  # not computing anything: most trials may be too large
        if limit is not None:
            trial.set_constraint("parameters", parameters - limit)
            if parameters > limit:
                return finish(found, trial, state="over_limit", parameters=parameters)
        measured, _ = check(spec.with_values({"target.parameter_limit": None}))
    except SpecError as error:  # values that do not go together
        return finish(found, trial, state="invalid", reason=str(error))
    trial.set_user_attr("parameters", parameters)
    return trial, spec, measured


def _distribution(given):
    if isinstance(given, Choice):
        return CategoricalDistribution(given.words)
    return (IntDistribution if isinstance(given, Int) else FloatDistribution)(**asdict(given))


def finish(found: optuna.Study, trial: optuna.Trial, value: float | None = None, **attributes) -> None:
    """End a trial: complete with a value, else pruned. Its ``attributes`` say what became of it.

    Raises UpdateFinishedTrialError where it was taken for lost.
    """
    for name, each in attributes.items():
        trial.set_user_attr(name, each)
    found.tell(trial, value, None if value is not None else TrialState.PRUNED)
