import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heritage.configs.gower import Gower, blocks, encode, explain, matrix, nearest, pairs
from heritage.configs.table import table_of
from heritage.errors import BadInput

try:
    import numba  # noqa: F401 whether it is there decides which engines are tested

    ENGINES = ["numba", "numpy"]
except ImportError:
    ENGINES = ["numpy"]

KINDS = {
    "config_hidden_size": "number", "config_rope_theta": "number", "config_num_hidden_layers": "number",
    "config_model_type": "word", "config_torch_dtype": "word", "uses_moe": "flag", "size_category": "rank",
}  # fmt: skip
RANKS = ["small", "medium", "large", "xlarge"]


def random_frame(n, seed, missing=0.4):
    rng = np.random.default_rng(seed)
    columns = {
        "config_hidden_size": rng.choice([64, 128, 4096, 5120.5], n),
        "config_rope_theta": rng.choice([10000.0, 5e5, 1e6], n),
        "config_num_hidden_layers": rng.integers(1, 80, n).astype(float),
        "config_model_type": rng.choice(["llama", "bert", "gpt2"], n),
        "config_torch_dtype": rng.choice(["float16", "bfloat16"], n),
        "uses_moe": rng.choice(["True", "False"], n),
        "size_category": rng.choice(RANKS, n),
    }
    frame = pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in columns.items()})
    frame = frame.mask(rng.random(frame.shape) < missing)
    frame.insert(0, "modelId", [f"org/m{i}" for i in range(n)])
    return frame.drop(columns="size_category").assign(size_category=frame["size_category"])


def table(n, seed, missing=0.4):
    # derived values would fill the holes that these tests are about
    raw = random_frame(n, seed, missing)
    made = table_of(raw)
    for name in KINDS:
        if name in ("uses_moe", "size_category"):
            values = raw[name].map({"True": 1.0, "False": 0.0}) if name == "uses_moe" else raw[name]
            made.frame[name] = values.astype(float) if name == "uses_moe" else values.where(values.notna(), None)
    return made


def brute(frame, i, j, rule):
    """Distance of two rows by the definition, one field after the other."""
    total = weights = shared = 0.0
    for name, kind in KINDS.items():
        x, y = frame[name].iloc[i], frame[name].iloc[j]
        w = rule.weights.get(name, 1.0)
        absent = [pd.isna(x), pd.isna(y)]
        if any(absent):
            if rule.missing == "state":
                total, weights, shared = (
                    total + w * (absent[0] != absent[1]),
                    weights + w,
                    shared + (absent[0] != absent[1]),
                )
            continue
        if kind == "number" and rule.mode == "seed":
            delta = abs(x - y) / max(abs(x), abs(y)) if max(abs(x), abs(y)) > 0 else 0.0
        elif kind == "number":
            spread = frame[name].max() - frame[name].min()
            delta = abs(x - y) / spread if spread else 0.0
        elif kind == "rank":
            delta = abs(RANKS.index(x) - RANKS.index(y)) / 3
        else:
            delta = float(x != y)
        total, weights, shared = total + w * delta, weights + w, shared + 1
    enough = shared >= rule.min_comparable and weights > 0
    return total / weights if enough else rule.nothing


