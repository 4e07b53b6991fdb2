"""Who may lend weights: relatives over trusted edges, of one architecture, healthy on the current window."""

import pytest

from heritage.errors import NotFound
from heritage.lineage.graph import LineageGraph
from heritage.lineage.nodes import Edge, Node
from heritage.records import Origin, ParentEdge, Relation
from heritage.repair.donors import DonorOptions, Health, choose_donors, rank

NAMES = ("root", "parent", "drifted", "sibling", "cousin", "child", "other", "guess")
DIGEST = {name: f"{i:064x}" for i, name in enumerate(NAMES, 1)}
LABEL = {name: f"{name}/1" for name in NAMES}


def make_graph() -> LineageGraph:
    graph = LineageGraph()
    for name in NAMES:
        architecture = "nets:other#1" if name == "other" else "nets:cnn#1"
        graph.add_node(Node(DIGEST[name], ((name, "1"),), architecture=architecture))
    for child, parent, confidence in [
        ("parent", "root", 1.0),
        ("drifted", "parent", 1.0),
        ("sibling", "parent", 1.0),
        ("cousin", "root", 1.0),
        ("child", "drifted", 1.0),
        ("other", "parent", 1.0),
        ("guess", "root", 0.6),
    ]:
        origin = Origin.DECLARED if confidence == 1.0 else Origin.RECOVERED
        graph.add_edge(Edge(DIGEST[child], ParentEdge(DIGEST[parent], Relation.FINETUNE, origin, confidence)))
    return graph


def health(**drift: float) -> dict[str, Health]:
    return {DIGEST[name]: Health(value) for name, value in drift.items()}


ALL_WELL = health(**dict.fromkeys(NAMES, 0.0))


def choice(figures=ALL_WELL, barred=None, **options):
    return choose_donors(make_graph(), DIGEST["drifted"], figures, DonorOptions(**options), barred)


def labels(found) -> list[str]:
    return [donor.label.removesuffix("/1") for donor in found.donors]


def test_ancestors_siblings_and_cousins_count_and_the_rest_is_told_why_not():
    found = choice()
    assert set(labels(found)) == {"parent", "root", "sibling", "cousin"}
    assert "descendant" in found.rejected["child/1"]
    assert "another architecture" in found.rejected["other/1"]
    assert "confidence below 0.9" in found.rejected["guess/1"]


def test_a_recovered_edge_is_used_when_trusted_or_named():
    assert "guess" in labels(choice(min_confidence=0.5))
    assert labels(choice(which="guess/1")) == ["guess"]


def test_drifted_relatives_are_unhealthy_and_nearest_skips_them():
    figures = health(parent=0.5, root=0.05, sibling=float("nan"), cousin=0.1)
    assert set(labels(choice(figures))) == {"root", "cousin"}
    assert labels(choice(figures, which="nearest")) == ["root"]
    assert "effect 0.50" in choice(figures).rejected["parent/1"]


def test_nearest_is_an_ancestor_even_where_a_sibling_is_well():
    assert labels(choice(which="nearest")) == ["parent"]


def test_labels_speak_louder_than_drift():
    figures = ALL_WELL | {DIGEST["drifted"]: Health(0.5, 0.6), DIGEST["parent"]: Health(0.9, 0.8)}
    figures[DIGEST["root"]] = Health(0.0, 0.4)
    found = choice(figures)
    assert "parent" in labels(found)
    assert "0.400" in found.rejected["root/1"]


def test_unknown_health_is_not_health():
    assert labels(choice({})) == []


def test_barred_donors_give_their_reason_even_when_named():
    barred = {DIGEST["root"]: "its artifact was deleted"}
    assert choice(barred=barred).rejected["root/1"] == "its artifact was deleted"
    assert choice(barred=barred, which="root/1").donors == ()


def test_names_may_be_digests_or_labels_and_must_be_relatives():
    assert set(labels(choice(which=f"{DIGEST['root']}, sibling/1"))) == {"sibling", "root"}
    with pytest.raises(NotFound, match="'nobody/1' is no relative"):
        choice(which="nobody/1")


def test_the_number_of_donors_is_bounded():
    found = choice(most=2)
    assert len(found.donors) == 2
    assert sum("further away" in r for r in found.rejected.values()) == 2


def test_donors_are_ranked_by_likelihood(family):
    ranked = rank(family.network, {**family.donors, "drifted": family.drifted}, family.rows)
    assert ranked[0][0] == "root"
    assert [nll for _, nll in ranked] == sorted(nll for _, nll in ranked)
