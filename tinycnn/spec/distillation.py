"""The loss that learns from a trained network. It stands above ``Spec``, because a teacher is a spec with weights."""

from typing import Annotated

from pydantic import Field

from tinycnn.spec.training import Loss, Smoothing


class Distillation(Loss):
    """A ``share`` of learning a teacher's outputs for the same images (Hinton et al. 2015, arXiv:1503.02531).

    ``teacher``: the id of a finished run, or a checkpoint file. The first term is T² times the Kullback-Leibler
    divergence from the teacher's probabilities at ``temperature`` T, the rest is cross-entropy with the labels.
    """

    positional = ("teacher",)
    teacher: Annotated[str, Field(min_length=1)]
    temperature: Annotated[float, Field(gt=0, le=100)] = 4.0
    share: Annotated[float, Field(gt=0, le=1)] = 0.9
    label_smoothing: Smoothing = 0.0

    def build(self, data, device):
        """Return the function. Raises UserError where there is no such teacher, or it was trained on other shapes."""
        from tinycnn.spec import teacher

        return teacher.loss(self, data, device)

    def used(self):
        from tinycnn.spec import teacher

        return {"teacher": teacher.load(self.teacher).digest}
