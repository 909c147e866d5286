"""A finished run, its checkpoint or a folder of weights is exported by one command, and checked on the test images."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_errors import refused
from torch import nn

from tinycnn.errors import SpecError
from tinycnn.export import host, load, onnx_file, subject
from tinycnn.spec import Average, Conv, Data, Head, Network, Repeat, Spec
from tinycnn.track import mlflow_store as tracking
from tinycnn.track import run as runs

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def store(template, tmp_path_factory, plan):
    """A store with a run of one seed, whose result are averaged weights, and a run of two seeds."""
    folder = tmp_path_factory.mktemp("export")
    shutil.copy(template, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("TINYCNN_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setattr(tracking.Run, "model", lambda *_: None)
        one = runs.run(replace(plan, spec=plan.spec.but(average=Average(0.9))))
        two = runs.run(plan, seeds=2)
        entity = tracking.Store().entity(one["run_id"])
    return {"uri": f"sqlite:///{folder / 'mlflow.db'}", "one": one, "two": two, "artifacts": entity.info.artifact_uri}


@pytest.fixture
def one(store, monkeypatch, tiny_data):
    """The run of one seed, in the store that is set; the images are those that it was trained on."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store["uri"])
    monkeypatch.setattr(Data, "load", lambda section, offline: tiny_data)
    return store["one"]


@pytest.fixture
def checkpoint(store):
    return Path(store["artifacts"].removeprefix("file://")) / "checkpoint.pt"


def exported(tinycnn, *arguments):
    code, out, err = tinycnn("export", *map(str, arguments), "--json")
    assert code == 0, err
    return json.loads(out)


def test_safetensors_are_the_weights_of_the_runs_result(one, checkpoint, tinycnn, tmp_path):
    facts = exported(tinycnn, one["run_id"], "--to", "safetensors", "--output", tmp_path)
    averaged = torch.load(checkpoint, weights_only=True)["averaged"]
    found = load_file(tmp_path / "weights.safetensors")
    assert found.keys() == averaged.keys() and all(torch.equal(found[name], averaged[name]) for name in found)
    assert facts["origin"]["weights"] == "averaged" and facts["origin"]["run"] == one["run_id"]
    assert facts["accuracy"] == facts["float_accuracy"] == pytest.approx(one["last"])
    assert facts["other_predictions"] == 0 and facts["largest_difference"] == 0


class Views(nn.Module):
    """``fixed``: the number of images is taken by ``len``, which torch makes a constant on exporting."""

    def __init__(self, fixed):
        super().__init__()
        self.linear, self.fixed = nn.Linear(784, 10), fixed
        self.register_buffer("rows", torch.ones(2, 784))
        self.register_buffer("row", self.rows[0])

    def forward(self, images):
        return self.linear(images.reshape(len(images) if self.fixed else images.shape[0], 784) * self.row)


def test_views_are_exported_and_a_fixed_number_of_images_is_refused_in_one_line(tmp_path, tiny, tiny_data, monkeypatch):
    monkeypatch.setattr(Data, "load", lambda section, offline: tiny_data)
    free, fixed = (
        subject.Subject(tiny, Views(each).eval(), (1, 28, 28), 10, (0.1,), (0.3,), {"experiment": "tiny"})
        for each in (False, True)
    )
    subject.save(free, tmp_path)
    assert load_file(tmp_path / "weights.safetensors")["row"].shape == (784,)
    onnx_file.save(tmp_path / "free.onnx", free)
    with pytest.raises(SpecError, match=r"write x\.shape\[0\] in place of len\(x\)"):
        onnx_file.save(tmp_path / "fixed.onnx", fixed)
    assert not (tmp_path / "fixed.onnx").exists()


@pytest.mark.skipif(not host.compiler(), reason="no C compiler")
def test_a_run_its_checkpoint_and_a_folder_give_the_same_c(one, checkpoint, tinycnn, tmp_path):
    exported(tinycnn, one["run_id"], "--to", "safetensors", "--output", tmp_path / "weights")
    texts = []
    for number, source in enumerate((one["run_id"], checkpoint, tmp_path / "weights")):
        facts = exported(tinycnn, source, "--to", "c", "--output", tmp_path / str(number))
        assert facts["differing"] == 0 and facts["images"] == 100 and facts["seconds_per_image"] > 0
        texts.append([Path(path).read_text() for path in facts["files"]])
    assert texts[0] == texts[1] == texts[2] and f"run        {one['run_id']}" in texts[0][0]


