"""The same runs have the same numbers wherever they are shown."""

import dataclasses
import re
import statistics

import pytest
from scipy import stats

from analysis import compare, evidence, report
from analysis.report import readme
from tinycnn.errors import UserError
from tinycnn.spec import load as experiments
from tinycnn.track import run
from tinycnn.track import statistics as seeds_statistics


def cells(text, name="tiny") -> list[str]:
    """Return the cells of the first row of a table that begins with this name."""
    row = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in row.split("|")[1:-1]]


def test_terminal_readme_report_comparison_and_mlflow_say_the_same(
    repository, plan, no_artifacts, store, tiny, fresh_clone, undrawn
):
    outcome = run.run(plan, seeds=3)
    seeds = outcome["seeds"]
    last, lowest = [seed["last"] for seed in seeds], [seed["min_last5"] for seed in seeds]
    assert len({round(of(lowest), 2) for of in (min, statistics.median, statistics.mean)}) == 3  # so they can disagree
    low, high = stats.t.interval(0.95, 2, statistics.mean(last), stats.sem(last))
    mean, deviation, least = f"{statistics.mean(last):.3f}", f"{statistics.stdev(last):.3f}", f"{min(last):.2f}"
    interval, worst = f"{max(low, 0):.2f} to {min(high, 100):.2f}", f"{min(lowest):.2f}"
    best = f"{statistics.mean(s['best'] for s in seeds):.2f} ({statistics.median(s['best_epoch'] for s in seeds):g})"

    parent = store.client.get_run(outcome["run_id"]).data.metrics
    metrics = [parent[f"test/accuracy{which}"] for which in ("", "_std", "_min")]
    assert [f"{metrics[0]:.3f}", f"{metrics[1]:.3f}", f"{metrics[2]:.2f}"] == [mean, deviation, least]
    words = seeds_statistics.words(outcome)
    assert all(number in words for number in (mean, deviation, interval, least))

    from_store = compare.text(compare.compare([tiny]))
    evidence.write()
    readme.write()
    in_readme = cells(readme.README.read_text())
    assert [in_readme[4], *in_readme[6:]] == ["3", mean, deviation, least, best, worst]
    fresh_clone()
    for text in (from_store, compare.text(compare.compare([tiny]))):
        assert cells(text)[2:7] == ["3", mean, deviation, least, worst] and f"tiny: 95 % interval {interval}" in text
    report.write(None, repository / "reports")
    text = (repository / "reports" / "report.md").read_text()
    assert cells(text.split("## Results")[1])[1:8] == [mean, interval, "3", deviation, least, worst, best]
    assert re.search(rf"\| +{mean} ± {deviation} \| +3 \| +{least} \|", text)  # under the budgets


def test_comparison_and_report_give_a_difference_the_same_interval(
    repository, plan, no_artifacts, store, tiny, monkeypatch, undrawn
):
    other = tiny.with_values({"optimizer.lr": 0.002}, name="other", parent="tiny")
    outcomes = [run.run(dataclasses.replace(plan, spec=spec), seeds=3) for spec in (tiny, other)]
    last = [[seed["last"] for seed in outcome["seeds"]] for outcome in outcomes]
    oracle = stats.ttest_rel(last[1], last[0]).confidence_interval(0.95)
    difference = f"{statistics.mean(last[1]) - statistics.mean(last[0]):+.3f} points"
    interval = f"95 % interval {oracle.low:+.3f} to {oracle.high:+.3f}"
    result = compare.compare([tiny, other])
    assert result["experiments"][1]["changes"] == {"optimizer.lr": {"from": 0.01, "to": 0.002}}
    text = compare.text(result)
    assert f"{difference} (3 seeds, paired), {interval}" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    monkeypatch.setattr(experiments, "names", lambda: ["tiny", "other"])
    monkeypatch.setattr(experiments, "load", lambda name: {"tiny": tiny, "other": other}[name])
    report.write(None, repository / "reports")
    text = (repository / "reports" / "report.md").read_text()
    assert f"{difference} (3 seeds, paired), {interval}" in text


def test_a_comparison_takes_the_record_that_a_report_shows_and_says_which(
    repository, plan, no_artifacts, store, tiny, fresh_clone
):
    with pytest.raises(UserError, match=r"^tiny: no finished runs .*make tiny"):
        compare.compare([tiny])
    run.run(plan, seeds=2)
    evidence.write()
    source = f"reports/evidence/tiny.csv, spec {tiny.hash}"  # of as many seeds the committed ones
    assert compare.compare([tiny])["experiments"][0]["source"] == source
    run.run(plan, first_seed=7)
    found = compare.compare([tiny])["experiments"][0]
    assert found["seeds"] == [0, 1, 7] and found["source"] == f"the store, spec {tiny.hash}"
    fresh_clone()
    assert f"numbers from\n  {source}" in compare.text(compare.compare([tiny]))
    with pytest.raises(UserError, match="no finished runs of this spec .*reports/evidence/tiny.csv.*make tiny"):
        compare.compare([tiny.with_values({"optimizer.lr": 0.5})])


def test_validation_and_test_images_are_compared_only_with_their_like(repository, two_seeds, plan, tiny):
    held_out = tiny.with_values({"data.validation": 0.1})
    on_validation = dataclasses.replace(plan, spec=held_out, data=dataclasses.replace(plan.data, kind="validation"))
    outcome = run.run(on_validation, seeds=2)
    base, row = compare.compare([tiny, held_out])["experiments"]
    assert row["against_base"] is None and base["against_base"]["difference"] == 0
    assert row["verdict"] == "not judged" and row["last"] == pytest.approx(outcome["last"])
