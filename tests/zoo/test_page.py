"""The page computes what the integer reference does, shows what units see, and needs nothing but itself."""

import html
import json
import re
import shutil
import subprocess

import exported
import numpy as np
import pytest
import torch

from tinycnn.data import load
from tinycnn.export.program_file import packed, unpacked
from tinycnn.zoo import layers, page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(not BROWSER, reason="no Chromium")


def programs():
    return {name: exported.named_program(name)[1] for name in exported.NAMES}


@pytest.fixture(scope="module")
def digits():
    few = load("mnist5k", offline=True).evaluation
    return page.first_of_each(few.images.numpy(), few.labels.numpy())


@pytest.fixture(scope="module")
def written(digits, tmp_path_factory):
    """The page of every network that the tests of the export know."""
    networks = []
    for name, program in programs().items():
        card = {"name": name, "experiment": "</script>", "parameters": 1234, "images": 100}
        card |= {"classes": list("0123456789"), "accuracy": {f"{name}.c": 10.0}}
        networks.append(page.network(card, program))
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page.text(networks, *digits), encoding="utf-8")
    return path


DRAWN = """<script>
const pad = at("pad"), box = pad.getBoundingClientRect();
pad.setPointerCapture = () => {};  // of a pointer that is none
window.requestAnimationFrame = (draw) => draw();
const send = (type, x, y) => pad.dispatchEvent(new PointerEvent(type, { clientX: box.left + x, clientY: box.top + y }));
send("pointerdown", 40, 30), send("pointermove", 60, 100), send("pointermove", 60, 110), send("pointerup", 0, 0);
send("pointermove", 250, 250);
document.body.dataset.drawn = state.image.join(" ");
</script></body>"""


@pytest.fixture(scope="module")
def checked(written, tmp_path_factory):
    """What the page writes of itself in a browser of a telephone's width."""
    flags = "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--window-size=390,844"
    folder = tmp_path_factory.mktemp("browser")
    drawn = folder / "drawn.html"
    drawn.write_text(written.read_text(encoding="utf-8").replace("</body>", DRAWN), encoding="utf-8")
    words = [BROWSER, *flags, f"--user-data-dir={folder}", "--dump-dom", f"{drawn.as_uri()}?check"]
    shown = subprocess.run(words, capture_output=True, text=True, timeout=300).stdout
    found = json.loads(html.unescape(re.search('<pre id="check">(.*?)</pre>', shown, re.DOTALL)[1]))
    return found | {"drawn": np.array(re.search('data-drawn="(.*?)"', shown)[1].split(), int).reshape(28, 28)}


@needs_browser
@pytest.mark.slow
def test_every_score_of_every_digit_is_that_of_the_integer_reference(checked, digits):
    assert checked["scores"].keys() == programs().keys()
    for name, program in programs().items():
        assert np.array_equal(checked["scores"][name], program.run(digits[0])), name


@needs_browser
@pytest.mark.slow
def test_a_drawing_is_prepared_as_mnist_is_so_its_digits_come_out_as_they_are(checked, digits):
    boxes = [np.ptp(np.argwhere(image), axis=0).max() + 1 for image in digits[0][:, 0]]
    same = np.array(checked["redrawn"]).reshape(-1, 28, 28) == digits[0][:, 0]
    assert boxes.count(20) > 95 and all(each.all() for each, box in zip(same, boxes, strict=True) if box == 20)


@needs_browser
@pytest.mark.slow
def test_what_a_finger_draws_is_an_image_of_mnists_size_in_the_middle(checked):
    ink = checked["drawn"]
    rows, columns = np.nonzero(ink)
    assert np.ptp(rows) + 1 == 20 > 2 * np.ptp(columns), "a line down, though the finger moved on after it was lifted"
    centre = [np.average(each, weights=ink[rows, columns]) for each in (rows, columns)]
    assert ink.max() == 255 and np.allclose(centre, 14, atol=0.51)


@needs_browser
@pytest.mark.slow
def test_nothing_is_wider_than_a_telephone(checked):
    assert 300 < checked["right"] <= 390


def test_the_page_has_no_external_resource(written):
    text = written.read_text(encoding="utf-8")
    assert not re.search(r"https?:|\bsrc=|@import|url\(|fetch\(|XMLHttpRequest", text)
    assert re.findall("href=.*?>", text) == ['href="data:,">'], "or a browser asks for an icon"
    assert text.count("</script>") == 2, "data cannot end the script's element"


@pytest.mark.parametrize("name", exported.NAMES)
def test_a_unit_sees_the_pixels_that_its_value_depends_on(name):
    graph, program = exported.named_program(name)
    sees, (_, height, width) = layers.seen(program), graph.shape
    for axis, side in enumerate((height, width)):
        images = torch.zeros(side, *graph.shape, dtype=torch.float64)
        for place in range(side):
            images[place].select(1 + axis, place)[:] = torch.nan  # which spreads to all that depends on it
        for number, found in graph.values(images).items():
            for place, column in enumerate(found.isnan().any(1).any(2 - axis).T):
                pixels = column.nonzero().flatten().tolist()
                assert sees[number][axis][place] == ((pixels[0], pixels[-1]) if pixels else None), (number, place)


@pytest.mark.parametrize("name", exported.NAMES)
def test_a_program_comes_back_from_json(name):
    program, pixels = exported.named_program(name)[1], exported.images(8).numpy()
    again = unpacked(json.loads(json.dumps(packed(program))))
    assert np.array_equal(again.run(pixels), program.run(pixels)) and again.step == program.step
    assert all(layers.words(step, again) for step in again.steps)
