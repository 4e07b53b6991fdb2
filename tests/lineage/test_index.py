"""The index: the same answers as the graph, the same content however it was filled, and no silent damage."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heritage.errors import LineageCycle, Misconfigured, NotFound, Unavailable, UnsafeName
from heritage.lineage import index as module
from heritage.lineage.graph import LineageGraph
from heritage.lineage.index import LineageIndex
from heritage.lineage.tags import index_tags, parent_key
from heritage.records import Architecture, MadeBy, Manifest, ModelVersion, Origin, ParentEdge, Relation, TrainingData


@dataclass(frozen=True)
class Entry:
    version: ModelVersion
    manifest: Manifest | None


def digest(number: int) -> str:
    """Digests that differ in their first characters, which are all that a tag tells."""
    return f"{number:064x}"[::-1]


def entry(address: int, content: int, *parents: ParentEdge, builder: str = "a.b:c", data: str = "d") -> Entry:
    manifest = Manifest(
        digest(content),
        "digits",
        (),
        "float32",
        10,
        MadeBy("0.1.0"),
        f"2026-11-22T00:00:{address:02d}+00:00",
        Architecture(builder),
        TrainingData(data * 64, 5),
        parents,
    )
    ms = 1_790_000_000_000 + address
    return Entry(ModelVersion("digits", str(address), manifest.digest, "run", "src", created_at_ms=ms), manifest)


numbers = st.integers(0, 6)
edges = st.builds(
    ParentEdge,
    numbers.map(digest),
    st.sampled_from(Relation),
    st.sampled_from(Origin),
    st.sampled_from([0.5, 0.9, 1.0]),
)
registries = st.lists(
    st.tuples(numbers, st.lists(edges, max_size=4), st.sampled_from(["a.b:c", "a.b:d"]), st.sampled_from("de")),
    max_size=10,
).map(
    lambda drawn: [
        # a parent has the smaller number, so there is no circle
        entry(i, content, *[e for e in parents if e.digest < digest(content)], builder=builder, data=data)
        for i, (content, parents, builder, data) in enumerate(drawn, 1)
    ]
)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)


def told(graph: LineageGraph) -> tuple[object, ...]:
    """What an index can tell of a graph."""
    nodes = sorted((replace(node, metrics={}) for node in graph), key=lambda n: n.digest)
    edges = sorted((e.child, e.parent, e.record.origin, e.record.relation, e.record.confidence) for e in graph.edges())
    return nodes, edges


@in_one_folder
@given(registries)
def test_the_index_tells_what_the_graph_of_the_manifests_tells(tmp_path: Path, entries: list[Entry]) -> None:
    expected = LineageGraph.of([e.manifest for e in entries if e.manifest], [e.version for e in entries])

    with LineageIndex(tmp_path / "index.sqlite") as index:
        assert index.rebuild(entries) == len(entries)

        assert told(index.graph()) == told(expected)
        for node in expected:
            assert index.ancestors(node.digest) == set(expected.ancestors(node.digest))
            assert index.descendants(node.digest) == set(expected.descendants(node.digest))
            assert set(index.addresses(node.digest)) == set(node.versions)
        for name, version in [(e.version.name, e.version.version) for e in entries]:
            assert index.digest_of(name, version) == expected.at(name, version).digest


@in_one_folder
@given(registries, st.integers(0, 10), st.randoms())
def test_filled_at_once_or_in_parts_in_any_order_the_content_is_the_same(
    tmp_path: Path, entries: list[Entry], cut: int, random: object
) -> None:
    with LineageIndex(tmp_path / "whole.sqlite") as whole, LineageIndex(tmp_path / "parts.sqlite") as parts:
        whole.rebuild(entries)
        shuffled = list(entries)
        random.shuffle(shuffled)  # type: ignore[attr-defined]

        parts.rebuild([])
        for part in (shuffled[:cut], shuffled[cut:], shuffled[:cut]):
            parts.update(part)

        assert parts.digest() == whole.digest()
        assert parts.counts() == whole.counts()


def versions_of(entries: list[Entry]) -> list[ModelVersion]:
    return [replace(e.version, tags=index_tags(e.manifest)) for e in entries if e.manifest]


@in_one_folder
@given(registries, st.integers(0, 10))
def test_tags_fill_an_index_and_manifests_confirm_it(tmp_path: Path, entries: list[Entry], cut: int) -> None:
    with LineageIndex(tmp_path / "whole.sqlite") as whole, LineageIndex(tmp_path / "tags.sqlite") as tags:
        whole.rebuild(entries)

        unclear = tags.rebuild_from_tags(versions_of(entries))

        known = {e.version.digest for e in entries}
        absent = {e.version.address for e in entries if e.manifest and {p.digest for p in e.manifest.parents} - known}
        assert absent <= {v.address for v in unclear}
        assert tags.claimed() == known
        # one edge a parent: the most trusted
        told = {(e.child, e.parent) for e in whole.edges() if e.parent in known}
        assert {(e.child, e.parent) for e in tags.edges()} == told
        tags.update(entries[:cut])
        tags.update_from_tags(versions_of(entries))
        tags.update(entries[cut:])
        assert tags.digest() == whole.digest()
        assert tags.claimed() == set()


def test_what_a_forged_tag_told_goes_when_the_manifest_is_read(tmp_path: Path) -> None:
    honest = family()
    forged = [replace(v, tags=dict(v.tags)) for v in versions_of(honest)]
    forged[1].tags.clear()
    forged[1].tags[parent_key(digest(3))] = "copy:attested:1.0"
    with LineageIndex(tmp_path / "index.sqlite") as index:
        assert index.rebuild_from_tags(forged) == []
        assert index.ancestors(digest(2)) == {digest(3)}

        index.update(honest)

        assert index.ancestors(digest(2)) == {digest(1)}
        assert index.update_from_tags(forged) == []
        assert index.ancestors(digest(2)) == {digest(1)}


def test_versions_whose_tags_leave_something_open_are_named(tmp_path: Path) -> None:
    twin = "a" * 12 + "0" * 52, "a" * 12 + "1" * 52
    versions = [ModelVersion("twin", str(i), d, "r", "s") for i, d in enumerate(twin, 1)]
    for i, (key, value) in enumerate(
        (
            (parent_key(twin[0]), "copy:declared:1.0"),
            (parent_key(digest(7)), "copy:declared:1.0"),
            (parent_key(digest(1)), "nonsense"),
            (parent_key(digest(1)), "copy:declared:1.0"),
        )
    ):
        versions.append(ModelVersion("child", str(i), digest(i + 9), "r", "s", {key: value}))
    versions.append(ModelVersion("root", "1", digest(1), "r", "s"))

    with LineageIndex(tmp_path / "index.sqlite") as index:
        unclear = index.rebuild_from_tags(versions)

        assert [v.address for v in unclear] == ["child/0", "child/1", "child/2"]
        assert index.counts() == {"version": 7, "node": 7, "edge": 1, "reverse_edge": 1}


def family() -> list[Entry]:
    first = ParentEdge(digest(1), Relation.FINETUNE, Origin.DECLARED)
    return [entry(1, 1), entry(2, 2, first), entry(3, 3, replace(first, digest=digest(2)), data="e")]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LineageIndex]:
    with LineageIndex(tmp_path / "index.sqlite") as opened:
        opened.update(family())
        yield opened


def test_an_index_survives_closing(index: LineageIndex) -> None:
    before = index.digest()

    with LineageIndex(index.path) as again:
        assert again.digest() == before
        assert again.ancestors(digest(3)) == {digest(1), digest(2)}


def test_reading_on_from_the_watermark_adds_what_is_new(index: LineageIndex) -> None:
    newest = family()[-1]
    later = entry(4, 4, ParentEdge(digest(3), Relation.PRUNE, Origin.RECOVERED, 0.97))
    assert index.watermark_ms() == newest.version.created_at_ms

    index.update(e for e in [*family(), later] if e.version.created_at_ms >= index.watermark_ms())

    assert index.descendants(digest(1)) == {digest(2), digest(3), digest(4)}
    assert index.counts() == {"version": 4, "node": 4, "edge": 3, "reverse_edge": 3}


def test_what_was_deleted_leaves_by_rebuilding(index: LineageIndex) -> None:
    index.rebuild(family()[:2])

    assert index.counts()["version"] == 2
    with pytest.raises(NotFound, match="update the index"):
        index.digest_of("digits", "3")


def test_training_data_leads_to_its_models(index: LineageIndex) -> None:
    assert index.trained_on("d" * 64) == [digest(1), digest(2)]
    assert index.trained_on("") == []


def test_versions_without_digest_or_manifest_are_taken_for_what_they_are(index: LineageIndex) -> None:
    bare = ModelVersion("digits", "8", digest(8), "r", "s")
    foreign = ModelVersion("foreign", "1", "", "r", "s")

    index.update([Entry(bare, None), Entry(foreign, None)])

    assert index.ancestors(digest(8)) == set()
    assert index.addresses(digest(8)) == [("digits", "8")]


def test_an_absent_parent_is_known_and_an_unknown_digest_not_found(index: LineageIndex) -> None:
    index.update([entry(9, 9, ParentEdge(digest(77), Relation.COPY, Origin.DECLARED))])

    assert index.descendants(digest(77)) == {digest(9)}
    assert index.ancestors(digest(77)) == set()
    for ask in (index.ancestors, index.descendants):
        with pytest.raises(NotFound, match="update the index"):
            ask(digest(78))
        with pytest.raises(UnsafeName):
            ask("x' OR 1=1 --")


def test_circles_in_the_records_end_and_are_named_by_the_graph(tmp_path: Path) -> None:
    circle = [entry(i, i, ParentEdge(digest(i % 3 + 1), Relation.COPY, Origin.DECLARED)) for i in (1, 2, 3)]

    with LineageIndex(tmp_path / "index.sqlite") as index:
        index.update(circle)

        assert index.ancestors(digest(1)) == {digest(2), digest(3)}
        with pytest.raises(LineageCycle):
            index.graph()


def test_a_chain_of_5_000_and_as_many_children_of_one_parent_are_walked(tmp_path: Path) -> None:
    n = 5_000

    def parent(number: int) -> ParentEdge:
        return ParentEdge(digest(number), Relation.FINETUNE, Origin.DECLARED)

    def line(number: int) -> Entry:
        version = ModelVersion("digits", str(number), digest(number), "r", "s", created_at_ms=number)
        above = parent(number - 1 if number <= n else 1)
        at = "2026-11-22T00:00:00+00:00"
        manifest = Manifest(digest(number), "digits", (), "float32", 1, MadeBy("0"), at, parents=(above,))
        return Entry(version, manifest if number > 1 else replace(manifest, parents=()))

    with LineageIndex(tmp_path / "index.sqlite") as index:
        index.rebuild(line(number) for number in range(1, 2 * n + 1))

        assert len(index.ancestors(digest(n))) == n - 1
        assert len(index.descendants(digest(1))) == 2 * n - 1


def test_a_failed_update_leaves_the_index_as_it_was(index: LineageIndex) -> None:
    before = index.digest()

    def breaking() -> Iterator[Entry]:
        yield entry(5, 5)
        raise OSError("the registry went away")

    for write in (index.update, index.rebuild):
        with pytest.raises(OSError, match="went away"):
            write(breaking())
        assert index.digest() == before


def test_a_file_that_is_no_index_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to look like one " * 100)
    with pytest.raises(Misconfigured, match="delete it and rebuild"):
        LineageIndex(text)
    assert text.read_text().startswith("not a database")

    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE edge (a)")
    database.close()
    before = other.read_bytes()
    with pytest.raises(Misconfigured, match="schema 2"):
        LineageIndex(other)
    assert other.read_bytes() == before
    with pytest.raises(Misconfigured, match="check folder"):
        LineageIndex(tmp_path / "missing" / "index.sqlite")


def test_a_second_writer_is_told_to_wait(index: LineageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 0.05)

    def while_writing() -> Iterator[Entry]:
        with LineageIndex(index.path) as second:
            assert second.ancestors(digest(3)) == {digest(1), digest(2)}
            with pytest.raises(Unavailable, match="another process"):
                second.update([])
        yield entry(6, 6)

    index.update(while_writing())

    assert index.addresses(digest(6)) == [("digits", "6")]
