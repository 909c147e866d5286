"""The report: ``report.md``, a self-contained ``report.html`` of the same content, and the README's table."""

from pathlib import Path

from analysis.report import content, data, document, figures, readme
from tinycnn import ROOT

FOLDER = ROOT / "reports"


def write(names: list[str] | None = None, folder: Path = FOLDER) -> tuple[list[Path], list[str]]:
    """Write the report on these experiments, or on all, its figures and the README's part; return files and notes.

    Raises SpecError for an unknown name, UserError where there is nothing to report.
    """
    report = data.collect(names)
    saved = figures.FigureFolder(folder / "figures", report.notes)
    elements = content.content(report, saved)
    saved.remove_others()
    written = [folder / "report.md", folder / "report.html"]
    for path in written:
        path.write_text(document.render(elements, path.suffix.removeprefix("."), folder), encoding="utf-8")
    return [*written, *(readme.write() if folder == FOLDER else [])], report.notes
