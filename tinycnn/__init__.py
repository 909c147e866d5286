"""Very small convolutional networks: an experiment is a spec, a spec becomes tracked runs, runs become figures."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository's root: store, data and experiments are found from here, whatever folder one starts in."""
