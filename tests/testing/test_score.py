import pytest

from heritage.testing.score import pooled, score


def model(name, family, relation, kind, parents=(), ancestors=(), base=None, values=None):
    return {
        "id": name, "family": family, "relation": relation, "kind": kind, "parents": list(parents),
        "parent_present": not ancestors, "ancestors": list(ancestors), "base": base, "values": values or name,
    }  # fmt: skip


TRUTH = {
    "models": [
        model("r", "f", "root", "root"),
        model("a", "f", "finetune", "finetune", ["r"]),
        model("b", "f", "lora", "lora", ["r"]),
        model("t", "f", "copy", "copy", ["b"], values="b"),
        model("m", "f", "merge_ties", "merge", ["a", "b"], base="r"),
        model("o", "f", "finetune", "finetune", [], ["a"]),
        model("x", "g", "root", "root"),
    ]
}
FAMILIES = [{"id": "1", "members": ["r", "a", "b", "t", "m", "o"]}, {"id": "2", "members": ["x"]}]


def edge(parent, child, relation="finetune", confidence=1.0):
    return {"parent": parent, "child": child, "relation": relation, "confidence": confidence}


RIGHT = [
    edge("r", "a"), edge("r", "t", "lora"), edge("b", "t", "copy"), edge("a", "m", "merge"), edge("t", "m", "merge"),
    edge("a", "o"), edge("r", "m", "merge"),
]  # fmt: skip


def test_a_right_recovery_has_full_marks():
    s = score(TRUTH, {"families": FAMILIES, "edges": RIGHT, "roots": ["r", "x"]})
    assert (s.pairs, s.directed, s.undirected, s.labelled) == (5, 5, 5, 5)
    assert (s.right, s.edges) == (6, 6)  # the base's edge is left out
    assert (s.roots, s.families, s.merges, s.all_merges, s.ari) == (1, 1, 1, 1, 1.0)
    assert s.calibration_error() == 0.0


def test_mistakes_are_counted_where_they_are():
    edges = [edge("a", "r", confidence=0.5), edge("r", "b", "finetune", 0.5), edge("a", "m", "merge", 0.5)]
    s = score(TRUTH, {"families": FAMILIES, "edges": edges, "roots": ["a", "x"]})
    assert (s.directed, s.undirected, s.labelled, s.right, s.edges) == (2, 3, 1, 2, 3)
    assert (s.roots, s.merges) == (0, 0)
    assert s.calibration_error() == pytest.approx(abs(2 - 1.5) / 3)
    assert pooled([s, s]).directed == 4
