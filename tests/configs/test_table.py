import json

import numpy as np
import pandas as pd
import pytest

from heritage.configs.edges import from_columns
from heritage.configs.fields import Kind
from heritage.configs.sources import from_manifests
from heritage.configs.table import load_configs, table_of
from heritage.errors import BadInput, NotFound
from heritage.records import Architecture, MadeBy, Manifest


def reasons(table):
    return dict(zip(table.quarantine["column"], table.quarantine["rule"], strict=True))


def test_one_number_written_two_ways_is_one_value():
    """'10000' and '10000.0' were two categories, so every such pair counted as mutated."""
    table = table_of(pd.DataFrame({"modelId": ["a/a", "a/b"], "config_rope_theta": ["10000", "10000.0"]}))
    assert table.frame["config_rope_theta"].tolist() == [10000.0, 10000.0]


def test_order_of_rows_does_not_change_any_kind_or_value():
    """Kinds guessed from the first hundred rows changed in 50 of 50 shuffles."""
    theta = ["10000"] * 120 + ["False"] * 30
    raw = pd.DataFrame({"modelId": [f"a/m{i}" for i in range(150)], "config_rope_theta": theta, "config_new": theta})
    table = table_of(raw)
    for seed in range(5):
        shuffled = table_of(raw.sample(frac=1, random_state=seed))
        assert shuffled.fields == table.fields
        again = shuffled.frame.set_index("modelId").loc[table.frame["modelId"], "config_rope_theta"]
        np.testing.assert_array_equal(again, table.frame["config_rope_theta"])
    assert table.fields["config_rope_theta"].kind is Kind.NUMERIC
    assert table.frame["config_rope_theta"].isna().sum() == 30
    assert (table.quarantine["rule"] == "not a number").sum() == 30


@pytest.mark.parametrize("spelling", [["True", "False"], [True, False], ["1", "0"], ["yes", "no"], [1.0, 0.0]])
def test_truth_values_are_read_however_they_are_spelt(spelling):
    table = table_of(pd.DataFrame({"modelId": ["a/a", "a/b"], "uses_moe": pd.Series(spelling, dtype=object)}))
    assert table.frame["uses_moe"].tolist() == [1.0, 0.0]
    assert table.fields["uses_moe"].kind is Kind.BOOLEAN


def test_a_shifted_row_is_set_aside_whole():
    shifted = {"modelId": "a/bad", "config_num_attention_heads": 131072, "config_num_key_value_heads": 151643}
    good = {"modelId": "a/good", "config_num_attention_heads": 32, "config_num_key_value_heads": 8}
    table = table_of(pd.DataFrame([shifted, good]))
    assert table.frame["modelId"].tolist() == ["a/good"]
    assert table.frame["config_gqa_ratio"].tolist() == [4.0]
    assert "shifted" in reasons(table)["modelId"]


def test_one_implausible_value_goes_and_the_row_stays():
    table = table_of(pd.DataFrame({"modelId": ["a/a"], "config_num_attention_heads": [131072]}))
    assert len(table) == 1
    assert table.frame["config_num_attention_heads"].isna().all()
    assert "outside" in reasons(table)["config_num_attention_heads"]


def test_more_key_value_heads_than_heads_are_not_believed():
    raw = {"modelId": ["a/a"], "config_num_attention_heads": [8], "config_num_key_value_heads": [32]}
    table = table_of(pd.DataFrame(raw))
    assert table.frame["config_num_key_value_heads"].isna().all()
    assert table.frame["config_num_attention_heads"].tolist() == [8.0]


def test_hidden_size_not_divisible_by_heads_is_flagged_and_kept():
    raw = pd.DataFrame({"modelId": ["a/a"], "config_hidden_size": [100], "config_num_attention_heads": [3]})
    table = table_of(raw)
    assert table.quarantine["action"].tolist() == ["kept, flagged"]
    assert table.frame["config_head_dimension"].isna().all()
    assert not len(table_of(raw.assign(config_head_dimension=64)).quarantine)


def test_sentinels_are_missing_values():
    table = table_of(pd.DataFrame({"modelId": ["a/a"], "config_n_routed_experts": [-1], "config_vocab_size": ["-1"]}))
    assert table.frame[["config_n_routed_experts", "config_vocab_size"]].isna().all(axis=None)
    assert set(table.quarantine["rule"]) == {"sentinel -1"}


def test_ids_are_canonical_and_doubles_keep_the_fullest_row():
    raw = pd.DataFrame({
        "modelId": ["a/b", "https://huggingface.co/a/b", "..", None, "a/b"],
        "config_hidden_size": [None, 64, 1, 1, 128],
    })  # fmt: skip
    table = table_of(raw)
    assert table.frame["modelId"].tolist() == ["a/b"]
    assert table.frame["config_hidden_size"].tolist() == [64.0]
    assert sorted(table.quarantine["rule"]) == ["duplicate id"] * 2 + ["not a model id"] * 2


def test_ratios_are_taken_from_validated_columns_not_from_the_file():
    raw = {"modelId": ["a/a"], "config_num_attention_heads": [32], "config_num_key_value_heads": [8],
           "config_gqa_ratio": ["64.4"]}  # fmt: skip
    assert table_of(pd.DataFrame(raw)).frame["config_gqa_ratio"].tolist() == [4.0]