def test_c_is_written_where_there_is_no_compiler(one, checkpoint, tinycnn, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, _ = tinycnn("export", str(checkpoint), "--to", "c", "--output", str(tmp_path))
    assert code == 0 and "not compiled: there is no C compiler here" in out and (tmp_path / "tiny.c").exists()


def test_onnx_predicts_what_the_network_does_and_in_8_bits_nearly(one, checkpoint, tinycnn, tmp_path, tiny_data):
    onnx = pytest.importorskip("onnx")
    plain = exported(tinycnn, checkpoint, "--to", "onnx", "--output", tmp_path)
    assert plain["other_predictions"] == 0 and plain["largest_difference"] < 1e-3
    assert plain["accuracy"] == plain["float_accuracy"]
    model = onnx.load(tmp_path / "tiny.onnx")
    (taken,), kinds = model.graph.input, {node.op_type for node in model.graph.node}
    assert taken.type.tensor_type.elem_type == onnx.TensorProto.UINT8 and "BatchNormalization" not in kinds
    assert [each.dim_value for each in taken.type.tensor_type.shape.dim] == [0, 1, 28, 28], "any number of images"
    assert str(tmp_path) not in str(model) and "site-packages" not in str(model), "no paths of this machine"

    seen, save = [], onnx_file.save_int8
    onnx_file_save = lambda path, source, pixels: seen.append(pixels) or save(path, tmp_path / "tiny.onnx", pixels)  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:  # torch's exporter takes long, and has been tried
        patch.setattr(onnx_file, "save", lambda *_: None)
        patch.setattr(onnx_file, "save_int8", onnx_file_save)
        small = exported(tinycnn, checkpoint, "--to", "int8", "--output", tmp_path)
    images = {image.tobytes() for image in tiny_data.train.images.numpy()}
    assert all(image.tobytes() in images for image in seen[0]), "ranges are from training images only"
    assert small["other_predictions"] <= 5 and sum(small["files"].values()) < sum(plain["files"].values())
    kinds = {node.op_type for node in onnx.load(tmp_path / "tiny.int8.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


@pytest.mark.parametrize(
    ("words", "code", "word"),
    [
        ("exp33 --to c", 2, "checkpoint.pt"),
        ("exp3 --to pdf", 2, "'pdf'"),
        ("exp3", 2, "--to"),
        (f"{'0' * 32} --to c", 1, "not in the store"),
        (". --to c", 1, "spec.json"),
    ],
)
def test_what_cannot_be_exported_is_one_line(one, tinycnn, tmp_path, monkeypatch, words, code, word):
    monkeypatch.chdir(tmp_path)
    assert word in refused(tinycnn("export", *words.split()), code)


def test_of_several_seeds_one_must_be_chosen(one, store, tinycnn):
    line = refused(tinycnn("export", store["two"]["run_id"], "--to", "c"), 1)
    assert all(each["run_id"] in line for each in store["two"]["seeds"])


def test_a_run_without_a_checkpoint_is_one_line(one, tinycnn):
    with tracking.Store().run("empty", {"tinycnn.role": "seed"}) as run:
        run.open()
    assert run.id in refused(tinycnn("export", run.id, "--to", "c"), 1)


@pytest.mark.parametrize("damage", ["cut off", "of another network", "without its normalisation", "spec"])
def test_a_damaged_folder_is_one_line_that_names_the_file(one, checkpoint, tinycnn, tmp_path, damage):
    exported(tinycnn, checkpoint, "--to", "safetensors", "--output", tmp_path)
    weights, spec = tmp_path / "weights.safetensors", tmp_path / "spec.json"
    if damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:-5])
    elif damage == "of another network":
        spec.write_text(Spec.from_json(spec.read_text()).but(model={"layers.0.channels": 3}).to_json())
    elif damage == "without its normalisation":
        from safetensors.torch import save_file

        save_file(load_file(weights), weights)
    else:
        spec.write_text("{")
    line = refused(tinycnn("export", str(tmp_path), "--to", "c"), 2 if damage == "spec" else 1)
    assert ("spec.json" if damage == "spec" else "weights.safetensors") in line


def test_an_output_that_cannot_be_written_is_one_line(one, checkpoint, tinycnn, tmp_path):
    (tmp_path / "file").touch()
    assert "--output" in refused(tinycnn("export", str(checkpoint), "--to", "c", "--output", f"{tmp_path}/file"), 1)


def test_shared_weights_are_kept_once_and_loaded_into_every_repeat(tiny, tmp_path):
    model = Network(Conv(4), Repeat(Conv(4, padding=1), times=3, shared=True), Head())
    spec = tiny.but(model=model, data=Data(name="npz", path="gone.npz"))
    network = spec.model.build((1, 28, 28), 10).eval()
    subject.save(subject.Subject(spec, network, (1, 28, 28), 10, (0.1,), (0.3,), {}), tmp_path)
    kept = [name for name in load_file(tmp_path / "weights.safetensors") if name.endswith("0.0.0.weight")]
    assert kept == ["1.0.0.0.weight"]
    images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    wanted = subject.Pixels(network, (0.1,), (0.3,))(images)
    assert torch.equal(load(tmp_path)(images), wanted.detach()), "without the data set"
