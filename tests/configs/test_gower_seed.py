"""Against the published definition that the seed mode reproduces, written down once more, pair by pair."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import heritage.configs
from heritage.configs.fields import Kind
from heritage.configs.gower import encode, matrix
from heritage.configs.table import ConfigTable, load_configs

SAMPLE = Path(heritage.configs.__file__).parent / "sample" / "configs.csv"


def published(x, y, kinds):
    """Mean over the shared fields of |x-y|/max (numbers) or of being different; 1.0 where none is shared."""
    parts = []
    for name, kind in kinds.items():
        a, b = x[name], y[name]
        if pd.isna(a) or pd.isna(b):
            continue
        if kind is Kind.NUMERIC:
            largest = max(abs(a), abs(b))
            parts.append(abs(a - b) / largest if largest > 0 else 0.0)
        else:
            parts.append(float(a != b))
    return sum(parts) / len(parts) if parts else 1.0


def worst_difference(table: ConfigTable, n: int) -> float:
    encoded = encode(table)
    kinds = {f.name: f.kind for f in encoded.fields}
    rows = table.frame.to_dict("records")
    found = matrix(encoded)
    return max(abs(found[i, j] - published(rows[i], rows[j], kinds)) for i in range(n) for j in range(i, n))


def test_every_pair_of_the_sample_agrees():
    table = load_configs(SAMPLE)
    n = min(len(table), 120)
    assert worst_difference(table.take(np.arange(n)), n) < 1e-6


@pytest.mark.slow
@pytest.mark.skipif("HERITAGE_TEST_TABLES" not in os.environ, reason="HERITAGE_TEST_TABLES names no folder of tables")
def test_every_pair_of_three_hundred_real_rows_agrees():
    path = Path(os.environ["HERITAGE_TEST_TABLES"]) / "configs.csv.gz"
    table = load_configs(path)
    rows = np.sort(np.random.default_rng(0).choice(len(table), 300, replace=False))
    assert worst_difference(table.take(rows), 300) < 1e-6
