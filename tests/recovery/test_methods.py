"""The documented way to add a metric, a family method and a tree method: one function each."""

import numpy as np
import pytest

from heritage.errors import BadInput
from heritage.recovery.families import FAMILY_METHODS, register_family_method
from heritage.recovery.methods import METRICS, TREE_METHODS, register_metric, register_tree_method
from heritage.recovery.models import open_folder
from heritage.recovery.recover import Options, recover
from heritage.recovery.trees import Tree, TreeEdge


@pytest.fixture
def clean():
    yield
    for known in (METRICS, TREE_METHODS, FAMILY_METHODS):
        for name in [n for n in known if n.startswith("my-")]:
            del known[name]


def test_new_methods_are_registered_by_one_function_each(planter, saved, clean):
    def biases_only(family):
        vectors = np.array([not s.is_matrix for s in family.distances.slots])
        cost = np.nansum(family.distances.squared[vectors], axis=0)
        np.fill_diagonal(cost, np.inf)
        return cost

    def star(family, cost):
        middle = int(np.argmin(np.where(np.isfinite(cost), cost, 0).sum(1)))
        others = [i for i in range(family.count) if i != middle]
        return Tree(tuple(TreeEdge(middle, i, "unknown", 0.5) for i in others), {middle: 0.5})

    register_metric("my-biases", biases_only)
    register_tree_method("my-star", star)
    register_family_method("my-all", lambda similar, _: np.zeros(len(similar.cosine), np.int64))
    root = planter.root()
    folder = saved({"root": root, "a": planter.finetuned(root, 0.03), "b": planter.finetuned(root, 0.03)})
    with open_folder(folder) as (models, _):
        found = recover(models, Options(tree="my-star", metric="my-biases", families="my-all"))
    assert {(e.parent, e.child) for e in found.families[0].edges} == {("root", "a"), ("root", "b")}


@pytest.mark.parametrize(
    ("register", "name"), [(register_metric, "l2"), (register_tree_method, "mother"), (register_family_method, "auto")]
)
def test_a_taken_name_is_refused(register, name):
    with pytest.raises(BadInput, match=name):
        register(name, lambda *_: None)
