"""Every comparison figure, by its one name: frames -> matplotlib figures, pure functions.

``analysis.style.save`` writes one; ``analysis.load`` and ``analysis.statistics`` make the frames.
"""

from analysis.figures_changes import changes, looks
from analysis.figures_fields import receptive_fields
from analysis.figures_mistakes import always_wrong, confusion, wrong_for_every_seed
from analysis.figures_ranges import contour, parallel
from analysis.figures_runs import learning_curves, seeds
from analysis.figures_schedules import schedules
from analysis.figures_specs import accuracy_against_parameters, cost
from analysis.figures_studies import feasibility, history, importances, pruned_curves

__all__ = [
    "accuracy_against_parameters", "always_wrong", "changes", "confusion", "contour", "cost", "feasibility", "history",
    "importances", "learning_curves", "looks", "parallel", "pruned_curves", "receptive_fields", "schedules", "seeds",
    "wrong_for_every_seed",
]  # fmt: skip
