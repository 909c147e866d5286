"""What an experiment is. Everything that an experiment's file needs is imported from here."""

from tinycnn.spec.composite import Head, Repeat, Residual  # noqa: I001
from tinycnn.spec.fields import Augment, Average, Data, Quantise, Target, Train
from tinycnn.spec.layers import (
    Activation, AvgPool, BlurPool, Conv, Depthwise, Dropout, GatedPool, Layer, MaxPool, Norm, Pointwise, SqueezeExcite,
)  # fmt: skip
from tinycnn.spec.model import Custom, Model, Network
from tinycnn.spec.section import Section, explain
from tinycnn.spec.spec import Name, Spec, parse_settings
from tinycnn.spec.teacher import Distillation
from tinycnn.spec.training import (
    SGD, Adam, AdamW, Constant, Cosine, CrossEntropy, Loss, OneCycle, Optimizer, RMSprop, Schedule, StepLR,
)  # fmt: skip

__all__ = [
    "SGD", "Activation", "Adam", "AdamW", "Augment", "Average", "AvgPool", "BlurPool", "Constant", "Conv", "Cosine",
    "CrossEntropy", "Custom", "Data", "Depthwise", "Distillation", "Dropout", "GatedPool", "Head", "Layer", "Loss",
    "MaxPool", "Model", "Name", "Network", "Norm", "OneCycle", "Optimizer", "Pointwise", "Quantise", "RMSprop",
    "Repeat", "Residual", "Schedule", "Section", "Spec", "SqueezeExcite", "StepLR", "Target", "Train", "explain",
    "parse_settings",
]  # fmt: skip
