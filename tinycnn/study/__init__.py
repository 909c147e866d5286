"""Optuna studies: what is searched (``Study``), the workers that search, and what was found."""

from tinycnn.study.definition import Choice, Float, Int, Study

__all__ = ["Choice", "Float", "Int", "Study"]
