"""The small record that is committed: a CSV per spec from the store, and the README's table from the CSVs."""

from pathlib import Path

import pandas as pd

from analysis.load import epochs, of_spec, runs
from tinycnn import ROOT, experiments
from tinycnn.errors import UserError
from tinycnn.tables import markdown
from tinycnn.tracking import Store

FOLDER = ROOT / "reports" / "evidence"
README = ROOT / "README.md"
BEGIN, END = "<!-- results: written by `make evidence` -->", "<!-- end of results -->"
JUDGED = "specs_judged.csv"
_RECORD = ("commit", "dirty", "code_hash", "torch", "device", "threads", "data", "data_digest", "parameters", "run_id")

# The document this project was created from: iteration -> parameters, best train and best test accuracy in percent and
# the epoch of the latter where it is told; one run each, the best epoch picked on the test set.
SEED = {"exp1": (28_624, 98.00, 98.47, None), "exp2": (7_344, 99.17, 99.22, None), "exp3": (7_872, 99.23, 99.50, 8)}


def write(names: list[str] | None = None) -> list[Path]:
    """Write the CSV of each experiment that has finished runs, the list of specs judged, and the README's table.

    A CSV of more seeds than the store has is replaced only where its experiment is named.

    Return the files written. Raises UserError for an experiment that is named but has no runs.
    """
    store = Store()
    frame = runs(store)
    written = []
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or experiments.names():
        spec = experiments.load(name)
        mine = of_spec(frame, spec)
        if mine.empty:
            if names:
                raise UserError(f"{name}: no finished runs of this spec in the store; make {name} makes one")
            continue
        path = FOLDER / f"{spec.name}.csv"
        if spec.data.validation or _loses_seeds(path, mine, named=bool(names)):
            continue  # evidence is of test sets; and less is not to take the place of more unasked
        _of_runs(mine, store).to_csv(path, index=False, lineterminator="\n", float_format="%.8g")
        written.append(path)
    written.append(_write_judged(runs(store, ("FINISHED", "FAILED", "KILLED", "RUNNING"))))
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    return [*written, README]


def _loses_seeds(path: Path, mine: pd.DataFrame, named: bool) -> bool:
    return not named and path.exists() and pd.read_csv(path)["seed"].nunique() > len(mine)


def _of_runs(mine: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Return a row per seed and epoch: the numbers, and where they come from."""
    parts = []
    for run in mine.itertuples():
        part = epochs(run.run_id, store)
        part.insert(0, "seed", run.seed)
        part.insert(0, "spec_hash", run.spec_hash)
        part.insert(0, "experiment", run.experiment)
        parts.append(part.assign(**{column: getattr(run, column) for column in _RECORD}))
    return pd.concat(parts, ignore_index=True)


def _write_judged(frame: pd.DataFrame) -> Path:
    """Add to the list of specs that each test set has judged; what an earlier store held stays on it."""
    path = FOLDER / JUDGED
    columns = ["data", "data_digest", "experiment", "spec_hash"]
    now = frame[frame["evaluated_on"] == "test"][columns]
    known = pd.read_csv(path, dtype=str) if path.exists() else now[:0]
    both = pd.concat([known, now]).drop_duplicates().sort_values(columns)
    both.to_csv(path, index=False, lineterminator="\n")
    return path


def read(name: str) -> pd.DataFrame:
    """Return the committed evidence of an experiment, a row per seed and epoch. Raises UserError without."""
    path = FOLDER / f"{name}.csv"
    if not path.exists():
        raise UserError(f"{name}: no evidence at {path}; make {name}, then make evidence")
    return pd.read_csv(path)


def results_table() -> str:
    """Return the README's table from the committed evidence: the seed's iterations beside ours."""
    rows = []
    for name, (parameters, train, test, epoch) in SEED.items():
        best = f"{test:.2f}" + (f" ({epoch})" if epoch else "")
        rows.append((name, "the seed", f"{parameters:,}", "1", f"{train:.2f} (best)", "-", "-", "-", best, "-"))
        if (FOLDER / f"{name}.csv").exists():
            rows.append(_ours(name))
    for path in sorted(FOLDER.glob("*.csv")):
        if path.stem not in SEED and path.name != JUDGED:
            rows.append(_ours(path.stem))
    head = ("iteration", "whose", "parameters", "n", "train %", "test % (last epoch)", "std", "min", "best % (epoch)",
            "min of last 5")  # fmt: skip
    return markdown(head, rows, "<<" + ">" * 8)


def _ours(name: str) -> tuple:
    frame = read(name)
    last = frame[frame["epoch"] == frame["epoch"].max()]
    accuracy = last["test_accuracy"]
    best = frame.loc[frame.groupby("seed")["test_accuracy"].idxmax()]
    lowest = frame[frame["epoch"] > frame["epoch"].max() - 5].groupby("seed")["test_accuracy"].min()
    n = len(last)
    return (
        name, "ours", f"{int(last['parameters'].iloc[0]):,}", str(n), f"{last['clean_train_accuracy'].mean():.2f}",
        f"{accuracy.mean():.3f}", f"{accuracy.std():.3f}" if n > 1 else "-", f"{accuracy.min():.2f}",
        f"{best['test_accuracy'].median():.2f} ({best['epoch'].median():g})", f"{lowest.median():.2f}",
    )  # fmt: skip


def judged_sentence() -> str:
    """Return how many specs each test set has judged, from the committed list."""
    path = FOLDER / JUDGED
    if not path.exists():
        return ""
    counts = pd.read_csv(path, dtype=str).groupby("data")["spec_hash"].nunique()
    return "Specs judged so far, by test set: " + ", ".join(f"{name} {count}" for name, count in counts.items()) + "."


def with_table(readme: str) -> str:
    """Return the README with its generated part made anew. Raises UserError where its marks are missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"README.md: the marks {BEGIN} and {END} are missing, so the table has no place")
    return f"{before}{BEGIN}\n{results_table()}\n\n{judged_sentence()}\n{END}{after}"


def check_readme():
    """Raise UserError where the README's table is not what the committed evidence says."""
    text = README.read_text(encoding="utf-8")
    if with_table(text) != text:
        raise UserError("README.md: its table differs from reports/evidence; make evidence writes it anew")
