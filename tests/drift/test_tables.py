"""Tables that others put into storage."""

import io

import numpy as np
import pandas as pd
import pytest

from heritage.drift import tables
from heritage.drift.tables import rows_of_parquet
from heritage.errors import BadInput


def test_a_small_file_of_many_equal_rows_is_not_unpacked_beyond_the_limit(monkeypatch):
    out = io.BytesIO()
    pd.DataFrame({"a": np.zeros(2**18)}).to_parquet(out)
    assert len(out.getvalue()) < 10_000
    assert len(rows_of_parquet(out.getvalue(), "rows.parquet")) == 2**18
    monkeypatch.setattr(tables, "MAX_BYTES", 2**21 - 1)
    with pytest.raises(BadInput, match=r"rows\.parquet: unpacks to 2097152 bytes"):
        rows_of_parquet(out.getvalue(), "rows.parquet")