RULES = [
    Gower(), Gower("range"), Gower(missing="state"), Gower("range", missing="state"),
    Gower(min_comparable=3), Gower("range", {"config_hidden_size": 3.0, "uses_moe": 0.0}, min_comparable=2),
]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rule", RULES, ids=range(len(RULES)))
def test_matrix_equals_the_definition(rule, engine):
    made = table(40, seed=1)
    found = matrix(encode(made, rule, list(KINDS)), engine=engine)
    expected = np.array([[brute(made.frame, i, j, rule) for j in range(40)] for i in range(40)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("rule", RULES, ids=range(len(RULES)))
def test_pairs_equal_the_definition_to_the_last_bits(rule):
    made = table(30, seed=2)
    i, j = (a.ravel() for a in np.meshgrid(np.arange(30), np.arange(30)))
    distance, _ = pairs(encode(made, rule, list(KINDS)), i, j)
    np.testing.assert_allclose(distance, [brute(made.frame, a, b, rule) for a, b in zip(i, j, strict=True)], atol=1e-15)


@pytest.mark.parametrize("engine", ENGINES)
def test_nearest_equals_a_stable_sort_of_the_matrix(engine):
    encoded = encode(table(60, seed=3), Gower("range"), list(KINDS))
    full = matrix(encoded, engine="numpy")
    np.fill_diagonal(full, np.nan)
    index, distance = nearest(encoded, 5, engine=engine)
    for row in range(60):
        order = [j for j in np.argsort(full[row], kind="stable") if not math.isnan(full[row, j])][:5]
        assert index[row].tolist() == order + [-1] * (5 - len(order))
        np.testing.assert_allclose(distance[row, : len(order)], full[row, order], atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_true_twin_is_the_nearest_neighbour_and_oneself_never_is(engine):
    """The original took the first of the sorted distances for the row itself and so dropped its twin."""
    raw = random_frame(6, seed=4, missing=0.0)
    twins = pd.concat([raw, raw.assign(modelId=[f"org/t{i}" for i in range(6)])], ignore_index=True)
    index, distance = nearest(encode(table_of(twins)), 1, engine=engine)
    assert index[:, 0].tolist() == [*range(6, 12), *range(6)]
    assert (distance == 0).all()


def test_blocks_put_together_are_the_matrix():
    encoded = encode(table(700, seed=5), features=list(KINDS))
    stacked = np.concatenate([block for _, block in blocks(encoded)])
    np.testing.assert_array_equal(stacked, matrix(encoded))


def test_new_rows_against_known_ones_are_those_rows_of_the_full_matrix():
    encoded = encode(table(50, seed=6), Gower("range"), list(KINDS))
    new = encoded.take(np.arange(40, 50))
    np.testing.assert_array_equal(matrix(new, encoded), matrix(encoded)[40:])


@given(st.integers(0, 10_000), st.sampled_from(["seed", "range"]), st.sampled_from(["skip", "state"]))
def test_distance_is_symmetric_bounded_and_zero_to_itself(seed, mode, missing):
    encoded = encode(table(8, seed), Gower(mode, missing=missing, incomparable=1.0), list(KINDS))
    d = matrix(encoded, engine="numpy")
    np.testing.assert_allclose(d, d.T, atol=1e-6)
    assert ((d >= 0) & (d <= 1)).all()
    something = encoded.valid.any(axis=0)
    assert (np.diag(d)[something] == 0).all()


def test_explained_parts_add_up_to_the_distance():
    encoded = encode(table(10, seed=7, missing=0.2), features=list(KINDS))
    parts = explain(encoded, 0, 1)
    distance, shared = pairs(encoded, np.array([0]), np.array([1]))
    assert parts["contribution"].sum() == pytest.approx(distance[0])
    assert parts["delta"].notna().sum() == shared[0]


def test_seed_and_range_mode_are_not_interchangeable():
    raw = pd.DataFrame({"modelId": ["a/a", "a/b", "a/c"], "config_hidden_size": [1024, 2048, 65536]})
    seed, classic = (matrix(encode(table_of(raw), Gower(mode)))[0, 1] for mode in ("seed", "range"))
    assert seed == pytest.approx(0.5)
    assert classic == pytest.approx(1024 / 64512)


def test_nothing_in_common_is_told_apart_from_wholly_different():
    """The original gave 1.0 to both."""
    raw = pd.DataFrame({"modelId": ["a/a", "a/b", "a/c"], "config_model_type": ["x", "y", None]})
    distance, shared = pairs(encode(table_of(raw)), np.array([0, 0]), np.array([1, 2]))
    assert distance.tolist() == [1.0, 1.0]
    assert shared.tolist() == [1, 0]
    assert np.isnan(pairs(encode(table_of(raw), Gower("range")), np.array([0]), np.array([2]))[0][0])


def test_the_word_false_is_false():
    """bool('False') is True: in the original such a field never differed."""
    raw = pd.DataFrame({"modelId": ["a/a", "a/b"], "uses_moe": ["True", "False"]})
    assert pairs(encode(table_of(raw)), np.array([0]), np.array([1]))[0][0] == 1.0


def test_sentinels_do_not_push_a_distance_beyond_one():
    """-1 against 1 was 2.0."""
    raw = pd.DataFrame({"modelId": ["a/a", "a/b"], "config_sliding_window": ["-1", "1"], "config_x": ["-1", "1"]})
    made = table_of(raw)
    assert pairs(encode(made, features=["config_x"]), np.array([0]), np.array([1]))[0][0] == 1.0
    assert pairs(encode(made, features=["config_sliding_window"]), np.array([0]), np.array([1]))[1][0] == 0


@pytest.mark.parametrize("k", [0, 3, -1])
def test_too_many_neighbours_are_refused_with_the_limit(k):
    with pytest.raises(BadInput, match="from 1 to 2"):
        nearest(encode(table(3, seed=8)), k)


def test_wrong_settings_are_refused():
    with pytest.raises(BadInput, match="allowed are"):
        Gower("cosine")
    with pytest.raises(BadInput, match="at least one"):
        Gower(min_comparable=0)
    with pytest.raises(BadInput, match="finite"):
        Gower(weights={"a": float("nan")})
    with pytest.raises(BadInput, match="weight 0"):
        encode(table(3, seed=9), Gower(weights=dict.fromkeys(KINDS, 0.0)), list(KINDS))
    with pytest.raises(BadInput, match="not known"):
        matrix(encode(table(3, seed=9)), engine="gpu")


@pytest.mark.parametrize("engine", ENGINES)
def test_one_model_has_distance_zero_to_itself(engine):
    assert matrix(encode(table(1, seed=10, missing=0.0)), engine=engine).tolist() == [[0.0]]
