"""The catalogue beside an oracle: what it tells after any changes, and walks over graphs of any shape."""

import time
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heritage.api import counts, find, walk
from heritage.api.catalogue import Catalogue, card_of
from heritage.errors import BadInput, NotFound
from heritage.lineage.tags import index_tags
from heritage.records import MadeBy, Manifest, ModelVersion, Origin, ParentEdge, Relation
from heritage.registry import Entry


def digest(i: int) -> str:
    return f"{i:08x}" * 8


def entry(i: int, parents=(), tags=None, aliases=()) -> Entry:
    version = ModelVersion(f"m-{i:06d}", "1", digest(i), "", "", tags or {}, aliases, 1000 + i)
    edges = tuple(ParentEdge(digest(p), Relation.FINETUNE, Origin.DECLARED) for p in sorted(parents))
    return Entry(version, Manifest(digest(i), version.name, (), "F32", 1, MadeBy("0"), "2026-11-22", parents=edges))


def put(catalogue: Catalogue, *entries: Entry) -> None:
    catalogue.put(e.version for e in entries)
    catalogue.confirm(entries)


@pytest.fixture
def catalogue(tmp_path):
    with Catalogue(tmp_path / "c.sqlite") as found:
        yield found


def reached(parents: dict[int, set[int]], start: int, up: bool) -> dict[int, int]:
    """Distances by breadth-first search."""
    near = parents if up else {i: {c for c, p in parents.items() if i in p} for i in parents}
    found, waiting = {start: 0}, deque([start])
    while waiting:
        here = waiting.popleft()
        for there in near[here] - found.keys():
            found[there] = found[here] + 1
            waiting.append(there)
    return found


# also graphs that run in circles: what the records say is shown, whatever it is
def _graph(n: int):
    parents = {i: st.sets(st.integers(0, n - 1), max_size=3).map(lambda own, i=i: own - {i}) for i in range(n)}
    return st.fixed_dictionaries(parents)


graphs = st.integers(2, 10).flatmap(_graph)


@settings(max_examples=30)
@given(graphs, st.data())
def test_a_walk_finds_what_breadth_first_search_finds(tmp_path_factory, parents, data):
    start = data.draw(st.sampled_from(sorted(parents)))
    with Catalogue(tmp_path_factory.mktemp("c") / "c.sqlite") as catalogue:
        put(catalogue, *(entry(i, own) for i, own in parents.items()))
        for direction, up in (("ancestors", True), ("descendants", False)):
            found = walk.lineage(catalogue, digest(start), direction, None, 1000)
            assert {n.id: abs(n.distance) for n in found.nodes} == {
                digest(i): d for i, d in reached(parents, start, up).items()
            }
            shown = {n.id for n in found.nodes}
            assert {(e.parent, e.child) for e in found.edges} == {
                (digest(p), digest(c)) for c, own in parents.items() for p in own if {digest(p), digest(c)} <= shown
            }
            assert not found.truncated
            depth = data.draw(st.integers(1, 4))
            cut = walk.lineage(catalogue, digest(start), direction, depth, 1000)
            wanted = {digest(i) for i, d in reached(parents, start, up).items() if d <= depth}
            assert {n.id for n in cut.nodes} == wanted
            assert cut.truncated == (wanted != shown)


@settings(max_examples=30)
@given(graphs, graphs)
def test_after_any_change_it_is_what_a_new_one_would_be(tmp_path_factory, before, after):
    folder = tmp_path_factory.mktemp("c")
    with Catalogue(folder / "changed.sqlite") as changed, Catalogue(folder / "new.sqlite") as new:
        put(changed, *(entry(i, own) for i, own in before.items()))
        put(changed, *(entry(i, own) for i, own in after.items()))
        changed.forget((f"m-{i:06d}", 1) for i in before.keys() - after.keys())
        put(new, *(entry(i, own) for i, own in after.items()))
        assert changed.digest() == new.digest()
        assert find.page(changed, find.Wanted(), 100, "") == find.page(new, find.Wanted(), 100, "")


