"""Findings and figures -> ``report.md`` and a self-contained ``report.html`` of the same content.

The content is a list of blocks (``analysis.blocks``), which the two templates beside this file lay out.
"""

import base64
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis import blocks as make
from analysis import draw, gather, readme, sections
from analysis.album import Album
from tinycnn import ROOT
from tinycnn.track.tables import markdown

FOLDER = ROOT / "reports"


def write(names: list[str] | None = None, folder: Path = FOLDER) -> tuple[list[Path], list[str]]:
    """Write the report on these experiments, or on all, its figures and the README's part; return files and notes.

    Raises SpecError for an unknown name, UserError where there is nothing to report.
    """
    found = gather.gather(names)
    album = Album(folder / "figures", found.notes)
    blocks = content(found, album)
    album.forget_others()
    written = []
    for kind in ("md", "html"):
        path = folder / f"report.{kind}"
        path.write_text(render(blocks, kind, folder), encoding="utf-8")
        written.append(path)
    if folder == FOLDER:
        written += readme.write()
    return written, found.notes


def content(found, album: Album) -> list[dict]:
    """Return the blocks of the whole report, its figures drawn into ``album``."""
    body = []
    for data in dict.fromkeys([*found.summary["data"], *found.variants["data"]]):
        body += [make.heading(2, f"Results on {data}")]
        if data in set(found.summary["data"]):
            body += sections.results(found, data) + [make.pictures(draw.comparison(found, data, album))]
        body += sections.variants(found, data)
    body += [make.heading(2, "Iterations")]
    fields = {}
    for name in found.summary["experiment"]:
        drawn, seen = draw.field_of(found, name, album, fields)
        body += sections.iteration(found, name, drawn, seen, draw.mistakes(found, name, album))
    body += sections.studies(found, album)
    body += sections.looks(found, draw.looks(found, album))
    return [*sections.opening(found), *body, *sections.closing(found)]  # the notes last: drawing adds to them


def render(blocks: list[dict], kind: str, folder: Path) -> str:
    """Return the blocks as "md" or "html"; ``folder``: where the report lies, for the pictures it holds."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=kind == "html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"markdown": markdown, "anchor": anchor}
    environment.globals |= {"embedded": lambda name: _embedded(folder / "figures" / f"{name}.png")}
    return environment.get_template(f"report.{kind}.j2").render(blocks=blocks)


def anchor(text: str) -> str:
    """Return the name by which a heading can be linked to."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
