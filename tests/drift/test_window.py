"""Windows: the same counters however the rows come."""

import io
import itertools
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from heritage.drift.profile import DriftProfile
from heritage.drift.window import Window, merge_all
from heritage.errors import BadInput


def mixed_frame(rng, rows):
    numbers = rng.normal(size=rows)
    numbers[rng.random(rows) < 0.05] = np.nan
    numbers[rng.random(rows) < 0.02] = np.inf
    odd = np.array([None, "x", 3, True, 2.5, ["nested"]], dtype=object)
    return pd.DataFrame(
        {
            "number": numbers,
            "small": rng.normal(size=rows).astype(np.float32),
            "whole": rng.integers(0, 6, rows),
            "level": rng.choice(["red", "green", "blau-äöü", "🙂"], rows),
            "code": [f"id{i}" for i in rng.integers(0, 5_000, rows)],
            "flag": rng.random(rows) < 0.3,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**8, rows), unit="s"),
            "odd": odd[rng.integers(0, len(odd), rows)],
        }
    )


REFERENCE = mixed_frame(np.random.default_rng(1), 3_000).assign(odd="x")
PROFILE = DriftProfile.fit(REFERENCE)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 700), max_size=6))
def test_any_split_of_the_stream_gives_identical_counters(seed, cuts):
    frame = mixed_frame(np.random.default_rng(seed), 700)
    whole = Window.empty(PROFILE).update(frame)
    edges = [0, *sorted(cuts), 700]
    pieces = [frame.iloc[a:b] for a, b in itertools.pairwise(edges)]
    one_by_one = Window.empty(PROFILE)
    for piece in pieces:
        one_by_one.update(piece)
    merged = merge_all(PROFILE, [Window.empty(PROFILE).update(piece) for piece in reversed(pieces)])
    assert whole.to_bytes() == one_by_one.to_bytes() == merged.to_bytes()


def test_chunks_inside_one_update_count_as_one(monkeypatch):
    frame = mixed_frame(np.random.default_rng(2), 1_000)
    whole = Window.empty(PROFILE).update(frame)
    monkeypatch.setattr("heritage.drift.window.CHUNK", 64)
    assert Window.empty(PROFILE).update(frame).to_bytes() == whole.to_bytes()


def test_counts_are_those_of_brute_force():
    rng = np.random.default_rng(3)
    frame = mixed_frame(rng, 500)
    window = Window.empty(PROFILE).update(frame)
    number, level = PROFILE.columns[0], PROFILE.columns[3]
    edges, present = number.parts[0].edges, frame["number"].dropna().to_numpy()
    expected = []
    for i, edge in enumerate(edges):
        lower = -np.inf if i == 0 else edges[i - 1]
        expected += [int(((present > lower) & (present < edge)).sum()), int((present == edge).sum())]
    expected.append(int((present > edges[-1]).sum()))
    assert window.cells(number).tolist() == expected
    assert window.faults(number)[0].missing == frame["number"].isna().sum()
    assert window.faults(number)[0].infinite_high == np.isinf(frame["number"]).sum()
    by_level = dict(zip(level.parts[0].labels, window.cells(level).tolist(), strict=True))
    assert by_level == frame["level"].value_counts().to_dict() | {"unseen": 0}


def test_values_in_lower_precision_meet_the_same_cells():
    # given a reference in double precision with heavy values that single precision rounds
    reference = pd.DataFrame({"x": np.repeat([0.1, 0.2, 0.3], 50)})
    profile = DriftProfile.fit(reference)
    for kind in (np.float64, np.float32):
        window = Window.empty(profile).update(reference.astype(kind))
        assert window.cells(profile.columns[0]).tolist() == [0, 50, 0, 50, 0, 50, 0]
    narrow = DriftProfile.fit(reference.astype(np.float32))
    window = Window.empty(narrow).update(reference)
    assert window.cells(narrow.columns[0]).tolist() == [0, 50, 0, 50, 0, 50, 0]


def test_edges_that_lower_precision_makes_equal_count_a_value_once():
    reference = pd.DataFrame({"x": 1.0 + np.arange(40) * 1e-9})
    profile = DriftProfile.fit(reference)
    window = Window.empty(profile).update(reference.astype(np.float32))
    counted = window.cells(profile.columns[0])
    assert counted.min() == 0
    assert counted.sum() == 40


