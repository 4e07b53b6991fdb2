"""Profiles: what is fitted, how it is stored, what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from heritage.drift import npz
from heritage.drift.columns import as_frame
from heritage.drift.performance import PerformanceReference
from heritage.drift.profile import DriftProfile
from heritage.errors import BadInput, NotFound

GOLDEN = Path(__file__).parent / "golden" / "profile-1.npz"
GOLDEN_SIGNATURE = "fcc91a54dc8b88fa4a7e2da3c1a117546b9fe673aa77a99e7a971360a3108fcf"


def golden_frame():
    """Made by arithmetic alone, so that it is the same under every library version."""
    i = np.arange(600)
    return pd.DataFrame(
        {
            "number": ((i * 7919) % 1009) / 64.0,
            "holes": np.where(i % 9 == 0, np.nan, (i * 31 % 101) / 8.0),
            "single": ((i * 13) % 57 / 16.0).astype(np.float32),
            "whole": i % 5,
            "level": [f"level {k}" for k in i % 7],
            "code": [f"ключ-{k}" for k in i * 17 % 311],
            "flag": i % 3 == 0,
            "when": pd.Timestamp("2024-02-28 22:00") + pd.to_timedelta(i * 3600, unit="s"),
        }
    )


def golden_profile():
    i = np.arange(600)
    probabilities = np.stack([(i % 11) / 10.0, 1.0 - (i % 11) / 10.0], axis=1)
    outputs = as_frame(np.zeros((600, 1)), probabilities)[1]
    reference = PerformanceReference.fit(probabilities, (i % 11 < 5).astype(np.int64))
    return DriftProfile.fit(
        golden_frame(), categorical=["whole"], exclude=["single"], outputs=outputs, performance=reference
    )


def test_the_profile_of_an_earlier_release_is_still_read():
    stored = DriftProfile.from_bytes(GOLDEN.read_bytes(), "profile-1.npz")
    assert stored.signature == GOLDEN_SIGNATURE
    assert golden_profile().signature == GOLDEN_SIGNATURE
    assert stored.performance == golden_profile().performance
    assert stored.moments.keys() == golden_profile().moments.keys()


def test_a_profile_survives_its_file():
    profile = golden_profile()
    again = DriftProfile.from_bytes(profile.to_bytes(), "p")
    assert again.to_bytes() == profile.to_bytes()
    assert again.signature == profile.signature
    assert again.moments == profile.moments
    assert again.schema == {
        "number": "numeric",
        "holes": "numeric",
        "whole": "categorical",
        "level": "categorical",
        "code": "categorical",
        "flag": "boolean",
        "when": "datetime",
        "probability_0": "numeric",
        "probability_1": "numeric",
        "entropy": "numeric",
        "prediction": "categorical",
    }


def test_the_order_of_rows_does_not_matter():
    frame = golden_frame()
    shuffled = frame.sample(frac=1.0, random_state=5)
    first, second = DriftProfile.fit(frame), DriftProfile.fit(shuffled)
    assert first.signature == second.signature
    assert first.moments == second.moments


def test_moments_are_scipys():
    rng = np.random.default_rng(1)
    x = rng.gamma(2.0, size=150_000)
    with_faults = np.concatenate([x, [np.nan, np.inf, -np.inf]])
    found = DriftProfile.fit(pd.DataFrame({"x": with_faults})).moments["x"]
    assert (found.count, found.missing) == (150_000, 3)
    assert found.mean == pytest.approx(x.mean())
    assert found.variance == pytest.approx(x.var())
    assert found.skewness == pytest.approx(stats.skew(x))
    assert found.kurtosis == pytest.approx(stats.kurtosis(x))
    assert (found.minimum, found.maximum) == (x.min(), x.max())


@pytest.mark.parametrize(
    "values",
    [[np.nan, np.nan], [np.inf, -np.inf], [1e308, -1e308, 1e308, 5.0]],
    ids=["all missing", "all infinite", "overflow"],
)
def test_moments_that_are_not_defined_are_left_out(values):
    profile = DriftProfile.fit(pd.DataFrame({"x": values}))
    assert profile.moments == {}
    assert DriftProfile.from_bytes(profile.to_bytes(), "p").signature == profile.signature


def test_constant_and_tiny_columns_have_zero_higher_moments():
    frame = pd.DataFrame({"same": [3.0] * 50, "tiny": [1e-200, 2e-200] * 25})
    found = DriftProfile.fit(frame).moments
    assert (found["same"].variance, found["same"].skewness, found["same"].kurtosis) == (0.0, 0.0, 0.0)
    assert np.isfinite(found["tiny"].kurtosis)


def test_thirty_columns_take_less_than_200_kb():
    rng = np.random.default_rng(2)
    profile = DriftProfile.fit(pd.DataFrame(rng.normal(size=(50_000, 30)), columns=[f"c{i}" for i in range(30)]))
    assert len(profile.to_bytes()) < 200_000


def test_at_most_257_edges_with_both_ends_and_heavy_values():
    rng = np.random.default_rng(3)
    x = np.concatenate([np.zeros(5_000), rng.normal(size=20_000)])
    part = DriftProfile.fit(pd.DataFrame({"x": x})).parts["x"]
    assert len(part.edges) <= 257
    assert (part.edges[0], part.edges[-1]) == (x.min(), x.max())
    at_zero = np.flatnonzero(part.edges == 0.0)[0]
    assert part.reference[2 * at_zero + 1] == 5_000
    assert part.reference.sum() == 25_000


def test_up_to_100_levels_have_a_cell_each_and_more_are_hashed():
    few = DriftProfile.fit(pd.DataFrame({"k": [f"l{i % 100}" for i in range(1_000)]})).parts["k"]
    assert len(few.reference) == 101
    assert few.labels[-1] == "unseen"
    many = DriftProfile.fit(pd.DataFrame({"k": ["often"] * 500 + [f"l{i}" for i in range(10_000)]})).parts["k"]
    assert many.labels[0] == "often"
    assert len(many.reference) == 1 + 32
    assert many.reference.sum() == 10_500


def test_whole_numbers_name_the_same_level_as_integers_and_as_floats():
    whole = pd.DataFrame({"k": [1, 2, 3, 3]})
    profile = DriftProfile.fit(whole, categorical=["k"])
    floats = pd.DataFrame({"k": [1.0, 2.0, 3.0, 3.0]})
    assert DriftProfile.fit(floats, categorical=["k"]).signature == profile.signature


def test_types_are_told_from_values_where_the_dtype_says_nothing():
    from datetime import date
    from decimal import Decimal

    frame = pd.DataFrame(
        {
            "number": [1, 2.5, None],
            "money": [Decimal("1.5"), Decimal(2), None],
            "flag": [True, None, False],
            "day": [date(2024, 1, 1), None, date(2024, 1, 2)],
            "text": ["a", None, "b"],
            "nothing": [None, None, None],
        },
        dtype=object,
    )
    assert DriftProfile.fit(frame).schema == {
        "number": "numeric",
        "money": "numeric",
        "flag": "boolean",
        "day": "datetime",
        "text": "categorical",
        "nothing": "categorical",
    }
    spans = pd.DataFrame({"wait": pd.to_timedelta([1, 2], unit="h")})
    assert DriftProfile.fit(spans).moments["wait"].maximum == 7_200.0


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"x": []}), "has no rows"),
        (pd.DataFrame(index=range(3)), "0 columns"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' occur twice"),
        (pd.DataFrame({"x": [1, "a"]}, dtype=object), "column 'x' holds values of type 'mixed-integer'"),
        (pd.DataFrame({"x": [[1], [2]]}), "column 'x' holds values of type 'mixed'"),
        (pd.DataFrame({"x": [1j, 2j]}), "column 'x' has type complex128"),
        (pd.DataFrame({"x\x1b[31m": [[1]]}), r"x\\x1b\[31m"),
        (pd.DataFrame({"n" * 600: [1]}), "too long a name"),
        (
            pd.DataFrame({"t": pd.to_datetime(["2024-01-01"]), "t.hour": [1]}),
            "'t.hour' would name a column and a part",
        ),
    ],
)
def test_frames_that_make_no_profile_are_refused(frame, message):
    with pytest.raises(BadInput, match=message):
        DriftProfile.fit(frame)


def test_named_columns_must_exist_and_outputs_must_match():
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    with pytest.raises(NotFound, match=r"column 'b' is not in the reference; it has 'a'"):
        DriftProfile.fit(frame, categorical=["b"])
    with pytest.raises(NotFound, match="'c'"):
        DriftProfile.fit(frame, exclude=["c"])
    with pytest.raises(BadInput, match="give one output a row"):
        DriftProfile.fit(frame, outputs=frame.iloc[:1])
    with pytest.raises(BadInput, match="occur twice"):
        DriftProfile.fit(frame, outputs=frame)
    nested = pd.DataFrame({"a": [[1], [2]]})
    with pytest.raises(BadInput, match="holds a list"):
        DriftProfile.fit(nested, categorical=["a"])


def test_another_schema_version_is_named():
    header, arrays = npz.unpack(golden_profile().to_bytes(), "heritage drift profile", 1, "p")
    del header["format"], header["version"]
    newer = npz.pack("heritage drift profile", 2, header, arrays)
    with pytest.raises(BadInput, match=r"p\.npz: heritage drift profile of schema version 2; this heritage reads"):
        DriftProfile.from_bytes(newer, "p.npz")


def _altered(change):
    header, arrays = npz.unpack(golden_profile().to_bytes(), "heritage drift profile", 1, "p")
    header = {k: v for k, v in header.items() if k not in ("format", "version")}
    header, arrays = json.loads(json.dumps(header)), {k: v.copy() for k, v in arrays.items()}
    change(SimpleNamespace(header=header, arrays=arrays))
    return npz.pack("heritage drift profile", 1, header, arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.arrays["counts"].__setitem__(0, -1),
        lambda f: f.arrays["counts"].__setitem__(0, 10**9),
        lambda f: f.arrays["edges"].__setitem__(1, f.arrays["edges"][0]),
        lambda f: f.arrays["edges"].__setitem__(0, np.nan),
        lambda f: f.arrays.update(counts=f.arrays["counts"][:-1]),
        lambda f: f.arrays.update(counts=np.append(f.arrays["counts"], 0)),
        lambda f: f.arrays.pop("edges"),
        lambda f: f.header["columns"][0].update(kind="secret"),
        lambda f: f.header["columns"][0].update(edges=10**9),
        lambda f: f.header["columns"][0].update(precision="int4"),
        lambda f: f.header["columns"][2].update(levels=["b", "a"]),
        lambda f: f.header["columns"][2].update(buckets=-3),
        lambda f: f.header.update(columns=[1, 2]),
        lambda f: f.header.update(rows="many"),
        lambda f: f.header["performance"].update(bin_accuracy=[1.0]),
    ],
)
def test_altered_profiles_are_refused(change):
    with pytest.raises(BadInput, match=r"p\.npz"):
        DriftProfile.from_bytes(_altered(change), "p.npz")


@pytest.mark.parametrize("data", [b"", b"\x80\x04K\x01.", b"PK\x05\x06" + b"\0" * 18, b"{}"])
def test_files_that_are_no_profiles_are_refused(data):
    with pytest.raises(BadInput, match=r"p\.npz: not a readable heritage drift profile"):
        DriftProfile.from_bytes(data, "p.npz")


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(npz, "MAX_BYTES", 1_000)
    with pytest.raises(BadInput, match="unpacks to more than 1000 bytes"):
        DriftProfile.from_bytes(golden_profile().to_bytes(), "p.npz")


def test_python_objects_in_a_file_are_refused():
    import io

    buffer = io.BytesIO()
    np.savez(buffer, header=np.array([{"format": "heritage drift profile"}], dtype=object))
    with pytest.raises(BadInput, match="not a readable"):
        DriftProfile.from_bytes(buffer.getvalue(), "p.npz")
