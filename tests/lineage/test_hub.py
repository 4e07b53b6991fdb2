"""Declared parents from model cards and edge lists: canonical ids, the Hub's words, hostile front matter."""

import contextlib
import csv
import io
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heritage.errors import BadInput, UnsafeName
from heritage.lineage.hub import HubEdge, model_id, parent_edges, read_card, read_edges
from heritage.records import Origin, Relation


def card(front: str) -> str:
    return f"---\n{front}\n---\n# A model\nbase_model: not/this\n"


@pytest.mark.parametrize(
    ("front", "parents", "relation"),
    [
        ("base_model: org/base", ["org/base"], Relation.UNKNOWN),
        ("base_model: org/base\nbase_model_relation: finetune", ["org/base"], Relation.FINETUNE),
        ("base_model: org/base\nbase_model_relation: Adapter", ["org/base"], Relation.LORA),
        ("base_model: [org/base]\nbase_model_relation: quantized", ["org/base"], Relation.QUANTIZE),
        ("base_model:\n- org/a\n- org/b", ["org/a", "org/b"], Relation.MERGE),
        ("base_model: [org/a, org/b]\nbase_model_relation: finetune", ["org/a", "org/b"], Relation.FINETUNE),
        ("base_model: https://huggingface.co/org/base/tree/main", ["org/base"], Relation.UNKNOWN),
        ("base_model: [org/base, 'https://huggingface.co/org/base', ' org/base ']", ["org/base"], Relation.UNKNOWN),
        ("base_model: gpt2", ["gpt2"], Relation.UNKNOWN),
        ("base_model:", [], None),
        ("base_model: []", [], None),
        ("base_model: ''", [], None),
        ("license: mit", [], None),
        ("", [], None),
        ("# only a comment", [], None),
    ],
)
def test_a_card_tells_its_parents(front: str, parents: list[str], relation: Relation | None) -> None:
    found = read_card(card(front), "me/child", "card")

    assert [edge.parent for edge in found.edges] == parents
    assert {edge.relation for edge in found.edges} == ({relation} if relation else set())
    assert {edge.child for edge in found.edges} <= {"me/child"}
    assert found.problems == ()


def test_a_card_without_front_matter_declares_nothing() -> None:
    for text in ("", "# Model\nbase_model: a/b\n", "text\n---\nbase_model: a/b\n---\n"):
        assert read_card(text, "me/child", "card").edges == ()


def test_windows_line_ends_and_a_byte_order_mark_are_read() -> None:
    text = "\ufeff" + card("base_model: org/base").replace("\n", "\r\n")

    assert read_card(text, "me/child", "card").edges == (HubEdge("me/child", "org/base", Relation.UNKNOWN),)


@pytest.mark.parametrize(
    ("front", "says"),
    [
        ("base_model: ../../etc/passwd", "not a hub model id"),
        ("base_model: https://huggingface.co/datasets/org/data", "not a hub model id"),
        ("base_model: me/child", "own parent"),
        ("base_model: https://huggingface.co/me/child", "own parent"),
        ("base_model: 7", "holds a int"),
        ("base_model: {id: org/base}", "holds a map"),
        ("base_model: [[org/base]]", "holds a seq"),
        ("base_model: !!python/object/apply:os.system ['true']", "holds a"),
        ("base_model: !!python/name:os.system org/base", "holds a"),
        ("base_model: org/base\nbase_model_relation: cousin", "relation 'cousin' is not known"),
    ],
)
def test_what_does_not_fit_is_a_problem_and_not_the_end(front: str, says: str) -> None:
    found = read_card(card(front), "me/child", "cards/me.md")

    assert found.problem_count == 1
    assert says in found.problems[0]
    assert "cards/me.md" in found.problems[0]


def bomb() -> str:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(["l0: &l0 [lol]", *levels])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (card(bomb()), "alias"),
        (card("base_model: " + "[" * 50_000), "nested deeper"),
        (card("x: " + "y" * 300_000), "limit is 262144"),
        ("---\n" + "x" * (5 * 2**20), "limit is 4194304"),
        (card("base_model: [unclosed"), "not YAML"),
        (card("base_model: a\tb: c: d"), "not YAML"),
        (card("x: \x00"), "not YAML"),
        (card("- base_model"), "no mapping"),
        (card("base_model: a/b\nbase_model: c/d"), "twice"),
        ("---\nbase_model: a/b\n", "not closed"),
    ],
    ids=["aliases", "deep", "long", "huge", "unclosed", "colons", "nul", "list", "twice", "open end"],
)
def test_hostile_front_matter_is_refused_at_once(text: str, says: str) -> None:
    started = time.perf_counter()

    with pytest.raises(BadInput, match=says) as caught:
        read_card(text, "me/child", "cards/me.md")

    assert "cards/me.md" in str(caught.value)
    assert len(str(caught.value)) < 600
    assert time.perf_counter() - started < 2


@given(st.text(max_size=200))
def test_any_front_matter_is_read_or_refused(front: str) -> None:
    with contextlib.suppress(BadInput):
        assert read_card(card(front), "me/child", "card").raw >= 0