def test_a_window_survives_its_file_and_is_bound_to_its_profile():
    window = Window.empty(PROFILE).update(mixed_frame(np.random.default_rng(4), 300).assign(extra=1))
    data = window.to_bytes()
    again = Window.from_bytes(PROFILE, data, "w.npz")
    assert again.to_bytes() == data
    assert again.unknown == {"extra": 300}
    other = DriftProfile.fit(REFERENCE.iloc[:2_000])
    with pytest.raises(BadInput, match=r"w\.npz: counts on profile"):
        Window.from_bytes(other, data, "w.npz")
    with pytest.raises(BadInput, match="different drift profiles"):
        window.merge(Window.empty(other))


def claiming(rows: int) -> bytes:
    """A file whose header claims so many numbers, and holds none."""
    out, start = io.BytesIO(), io.BytesIO()
    npy.write_array_header_1_0(start, {"descr": "<f8", "fortran_order": False, "shape": (rows,)})
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("header.npy", start.getvalue())
    return out.getvalue()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"not a zip at all", claiming(10**15)])
def test_a_damaged_window_file_is_refused(damage):
    with pytest.raises(BadInput, match=r"w\.npz: not a readable heritage drift window"):
        Window.from_bytes(PROFILE, damage, "w.npz")


def test_a_truncated_or_altered_window_file_is_refused():
    data = Window.empty(PROFILE).update(REFERENCE).to_bytes()
    for cut in (len(data) // 3, len(data) - 30):
        with pytest.raises(BadInput):
            Window.from_bytes(PROFILE, data[:cut], "w.npz")
    with pytest.raises(BadInput, match="not a heritage drift window"):
        Window.from_bytes(PROFILE, PROFILE.to_bytes(), "w.npz")


def test_missing_and_unknown_columns_are_counted_not_refused():
    frame = REFERENCE.iloc[:200].drop(columns=["flag"]).assign(later=0)
    window = Window.empty(PROFILE).update(frame)
    flag = next(c for c in PROFILE.columns if c.name == "flag")
    assert window.faults(flag)[1] == 200
    assert window.unknown == {"later": 200}


def test_unknown_names_stay_bounded_and_do_not_depend_on_order():
    names = [f"u{i:03d}" for i in range(100)]
    frames = [pd.DataFrame({name: [0]}) for name in names]
    forward, backward = Window.empty(PROFILE), Window.empty(PROFILE)
    for frame in frames:
        forward.update(frame)
    for frame in reversed(frames):
        backward.update(frame)
    assert forward.unknown == backward.unknown
    assert list(forward.unknown) == names[:32]


def test_wrong_shapes_are_refused():
    doubled = pd.DataFrame(np.zeros((2, 2)), columns=["number", "number"])
    with pytest.raises(BadInput, match="occurs twice"):
        Window.empty(PROFILE).update(doubled)
    with pytest.raises(BadInput, match="one output a row"):
        Window.empty(PROFILE).update(REFERENCE, REFERENCE.iloc[:5])


def test_rows_with_swapped_values_are_different_rows():
    pairs = np.array([(a, b) for a in range(60) for b in range(60)], float)
    assert DriftProfile.fit(pd.DataFrame(pairs)).distinct_rows == pytest.approx(3_600, rel=0.06)


def test_repeated_rows_are_told_from_many_rows():
    rng = np.random.default_rng(6)
    frame = pd.DataFrame(rng.normal(size=(5_000, 4)), columns=list("abcd"))
    profile = DriftProfile.fit(frame)
    assert profile.distinct_rows == pytest.approx(5_000, rel=0.06)
    fresh = Window.empty(profile).update(frame)
    repeated = Window.empty(profile)
    for _ in range(20):
        repeated.update(frame.iloc[:100])
    assert fresh.distinct_rows == pytest.approx(5_000, rel=0.06)
    assert repeated.distinct_rows == pytest.approx(100, rel=0.06)


def test_a_window_is_as_large_as_its_cells_whatever_it_counted():
    def held(rows):
        window = Window.empty(PROFILE).update(mixed_frame(np.random.default_rng(5), rows))
        return sum(part.nbytes for part in (window.counters, window.registers, window.instants))

    assert held(10) == held(20_000) < 200_000
