import pytest

from heritage.errors import NotFound
from heritage.recovery.genealogy import ancestors, descendants, genealogy
from heritage.recovery.results import RecoveredEdge, RecoveredFamily, Recovery
from heritage.recovery.statistics import faults, system_statistics, tree_statistics


def edge(parent, child, relation="finetune", confidence=0.8):
    return RecoveredEdge(parent, child, relation, confidence, "cues")


FAMILY = RecoveredFamily(
    "f1",
    ("a", "b", "c", "d", "m"),
    (
        edge("a", "b"),
        edge("a", "c"),
        edge("c", "d", "lora"),
        edge("b", "m", "merge", 1.0),
        edge("c", "m", "merge", 1.0),
    ),
    ("a",),
)
LONER = RecoveredFamily("f2", ("x",), (), ("x",))
FOREST = Recovery((FAMILY, LONER))


def test_the_shape_of_a_tree_is_counted():
    s = tree_statistics(FAMILY)
    assert (s.members, s.edges, s.roots, s.leaves, s.depth, s.merges) == (5, 5, 1, 2, 2, 1)
    assert s.branching == pytest.approx(5 / 3)
    assert s.mean_confidence == pytest.approx(0.88)
    assert s.relations == {"finetune": 2, "lora": 1, "merge": 2}


def test_all_families_together():
    s = system_statistics(FOREST)
    assert (s.models, s.family_sizes, s.success_rate, s.valid_trees) == (6, (5, 1), 1.0, 1.0)


def test_a_valid_tree_has_no_faults():
    assert faults(FAMILY) == faults(LONER) == []


@pytest.mark.parametrize(
    ("edges", "word"),
    [
        ((edge("a", "b"), edge("b", "c"), edge("c", "b")), "circle"),
        ((edge("a", "b"), edge("c", "b")), "2 parents"),
        ((edge("b", "a"),), "root 'a' has a parent"),
        ((edge("a", "stranger"),), "'stranger' is not a member"),
        ((edge("b", "b"),), "its own parent"),
        ((edge("a", "b", confidence=1.5),), "1.5"),
    ],
)
def test_faults_are_named(edges, word):
    assert word in " ".join(faults(RecoveredFamily("f", ("a", "b", "c"), edges, ("a",))))


def test_ancestors_and_descendants_with_their_distance():
    assert ancestors(FOREST, "m") == {"b": 1, "c": 1, "a": 2}
    assert descendants(FOREST, "a") == {"b": 1, "c": 1, "d": 2, "m": 2}
    assert ancestors(FOREST, "x") == {}


def test_a_genealogy_lists_the_edges_above_each_member():
    found = genealogy(FOREST, "f1")
    assert [e.parent for e in found.parents["m"]] == ["b", "c"]
    assert found.parents["a"] == ()
    assert found.statistics == tree_statistics(FAMILY)


def test_unknown_names_say_what_exists():
    with pytest.raises(NotFound, match="f1"):
        genealogy(FOREST, "nope")
    with pytest.raises(NotFound, match="nobody"):
        ancestors(FOREST, "nobody")
