"""The blocks a report consists of, plain dicts that its two templates lay out, and how numbers are written in them."""

import re

import pandas as pd


def heading(level: int, text: str) -> dict:
    """Return a heading; level 1 is the report's."""
    return {"kind": "heading", "level": level, "text": " ".join(text.split())}


def paragraph(text: str, label: str = "") -> dict:
    """Return a paragraph, its label before it in bold."""
    text = _unbroken(" ".join(text.split()))
    return {"kind": "paragraph", "text": text[:1].upper() + text[1:], "label": label}


def bullets(items: list[str]) -> dict:
    """Return a list of sentences."""
    return {"kind": "list", "items": [_unbroken(item) for item in items]}


def _unbroken(text: str) -> str:
    return re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", text)


def table(head, rows, sides: str) -> dict:
    """Return a table of strings; ``sides``: a "<" or ">" for each column."""
    head, *clean = [tuple(" ".join(str(cell).replace("|", "/").split()) for cell in row) for row in (head, *rows)]
    return {"kind": "table", "head": head, "rows": clean, "sides": sides}


def pictures(drawn: list) -> dict:
    """Return a group of figures."""
    return {"kind": "figures", "pictures": drawn}


def number(value, digits: int = 2) -> str:
    """Return a number with so many digits; a dash for none."""
    return "-" if value is None or pd.isna(value) else f"{value:.{digits}f}"


def count(value) -> str:
    """Return a count with its thousands parted; a dash for none."""
    return "-" if value is None or pd.isna(value) else f"{value:,.0f}"


def with_epoch(value, epoch) -> str:
    """Return an accuracy and, in brackets, its epoch where that is known."""
    return number(value) + ("" if pd.isna(epoch) else f" ({epoch:g})")
