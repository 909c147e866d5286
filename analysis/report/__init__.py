"""The report: ``report.md``, a self-contained ``report.html`` of the same content, and the README's table."""

from pathlib import Path

from analysis.report import content, data, document, figures
from tinycnn import ROOT

FOLDER = ROOT / "reports"


def write(names=None, folder: Path = FOLDER, everything: bool = False) -> tuple[list[Path], list[str]]:
    """Write the report on these experiments, or on all; return its two files and its figures, and the notes.

    ``everything``: with a chapter for each experiment, and every table and figure. Raises SpecError for an unknown
    name, UserError where there is nothing to report.
    """
    report = data.collect(names, everything)
    saved = figures.FigureFolder(folder / "figures", report.notes)
    elements = content.content(report, saved, everything)
    saved.remove_others()
    written = [folder / "report.md", folder / "report.html"]
    for path in written:
        path.write_text(document.render(elements, path.suffix.removeprefix("."), folder), encoding="utf-8")
    return [*written, *(saved.folder / f"{name}.png" for name in saved.names)], report.notes
