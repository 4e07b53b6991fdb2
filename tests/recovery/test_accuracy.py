"""Accuracy on forests of trained networks, on seeds that nothing was fitted on."""

from dataclasses import replace

import pytest

from heritage.recovery.models import open_folder
from heritage.recovery.recover import recover
from heritage.testing import plan
from heritage.testing.forest import generate
from heritage.testing.score import score


def scored(wanted, folder, seed):
    truth = generate(wanted, folder, seed)
    with open_folder(folder) as (models, _):
        return score(truth, recover(models).document())


def test_a_small_forest_is_mostly_right(tmp_path):
    wanted = replace(plan.hard(12), small=True, family_size=6, kinds=("rmsnorm", "mlp"), missing=0.0)
    s = scored(wanted, tmp_path, seed=411)
    assert s.ari == 1.0
    assert s.undirected >= 0.7 * s.pairs
    assert s.labelled >= 0.9 * s.directed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "least"),
    [
        (plan.hard(60), 0.8),
        (plan.hard(60, "bf16"), 0.7),
        (plan.easy(plan.ADAPTERS, 60), 0.95),
        (plan.easy(plan.FIVE, 60), 0.88),
    ],
)
def test_forests_of_sixty_models(tmp_path, wanted, least):
    s = scored(wanted, tmp_path, seed=412)
    assert s.ari == 1.0
    assert s.directed >= least * s.pairs
    assert s.merges >= 0.75 * s.all_merges - 1  # a forest has few
    assert s.calibration_error() < 0.15
