"""A repository with one experiment, for the tests of evidence, README and report."""

import pytest

from analysis import evidence
from analysis.report import readme
from tinycnn.spec import load as experiments


@pytest.fixture
def repository(tmp_path, monkeypatch, tiny):
    """A folder without evidence, a README with an empty table, and ``tiny`` as the only experiment."""
    monkeypatch.setattr(evidence, "FOLDER", tmp_path / "evidence")
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr(experiments, "names", lambda: ["tiny"])
    monkeypatch.setattr(experiments, "load", lambda name: tiny)
    (tmp_path / "evidence").mkdir()
    readme.README.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    return tmp_path


@pytest.fixture
def fresh_clone(tmp_path, monkeypatch):
    """Return what makes the store empty, as in a fresh clone."""
    return lambda: monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")
