"""Tags: what is written comes back; what was edited is reported, never raised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heritage.errors import BadInput, UnsafeName
from heritage.lineage.tags import edge_tags, index_tags, read_tags
from heritage.records import MadeBy, Manifest, Origin, ParentEdge, Relation, TrainingData

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
edges = st.builds(
    ParentEdge, digests, st.sampled_from(Relation), st.sampled_from(Origin), st.floats(0, 1, allow_subnormal=True)
)


def manifest(*parents: ParentEdge) -> Manifest:
    data = TrainingData("d" * 64, 10)
    at = "2026-11-22T00:00:00+00:00"
    return Manifest("c" * 64, "digits", (), "float32", 1, MadeBy("0.1.0"), at, training_data=data, parents=parents)


@given(st.lists(edges, max_size=64, unique_by=lambda e: e.digest[:12]))
def test_edges_survive_as_tags(parents: list[ParentEdge]) -> None:
    found = read_tags(index_tags(manifest(*parents)))

    assert found.malformed == ()
    assert (found.digest, found.data) == ("c" * 64, "d" * 64)
    assert {(e.prefix, e.relation, e.origin, e.confidence) for e in found.parents} == {
        (e.digest[:12], e.relation, e.origin, e.confidence) for e in parents
    }


@given(st.dictionaries(st.text(max_size=40) | st.just("heritage.parent.aaaaaaaaaaaa"), st.text(max_size=40)))
def test_reading_foreign_tags_never_raises(tags: dict[str, str]) -> None:
    found = read_tags(tags)

    assert all(bad.reason for bad in found.malformed)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("heritage.parent.aaaaaaaaaaaa", "finetune:decl", "cut short"),
        ("heritage.parent.aaaaaaaaaaaa", "x" * 8000, "heritage writes at most 128"),
        ("heritage.parent.aaaaaaaaaaaa", "", "cut short"),
        ("heritage.parent.aaaaaaaaaaaa", "clone:declared:1.0", "unknown word"),
        ("heritage.parent.aaaaaaaaaaaa", "copy:declared:1.1", "confidence outside"),
        ("heritage.parent.aaaaaaaaaaaa", "copy:declared:nan", "edited"),
        ("heritage.parent.aaaaaaaaaaaa", "copy:declared:1.0\n", "edited"),
        ("heritage.parent.aaaaaaaaaaaa ", "copy:declared:1.0", "key is not"),
        ("heritage.parent.AAAAAAAAAAAA", "copy:declared:1.0", "key is not"),
        ("Heritage.Parent.aaaaaaaaaaaa", "copy:declared:1.0", "key is not"),
        ("heritage.parent.\u0430aaaaaaaaaaa", "copy:declared:1.0", "key is not"),
        ("heritage.parent", '[{"digest": "aa"}]', "key is not"),
        ("heritage.digest", "aa", "not a SHA-256"),
        ("heritage.data", "", "not a SHA-256"),
    ],
)
def test_an_edited_tag_is_reported_with_its_reason(key: str, value: str, reason: str) -> None:
    found = read_tags({key: value, "team": "vision"})

    assert found.parents == ()
    (bad,) = found.malformed
    assert (bad.key, bad.value) == (key, value)
    assert reason in bad.reason


def test_of_several_origins_the_tag_tells_the_most_trusted() -> None:
    sure = ParentEdge("a" * 64, Relation.COPY, Origin.RECOVERED, 1.0)
    said = ParentEdge("a" * 64, Relation.FINETUNE, Origin.DECLARED, 0.5)
    made = ParentEdge("a" * 64, Relation.PRUNE, Origin.ATTESTED, 0.4)

    assert edge_tags((sure, said)) == {"heritage.parent." + "a" * 12: "finetune:declared:0.5"}
    assert edge_tags((made, sure, said)) == {"heritage.parent." + "a" * 12: "prune:attested:0.4"}


def test_two_parents_under_one_key_are_refused() -> None:
    one = ParentEdge("a" * 64, Relation.MERGE, Origin.DECLARED)
    twin = ParentEdge("a" * 63 + "b", Relation.MERGE, Origin.DECLARED)

    with pytest.raises(BadInput, match="share the tag"):
        edge_tags((one, twin))


def test_a_parent_without_a_digest_cannot_become_a_tag() -> None:
    with pytest.raises(UnsafeName, match="SHA-256"):
        edge_tags((ParentEdge("org/name", Relation.MERGE, Origin.DECLARED),))
