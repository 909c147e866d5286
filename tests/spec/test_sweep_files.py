"""Every sweep in ``experiments/sweeps`` can be run as it is."""

import pytest

from tinycnn.network.check import check
from tinycnn.spec import sweep


@pytest.mark.parametrize("name", sweep.names())
def test_every_arm_keeps_to_the_limit_and_none_is_evaluated_on_the_test_set(name):
    for label, spec in sweep.load(name).specs().items():
        check(spec)  # raises OverLimit
        assert spec.data.validation, label
