import numpy as np
import pytest

from heritage.recovery.architecture import group, is_head, signature
from heritage.recovery.families import FAMILY_METHODS, Similarity, silhouette, similarity
from heritage.recovery.models import open_folder
from heritage.recovery.sample import draw
from heritage.recovery.stack import stack_of

from .conftest import Planter


def labels_of(folder, method):
    with open_folder(folder) as (models, _):
        stack = stack_of(models)
        labels = FAMILY_METHODS[method](similarity(stack, draw(stack)), 12.0)
        return {m.name: int(x) for m, x in zip(models, labels, strict=True)}


@pytest.mark.parametrize("method", ["threshold", "dbscan", "kmeans", "auto"])
def test_families_of_one_architecture_are_told_apart(saved, method):
    states = {}
    for f in range(3):
        planter = Planter(f)
        root = planter.root()
        states |= {f"{f}-root": root, f"{f}-a": planter.finetuned(root), f"{f}-b": planter.adapted(root)}
    labels = labels_of(saved(states), method)
    assert len(set(labels.values())) == 3
    assert all(labels[f"{f}-root"] == labels[f"{f}-a"] == labels[f"{f}-b"] for f in range(3))


def test_unrelated_models_are_within_chance_of_zero(saved):
    states = {f"m{i}": Planter(100 + i).root() for i in range(8)}
    with open_folder(saved(states)) as (models, _):
        stack = stack_of(models)
        z = similarity(stack, draw(stack)).z
    off = z[~np.eye(8, dtype=bool)]
    assert np.abs(off).max() < 5
    assert 0.5 < off.std() < 1.5


def sig(**shapes):
    return signature({k.replace("_", "."): (v, True) for k, v in shapes.items()})


def test_heads_of_other_sizes_and_added_layers_do_not_part_an_architecture():
    body = {"body_weight": (64, 64)}
    a, b = sig(**body, head_weight=(5, 64)), sig(**body, head_weight=(9, 64))
    other = sig(body_weight=(32, 32), head_weight=(5, 32))
    assert group([a, other, b, a]) == [[0, 2, 3], [1]]
    heads = {s for s in a.slots | b.slots if is_head(s, a.slots | b.slots)}
    assert {s.name for s in heads} == {"head.weight"}


def test_buffers_are_no_part_of_a_signature():
    s = signature({"bn.weight": ((4,), True), "bn.running_mean": ((4,), True), "bn.num_batches_tracked": ((), False)})
    assert {x.name for x in s.slots} == {"bn.weight"}
    assert len(s.buffers) == 2


def test_the_silhouette_praises_the_right_families():
    cosine = np.full((6, 6), 0.0)
    cosine[:3, :3] = cosine[3:, 3:] = 0.9
    np.fill_diagonal(cosine, 1.0)
    similar = Similarity(cosine, np.full((6, 6), 0.01))
    assert silhouette(similar, np.array([0, 0, 0, 1, 1, 1])) > 0.8 > silhouette(similar, np.array([0, 1, 0, 1, 0, 1]))
