"""A study in Optuna's storage, and who may train which trial next.

Storage is a journal file at the repository's root, or what OPTUNA_STORAGE names. Whatever must not be done by two
processes at once (counting, asking, taking up what a killed process left) is done under one lock for the study.
"""

import contextlib
import hashlib
import os
import socket
import time
import warnings
from json import JSONDecodeError
from pathlib import Path

import numpy as np
import optuna
from filelock import FileLock
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from tinycnn.errors import SpecError, UserError
from tinycnn.network.check import check
from tinycnn.network.profile import count_parameters
from tinycnn.study.definition import Choice, Int, Study
from tinycnn.study.trial import COMPLETE, TRAINED, Outcome
from tinycnn.track import address as place

OVER_LIMIT, INVALID, INTERRUPTED, LOST, FAILED = "over_limit", "invalid", "interrupted", "lost", "failed"
"""States of trials that the budget does not count, beside those of ``trial.TRAINED``."""
ATTEMPTS, FEWEST_ATTEMPTS = 10, 100
"""So many trials that may not be trained, for each of the budget's and at least, are enough to see that few can."""
TRIES = 3
"""A trial that fails, or whose process is killed, so often is not tried again: it may be what kills it."""
SILENT = 3600.0
"""Seconds without a finished epoch after which a trial of another host is taken for lost."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


address = place.studies


def shown_address() -> str:
    """Return the address without a password."""
    return place.shown(address())


@contextlib.contextmanager
def troubles(*others):
    """Turn what a storage can come up with, and other kinds of error, into UserError with its first line."""
    known = (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError, ImportError, JSONDecodeError)
    try:
        yield
    except UserError:
        raise
    except (*known, *others) as error:
        cause = error.__cause__ or error
        raise UserError(
            f"the storage of studies {shown_address()}: {place.with_cure(cause, 'OPTUNA_STORAGE')}"
        ) from error


@contextlib.contextmanager
def alone(name: str):
    """Hold the one lock of a study, on all machines that share its storage; it goes with the process."""
    where, file = address(), check_address()
    if file is None:
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        engine = create_engine(where, poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            yield  # closing the connection unlocks
        return
    with FileLock(f"{file}.study.lock"):
        yield


def check_address() -> str | None:
    """Return the file that studies are kept in, None where that is a PostgreSQL server; nothing is made there.

    Raises UserError where studies cannot be kept.
    """
    where = address()
    with troubles(Exception):  # SQLAlchemy and drivers raise whatever an address makes them stumble over
        file = make_url(where).database if "://" in where else where
        if where.startswith(("postgresql:", "postgresql+")):
            file = None
        elif not file or file == ":memory:" or ("://" in where and not where.startswith("sqlite:")):
            raise UserError(
                f"OPTUNA_STORAGE: {shown_address()} is none of a file, sqlite:///FILE and postgresql://HOST/NAME"
            )
        elif Path(file).exists():
            if not Path(file).is_file():  # to open a pipe would wait for ever
                raise UserError(f"OPTUNA_STORAGE: {file} is no regular file; set it to another")
            with open(file, "rb") as content:
                begins = content.read(1)
            if file == where and begins not in (b"", b"{"):
                raise UserError(f"OPTUNA_STORAGE: {file} is no journal of studies; set it to another file")
        place.keep_apart("OPTUNA_STORAGE")
    return file


def storage() -> optuna.storages.BaseStorage:
    """Open the storage. Raises UserError."""
    check_address()
    where = address()
    with troubles(Exception):  # Optuna raises whatever a damaged journal makes it stumble over
        if "://" in where:
            return optuna.storages.RDBStorage(where, engine_kwargs={"pool_pre_ping": True})
        return optuna.storages.JournalStorage(JournalFileBackend(where))


def names() -> list[str]:
    """Return the names of the studies in the storage; of a journal that is not there yet, none."""
    if "://" not in address() and not os.path.exists(address()):
        return []
    with troubles():
        return sorted(optuna.get_all_study_names(storage()))


def opened(study: Study, *, worker: int = 0, make=False, identity: dict | None = None) -> optuna.Study:
    """Return Optuna's study. ``make`` begins it where there is none; ``identity`` must be that it was begun with.

    Raises UserError where there is none, or where it was begun with another definition, data set or code.
    """
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of the Wilcoxon pruner, and constraints
    sampler = optuna.samplers.TPESampler(seed=_sampler_seed(study, worker))
    direction = "minimize" if study.objective == "validation_loss" else "maximize"
    with troubles():
        kept = storage()
        if not make and study.name not in optuna.get_all_study_names(kept):
            begin = f"python -m tinycnn search {study.name} begins it"
            raise UserError(f"study {study.name}: not in {shown_address()}; {begin}")
        shape = {"direction": direction, "load_if_exists": True}
        found = optuna.create_study(
            study_name=study.name, storage=kept, sampler=sampler, pruner=_pruner(study), **shape
        )
        begun_with = found.user_attrs.get("identity")
        if begun_with is None and make:
            if not found.get_trials(deepcopy=False):
                found.enqueue_trial(study.base_parameters())
            found.set_user_attr("identity", identity)
        wanted = identity or {"definition": study.digest}
        if what := [key for key in wanted if (begun_with or wanted).get(key, wanted[key]) != wanted[key]]:
            raise UserError(
                f"study {study.name} in {shown_address()} was begun with another {', '.join(what)}: its trials cannot "
                "be compared with new ones. Go back to that, or give the file and the study another name"
            )
    return found


def _pruner(study):
    """Return what compares trials: one seed's by epoch, several by seed; of trials of unlike length nothing does."""
    if study.seeds > 1:  # two seeds that are both worse than the best trial's have p = 0.25
        return optuna.pruners.WilcoxonPruner(p_threshold=0.26, n_startup_steps=2)
    if "train.epochs" in study.parameters:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=8, n_min_trials=4)