def test_a_content_keeps_its_edges_while_one_version_of_it_is_left(catalogue):
    put(catalogue, entry(0), entry(1, {0}))
    copy = entry(1, {0})
    other = ModelVersion("copy", "1", digest(1), "", "", {}, (), 5)
    catalogue.put([other])
    catalogue.confirm([Entry(other, copy.manifest), copy])
    catalogue.forget([("m-000001", 1)])
    assert [n.label for n in walk.lineage(catalogue, digest(1), "ancestors", None, 10).nodes] == [
        "copy/1",
        "m-000000/1",
    ]
    catalogue.forget([("copy", 1)])
    with pytest.raises(NotFound):
        find.version(catalogue, digest(1))
    assert counts.kept(catalogue).statistics.edges == 0


def tagged(e: Entry, **more: str) -> ModelVersion:
    return replace(e.version, tags={**index_tags(e.manifest), **more})


def parents_of(catalogue: Catalogue, i: int) -> list[str]:
    return [n.id for n in walk.lineage(catalogue, digest(i), "ancestors", None, 10).nodes[1:]]


def test_tags_are_shown_at_once_and_manifests_have_the_last_word(catalogue):
    root, other, child = entry(0), entry(1), entry(2, {0})
    forged = replace(tagged(child), tags=index_tags(entry(2, {1}).manifest))

    catalogue.put([tagged(root), tagged(other), forged])
    assert parents_of(catalogue, 2) == [digest(1)]
    assert sorted(catalogue.unread(10)) == [digest(0), digest(1), digest(2)]

    catalogue.confirm([replace(root, version=tagged(root)), replace(child, version=forged)])
    assert parents_of(catalogue, 2) == [digest(0)]
    assert catalogue.unread(10) == [digest(1)]

    # a tag that is edited later is not believed even for a moment
    again = tagged(entry(2, {0, 1}))
    catalogue.put([again])
    assert parents_of(catalogue, 2) == [digest(0)]
    assert set(catalogue.unread(10)) == {digest(1), digest(2)}


def test_a_verdict_stays_while_the_window_is_the_same(catalogue):
    version = tagged(entry(0), **{"heritage.drift": "drift:w1"})
    catalogue.put([version])
    assert catalogue.unjudged(10) == [("m-000000", 1, "w1")]
    told = {"window": "w1", "status": "drift", "rows": 9, "effect": 0.4, "moved": [], "muted": False, "columns": [],
            "accuracy": None}  # fmt: skip
    catalogue.judge({("m-000000", 1): told})

    catalogue.put([replace(version, aliases=("champion",))])
    assert catalogue.unjudged(10) == []
    assert find.version(catalogue, "m-000000/1").card.effect == 0.4

    catalogue.put([replace(version, tags={**version.tags, "heritage.drift": "ok:w2"})])
    assert catalogue.unjudged(10) == [("m-000000", 1, "w2")]
    assert find.version(catalogue, "m-000000/1").card.effect is None
    # a verdict that cannot be read is asked for once
    catalogue.judge({("m-000000", 1): {}})
    assert catalogue.unjudged(10) == []


def test_a_version_that_gets_another_content_leaves_the_old_one(catalogue):
    put(catalogue, entry(0), entry(1, {0}))
    renamed = replace(entry(7).version, name="m-000001")

    catalogue.put([renamed])

    assert find.version(catalogue, "m-000001/1").card.digest == digest(7)
    assert counts.kept(catalogue).statistics.edges == 0
    with pytest.raises(NotFound):
        find.digest_of(catalogue, digest(1))


def test_a_lost_parent_is_shown_as_absent(catalogue):
    put(catalogue, entry(1, {0}))
    found = walk.lineage(catalogue, digest(1), "ancestors", None, 10)
    assert [(n.label, n.present, n.address) for n in found.nodes] == [
        ("m-000001/1", True, "m-000001/1"),
        (digest(0)[:12], False, ""),
    ]
    # and it may be asked for itself
    assert find.digest_of(catalogue, digest(0)[:12]) == digest(0)


