"""``sweep`` trains the arms of a file, says what each brings, and is continued by the same command."""

import json

FILE = """
from tinycnn.spec import Adam, Conv, Head, MaxPool, Network, Spec
from tinycnn.spec.sweep import Sweep

BASE = Spec(
    name="tiny", model=Network(Conv(2, 5), MaxPool(6), Head()), optimizer=Adam(lr=0.01),
    data={"name": "mnist5k", "validation": 0.2, "images": 256}, train={"epochs": 1, "batch_size": 64},
    target={"accuracy": None, "last_epochs": 1},
)
SWEEP = Sweep(name="rates", base=BASE, arms={"fast": {"optimizer.lr": 0.05}}, seeds=2)
"""


def test_a_sweep_is_trained_said_and_continued_by_the_same_command(tinycnn, database, no_artifacts, tmp_path):
    path = tmp_path / "rates.py"
    path.write_text(FILE)
    code, out, err = tinycnn("sweep", str(path), "--workers", "1")
    assert code == 0, err
    assert "2 arms with 2 seeds each" in err and "fast, seed 1:" in err
    assert "| base |" in out and "| fast |" in out and "validation images" in out
    code, out, err = tinycnn("sweep", str(path), "--workers", "1", "--json")
    assert code == 0 and "(4 trained before)" in err
    assert [arm["n"] for arm in json.loads(out)["arms"]] == [2, 2]
    code, _, err = tinycnn("sweep", "nothing")
    assert code == 2 and "no sweep or .py file is called 'nothing'" in err
