"""A repository with one experiment, for the tests of evidence, README and report; and reports without drawing."""

import shutil

import pytest

from analysis import evidence, receptive_field
from analysis.report import figures, readme
from tinycnn.spec import load as experiments
from tinycnn.track import mlflow_run, run
from tinycnn.track.mlflow_store import Store


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


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory, template, plan):
    """Two seeds of ``tiny``, without models: the folder of their store, and what training them returned."""
    folder = tmp_path_factory.mktemp("two_seeds")
    shutil.copy(template, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / template.name}")
        patch.setenv("TINYCNN_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setattr(mlflow_run.Run, "model", lambda *_, **__: None)
        return folder, run.run(plan, seeds=2)


@pytest.fixture
def two_seeds(trained_once, database, no_artifacts):
    """What training two seeds of ``tiny`` returned; this test's store has them."""
    folder, outcome = trained_once
    shutil.copy(folder / database.name, database)
    Store()  # which MLflow's own clients then take, too
    return outcome


@pytest.fixture
def undrawn(monkeypatch):
    """A report's figures are neither computed nor drawn, which takes longer than all the rest; returns their names."""
    names = []

    def add(self, name, caption, data, plot):
        names.append(name)
        self.names.append(name)
        (self.folder / f"{name}.png").touch()
        data.to_csv(self.folder / f"{name}.csv", index=False)
        return [{"name": name, "caption": caption, "wide": False}]

    monkeypatch.setattr(figures.FigureFolder, "add", add)
    monkeypatch.setattr(receptive_field, "of_spec", lambda *_: (None, []))
    return names


@pytest.fixture
def fresh_clone(tmp_path, monkeypatch):
    """Return what makes the store empty, as in a fresh clone."""
    return lambda: monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")
