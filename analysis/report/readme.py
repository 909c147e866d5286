"""What is generated of the committed evidence and nothing else: the README's tables and figures, and all arms tried."""

import tempfile
from pathlib import Path

import pandas as pd

from analysis import evidence, select, statistics, sweeps
from analysis.report.data import in_order
from analysis.report.document import number, with_epoch
from analysis.report.figures import FigureFolder, front, learning_curves
from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS
from tinycnn.errors import UserError
from tinycnn.track import verdict
from tinycnn.track.tables import markdown

README = ROOT / "README.md"
BEGIN, END = "<!-- results: written by `make evidence` -->", "<!-- end of results -->"
_FIGURE = "![Test errors over the epochs, means and ranges over seeds](reports/figures/readme_learning_curves.png)"


def write() -> list[Path]:
    """Write the README's table and figures, and the table of what was tried, again; return the files."""
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    _tried().write_text(tried(), encoding="utf-8")
    return [README, _tried(), *figures(figures_folder())]


def check():
    """Raise UserError where the README's table, or the data of one of its figures, differs from the evidence."""
    text = README.read_text(encoding="utf-8")
    if with_table(text) != text:
        raise UserError("README.md: its table differs from reports/evidence; make evidence writes it again")
    if not _tried().exists() or _tried().read_text(encoding="utf-8") != tried():
        raise UserError(f"{_tried()}: differs from the sweeps beside it; make evidence writes it again")
    with tempfile.TemporaryDirectory() as folder:
        for path in figures(Path(folder)):
            committed = figures_folder() / path.name
            if not committed.exists() or (path.suffix == ".csv" and committed.read_bytes() != path.read_bytes()):
                raise UserError(f"{committed}: differs from reports/evidence; make evidence draws it again")


def figures_folder() -> Path:
    """Return the folder of the README's figures."""
    return README.parent / "reports" / "figures"


def figures(folder: Path) -> list[Path]:
    """Draw the README's figures into a folder, with their data: the front, and curves of the first data set."""
    if not evidence.names():
        return []
    own = {name: evidence.read(name) for name in evidence.names()}
    specs = {name: select.current_spec(name, []) for name in own}
    order = in_order(pd.concat(own.values()), specs)
    summary = pd.DataFrame(statistics.summarise(own[name], specs[name]) for name in order)
    saved = FigureFolder(folder, [])
    front(saved, summary, evidence.references(), "readme_accuracy_parameters")
    summary = summary[summary["data"] == summary["data"].iloc[0]]
    # records are drawn first
    summary = summary.sort_values("experiment", key=lambda names: names.map(_limit).isna(), kind="stable")
    epochs = pd.concat([own[name] for name in summary["experiment"]], ignore_index=True)
    learning_curves(saved, epochs, summary, "readme_learning_curves")
    return [folder / f"{name}.{kind}" for name in saved.names for kind in ("png", "csv")]


def _tried() -> Path:
    return evidence.FOLDER / "sweeps.md"


def tried() -> str:
    """Return the table of every arm of every sweep, in Markdown: what was tried, and what it brought."""
    rows, ranks, trainings = [], [], 0
    for name, result in sweeps.read().items():
        for short in sweeps.rank_agreement(result).itertuples():
            found = number(short.tau, 2), number(short.regret, 3)
            ranks.append((name, str(short.epochs), str(short.most), str(short.networks), *found))
        for arm in result["arms"]:
            found, trainings = arm["against_base"], trainings + arm["n"] + arm["diverged"]
            known = found and found["low"] is not None
            brought = f"{found['difference']:+.3f}" if found else "-"
            interval = f"{found['low']:+.3f} to {found['high']:+.3f}" if known else "-"
            accuracy = f"{number(arm.get('last'), 3)} ± {number(arm.get('last_std'), 3)}"
            counts = number(arm["parameters"], 0), str(arm["epochs"]), str(arm["n"])
            rows.append((name, arm["arm"], *counts, arm["evaluated_on"], accuracy, brought, interval))
    head = ("sweep", "arm", "parameters", "epochs", "n", "images", "accuracy, %", "against its base", "95 % interval")
    text = (
        "# What was tried\n\nWritten by `make evidence` from the files in `sweeps/`. Accuracies are those of the last "
        "epoch over n seeds;\ndifferences are between the same seeds. Each sweep's question is in "
        "`experiments/sweeps/`; `make sweep SWEEP=NAME`\ntrains it again."
    )
    text = f"{text} In all {trainings} trainings.\n\n{markdown(head, rows, '<<>>><>>>')}\n"
    if ranks:
        head = ("sweep", "epochs", "of", "networks", "Kendall's tau", "regret, points")
        text += (
            "\n## Do fewer epochs rank networks alike?\n\nKendall's tau between the mean accuracies after fewer epochs "
            "and after all of them. Regret: how far the network\nthat was best after fewer ends below the one that "
            f"ends best.\n\n{markdown(head, ranks, '<>>>>>')}\n"
        )
    return text