def _sampler_seed(study, worker):
    return int(np.random.SeedSequence([study.sampler_seed, worker]).generate_state(1)[0])


def new_worker(found: optuna.Study) -> int:
    """Return a number that no other worker of the study has, or had; to be called alone."""
    number = found.user_attrs.get("workers", 0) + 1
    found.set_user_attr("workers", number)
    return number


def process() -> dict:
    """Return what tells this process from every other: host, process id, and when it began where that is known."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "begun": _begun(os.getpid())}


def _begun(pid: int) -> str | None:
    """Return when a process began, in clock ticks since the machine did (Linux, proc(5)); None where it is not there.

    Elsewhere "" stands for a process that is there.
    """
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]  # a zombie has ended
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ""


def alive(who: dict, seen: float) -> bool:
    """Tell whether a process still is there; on another host, whether it was heard of lately."""
    if who["host"] != socket.gethostname():
        return time.time() - seen < SILENT
    return who["begun"] is not None and _begun(who["pid"]) == who["begun"]


def counted(found: optuna.Study) -> int:
    """Return how many trials of the budget are taken: trained, or pruned in training, or being trained."""
    return sum(
        trial.user_attrs.get("state") in TRAINED
        or (trial.state == TrialState.RUNNING and "admitted" in trial.user_attrs)
        for trial in found.get_trials(deepcopy=False)
    )


def in_vain(found: optuna.Study) -> int:
    """Return how many trials could not be trained: over the limit, or of values that do not go together."""
    trials = found.get_trials(deepcopy=False)
    return sum(trial.user_attrs.get("state") in (OVER_LIMIT, INVALID) for trial in trials)


def given_up(found: optuna.Study, budget: int) -> bool:
    """Tell whether so many tries were in vain that there is no point in more."""
    return in_vain(found) >= max(ATTEMPTS * budget, FEWEST_ATTEMPTS)


def sweep(found: optuna.Study, leaving: bool = False) -> list[str]:
    """Mark the trials whose process is gone and have them tried again; return the MLflow runs they left.

    Where this process is ``leaving``, its own count as interrupted. To be called alone.
    """
    left, own = [], process()
    for frozen in found.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        attributes = frozen.user_attrs
        who = attributes.get("process")
        interrupted = leaving and who == own
        if who and not interrupted and alive(who, attributes["seen"]):
            continue
        if run_id := attributes.get("run_id"):
            left.append(run_id)
        give_back(found, frozen.number, INTERRUPTED if interrupted else LOST)
    return left


def give_back(found: optuna.Study, number: int, state: str):
    """End a trial that was not trained to its end, INTERRUPTED, LOST or FAILED, and have its values tried again.

    One that has failed, or lost its process, again and again is not: it may be what kills it. To be called alone.
    """
    frozen = found.get_trials(deepcopy=False)[number]
    if frozen.state.is_finished():
        return
    tries = frozen.user_attrs.get("tries", 1) + (state != INTERRUPTED)
    admitted = "admitted" in frozen.user_attrs
    values = frozen.params if admitted else frozen.system_attrs.get("fixed_params")  # as trial 0 has, and a retry
    optuna.trial.Trial(found, frozen._trial_id).set_user_attr("state", state)
    found.tell(number, state=TrialState.FAIL)
    if values and tries <= TRIES:
        found.enqueue_trial(values, user_attrs={"retry_of": number, "tries": tries})


def attempt(found: optuna.Study, study: Study, worker: int):
    """Ask for a trial; return it, its spec and its measures, or None where its values may not be trained.

    Its parameters are counted without any data. To be called alone.
    """
    trial = found.ask()
    for name, value in (("seen", time.time()), ("worker", worker), ("process", process())):
        trial.set_user_attr(name, value)
    values = {name: _suggest(trial, name, given) for name, given in study.parameters.items()}
    trial.set_user_attr("values", study.written(values))
    limit = study.base.target.parameter_limit
    try:
        spec = study.spec(values)
        parameters = count_parameters(spec, spec.data.facts())
        trial.set_user_attr("parameters", parameters)
        if limit is not None:
            trial.set_constraint("parameters", parameters - limit)
            if parameters > limit:
                return _refuse(found, trial, OVER_LIMIT)
        measured, _ = check(spec)
    except SpecError as error:
        trial.set_user_attr("reason", str(error))
        return _refuse(found, trial, INVALID)
    trial.set_user_attr("admitted", True)
    return trial, spec, measured


def _suggest(trial, name, given):
    if isinstance(given, Choice):
        return trial.suggest_categorical(name, given.words)
    if isinstance(given, Int):
        return trial.suggest_int(name, given.low, given.high, step=given.step, log=given.log)
    return trial.suggest_float(name, given.low, given.high, log=given.log)


def _refuse(found, trial, state):
    """End a trial before any training: pruned, and visible as such."""
    trial.set_user_attr("state", state)
    found.tell(trial, state=TrialState.PRUNED)


def finish(found: optuna.Study, trial: optuna.Trial, outcome: Outcome, overhead: float):
    """Tell Optuna what came of a trial; ``overhead`` are the seconds it took beside those of training."""
    seconds = {"seconds": outcome.seconds, "overhead": overhead}
    accuracy = {} if outcome.accuracy is None else {"accuracy": outcome.accuracy}
    reason = {"reason": outcome.reason} if outcome.reason else {}
    for name, value in ({"epochs": outcome.epochs} | seconds | accuracy | reason | {"state": outcome.state}).items():
        trial.set_user_attr(name, value)
    if outcome.state == COMPLETE:
        found.tell(trial, outcome.value)
    else:
        found.tell(trial, state=TrialState.PRUNED)
