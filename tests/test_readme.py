"""The README of this repository says what its evidence says, and what it shows can be run."""

import re

from analysis.report import readme
from tinycnn import ROOT
from tinycnn.spec import load as experiments


def test_the_readme_of_this_repository_says_what_its_evidence_says():
    readme.check()


def test_the_iteration_that_the_readme_shows_can_be_loaded(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    name = re.search(r'name="(\w+)"', text)[1]
    path = tmp_path / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = experiments.load(str(path))
    assert list(spec.difference(experiments.load("exp3")))[0] == "model.layers"
