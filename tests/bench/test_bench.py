"""The benchmark: its arithmetic by hand, and a report that is what was measured."""

import json
import subprocess
import sys

import pytest
from standins import real

from bench import measures, report
from bench.__main__ import main
from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import measure
from tinycnn.spec import load as experiments


def test_a_spread_is_median_and_range_and_a_ratio_is_taken_repeat_by_repeat():
    one, other = measures.spread([3, 1, 8]), measures.spread([1, 1, 4])
    assert (one["median"], one["low"], one["high"], one["values"]) == (3, 1, 8, [3, 1, 8])
    assert measures.ratio(one, other)["values"] == [3, 1, 2]


def test_training_takes_three_times_the_arithmetic_except_for_the_way_back_to_the_image():
    measured = measure(experiments.load("exp3"), DATASETS["mnist"])
    assert measures.training_macs(measured) == 3 * 1_383_840 - 676 * 72


def test_an_unknown_section_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "speed"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "unknown section speed; choose from throughput," in capsys.readouterr().err


def test_the_committed_report_and_page_are_what_the_json_says():
    found = json.loads((ROOT / "reports" / "bench.json").read_text())
    assert list(found) == [name for name in report.SECTIONS if name in found]
    assert set(report.SECTIONS) - set(found) <= {"start_up", "layers", "cifar"}
    assert (ROOT / "reports" / "bench.md").read_text() == report.render(found)
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    assert page == report.with_summary(page, found) and report.summary(found) in page


def test_start_up_and_cifar_stand_in_the_report_and_the_summary_once_they_are_measured():
    found = json.loads((ROOT / "reports" / "bench.json").read_text())
    names = ("first line", "first batch", "import torch", "list", "doctor")
    seconds = {name: measures.spread([number + 0.25]) for number, name in enumerate(names)}
    found["start_up"] = {"seconds": seconds, "ratio": measures.spread([1.5])}
    assert "The first line appears 0.2 s after the command" in report.summary(found)
    found["cifar"] = {"experiment": "record_cifar"} | {
        each: {"tinycnn": measures.spread([value])} for each, value in (("images_per_second", 3000.0), ("ratio", 4.25))
    }
    assert "**4.2 times** on CIFAR-10 with record_cifar's, 3,000 images per second." in report.summary(found)
    assert "## Training images per second, record_cifar" in report.render(found)
    assert "| `doctor`, to its end" in report.render(found) and "4.25 (4.25 to 4.25)" in report.render(found)


@real("MNIST")
@pytest.mark.slow
def test_the_bench_measures_and_writes_what_is_asked_for(tmp_path):
    names = ["throughput", "arithmetic", "tracking", "start_up", "side_by_side"]
    command = [sys.executable, "-m", "bench", *names, "--repeats", "1", "--out", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = json.loads((tmp_path / "bench.json").read_text())
    assert list(found) == ["where", *names] and (tmp_path / "bench.md").read_text() == report.render(found)
    seconds = {name: each["median"] for name, each in found["start_up"]["seconds"].items()}
    assert 0 < seconds["first line"] < seconds["first batch"] and 0 < found["tracking"]["share_of_an_epoch"]["low"] < 1
