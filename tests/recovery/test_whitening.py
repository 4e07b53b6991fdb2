"""Steps along directions that a family shares do not make siblings of strangers."""

import numpy as np
import torch

from heritage.recovery.cost import edge_costs
from heritage.recovery.tree import spanning_tree
from heritage.recovery.whitening import whitened_share

MATRICES = ("layer.0.query.weight", "layer.1.dense.weight", "layer.2.dense.weight")


def shared_inputs(planter, root, step, pull, seed):
    """A fine-tune whose steps in matrices lie half along one direction of the inputs, the same for all."""
    child = planter.finetuned(root, step)
    for k in MATRICES:
        rows, columns = root[k].shape
        common = torch.linspace(-1, 1, columns)
        own = torch.rand(rows, generator=torch.Generator().manual_seed(seed))  # of one sign: steps agree
        child[k] = child[k] + step * pull * torch.outer(own, common)
    return child


def test_a_long_step_hangs_on_its_parent_and_not_on_a_short_step_that_resembles_it(planter, planted):
    root = planter.root()
    sizes = [0.01, 0.03, 0.03, 0.03, 0.03]
    states = {"root": root} | {f"c{i}": shared_inputs(planter, root, s, 4.0, i) for i, s in enumerate(sizes)}
    star = {(0, i) for i in range(1, 6)}
    with planted(states) as family:
        plain = np.nansum(family.distances.squared, axis=0)
        np.fill_diagonal(plain, np.inf)
        assert spanning_tree(plain, []) != star
        assert spanning_tree(edge_costs(family), []) == star


def test_the_share_is_symmetric_and_about_one_where_steps_are_independent(planter, planted):
    root = planter.root()
    states = {"root": root} | {f"c{i}": planter.finetuned(root, 0.02 + 0.01 * i) for i in range(6)}
    with planted(states) as family:
        share = whitened_share(family)
    assert np.array_equal(share, share.T)
    assert np.all(np.abs(share - 1) < 0.35)
    assert np.all(np.diag(share) == 1)


def test_two_members_and_equal_ones_have_a_share_of_one(planter, planted):
    root = planter.root()
    with planted({"root": root, "child": planter.finetuned(root)}) as family:
        assert np.all(whitened_share(family) == 1)
    frozen = {**root, "layer.0.value.bias": root["layer.0.value.bias"] + 1}
    with planted({"root": root, "head": frozen, "other": {**frozen, "layer.0.norm.weight": torch.zeros(32)}}) as family:
        assert np.all(whitened_share(family) == 1)
