"""A report as a list of elements, plain dicts that the two templates lay out as Markdown and HTML alike."""

import base64
import re
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tinycnn.track.tables import markdown


def heading(level: int, text: str) -> dict:
    """Return a heading; level 1 is the report's title."""
    return {"kind": "heading", "level": level, "text": " ".join(text.split())}


def paragraph(text: str, label: str = "") -> dict:
    """Return a paragraph, its label before it in bold."""
    text = " ".join(text.split())
    return {"kind": "paragraph", "text": text[:1].upper() + text[1:], "label": label}


def bullets(items: list[str]) -> dict:
    """Return a list of sentences."""
    return {"kind": "list", "items": items}


def table(head, rows, sides: str) -> dict:
    """Return a table of strings; ``sides``: a "<" or ">" for each column."""
    head, *rows = [tuple(" ".join(str(cell).replace("|", "/").split()) for cell in row) for row in (head, *rows)]
    return {"kind": "table", "head": head, "rows": rows, "sides": sides}


def figures(saved: list, beside: bool = False) -> dict:
    """Return a group of figures, as ``FigureFolder.add`` returns them; ``beside`` the text where there is room."""
    return {"kind": "figures", "figures": saved, "beside": beside}


def number(value, digits: int = 2) -> str:
    """Return a number with so many digits, a dash for none."""
    return "-" if value is None or pd.isna(value) else f"{value:,.{digits}f}"


def with_epoch(value, epoch) -> str:
    """Return an accuracy and, in brackets, its epoch where that is known."""
    return number(value) + ("" if pd.isna(epoch) else f" ({epoch:g})")


def render(elements: list[dict], kind: str, folder: Path) -> str:
    """Return the elements as "md" or "html"; ``folder``: that of the report, with its figures."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=kind == "html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"markdown": markdown, "anchor": _anchor, "base64": base64.b64encode}
    environment.globals["png"] = lambda name: (folder / "figures" / f"{name}.png").read_bytes()
    return environment.get_template(f"report.{kind}.j2").render(elements=elements)


def _anchor(text: str) -> str:
    """Return the name by which a heading can be linked to."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
