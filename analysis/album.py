"""Figures on disk: each as PNG and SVG, and beside it the CSV it was drawn from."""

import gc
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import style


@dataclass(frozen=True)
class Picture:
    """A figure on disk: its file's name without ending, what it shows, and whether it takes a page's width."""

    name: str
    caption: str
    wide: bool


class Album:
    """The figures of one report, in ``folder``; what cannot be drawn becomes a line of ``notes``."""

    def __init__(self, folder: Path, notes: list[str]):
        self.folder, self.notes, self.names = folder, notes, []
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, caption: str, frame: pd.DataFrame, draw) -> list[Picture]:
        """Save the figure that ``draw()`` returns, and ``frame`` beside it; return it, or nothing if it failed."""
        name = re.sub(r"[^\w-]", "_", name)  # a store of others may call its data sets and experiments anything
        try:
            figure = draw()
            style.save(figure, self.folder / name)
        except Exception as error:  # one figure that strange numbers break must not cost the others
            if os.environ.get("TINYCNN_DEBUG"):
                raise
            self.notes.append(f"figure {name}: cannot be drawn ({type(error).__name__}: {error}).")
            return []
        gc.collect()  # a figure refers to itself in circles: a few would be in memory at a time
        frame.to_csv(self.folder / f"{name}.csv", index=False, lineterminator="\n", float_format="%.8g")
        self.names.append(name)
        return [Picture(name, caption, figure.get_figwidth() > style.COLUMN + 1)]

    def forget_others(self):
        """Delete what an earlier report left in the folder, but for the README's."""
        for path in self.folder.iterdir():
            ours = path.suffix in (".png", ".svg", ".csv") and not path.name.startswith("readme_")
            if ours and path.stem not in self.names:
                path.unlink()
