"""The audit: a sound registry gives no finding, and each fault gives the finding that names it with both sides."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heritage.lineage.audit import audit
from heritage.lineage.findings import Finding, Kind, Severity
from heritage.lineage.tags import index_tags
from heritage.records import (
    Architecture,
    MadeBy,
    Manifest,
    ModelVersion,
    Origin,
    ParentEdge,
    Relation,
    TrainingData,
    Transformation,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    version: ModelVersion
    manifest: Manifest | None
    problem: str = ""


def digest(number: int) -> str:
    return f"{number:012x}" + "0" * 52


def edge(
    parent: int, origin: Origin = Origin.DECLARED, relation: Relation = Relation.FINETUNE, confidence: float = 1.0
) -> ParentEdge:
    return ParentEdge(digest(parent), relation, origin, confidence, name="digits", version=str(parent))


def recovered(parent: int, relation: Relation = Relation.FINETUNE, confidence: float = 0.99) -> ParentEdge:
    return edge(parent, Origin.RECOVERED, relation, confidence)


def entry(number: int, *parents: ParentEdge, builder: str = "a.b:c") -> Entry:
    """Version `number` of 'digits', soundly recorded on day `number` of the month."""
    at = f"2026-11-{number:02d}T00:00:00+00:00" if number < 22 else "2026-11-22T00:00:00+00:00"
    manifest = Manifest(
        digest(number),
        "digits",
        (),
        "float32",
        10,
        MadeBy("0.1.0"),
        at,
        Architecture(builder),
        TrainingData("d" * 64, 5),
        parents,
    )
    ms = int(datetime.fromisoformat(at).timestamp() * 1000)
    version = ModelVersion("digits", str(number), manifest.digest, "run", "src", index_tags(manifest), (), ms)
    return Entry(version, manifest)


def tagged(found: Entry, **changes: str | None) -> Entry:
    """`found` with tags changed (underscores stand for dots); None deletes one."""
    tags = dict(found.version.tags)
    for key, value in changes.items():
        name = "heritage." + key.replace("__", ".")
        tags.pop(name, None)
        if value is not None:
            tags[name] = value
    return replace(found, version=replace(found.version, tags=tags))


def sound() -> list[Entry]:
    return [entry(1), entry(2, edge(1)), entry(3, edge(2, Origin.ATTESTED), recovered(2)), entry(4, edge(2), edge(3))]


def kinds(entries: list[Entry]) -> list[tuple[str, str]]:
    return [(f.kind.value, f.model) for f in audit(entries, NOW)]


def only(entries: list[Entry]) -> Finding:
    (found,) = audit(entries, NOW)
    return found


def test_a_sound_registry_has_no_findings() -> None:
    assert audit(sound(), NOW) == []
    assert audit([], NOW) == []


def test_versions_without_any_word_of_lineage_are_no_finding() -> None:
    foreign = Entry(ModelVersion("foreign", "1", "", "", "s", {"team": "x"}), None)

    assert audit([*sound(), foreign], NOW) == []


KEY2 = "parent__" + digest(2)[:12]


@pytest.mark.parametrize(
    ("change", "kind", "recorded", "claimed"),
    [
        ({"digest": digest(9)}, Kind.DIGEST_MISMATCH, digest(3), digest(9)),
        ({"digest": None}, Kind.DIGEST_MISMATCH, digest(3), ""),
        ({"data": "e" * 64}, Kind.DATA_MISMATCH, "d" * 64, "e" * 64),
        ({"data": None}, Kind.DATA_MISMATCH, "d" * 64, ""),
        (
            {KEY2: "finetune:attested:0.5"},
            Kind.EDGE_MISMATCH,
            "finetune:attested:1.0",
            "finetune:attested:0.5",
        ),
        ({KEY2: "prune:attested:1.0"}, Kind.EDGE_MISMATCH, "finetune:attested:1.0", "prune:attested:1.0"),
        ({KEY2: None}, Kind.EDGE_WITHOUT_TAG, "finetune:attested:1.0", ""),
        (
            {"parent__" + digest(1)[:12]: "copy:attested:1.0"},
            Kind.TAG_WITHOUT_EDGE,
            "",
            "copy:attested:1.0",
        ),
    ],
)
def test_an_edited_tag_is_told_with_both_sides(
    change: dict[str, str | None], kind: Kind, recorded: str, claimed: str
) -> None:
    entries = sound()
    entries[2] = tagged(entries[2], **change)

    found = only(entries)

    assert (found.kind, found.severity, found.model) == (kind, Severity.ERROR, "digits/3")
    assert (found.recorded, found.claimed) == (recorded, claimed)


def test_a_tag_cut_short_is_malformed_and_its_edge_without_tag() -> None:
    entries = sound()
    entries[2] = tagged(entries[2], **{KEY2: "finetune:att"})

    assert kinds(entries) == [("edge_without_tag", "digits/3"), ("malformed_tag", "digits/3")]
    assert "finetune:att" in audit(entries, NOW)[1].claimed


def test_hostile_tag_text_is_shown_printable() -> None:
    entries = [tagged(sound()[0], **{"parent__\x1b[31m": "\n" * 9000})]

    found = only(entries)

    assert found.kind is Kind.MALFORMED_TAG
    assert (found.detail + found.claimed).isprintable()
    assert len(found.claimed) < 300


def test_tags_without_a_manifest_and_an_unreadable_manifest_differ() -> None:
    entries = sound()[:2]
    entries[1] = replace(entries[1], manifest=None)
    assert only(entries).kind is Kind.NO_MANIFEST

    entries[1] = replace(entries[1], problem="m.json: field 'model' is refused\x07")
    found = only(entries)
    assert found.kind is Kind.UNREADABLE
    assert found.recorded == "m.json: field 'model' is refused\\x07"


def test_a_parent_that_was_never_registered_is_an_orphan_edge() -> None:
    found = only([entry(2, edge(1))])

    assert (found.kind, found.severity) == (Kind.ORPHAN, Severity.WARNING)
    assert "digits/1" in found.detail
    assert digest(1)[:12] in found.recorded


def test_circles_and_self_parents_are_found() -> None:
    circle = [entry(1, edge(3)), entry(2, edge(1)), entry(3, edge(2)), entry(4, edge(4))]

    found = [f for f in audit(circle, NOW) if f.kind is Kind.CYCLE]

    assert [(f.model, f.recorded) for f in found] == [
        ("digits/1", "digits/1 <- digits/3 <- digits/2 <- digits/1"),
        ("digits/4", "digits/4 <- digits/4"),
    ]
    assert "3 versions" in found[0].detail
    assert "itself" in found[1].detail


def test_what_is_dated_later_than_now_is_found() -> None:
    late = entry(1)
    assert late.manifest
    late = replace(late, manifest=replace(late.manifest, created_at="2026-11-22T12:06:00+00:00"))
    assert only([late]).kind is Kind.FUTURE

    late = replace(entry(1), version=replace(entry(1).version, created_at_ms=10**18))
    assert only([late]).claimed == "1000000000000000000 ms"

    skewed = replace(late, version=replace(late.version, created_at_ms=int(NOW.timestamp() * 1000) + 60_000))
    assert audit([skewed], NOW) == []


def test_a_child_older_than_its_parent_is_found() -> None:
    assert kinds([entry(1, edge(2)), entry(2)]) == [("older_than_parent", "digits/1")]


def twin(name: str, ms: int, mark: str = "") -> Entry:
    base = entry(1)
    tags = dict(base.version.tags) | ({"heritage.duplicate_of": mark} if mark else {})
    return replace(base, version=replace(base.version, name=name, tags=tags, created_at_ms=ms))


def test_one_content_twice_is_found_unless_marked() -> None:
    assert only([twin("b", 1), twin("a", 2)]).model == "a/1"
    assert audit([twin("b", 1), twin("a", 2, "b/1")], NOW) == []
    assert "none is the canonical" in only([twin("b", 1, "a/1"), twin("a", 2, "b/1")]).detail
    for mark in ("c/7", "b/1"):
        assert "no other version of this content" in only([twin("b", 1, mark)]).detail


def test_two_versions_that_claim_one_digest_are_found() -> None:
    entries = [entry(1), tagged(entry(2), digest=digest(1))]

    assert kinds(entries) == [("ambiguous_tag", "digits/2"), ("digest_mismatch", "digits/2")]
    assert "digits/1" in audit(entries, NOW)[0].detail


def test_a_parent_tag_that_fits_two_contents_is_found() -> None:
    near = entry(1)
    assert near.manifest
    other = digest(1)[:-1] + "f"
    near = tagged(replace(near, manifest=replace(near.manifest, digest=other)), digest=other)
    near = replace(near, version=replace(near.version, name="near"))

    assert kinds([entry(1), near, entry(2, edge(1))]) == [("ambiguous_tag", "digits/2")]


@pytest.mark.parametrize(
    ("parents", "kind"),
    [
        ([edge(1), recovered(2)], Kind.PARENT_CONTRADICTED),
        ([edge(1, Origin.ATTESTED), recovered(2)], Kind.PARENT_CONTRADICTED),
        ([edge(1), recovered(1, Relation.PRUNE)], Kind.RELATION_CONTRADICTED),
        ([edge(1), recovered(1, Relation.UNKNOWN, confidence=0.0)], Kind.PARENT_UNRELATED),
        ([edge(1, relation=Relation.REPAIR), recovered(1)], None),
        ([edge(1, relation=Relation.REPAIR), recovered(1, Relation.PRUNE)], Kind.RELATION_CONTRADICTED),
        ([edge(1), recovered(2, confidence=0.5)], None),
        ([edge(1), recovered(1, Relation.UNKNOWN)], None),
        ([recovered(1), recovered(2)], None),
        ([edge(1), edge(2, Origin.ATTESTED, Relation.PRUNE)], None),
    ],
)
def test_the_weights_against_what_was_said(parents: list[ParentEdge], kind: Kind | None) -> None:
    found = audit([entry(1), entry(2), entry(3, *parents)], NOW)

    assert [(f.kind, f.model) for f in found] == ([(kind, "digits/3")] if kind else [])


def test_both_sides_of_a_contradicted_parent_are_shown() -> None:
    found = only([entry(1), entry(2), entry(3, edge(1), recovered(2))])

    assert found.recorded == f"{digest(1)[:12]} finetune:declared:1.0"
    assert found.claimed == f"{digest(2)[:12]} finetune:recovered:0.99"
    assert "digits/2" in found.detail


def test_a_direction_that_the_weights_deny_is_found() -> None:
    found = audit([entry(1, recovered(2)), entry(2, edge(1))], NOW)

    assert [(f.kind, f.severity, f.model) for f in found] == [(Kind.REVERSED, Severity.WARNING, "digits/2")]


def test_what_the_weights_show_without_proof_is_a_note() -> None:
    by_cues = replace(recovered(2), transformation=Transformation("recovered", {"reason": "cues"}))
    for seen in (recovered(2, confidence=0.94), by_cues):
        unsure = audit([entry(1), entry(2), entry(3, edge(1), seen)], NOW)

        assert [(f.kind, f.severity) for f in unsure] == [(Kind.PARENT_CONTRADICTED, Severity.NOTE)]


@pytest.mark.parametrize(
    ("relation", "found"), [(Relation.FINETUNE, True), (Relation.DISTILL, False), (Relation.UNKNOWN, False)]
)
def test_another_architecture_contradicts_a_relation_that_keeps_it(relation: Relation, found: bool) -> None:
    entries = [entry(1), entry(2, edge(1, relation=relation), builder="a.b:other")]

    assert kinds(entries) == ([("architecture_changed", "digits/2")] if found else [])


def test_findings_do_not_depend_on_the_order_of_entries() -> None:
    entries = [*sound(), twin("twin", 5), tagged(entry(7, edge(6), recovered(2)), digest=digest(1))]
    expected = audit(entries, NOW)

    assert expected
    assert [f.severity for f in expected] == sorted((f.severity for f in expected), key=list(Severity).index)
    for seed in range(10):
        random.Random(seed).shuffle(entries)
        assert audit(entries, NOW) == expected


@given(st.dictionaries(st.text(max_size=30).map("heritage.".__add__), st.text(max_size=30), max_size=5))
def test_no_tags_break_the_audit(tags: dict[str, str]) -> None:
    broken = sound()
    broken[1] = replace(broken[1], version=replace(broken[1].version, tags=tags))

    assert {f.model for f in audit(broken, NOW)} <= {"digits/2"}


def large(link: Callable[[int], list[ParentEdge]], n: int) -> list[Entry]:
    return [entry(i, *link(i)) for i in range(1, n + 1)]


def test_a_circle_of_20_000_and_20_000_children_of_one_parent_take_seconds() -> None:
    n = 20_000
    started = time.perf_counter()

    circle = audit(large(lambda i: [edge(i % n + 1)], n), NOW)
    star = audit(large(lambda i: [edge(1)] if i > 1 else [], n), NOW)

    assert [f.kind for f in circle if f.severity is Severity.ERROR] == [Kind.CYCLE]
    assert star == []
    assert time.perf_counter() - started < 30
