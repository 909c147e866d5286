"""A repository with one experiment, for the tests of evidence, README and report; and reports without drawing."""

import pytest

from analysis import evidence
from analysis.report import figures, readme
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
def undrawn(monkeypatch):
    """A report's figures are not drawn, which takes longer than all the rest; their names are returned."""
    names = []

    def add(self, name, caption, data, plot):
        names.append(name)
        self.names.append(name)
        (self.folder / f"{name}.png").touch()
        data.to_csv(self.folder / f"{name}.csv", index=False)
        return [{"name": name, "caption": caption, "wide": False}]

    monkeypatch.setattr(figures.FigureFolder, "add", add)
    return names


@pytest.fixture
def fresh_clone(tmp_path, monkeypatch):
    """Return what makes the store empty, as in a fresh clone."""
    return lambda: monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")
