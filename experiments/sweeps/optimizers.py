"""SGD, AdamW and Muon at fewer than 2,000 parameters, and the size of a batch.

Question  does another optimizer, or do more steps of smaller batches, get more out of few parameters?
Fidelity  8 epochs on the 50,000 training images beside the validation split
Analysis  two seeds of each: nothing beyond chance, which is 0.1 here; neither Muon nor SGD is worse than AdamW
Run       make sweep SWEEP=optimizers (60 min on two cores)
"""

from experiments.sweeps.separable import RECORD_2K as BASE
from tinycnn.spec import SGD, Optimizer
from tinycnn.spec.section import torch
from tinycnn.spec.sweep import Sweep
from tinycnn.spec.training import Beta, Rate


class Muon(Optimizer):
    """Steps of orthogonal matrices for the weights of layers (Jordan et al. 2024, "Muon"), Adam for all vectors.

    A convolution's weights are a matrix of a row for each output map. ``vectors``: Adam's rate over Muon's.
    """

    lr: Rate = 0.05
    momentum: Beta = 0.95
    vectors: Rate = 0.4

    def build(self, parameters):
        kind = type("Muon", (torch.optim.Optimizer,), {"step": step})  # here: `list` reads this file without torch
        return kind(parameters, {"lr": self.lr, "momentum": self.momentum, "vectors": self.vectors})


def step(optimizer, closure=None):
    """Change the parameters by their gradients."""
    with torch.no_grad():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.sub_(change(optimizer.state[parameter], parameter, group).view_as(parameter))


def change(state, parameter, group):
    """Return what a parameter changes by, and update its state."""
    beta = group["momentum"] if parameter.dim() > 1 else 0.9
    if not state:
        state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
    state["step"] += 1
    state["mean"].lerp_(parameter.grad, 1 - beta)
    if parameter.dim() > 1:
        rows = parameter.grad.lerp(state["mean"], beta).flatten(1)
        return group["lr"] * max(1.0, rows.shape[0] / rows.shape[1]) ** 0.5 * orthogonal(rows)
    state["square"].lerp_(parameter.grad.square(), 0.001)
    mean, square = state["mean"] / (1 - 0.9 ** state["step"]), state["square"] / (1 - 0.999 ** state["step"])
    return group["lr"] * group["vectors"] * mean / (square.sqrt() + 1e-8)


def orthogonal(matrix):
    """Return a matrix with the same singular vectors, whose singular values are all near 1 (Newton and Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315  # Jordan's: five steps bring values from 0.001 to 1 near 1
    wide = matrix.shape[0] <= matrix.shape[1]
    found = (matrix if wide else matrix.T) / (matrix.norm() + 1e-7)
    for _ in range(5):
        gram = found @ found.T
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found if wide else found.T


SWEEP = Sweep(
    name="optimizers",
    base=BASE,
    arms={
        "SGD 0.1": BASE.but(optimizer=SGD(lr=0.1, momentum=0.9, nesterov=True)),
        "SGD 0.3": BASE.but(optimizer=SGD(lr=0.3, momentum=0.9, nesterov=True)),
        "Muon 0.03": BASE.but(optimizer=Muon(0.03)),
        "Muon 0.1": BASE.but(optimizer=Muon(0.1)),
        "batch 32": {"train.batch_size": 32},
        "batch 128": {"train.batch_size": 128},
    },
    fidelity={"data.validation": True, "train.epochs": 8},
    seeds=4,
)
