"""Tables for the terminal add up, hold everything, and fit into 80 columns."""

from dataclasses import replace

import networks
import pytest
import torch
from torch import nn

from tinycnn.data.catalog import DATASETS
from tinycnn.network.profile import measure
from tinycnn.spec import Conv, Custom, Head, Network, Repeat, Residual, Spec, Target
from tinycnn.track import tables
from tinycnn.train.loop import EpochResult


def measured(network, channels=1, size=28):
    facts = replace(DATASETS["mnist"], channels=channels, size=size)
    return measure(Spec(name="some", model=network, target=Target(parameter_limit=None)), facts)


def cells(table):
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines() if row.startswith("|")]


TABLES = networks.NAMED | {
    "everything": networks.everything,
    "deep": lambda: Network(Residual(Repeat(Residual(Repeat(Conv(32, bias=True), times=3)))), Head(), padding=1),
}


@pytest.mark.parametrize("name", TABLES)
def test_layer_tables_add_up_hold_every_kind_and_fit_a_terminal(name):
    found = measured(TABLES[name](), 3, 32)
    table = tables.layer_table(found)
    assert max(map(len, table.splitlines())) <= 80
    rows = [[int(count.replace(",", "")) for count in row[3:]] for row in cells(table)[2:] if row[3]]
    assert [sum(row[i] for row in rows[:-1]) for i in (0, 1)] == rows[-1][:2] == [found.parameters, found.macs]
    assert rows[-1][2] == found.receptive_field
    kinds = []
    for row in cells(table)[2:-1]:
        kinds = [*kinds, row[1]] if row[3] else [*kinds[:-1], f"{kinds[-1]} {row[1]}"]  # one cut into lines
    assert kinds == [layer.kind for layer in found.layers]


class Scaled(nn.Sequential):
    """A network with a parameter that is in none of its layers."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
        self.scale = nn.Parameter(torch.ones(10))

    def forward(self, images):
        return self.scale * super().forward(images)


def test_the_totals_are_of_the_whole_network():
    found = measured(Custom(Scaled))
    assert found.parameters == 7860 and cells(tables.layer_table(found))[-1][3] == "7,860"


@pytest.mark.parametrize("kind", ["test", "validation"])
def test_epoch_tables_fit_a_terminal_and_hold_every_epoch(kind):
    history = [EpochResult(e, 0.72666, 78.8, 0.35333, 89.4, 4.0512e-8 * e, 12.3, 5e3, 1e9) for e in range(1, 101)]
    table = tables.epoch_table(history, kind)
    assert max(map(len, table.splitlines())) <= 80
    head, _, *rows = cells(table)
    assert len(rows) == 100 and head[3].startswith(kind[:3])
    assert rows[1] == ["2", "0.7267", "78.80", "0.3533", "89.40", "8.1e-08", "12.3"]
