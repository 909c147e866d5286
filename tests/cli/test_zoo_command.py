"""A finished run becomes a record of the zoo by one command, and what is damaged or other than stated is found."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_errors import refused

from tinycnn import zoo
from tinycnn.errors import DataMissing, UserError
from tinycnn.export import host, onnx_file, subject
from tinycnn.export import load as load_network
from tinycnn.spec import Data
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import run as runs
from tinycnn.zoo import card, make, page, record

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def made(template, tmp_path_factory, plan, tiny_data):
    """A zoo with the record of a run of three seeds, evaluated on few images; and the store."""
    folder = tmp_path_factory.mktemp("zoo")
    shutil.copy(template, folder / "mlflow.db")
    uri, save, saved = f"sqlite:///{folder / 'mlflow.db'}", onnx_file.save, folder / "saved.onnx"

    def save_once(path, subject):  # torch's exporter takes long
        if not saved.exists():
            save(saved, subject)
        shutil.copy(saved, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("TINYCNN_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setattr(tracking.Run, "model", lambda *_: None)
        patch.setattr(Data, "load", lambda section, offline: tiny_data)
        patch.setattr(onnx_file, "save", save_once)
        outcome = runs.run(replace(plan, spec=plan.spec.but(train={"epochs": 1})), seeds=3)
        make.add(tracking.Store(), outcome["run_id"], "small", folder / "zoo")
        page.write(folder / "zoo")
    return {"uri": uri, "outcome": outcome, "zoo": folder / "zoo"}


@pytest.fixture
def own(made, tmp_path, monkeypatch, tiny_data):
    """A zoo of this test's own, with the store set; the images are those that were trained on."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made["uri"])
    monkeypatch.setattr(Data, "load", lambda section, offline: tiny_data)
    return Path(shutil.copytree(made["zoo"], tmp_path / "own zoo"))


def test_a_record_passes_its_whole_check(own, tinycnn, tiny_data):
    code, out, err = tinycnn("zoo", "--folder", str(own), "--json")
    (row,) = json.loads(out)
    assert code == 0 and row["name"] == "small" and row["problem"] is None, err
    assert row["images"] == len(tiny_data.evaluation.labels) and row["accuracy"] == row["card"]["accuracy"]
    assert {name.partition(".")[2] for name in row["accuracy"]} == {"safetensors", "onnx", "int8.onnx", "c"}
    assert bool(row["compiler"]) == bool(host.compiler())
    code, out, _ = tinycnn("zoo", "small", "--folder", str(own))
    assert code == 0 and "| small  | mnist5k |      7,344 |" in out and "all" in out


def test_a_run_becomes_a_record_and_the_page_has_it(own, made, tinycnn, monkeypatch):
    chosen, seen = make.choose(made["outcome"])["run_id"], []

    def write(folder, checkpoint, about, *, offline):  # as ``made`` has tried
        seen.append(torch.load(checkpoint, weights_only=True)["run_id"])
        return Path(shutil.copytree(own / "small", folder))

    monkeypatch.setattr(make, "write", write)
    words = "--add", made["outcome"]["run_id"][:8], "--as", "second", "--folder", str(own)
    code, out, err = tinycnn("zoo", *words, "--json")
    written = json.loads(out)["written"]
    assert code == 0 and written == [str(own / "second"), str(own / "index.html")], err
    assert seen == [chosen] and zoo.names(own) == ["second", "small"] and "index.html" in written[1]
    assert json.loads(out)["bytes"] == sum(path.stat().st_size for path in own.rglob("*") if path.is_file())


def test_a_record_is_loaded_by_its_name_and_takes_pixels(own, made, tiny_data):
    network, images = zoo.load("small", own), tiny_data.evaluation.images
    logits = network(images)
    right = 100 * (logits.argmax(1) == tiny_data.evaluation.labels).double().mean().item()
    chosen = make.choose(made["outcome"])["seed"]
    last = {each["seed"]: each["last"] for each in made["outcome"]["seeds"]}
    assert right == pytest.approx(last[chosen]), "the weights are those of the seed that the card names"
    assert torch.equal(logits, load_network(own / "small")(images))
    with pytest.raises(UserError, match="did you mean 'small'"):
        zoo.load("smal", own)


def test_the_checksums_are_those_of_sha256sum(own):
    if not shutil.which("sha256sum"):
        pytest.skip("no sha256sum")
    done = subprocess.run(["sha256sum", "-c", "checksums"], cwd=own / "small", capture_output=True, text=True)
    files = {path.name for path in (own / "small").iterdir()} - {"checksums"}
    assert done.returncode == 0 and done.stdout.count(": OK") == len(files) == 9


@pytest.mark.parametrize(
    "file", ["weights.safetensors", "spec.json", "small.onnx", "small.int8.onnx", "small.c", "small.h", "program.json",
             "card.json", "card.md", "checksums"],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["one bit", "missing"])
def test_a_damaged_file_is_one_line_that_names_it(own, tinycnn, file, damage):
    path = own / "small" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink() if damage == "missing" else path.write_bytes(content)
    code, out, err = tinycnn("zoo", "--list", "--folder", str(own))
    assert code == 1 and "DAMAGED" in out and err.startswith("tinycnn: ") and err.count("\n") == 1
    assert str(own / "small") in err and (file == "checksums" or str(path) in err)
    with pytest.raises(UserError):
        zoo.load("small", own)