def test_a_prefix_of_several_digests_is_refused(catalogue):
    one, two = "ab" * 16 + "0" * 32, "ab" * 16 + "1" * 32
    for i, d in enumerate((one, two)):
        catalogue.put([ModelVersion(f"n-{i}", "1", d, "", "")])
    with pytest.raises(BadInput, match="several"):
        find.version(catalogue, "ab" * 6)
    assert find.version(catalogue, one[:33]).card.digest == one


@pytest.mark.parametrize("shape", ["star", "chain"])
def test_large_graphs_are_cut_and_answered_soon(catalogue, shape):
    n = 5_000
    put(catalogue, entry(0), *(entry(i, {0 if shape == "star" else i - 1}) for i in range(1, n)))
    begun = time.process_time()
    found = walk.lineage(catalogue, digest(0), "both", None, 500)
    assert time.process_time() - begun < 2.0
    assert len(found.nodes) == 500
    assert found.truncated
    assert found.nodes[0].children == (n - 1 if shape == "star" else 1)


@pytest.mark.parametrize("text", ["%", "_", "'; DROP TABLE card; --", "\\", "[a-z]", "(a+)+$", "m" * 500])
def test_a_searched_text_is_never_a_pattern(catalogue, text):
    put(catalogue, entry(0))
    assert find.page(catalogue, find.Wanted(query=text), 10, "")[0] == []
    assert find.page(catalogue, find.Wanted(query="M-0000"), 10, "")[2] == 1


# also those that mean something to FTS5 or LIKE
LETTERS = "abAB\"'*Éé_- %\\"


@settings(max_examples=40)
@given(
    st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=8, unique=True),
    st.text(LETTERS, min_size=1, max_size=5),
)
def test_names_are_found_by_any_part_of_them(tmp_path_factory, names, text):
    def lower(told: str) -> str:  # as SQLite: ASCII letters
        return "".join(c.lower() if c.isascii() else c for c in told)

    with Catalogue(tmp_path_factory.mktemp("c") / "c.sqlite") as catalogue:
        catalogue.put(ModelVersion(name, "1", digest(i), "", "") for i, name in enumerate(names))
        gone = names[0]
        catalogue.forget([(gone, 1)])
        wanted = sorted(name for name in names[1:] if lower(text) in lower(name))
        found, _, total = find.page(catalogue, find.Wanted(query=text), 100, "")
        assert [card.name for card in found] == wanted
        assert total == len(wanted)


def test_a_text_that_many_names_contain_is_looked_for_one_by_one(catalogue, monkeypatch):
    put(catalogue, *(entry(i) for i in range(9)))
    expected = find.page(catalogue, find.Wanted(query="M-0000"), 4, "")

    monkeypatch.setattr(find, "_NAMES", 3)

    assert catalogue.names_with("M-0000", 3) is None
    assert find.page(catalogue, find.Wanted(query="M-0000"), 4, "") == expected


@pytest.mark.parametrize("text", ["m-0", "M-", "\0", "m\0"])
@pytest.mark.parametrize("limit", [2, 9, 20])
def test_every_page_tells_the_same_total(catalogue, monkeypatch, text, limit):
    monkeypatch.setattr(find, "_NAMES", 3)
    put(catalogue, *(entry(i) for i in range(9)))
    wanted = 0 if "\0" in text else 9

    seen, after = [], ""
    while after is not None:
        cards, after, total = find.page(catalogue, find.Wanted(query=text), limit, after)
        seen += [card.name for card in cards]
        assert total == wanted

    assert len(seen) == wanted
    assert seen == sorted(set(seen))


def test_tags_that_say_nonsense_leave_the_health_unknown():
    for tag in ("", "drift", "drift:", ":w", "broken:2026", "<b>:x", "OK:x"):
        card = card_of(ModelVersion("m", "1", digest(0), "", "", {"heritage.drift": tag}))
        assert (card.health, card.window) == ("unknown", "")


def test_decisions_that_hold_nonsense_stop_no_refresh(catalogue):
    catalogue.put_repairs({"a" * 64: {"model": ["x"], "window": {}, "decision": None, "rung": 7}, "b" * 64: {}})
    assert catalogue.plans() == {"a" * 64, "b" * 64}
