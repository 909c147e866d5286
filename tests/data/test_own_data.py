"""Your own data, an npz file or a folder of images: read, split and recorded like others; errors are one line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinycnn.errors import SpecError, UserError
from tinycnn.network.check import check
from tinycnn.spec import Conv, Data, Head, MaxPool, Network, Spec, Target, Train
from tinycnn.track import verdict
from tinycnn.track.plan import prepare

RANDOM = np.random.default_rng(0)
GOOD = {
    "x_train": RANDOM.integers(0, 256, (60, 20, 20), np.uint8),
    "y_train": np.arange(60) % 3,
    "x_test": RANDOM.integers(0, 256, (12, 20, 20), np.uint8),
    "y_test": np.arange(12) % 3,
}


def npz(folder, **changed):
    """Write a file like the good one but for some arrays; None leaves one out."""
    arrays = {name: array for name, array in (GOOD | changed).items() if array is not None}
    np.savez(folder / "mine.npz", **arrays)
    return str(folder / "mine.npz")


def images_in(folder, size=(20, 20), mode="L"):
    """Write 6 training and 2 test images for each of two classes."""
    for part, count in (("train", 6), ("test", 2)):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
                pixels = RANDOM.integers(0, 256, shape, np.uint8)
                Image.fromarray(pixels, mode).save(folder / part / name / f"{number}.png")
    return str(folder)


def spec_of(data):
    return Spec(
        name="mine", model=Network(Conv(4), MaxPool(2), Head()), data=data, train=Train(epochs=1, batch_size=4),
        target=Target(accuracy=None),
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["(N, H, W)", "(N, H, W, C)", "(N, C, H, W)"])
def test_an_npz_file_is_read_whole_and_in_order(tmp_path, layout):
    axes = {"(N, H, W)": lambda x: x, "(N, H, W, C)": lambda x: x[..., None], "(N, C, H, W)": lambda x: x[:, None]}
    path = npz(tmp_path, **{name: axes[layout](GOOD[name]) for name in ("x_train", "x_test")})
    split = Data(name="npz", path=path).load()
    assert (split.train.images[:, 0].numpy() == GOOD["x_train"]).all()
    assert split.evaluation.labels.tolist() == GOOD["y_test"].tolist()
    assert split.classes == ("0", "1", "2") and split.shape == (1, 20, 20) and split.kind == "test"
    assert split.mean[0] == pytest.approx(GOOD["x_train"].mean() / 255, abs=1e-6)


def test_validation_and_images_work_as_with_any_data_set(tmp_path):
    path = npz(tmp_path, classes=np.array(["a", "b", "c"]))
    whole, half = Data(name="npz", path=path).load(), Data(name="npz", path=path, validation=True, images=20).load()
    assert (len(half.evaluation.labels), len(half.train.labels), half.kind) == (10, 20, "validation")
    assert half.classes == ("a", "b", "c") and half.digest != whole.digest
    with pytest.raises(SpecError, match=r"data.images: 61; npz has 60 training images"):
        check(spec_of(Data(name="npz", path=path, images=61)))


def test_other_content_has_another_digest_and_the_same_hash(tmp_path):
    one = Data(name="npz", path=npz(tmp_path)).load().digest
    other = Data(name="npz", path=npz(tmp_path, y_train=(np.arange(60) + 1) % 3)).load().digest
    assert one != other
    assert spec_of(Data(name="npz", path="a.npz")).hash == spec_of(Data(name="npz", path="b.npz")).hash


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"y_test": None}, "lacks y_test; it has x_train, y_train, x_test"),
        ({"x_train": GOOD["x_train"] / 255}, "images of train are float64 (60, 20, 20), not uint8 from 0 to 255; mul"),
        ({"x_train": GOOD["x_train"].reshape(60, 400)}, "images of train have shape (60, 400)"),
        ({"x_test": np.zeros((12, 28, 28), np.uint8)}, "images of train are 1×20×20, of test 1×28×28"),
        ({"x_test": np.zeros((12, 20, 24), np.uint8), "x_train": np.zeros((60, 20, 24), np.uint8)}, "make them square"),
        ({"y_train": np.arange(60) % 3 + 1}, "labels of train are 1, 2, 3; they must be all of 0 to k - 1"),
        ({"y_train": np.zeros(60, int)}, "labels of train are 0; they must be all of 0 to k - 1"),
        ({"y_train": np.arange(60) % 3 + 0.5}, "the labels of train are float64 (60,), not an integer for each"),
        ({"y_train": np.arange(59) % 3}, "the labels of train are int64 (59,), not an integer for each"),
        ({"y_test": np.arange(12) % 4}, "the test label 3 has no training image"),
        ({"y_train": np.array([{}] * 60, dtype=object)}, "Object arrays cannot be loaded"),
        ({"classes": np.array(["a", "b"])}, "classes has 2 names; labels of train are 0 to 2, so give 3"),
    ],
)
def test_what_is_wrong_with_an_npz_file_is_said_in_one_line(tmp_path, changed, words):
    path = npz(tmp_path, **changed)
    with pytest.raises(UserError) as caught:
        check(spec_of(Data(name="npz", path=path)))
    assert words in str(caught.value) and path in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_npz_is_called_so(tmp_path):
    np.save(tmp_path / "array.npy", GOOD["x_train"])
    (tmp_path / "text.npz").write_text("no arrays")
    for name in ("array.npy", "text.npz"):
        with pytest.raises(UserError, match=f"{name}: is no npz file"):
            Data(name="npz", path=str(tmp_path / name)).load()


def test_a_channel_that_is_the_same_everywhere_is_said_before_training(tmp_path):
    colour = {name: np.stack([GOOD[name], GOOD[name], 0 * GOOD[name]], axis=1) for name in ("x_train", "x_test")}
    with pytest.raises(UserError, match="mine: data: channel 2 of the training images is the same everywhere"):
        prepare(spec_of(Data(name="npz", path=npz(tmp_path, **colour))))


def test_a_folder_of_images_is_read_in_the_order_of_its_names(tmp_path):
    split = Data(name="folder", path=images_in(tmp_path)).load()
    assert split.classes == ("cat", "dog") and split.shape == (1, 20, 20)
    assert split.train.labels.tolist() == [0] * 6 + [1] * 6
    with Image.open(tmp_path / "train" / "cat" / "3.png") as image:
        assert (split.train.images[3, 0].numpy() == np.asarray(image)).all()
    assert Data(name="folder", path=str(tmp_path), size=16, channels=3).load().shape == (3, 16, 16)


def test_what_is_wrong_with_a_folder_is_said_in_one_line(tmp_path):
    def refused(words, **options):
        with pytest.raises(UserError) as caught:
            Data(name="folder", path=str(tmp_path), **options).load()
        assert words in str(caught.value) and "\n" not in str(caught.value)

    refused("No such file or directory: ")
    images_in(tmp_path)
    Image.new("L", (24, 24)).save(tmp_path / "train" / "cat" / "x.png")
    refused("train has images of 20×20 and of 24×24; give data.size")
    assert Data(name="folder", path=str(tmp_path), size=20).load()
    (tmp_path / "train" / "cat" / "y.png").write_text("no image")
    refused("y.png is no image", size=20)
    (tmp_path / "train" / "cat" / "y.png").unlink()
    (tmp_path / "test" / "bird").mkdir()
    refused("test/bird has no train/bird", size=20)
    (tmp_path / "train" / "bird").mkdir()
    refused("train/bird has no images", size=20)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_folder_without_classes_is_said_by_name(tmp_path, part):
    shutil.rmtree(Path(images_in(tmp_path)) / part)
    (tmp_path / part).mkdir()
    with pytest.raises(UserError, match=f"{part} has no images; put them into {part}/CLASS"):
        Data(name="folder", path=str(tmp_path)).load()


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "RGBA", "LA", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_that_would_change_on_reading_are_refused(tmp_path, mode, channels):
    images_in(tmp_path)
    name = tmp_path / "train" / "cat" / ("x.tiff" if mode in "IF" else "x.png")
    options = {"transparency": 0} if mode == "P" else {}
    Image.new(mode, (20, 20)).save(name, **options)  # of RGBA and LA: transparent everywhere
    with pytest.raises(UserError, match="x.(png|tiff) (has more than 8 bits a pixel|is transparent)"):
        Data(name="folder", path=str(tmp_path), channels=channels).load()


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "LA"])
def test_opaque_images_of_any_mode_keep_their_pixels(tmp_path, mode):
    images_in(tmp_path)
    grey = Image.new("L", (20, 20), 255).convert(mode)
    grey.save(tmp_path / "train" / "cat" / "0.png")
    first = Data(name="folder", path=str(tmp_path)).load().train.images[0]
    assert (first == 255).all()


def test_name_and_path_go_together(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        Data(name="npz", path=str(tmp_path / "none.npz")).load()
    for values in ({"name": "npz"}, {"name": "folder"}, {"name": "mnist", "path": "x"}):
        with pytest.raises(ValueError, match="data.path"):
            Data(**values)


def test_no_data_set_is_judged_against_the_target_of_another(tmp_path):
    digits = spec_of(Data(name="mnist")).but(target={"accuracy": 50.0, "last_epochs": 1})
    summary = {"last": 99.0, "held": 99.0, "seed": 0}
    assert verdict.judge(digits, [summary], kind="test", fallback=False)[0] == "met"
    few = digits.with_values({"data.name": "mnist5k"})
    word, reason = verdict.judge(few, [summary], kind="test", fallback=False)
    assert (word, reason) == ("not judged", "trained on mnist5k, and the target is one on mnist")
    own = few.but(target=Target(accuracy=50.0, last_epochs=1))
    assert verdict.judge(own, [summary], kind="test", fallback=False)[0] == "met"  # stated for it