def test_another_record_is_verified_though_one_is_damaged(own, tinycnn):
    shutil.copytree(own / "small", own / "also")
    (own / "also" / "spec.json").write_text("{}")
    code, out, err = tinycnn("zoo", "--list", "--folder", str(own))
    rows = [line.split("|")[1:] for line in out.splitlines() if line.startswith(("| also", "| small"))]
    assert code == 1 and [row[-2].strip() for row in rows] == ["DAMAGED", "checksums"] and "also/spec.json" in err


def changed(folder, **values):
    """Change facts of a record, as somebody would who writes its checksums anew."""
    path = folder / "small" / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    record.seal(folder / "small")


def test_an_accuracy_that_is_not_that_of_the_card_ends_with_6(own, tinycnn):
    stated = record.card(own / "small")["accuracy"]
    changed(own, accuracy=stated | {"small.onnx": stated["small.onnx"] - 1})
    code, out, err = tinycnn("zoo", "--folder", str(own))
    assert code == 6 and "FAILED" in out and "small.onnx: " in err.splitlines()[-1] and "by its card" in err


@pytest.mark.skipif(not host.compiler(), reason="no C compiler")
def test_c_that_is_not_its_reference_is_found(own, tinycnn):
    path = own / "small" / "small.c"
    path.write_text(path.read_text().replace("int32_t sum = p->bias[output];", "int32_t sum = p->bias[output] + 99;"))
    changed(own)
    code, out, err = tinycnn("zoo", "--folder", str(own))
    assert code == 1 and "FAILED" in out and "small.c: gives other scores than its reference" in err


def test_without_the_data_set_the_checksums_are_verified(own, tinycnn, monkeypatch):
    def missing(section, offline):
        raise DataMissing("not here")

    monkeypatch.setattr(Data, "load", missing)
    code, out, err = tinycnn("zoo", "--folder", str(own))
    assert code == 0 and "checksums" in out and "FAILED" not in out


def test_the_card_states_what_its_facts_are(own, made):
    facts, outcome = record.card(own / "small"), made["outcome"]
    text = (own / "small" / "card.md").read_text()
    assert text == card.text(facts) and facts["seeds"]["n"] == 3 and facts["seeds"]["last"] == outcome["last"]
    for stated in (outcome["spec_hash"], outcome["run_id"], f"{facts['parameters']:,}", f"{outcome['last']:.3f}",
                   "CC BY-SA 3.0", "MIT", "Do not use it", 'zoo.load("small")', "--as small"):  # fmt: skip
        assert stated in text
    for name, accuracy in facts["accuracy"].items():
        size = (own / "small" / name).stat().st_size
        assert f"{size:,} | {accuracy:6.2f} |" in text and facts["bytes"][name] == size
    assert max(len(line) for line in text.splitlines() if line[:1] != "|") <= 120


def outcome(kind, of):
    seeds = [{"seed": i, "run_id": f"{i}", "last": last, "clean_train": clean} for i, (last, clean) in of]
    return {"evaluated_on": kind, "run_id": "a", "seeds": seeds}


def test_files_of_a_run_on_validation_images_are_tried_on_test_images(tiny):
    spec = tiny.but(data={"validation": 0.25})
    found = subject.Subject(spec, None, (1, 28, 28), 10, (0.1,), (0.3,), {}, offline=True)
    tested, own = replace(found, on_test=True).data, found.data
    whole = tiny.data.load(offline=True)
    assert (own.kind, len(own.evaluation.labels), tested.kind) == ("validation", 1000, "test")
    assert torch.equal(tested.evaluation.images, whole.evaluation.images)
    assert torch.equal(tested.train.images, own.train.images), "ranges for 8 bits are from what was trained on"


@pytest.mark.parametrize(
    ("kind", "of", "seed"),
    [
        ("test", [(10, 3), (20, 1), (30, 2)], 2),
        ("test", [(30, 3), (20, 1), (10, 2)], 2),
        ("validation", [(10, 3), (20, 1), (30, 2)], 1),
        ("test", [(0, 4), (0, 1), (0, 3), (0, 2)], 3),
        ("test", [(0, 1), (0, 1), (0, 1)], 1),
    ],
)
def test_the_seed_is_the_median_and_no_test_image_has_a_say(kind, of, seed):
    assert make.choose(outcome(kind, of=enumerate(of)))["seed"] == seed


def test_a_run_without_its_accuracy_on_training_images_is_refused():
    with pytest.raises(UserError, match="run a: "):
        make.choose(outcome("test", of=enumerate([(1, None), (1, 1.0)])))


def test_the_page_is_written_with_the_record_and_anew(own, tinycnn, monkeypatch):
    before = (own / "index.html").read_bytes()
    assert b'"name":"small"' in before and tinycnn("zoo", "--page", "--folder", str(own))[0] == 0
    assert (own / "index.html").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code", "word"),
    [
        ("--add {parent}", 2, "--as"),
        ("--as small", 2, "--add"),
        ("--page small", 2, "--page"),
        ("smal", 1, "did you mean 'small'"),
        ("--add {parent} --as small", 2, "exists"),
        ("--add {parent} --as ../small", 2, "letters"),
        ("--add {seed} --as other", 1, "several seeds"),
        ("--add {nothing} --as other", 1, "not in the store"),
    ],
)
def test_what_cannot_be_done_is_one_line(own, made, tinycnn, words, code, word):
    ids = {"parent": made["outcome"]["run_id"], "seed": made["outcome"]["seeds"][0]["run_id"], "nothing": "0" * 32}
    given = words.format_map(ids).split()
    before = sorted(own.rglob("*"))
    assert word in refused(tinycnn("zoo", *given, "--folder", str(own)), code)
    assert sorted(own.rglob("*")) == before