@pytest.mark.parametrize(
    "spelling",
    [
        "Org/Name",
        " Org/Name/ ",
        "https://huggingface.co/Org/Name",
        "http://huggingface.co/Org/Name/",
        "https://huggingface.co/Org/Name/blob/main/README.md",
        "https://huggingface.co/Org/Name?library=transformers",
        "https://huggingface.co/Org/Name#usage",
        "huggingface.co/Org/Name",
        "hf.co/Org/Name",
        "Org/Name@main",
    ],
)
def test_every_spelling_gives_one_id(spelling: str) -> None:
    assert model_id(spelling) == "Org/Name"


@pytest.mark.parametrize(
    "text", ["", "https://", "a/b/c", "a b", "a/../b", "Org/Name\n<script>", "https://hf.co/spaces/a/b"]
)
def test_what_is_no_model_has_no_id(text: str) -> None:
    with pytest.raises(UnsafeName):
        model_id(text)


ids = st.from_regex(r"[a-z]{1,3}/[a-z]{1,3}", fullmatch=True).filter(
    lambda i: i.split("/")[0] not in {"datasets", "spaces", "collections", "papers"}
)
pairs = st.lists(st.tuples(ids, ids).filter(lambda p: p[0] != p[1]), max_size=20)


def table(
    rows: list[tuple[str, str, str]], header: tuple[str, str, str] = ("parent", "child", "relation")
) -> io.StringIO:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    text.seek(0)
    return text


@given(pairs)
def test_an_edge_listed_under_id_and_url_counts_once(edges: list[tuple[str, str]]) -> None:
    rows = [(p, c, "finetune") for p, c in edges] + [(p, f"https://huggingface.co/{c}", "finetune") for p, c in edges]

    found = read_edges(table(rows), "edges.csv")

    assert found.raw == 2 * len(edges)
    assert found.problem_count == 0
    assert {(e.parent, e.child) for e in found.edges} == set(edges)
    assert len(found.edges) == len(set(edges))


def test_the_columns_of_published_tables_are_known_in_any_order() -> None:
    text = "source,\ufeffRelation ,child_id,parent_id\nx,adapter,me/child,org/base\n"

    found = read_edges(text.splitlines(), "edges.csv")

    assert found.edges == (HubEdge("me/child", "org/base", Relation.LORA),)


def test_rows_that_do_not_fit_are_told_by_line_and_the_rest_is_read() -> None:
    rows = [
        ("org/base", "me/a", "finetune"),
        ("org/base", "me/a", "merge"),
        ("org/base", "me/b", ""),
        ("org/base", "me/b", "quantized"),
        ("org/base", "me/c", "other"),
        ("<script>", "me/d", "merge"),
        ("me/e", "me/e", "merge"),
    ]
    found = read_edges(table(rows), "edges.csv")

    assert [(e.child, e.relation) for e in found.edges] == [
        ("me/a", Relation.FINETUNE),
        ("me/b", Relation.QUANTIZE),
        ("me/c", Relation.UNKNOWN),
    ]
    assert (found.raw, found.problem_count) == (7, 4)
    assert [p.split(": ")[0] for p in found.problems] == [f"edges.csv, line {n}" for n in (3, 6, 7, 8)]
    assert "is called merge, before finetune" in found.problems[0]


def test_a_short_row_is_a_problem_and_a_broken_file_an_error() -> None:
    assert read_edges(["parent,child,relation", "a/b"], "edges.csv").problem_count == 1
    with pytest.raises(BadInput, match="no column 'child'"):
        read_edges(["parent,relation", "a/b,merge"], "edges.csv")
    with pytest.raises(BadInput, match="no column 'parent'"):
        read_edges([], "edges.csv")
    with pytest.raises(BadInput, match=r"edges\.csv, line 2"):
        read_edges(["parent,child,relation", '"a/b'], "edges.csv")
    with pytest.raises(BadInput, match="not readable"):
        read_edges(["parent,child,relation", "x" * 200_000 + ",b,c"], "edges.csv")


def test_problems_are_counted_beyond_what_is_kept() -> None:
    found = read_edges(table([("?", "?", "merge")] * 1500), "edges.csv")

    assert (len(found.problems), found.problem_count) == (1000, 1500)


def test_a_file_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "edges.csv"
    path.write_bytes(b"parent,child,relation\na/b,c\xff/d,merge\n")

    with path.open(encoding="utf-8", newline="") as lines, pytest.raises(BadInput, match="UTF-8"):
        read_edges(lines, "edges.csv")


def test_known_ids_become_declared_lineage_edges() -> None:
    edges = [HubEdge("me/a", "org/base", Relation.LORA), HubEdge("me/b", "org/base", Relation.MERGE)]
    edges += [HubEdge("me/copy", "me/a", Relation.COPY)]
    digests = {"me/a": "a" * 64, "org/base": "0" * 64, "me/copy": "a" * 64}

    found = parent_edges(edges, digests)

    assert list(found) == ["a" * 64]
    (edge,) = found["a" * 64]
    assert (edge.digest, edge.relation, edge.origin, edge.confidence) == ("0" * 64, Relation.LORA, Origin.DECLARED, 1.0)
    assert edge.transformation.parameters == {"base_model": "org/base"}