@pytest.mark.parametrize(
    ("row", "family"),
    [
        ({"config_model_type": "mixtral"}, "Mistral"),
        ({"config_architecture": "LlamaForCausalLM"}, "LLaMA"),
        ({"config_model_type": "deepseek_v3", "config_architecture": "LlamaForCausalLM"}, "DeepSeek"),
        ({"is_bert_family": "True"}, "BERT"),
        ({"config_model_type": "mamba"}, "Other"),
        ({"config_model_type": None}, None),
    ],
)
def test_family_goes_by_priority_and_unknown_is_no_family(row, family):
    found = table_of(pd.DataFrame([{"modelId": "a/a", **row}])).frame["family"].iloc[0]
    assert found == family or (family is None and pd.isna(found))


def test_categories_follow_the_numbers():
    raw = pd.DataFrame({
        "modelId": [f"a/{i}" for i in range(4)], "config_max_position_embeddings": [512, 2049, 32768, 32769],
        "config_approx_params_billions": [0.5, 1, 69, 70],
    })  # fmt: skip
    frame = table_of(raw).frame
    assert frame["context_category"].tolist() == ["short", "medium", "long", "very_long"]
    assert frame["size_category"].tolist() == ["small", "medium", "large", "xlarge"]


def test_csv_parquet_and_a_folder_of_configs_give_the_same_table(tmp_path):
    config = {"model_type": "llama", "n_embd": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "torch_dtype": "torch.float16", "architectures": ["LlamaForCausalLM"],
              "rope_scaling": {"rope_type": "yarn"}, "rope_theta": 1e4}  # fmt: skip
    (tmp_path / "configs" / "org" / "m").mkdir(parents=True)
    (tmp_path / "configs" / "org" / "m" / "config.json").write_text(json.dumps(config))
    folder = load_configs(tmp_path / "configs")
    folder.frame.to_csv(tmp_path / "t.csv", index=False)
    folder.frame.to_parquet(tmp_path / "t.parquet")
    names = ["modelId", "config_hidden_size", "config_torch_dtype", "uses_gqa", "config_rope_scaling_type", "family"]
    expected = ["org/m", 64.0, "float16", 1.0, "yarn", "LLaMA"]
    for path in ("configs", "t.csv", "t.parquet"):
        assert load_configs(tmp_path / path).frame[names].iloc[0].tolist() == expected


def test_a_nested_text_config_is_read():
    from heritage.configs.sources import flatten

    row = flatten({"model_type": "llava", "text_config": {"hidden_size": 32, "model_type": "llama"}})
    assert row["config_hidden_size"] == 32
    assert row["config_model_type"] == "llava"


def test_registered_versions_become_rows():
    design = Architecture("acme.nets:mlp", {"hidden_size": 64, "layers": [64, 32]})
    manifest = Manifest("ab" * 32, "risk", (), "float32", 1000, MadeBy("1"), "2026-11-22T00:00:00Z", design)
    table = table_of(from_manifests([manifest]))
    row = table.frame.iloc[0]
    assert row["modelId"] == "risk/abababababab"
    assert row["config_hidden_size"] == 64
    assert row["config_layers"] == "[64, 32]"
    assert row["config_approx_params_billions"] == pytest.approx(1e-6)


def test_a_fleet_without_versions_is_an_empty_table():
    assert len(table_of(from_manifests([]))) == 0


@pytest.mark.parametrize("name", ["missing.csv", "none"])
def test_what_is_not_there_is_not_found(tmp_path, name):
    with pytest.raises(NotFound, match="no such file"):
        load_configs(tmp_path / name)


def test_lists_and_records_of_a_parquet_file_are_kept_as_text(tmp_path):
    raw = pd.DataFrame({
        "modelId": ["o/parent", "o/child"], "config_hidden_size": [64, 128], "tags": [["a", "b"], None],
        "config_rope_scaling": [{"factor": 2.0}, None], "parent_model": [None, ["o/parent"]],
    })  # fmt: skip
    raw.to_parquet(tmp_path / "t.parquet")
    table = load_configs(tmp_path / "t.parquet")
    assert len(table) == 2
    assert table.frame["config_rope_scaling"].dropna().tolist() == ['{"factor": 2.0}']
    assert from_columns(table).frame[["parent_id", "child_id"]].to_numpy().tolist() == [["o/parent", "o/child"]]


def test_bad_files_are_told_by_name(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="no column of model ids"):
        load_configs(tmp_path / "t.csv")
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    with pytest.raises(BadInput, match=r"t\.parquet"):
        load_configs(tmp_path / "t.parquet")
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "config.json").write_text("[1]")
    with pytest.raises(BadInput, match="expected a JSON object"):
        load_configs(tmp_path / "org")
    (tmp_path / "e.csv").write_text("")
    with pytest.raises(BadInput, match=r"e\.csv"):
        load_configs(tmp_path / "e.csv")


def test_a_table_of_other_metadata_is_compared_by_what_it_has():
    raw = {"modelId": ["a/a"], "license": ["mit"], "dtype": ["BF16"], "params": [5], "pipeline_tag": ["x"]}
    assert [f.name for f in table_of(pd.DataFrame(raw)).features()] == ["license", "dtype", "params", "pipeline_tag"]


def test_nothing_to_compare_and_unknown_fields_are_told():
    table = table_of(pd.DataFrame({"modelId": ["a/a"]}))
    with pytest.raises(BadInput, match="no comparable values"):
        table.features()
    with pytest.raises(NotFound, match="config_nope"):
        table.features(["config_nope"])
