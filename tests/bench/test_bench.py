"""The benchmark: its arithmetic by hand, and a report with every section and figure."""

import json
import subprocess
import sys

import pytest
import torch
from standins import real
from torch import nn

from bench import measures, report
from tinycnn import ROOT
from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import measure
from tinycnn.spec import load as experiments


def test_a_spread_is_median_least_and_most_and_a_ratio_is_taken_repeat_by_repeat():
    one, other = measures.spread([3, 1, 8]), measures.spread([1, 1, 4])
    assert (one["median"], one["low"], one["high"], one["values"]) == (3, 1, 8, [3, 1, 8])
    assert measures.ratio(one, other)["values"] == [3, 1, 2]


def test_training_takes_thrice_the_arithmetic_but_for_the_way_back_to_the_image():
    measured = measure(experiments.load("exp3"), DATASETS["mnist"])
    assert measures.training_macs(measured) == 3 * 1_383_840 - 676 * 72


def test_what_candidates_exchange_computes_the_same():
    torch.manual_seed(0)
    images = torch.rand(2, 3, 9, 8)
    conv, pool = nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.MaxPool2d(2)
    torch.testing.assert_close(measures.Unfolded(conv)(images), conv(images))
    assert torch.equal(measures.Largest(pool)(images), pool(images))
    network = nn.Sequential(nn.Sequential(conv, nn.ReLU()), pool)
    changed = measures._exchange(nn.Sequential(nn.Sequential(conv, nn.ReLU()), pool), nn.MaxPool2d, measures.Largest)
    assert torch.equal(changed(images), network(images)) and type(changed[1]) is measures.Largest


def test_an_unfused_optimizer_is_the_same_but_for_that(tiny, tiny_data):
    state = measures.trainer.start(tiny, 0, tiny_data, measures.CPU)
    before = state.optimizer.defaults
    measures._unfuse(state)
    assert not state.optimizer.defaults["fused"] and before["fused"]
    assert state.optimizer.defaults["lr"] == before["lr"] and state.optimizer.defaults["betas"] == before["betas"]
    assert state.optimizer.param_groups[0]["params"][0] is next(state.network.parameters())


def test_the_parts_of_a_step_add_up_to_no_more_than_the_step(tiny, tiny_data):
    for overlapped in (False, True):
        found = measures.profile(tiny, tiny_data, 14, overlapped=overlapped)
        in_turn = [name for name in measures.PARTS if not overlapped or name not in measures.PARTS[:2]]
        assert 0 < sum(found[name] for name in in_turn) <= found["step"]


def test_bare_convolutions_are_all_that_is_left(tiny):
    network = measures.bare_convolutions(tiny).model.build((1, 28, 28), 10)
    kinds = {type(each) for each in network.modules() if not list(each.children())}
    assert kinds == {nn.Conv2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten}


def test_an_unknown_section_is_refused_in_one_line():
    done = subprocess.run([sys.executable, "-m", "bench", "speed"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "no section is called speed; there are throughput," in done.stderr


def test_the_committed_report_is_what_its_json_says_and_has_every_section():
    path = ROOT / "reports" / "bench.json"
    if not path.exists():
        pytest.skip("there is no committed report yet: make bench")
    found = json.loads(path.read_text())
    assert list(found) == list(report.SECTIONS)
    assert (ROOT / "reports" / "bench.md").read_text() == report.render(found)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == report.with_summary(readme, found) and report.summary(found) in readme
    assert len(report.figure(found["growth"]).axes) == 8


@real("MNIST")
@pytest.mark.slow
def test_the_bench_measures_and_writes_what_is_asked_for(tmp_path):
    command = [
        sys.executable,
        "-m",
        "bench",
        "throughput",
        "side_by_side",
        "tracking",
        "--repeats",
        "1",
        "--out",
        tmp_path,
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = json.loads((tmp_path / "bench.json").read_text())
    assert list(found) == ["where", "throughput", "side_by_side", "tracking"]
    assert (tmp_path / "bench.md").read_text() == report.render(found) and not (tmp_path / "bench.png").exists()