def with_table(text: str) -> str:
    """Return the README with its generated part made again. Raises UserError where its marks are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"README.md: the marks {BEGIN} and {END} are missing; restore them from git")
    parts = "\n\n".join(filter(None, [records_table(), results_table(), _evaluated(), _FIGURE]))
    return f"{before}{BEGIN}\n{parts}\n{END}{after}"


def records_table() -> str:
    """Return the README's first table: the record under each limit, beside the best figure that was published."""
    rows = []
    for name, limit in ((name, _limit(name)) for name in evidence.names()):
        if not limit:
            continue
        epochs = evidence.read(name)
        found = verdict.total([*statistics.runs_of(epochs).values()])
        data, parameters = (epochs[column].iloc[0] for column in ("data", "parameters"))
        others = evidence.references().query("data == @data and parameters < @limit").nlargest(1, "best")
        published = [f"{row.best:.2f} ({row.name}, n = {row.n})" for row in others.itertuples(index=False)] or ["-"]
        accuracy = number(found["last"], 3), number(found["last_std"], 3), number(found["last_min"])
        hours = f"{(epochs['seconds'] * epochs['threads']).sum() / 3600:.2f}"
        rows.append((limit, name, data, f"{limit:,}", f"{parameters:,}", str(found["n"]), *accuracy, hours, *published))
    head = ("record", "data set", "fewer than", "parameters", "n", "test %", "std", "min", "core hours",
            "best published")  # fmt: skip
    return markdown(head, [row[1:] for row in sorted(rows, reverse=True)], "<<" + ">" * 7 + "<") if rows else ""


def _limit(name: str) -> int | None:
    """Return the limit that a record is under; None for another experiment, and for one without a limit or a file."""
    spec = select.current_spec(name, []) if name.startswith("record_") else None
    return spec and spec.target.parameter_limit


def results_table() -> str:
    """Return the README's table: each iteration of the original document beside the one of tinycnn."""
    rows, names = [], [name for name in evidence.names() if not _limit(name)]
    published = evidence.references().dropna(subset=["experiment"])
    for row in published.itertuples():
        best, train = with_epoch(row.best, row.best_epoch), f"{row.train:.2f} (best)"
        counts = f"{row.parameters:,.0f}", "1"
        rows.append((row.experiment, row.data, "original", *counts, train, "-", "-", "-", best, "-"))
        rows += [_row(row.experiment)] if row.experiment in names else []
    rows += [_row(name) for name in names if name not in set(published["experiment"])]
    rows.sort(key=lambda row: [*DATASETS, row[1]].index(row[1]))
    head = ("iteration", "data set", "whose", "parameters", "n", "train %", "test % (last epoch)", "std", "min",
            "best % (epoch)", "min of last 5")  # fmt: skip
    return markdown(head, rows, "<<<" + ">" * 8)


def _row(name: str) -> tuple:
    epochs = evidence.read(name)
    found = verdict.total([*statistics.runs_of(epochs).values()])
    data, parameters, device = (epochs[column].iloc[0] for column in ("data", "parameters", "device"))
    whose = "tinycnn" if device == "cpu" else f"tinycnn, {device}"
    return (
        name, data, whose, number(parameters, 0), str(found["n"]),
        number(found["clean_train"]), number(found["last"], 3), number(found["last_std"], 3), number(found["last_min"]),
        with_epoch(found["best"], found["best_epoch"]), number(found["min_last5"]),
    )  # fmt: skip


def _evaluated() -> str:
    """Return how many specs each test set has evaluated, from the committed list."""
    counts = evidence.evaluations()
    listed = ", ".join(f"{row.data} {row.specs}" for row in counts.itertuples())
    return f"Specs evaluated so far, by test set: {listed}." if listed else ""
