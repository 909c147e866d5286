"""The C program of every seed is measured by one command, and its mean, deviation and minimum are in the report."""

import statistics

import pandas as pd
import pytest

from analysis import device, evidence, report
from tinycnn.errors import UserError
from tinycnn.export import host


def test_every_seed_has_a_row_and_what_they_come_to_is_in_the_report(
    two_seeds, repository, few_images, tiny, undrawn
):
    columns = [*device._RUN, *device._MEASURED]
    other = pd.DataFrame([["other", "0" * 12, 7, "r", "mnist", "d", *[1] * (len(columns) - 7), "cc"]], columns=columns)
    other.to_csv(evidence.FOLDER / evidence.DEVICE, index=False)
    lines = []
    device.write(["tiny"], lines.append)
    frame = device.read()
    assert frame["experiment"].tolist() == ["other", "tiny", "tiny"] and len(lines) == 2
    mine = frame[frame["experiment"] == "tiny"]
    assert mine["seed"].tolist() == [0, 1] and set(mine["spec_hash"]) == {tiny.hash}
    assert mine["run_id"].tolist() == [seed["run_id"] for seed in two_seeds["seeds"]]
    assert mine["float_accuracy"].tolist() == pytest.approx([seed["last"] for seed in two_seeds["seeds"]])
    assert (mine["images"] == 100).all() and (mine["weights"] < mine["flash"]).all()
    if host.compiler():
        assert (mine["differing"] == 0).all()
    evidence.write()
    accuracies = mine["accuracy"].tolist()
    report.write(None, repository / "reports")
    text = (repository / "reports" / "report.md").read_text().split("## On a device")[1]
    cells = [cell.strip() for cell in next(row for row in text.splitlines() if row.startswith("| tiny ")).split("|")]
    mean, deviation, least = statistics.mean(accuracies), statistics.stdev(accuracies), min(accuracies)
    assert cells[4:8] == ["2", f"{mean:.3f}", f"{deviation:.3f}", f"{least:.2f}"]
    assert "device_mnist5k" in undrawn and "\n| other " not in text, "it is of a spec that is not reported"


def test_fewer_seeds_replace_more_only_if_asked_for(two_seeds, repository, few_images, tiny, monkeypatch):
    columns = [*device._RUN, *device._MEASURED]
    rows = [["record_x", tiny.hash, seed, "r", "mnist5k", "d", *[1] * (len(columns) - 7), "cc"] for seed in range(3)]
    pd.DataFrame(rows, columns=columns).to_csv(evidence.FOLDER / evidence.DEVICE, index=False)
    monkeypatch.setattr(device.experiments, "names", lambda: ["record_x"])
    monkeypatch.setattr(device.runs, "of_spec", lambda frame, spec: frame)
    monkeypatch.setattr(device.runs, "read", lambda names: pd.DataFrame({"seed": [0, 1]}))
    assert device.write([], print) == [] and len(device.read()) == 3


def test_an_experiment_without_runs_is_one_line(repository, store, few_images):
    with pytest.raises(UserError, match="^tiny: no finished runs"):
        device.write(["tiny"], print)
