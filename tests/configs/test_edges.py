import json
import pickle

import networkx as nx
import pandas as pd
import pytest

from heritage.configs.edges import cycles, edges_of, from_cards, from_columns, from_manifests, load_edges, parents_in
from heritage.configs.table import table_of
from heritage.errors import BadInput, NotFound
from heritage.records import MadeBy, Manifest, Origin, ParentEdge, Relation


def pairs(edges):
    return list(edges.frame.itertuples(index=False, name=None))


def test_an_id_and_its_address_are_one_model():
    """Nearly every edge of the real trees was listed twice, as id and as address."""
    raw = pd.DataFrame({"parent_id": ["a/p", "a/p"], "child_id": ["b/c", "https://huggingface.co/b/c"],
                        "relation": ["finetune", "finetune"]})  # fmt: skip
    edges = edges_of(raw)
    assert pairs(edges) == [("a/p", "b/c", "finetune")]
    assert edges.quarantine["rule"].tolist() == ["listed twice"]


def test_self_edges_and_ends_that_are_no_ids_are_set_aside():
    edges = edges_of(pd.DataFrame({"parent": ["a/p", "..", "a/p"], "child": ["a/p", "a/c", "a/c"]}))
    assert pairs(edges) == [("a/p", "a/c", "unknown")]
    assert sorted(edges.quarantine["rule"]) == ["an end is no model id", "self-edge"]


def test_relations_of_the_hub_are_translated():
    raw = pd.DataFrame({"parent_id": ["a/p"] * 3, "child_id": ["a/1", "a/2", "a/3"],
                        "relation": ["adapter", "quantized", None]})  # fmt: skip
    assert edges_of(raw).frame["relation"].tolist() == ["lora", "quantize", "unknown"]


def test_cycles_are_found():
    assert cycles(edges_of(pd.DataFrame({"parent_id": ["a", "b", "c"], "child_id": ["b", "a", "d"]}))) == [["a", "b"]]


@pytest.mark.parametrize(
    ("cell", "parents"),
    [
        ("a/b", ["a/b"]), ('["a/b", "c/d"]', ["a/b", "c/d"]), ("['a/b']", ["a/b"]), ("", []), (None, []),
        ("[broken", []), ("[__import__('os').system('true')]", []), ("[1, 'a/b']", ["a/b"]),
    ],
)  # fmt: skip
def test_parent_cells_are_parsed_and_never_run(cell, parents, tmp_path):
    """eval() on a cell runs whatever it holds."""
    assert parents_in(cell) == parents
    witness = tmp_path / "ran"
    parents_in(f"[open({str(witness)!r}, 'w')]")
    assert not witness.exists()


def test_parent_columns_keep_their_relation():
    raw = pd.DataFrame({"modelId": ["a/p", "a/c", "a/d"], "finetune_parent": [None, "['a/p']", None],
                        "quantized_parent": [None, None, "a/c"]})  # fmt: skip
    assert pairs(from_columns(table_of(raw))) == [("a/p", "a/c", "finetune"), ("a/c", "a/d", "quantize")]


def test_csv_json_parquet_and_graphml_give_the_same_edges(tmp_path):
    frame = pd.DataFrame({"parent_id": ["a/p"], "child_id": ["a/c"], "relation": ["merge"]})
    frame.to_csv(tmp_path / "e.csv", index=False)
    frame.to_parquet(tmp_path / "e.parquet")
    (tmp_path / "list.json").write_text(json.dumps(frame.to_dict("records")))
    graph = nx.DiGraph()
    graph.add_edge("a/p", "a/c", relation="merge")
    (tmp_path / "link.json").write_text(json.dumps(nx.node_link_data(graph, edges="links")))
    nx.write_graphml(graph, tmp_path / "g.graphml")
    for name in ("e.csv", "e.parquet", "list.json", "link.json", "g.graphml"):
        assert pairs(load_edges(tmp_path / name)) == [("a/p", "a/c", "merge")]


def test_pickled_graphs_are_refused_unread(tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    (tmp_path / "g.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BadInput, match="pickled graphs are not read"):
        load_edges(tmp_path / "g.pkl")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("e.csv", "x,y\n1,2\n", "expected parent_id"), ("e.json", "{", "not readable"), ("e.json", "[1]", "node-link"),
        ("g.graphml", '<!DOCTYPE x [<!ENTITY a "b">]><graphml/>', "document type"), ("g.graphml", "<a", "not readable"),
        ("e.csv", "", "not readable"),
    ],
)  # fmt: skip
def test_bad_files_are_told_by_name(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=told):
        load_edges(tmp_path / name)
    with pytest.raises(NotFound):
        load_edges(tmp_path / "nothing.csv")


def test_edges_to_unknown_models_are_counted():
    table = table_of(pd.DataFrame({"modelId": ["a/p", "a/c"]}))
    edges = edges_of(pd.DataFrame({"parent_id": ["a/p", "a/x"], "child_id": ["a/c", "a/c"]}))
    inside, outside = edges.known(table)
    assert len(inside) == 1
    assert outside == 1


def test_model_cards_name_their_base(tmp_path):
    for name, head in {"a/c": "base_model: a/p\nbase_model_relation: quantized", "a/d": "base_model: [a/p, a/q]",
                       "a/e": "license: mit", "a/f": ": : :"}.items():  # fmt: skip
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "README.md").write_text(f"---\n{head}\n---\n# text")
    (tmp_path / "a" / "g").mkdir()
    (tmp_path / "a" / "g" / "README.md").write_text("no head")
    assert pairs(from_cards(tmp_path)) == [
        ("a/p", "a/c", "quantize"), ("a/p", "a/d", "unknown"), ("a/q", "a/d", "unknown"),
    ]  # fmt: skip
    assert pairs(load_edges(tmp_path)) == pairs(from_cards(tmp_path))
    (tmp_path / "a" / "empty").mkdir()
    with pytest.raises(NotFound, match="holds no model card"):
        load_edges(tmp_path / "a" / "empty")


def test_manifests_give_the_edges_between_registered_versions():
    base = Manifest("aa" * 32, "base", (), "float32", 1, MadeBy("1"), "")
    edge = ParentEdge("aa" * 32, Relation.FINETUNE, Origin.DECLARED)
    gone = ParentEdge("cc" * 32, Relation.MERGE, Origin.DECLARED)
    child = Manifest("bb" * 32, "child", (), "float32", 1, MadeBy("1"), "", parents=(edge, gone))
    assert pairs(from_manifests([base, child])) == [("base/aaaaaaaaaaaa", "child/bbbbbbbbbbbb", "finetune")]
