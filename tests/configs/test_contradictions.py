import pandas as pd
import pytest

from heritage.configs.contradictions import COLUMNS, contradictions, explain, overview
from heritage.configs.edges import edges_of
from heritage.configs.lineage_check import lineage
from heritage.configs.table import table_of

PARENT = {"modelId": "a/p", "config_architecture": "Gemma2ForCausalLM", "config_hidden_size": 3584,
          "config_num_hidden_layers": 42, "params": 9.24e9, "config_vocab_size": 256000, "createdAt": "2024-06-01",
          "config_tokenizer_class": "GemmaTokenizer"}  # fmt: skip


def check(relation="finetune", **changes):
    table = table_of(pd.DataFrame([PARENT, {**PARENT, "modelId": "a/c", "createdAt": "2024-07-01", **changes}]))
    edges = edges_of(pd.DataFrame({"parent_id": ["a/p"], "child_id": ["a/c"], "relation": [relation]}))
    return contradictions(table, edges)


@pytest.mark.parametrize(
    ("relation", "changes", "found", "severity"),
    [
        ("finetune", {"config_architecture": "Gemma3ForCausalLM"}, "architecture", "contradiction"),
        ("finetune", {"config_architecture": "Gemma2ForSequenceClassification"}, "head", "note"),
        ("finetune", {"config_hidden_size": 2304}, "width", "contradiction"),
        ("merge", {"config_num_hidden_layers": 60}, "depth", "note"),
        ("finetune", {"params": 2.6e9}, "parameters", "contradiction"),
        ("finetune", {"params": 1.0e10}, "parameters", "suspicious"),
        ("finetune", {"params": 9.24e9 / 4}, "parameters", "contradiction"),
        ("finetune", {"params": 9.24e9 / 4, "uses_quantization": "True"}, "parameters", "note"),
        ("finetune", {"params": 9.24e9 / 4, "config_torch_dtype": "4bit"}, "parameters", "note"),
        ("quantize", {"params": 3e9}, "parameters", "note"),
        ("quantize", {"params": 20e9}, "parameters", "contradiction"),
        ("finetune", {"params": 18.48e9}, "parameters", "suspicious"),
        ("finetune", {"config_vocab_size": 256008}, "vocabulary", "note"),
        ("finetune", {"config_vocab_size": 32000}, "vocabulary", "suspicious"),
        ("finetune", {"config_tokenizer_class": "LlamaTokenizer"}, "tokeniser", "suspicious"),
        ("finetune", {"createdAt": "2023-01-01"}, "time", "suspicious"),
    ],
)
def test_what_differs_is_found_with_its_weight(relation, changes, found, severity):
    rows = check(relation, **changes)
    assert list(rows) == COLUMNS
    assert rows[["check", "severity"]].to_numpy().tolist() == [[found, severity]]


@pytest.mark.parametrize(
    ("relation", "changes"),
    [
        ("finetune", {}), ("distill", {"config_architecture": "LlamaForCausalLM", "params": 1e9}),
        ("finetune", {"config_architecture": "?"}), ("finetune", {"config_architecture": None, "params": None}),
        ("finetune", {"config_tokenizer_class": "GemmaTokenizerFast"}), ("prune", {"params": 5e9}),
        ("finetune", {"params": 9.3e9}),
    ],
)  # fmt: skip
def test_what_the_relation_allows_or_nobody_knows_is_no_finding(relation, changes):
    assert not len(check(relation, **changes))


def test_the_worst_edge_comes_first_and_is_explained():
    rows = pd.DataFrame([
        PARENT, {**PARENT, "modelId": "a/slight", "config_vocab_size": 256008},
        {**PARENT, "modelId": "a/bad", "config_architecture": "LlamaForCausalLM", "config_hidden_size": 4096},
    ])  # fmt: skip
    edges = edges_of(
        pd.DataFrame({"parent_id": ["a/p", "a/p"], "child_id": ["a/slight", "a/bad"], "relation": "finetune"})
    )
    table = table_of(rows)
    found = contradictions(table, edges)
    assert found["child_id"].tolist() == ["a/bad", "a/bad", "a/slight"]
    assert found["score"].tolist() == [8, 8, 1]
    first = explain(found)[0]
    assert "a/bad declared as finetune of a/p" in first
    assert (
        "architecture Gemma2ForCausalLM -> LlamaForCausalLM, width 3584 -> 4096 (a fine-tuned child keeps them)"
        in first
    )
    checks = overview(table, edges, found).set_index("check")
    assert checks.loc["architecture", ["n_judged", "n_found"]].tolist() == [2, 1]
    assert lineage(table, edges).summary["edges_contradicted"] == 1
