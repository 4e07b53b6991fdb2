"""Rows: shapes agree, digests tell content, files round trip, hostile files are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from heritage.errors import BadInput
from heritage.npz import write_npz
from heritage.rows import Rows, concatenate, from_npz, to_npz

IDS = st.text(st.characters(codec="utf-8"), max_size=6).map(lambda t: t.rstrip("\0"))  # numpy drops final NULs


@st.composite
def batches(draw: st.DrawFn) -> Rows:
    n = draw(st.integers(0, 5))
    shape = (n, *draw(st.lists(st.integers(1, 3), max_size=2)))
    x = draw(hnp.arrays(np.float32, shape, elements=st.floats(width=32)))
    y = draw(st.none() | hnp.arrays(np.int64, (n,)))
    ids = draw(st.none() | st.lists(IDS, min_size=n, max_size=n).map(lambda t: np.array(t, np.str_)))
    return Rows(x, y, ids)


@given(batches())
@settings(deadline=None)
def test_files_give_back_the_same_rows(rows: Rows) -> None:
    back = from_npz(to_npz(rows), "it")
    assert back.digest == rows.digest
    assert back.row_digests() == rows.row_digests()
    np.testing.assert_array_equal(back.x, rows.x)
    assert (back.y is None) == (rows.y is None)
    assert to_npz(back) == to_npz(rows)


@given(batches(), st.data())
def test_taking_and_putting_together_are_inverse(rows: Rows, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    parts = [rows.take(np.arange(cut)), rows.take(np.arange(cut, len(rows)))]
    assert len(parts[0]) == cut
    assert concatenate(parts).digest == rows.digest
    mask = np.arange(len(rows)) < cut
    assert rows.take(mask).digest == parts[0].digest


def test_equal_rows_have_equal_bytes_and_digests_however_they_lie_in_memory() -> None:
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    ids = np.array(["a", "b", "c", "longest"])
    plain = Rows(x[:3].copy(), np.array([0, 1, 2]), np.array(["a", "b", "c"]))
    others = [
        Rows(np.asfortranarray(x), np.array([0, 1, 2, 0]), ids).take(np.arange(3)),
        Rows(x.astype(">f4")[:3], np.array([0, 1, 2], np.uint8), ids[:3]),
        Rows(x.astype(np.float64)[:3], np.array([0, 1, 2], ">i2"), ids[:3]),
    ]
    for other in others:
        assert other.x.dtype == np.float32
        assert other.y is not None
        assert other.y.dtype == np.int64
        assert other.digest == plain.digest
        assert to_npz(other) == to_npz(plain)
        assert other.row_digests() == plain.row_digests()


def test_digests_tell_contents_apart() -> None:
    x = np.zeros((2, 2), np.float32)
    y = np.array([0, 1])
    different = [
        Rows(x),
        Rows(x.reshape(2, 2, 1)),
        Rows(x + 1),
        Rows(x[:, :1]),
        Rows(x, y),
        Rows(x, 1 - y),
        Rows(x, ids=np.array(["a\0b", "c"])),
        Rows(x, ids=np.array(["a", "b\0c"])),
        Rows(x, y, np.array(["a", "b"])),
    ]
    assert len({rows.digest for rows in different}) == len(different)


def test_labels_and_ids_stay_only_where_every_part_has_them() -> None:
    x = np.zeros((1, 2), np.float32)
    labelled, bare = Rows(x, np.array([1]), np.array(["a"])), Rows(x)
    both = concatenate([labelled, bare])
    assert (len(both), both.y, both.ids) == (2, None, None)
    with pytest.raises(BadInput, match="no rows to put together"):
        concatenate([])


@pytest.mark.parametrize(
    ("x", "y", "ids", "message"),
    [
        (np.zeros(()), None, None, r"x has dtype float64 and shape \(\)"),
        (np.zeros(3, complex), None, None, "x has dtype complex128"),
        (np.array(["a"]), None, None, "x has dtype <U1"),
        (np.array([None]), None, None, "x has dtype object"),
        (np.zeros(3), np.zeros(3), None, "y has dtype float64"),
        (np.zeros(3), np.zeros(2, int), None, r"y has shape \(2,\), x has 3 rows"),
        (np.zeros(3), np.zeros((3, 1), int), None, r"y has shape \(3, 1\)"),
        (np.zeros(3), None, np.array(["a"]), "ids has shape"),
    ],
)
def test_parts_that_do_not_fit_are_refused(x: np.ndarray, y: np.ndarray, ids: np.ndarray, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Rows(x, y, ids)


X = np.zeros((2, 2), np.float32)
WRONG = {
    "no x": ({"y": np.zeros(2, int)}, "holds arrays y; expected x"),
    "nothing": ({}, "holds arrays none; expected x"),
    "more": ({"x": X, "z": X}, "holds arrays x, z"),
    "zero dimensions": ({"x": np.float32(1)}, r"shape \(\)"),
    "text": ({"x": np.array(["a"])}, "x has dtype <U1"),
    "float labels": ({"x": X, "y": np.zeros(2)}, "y has dtype float64"),
    "other length": ({"x": X, "y": np.zeros(3, int)}, "give one value a row"),
    "number ids": ({"x": X, "ids": np.zeros(2)}, "ids has dtype float64; expected text"),
    "ids of half pairs": ({"x": X, "ids": np.array(["\ud800", "b"])}, "no Unicode characters"),
    "ids beyond Unicode": ({"x": X, "ids": np.full(2, 0x7FFFFFFF, "<u4").view("<U1")}, "no Unicode characters"),
    "too large": ({"x": X.astype(float) + 1e300}, "x holds numbers beyond float32"),
    "too large label": ({"x": X, "y": np.full(2, 2**63, np.uint64)}, "beyond int64"),
    "structure": ({"x": np.zeros(2, "f4,f4")}, "x has dtype"),
    "dates": ({"x": np.zeros(2, "M8[s]")}, "x has dtype datetime64"),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_with_other_content_are_refused(case: str) -> None:
    arrays, message = WRONG[case]
    with pytest.raises(BadInput, match=message) as caught:
        from_npz(write_npz(arrays), "window 7")
    assert str(caught.value).startswith("window 7: ")


def test_infinite_and_missing_values_are_kept_for_the_drift_check_to_see() -> None:
    x = np.array([[np.nan, np.inf, -np.inf]])
    np.testing.assert_array_equal(from_npz(write_npz({"x": x}), "it").x, x)
