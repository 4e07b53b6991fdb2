"""Arrays as columns."""

import numpy as np
import pandas as pd
import pytest

from heritage.drift.columns import as_frame, input_frame, output_frame, project
from heritage.drift.profile import DriftProfile
from heritage.drift.verdict import check
from heritage.drift.window import Window
from heritage.errors import BadInput


def test_short_rows_become_one_column_a_number():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    frame, outputs = as_frame(x)
    assert list(frame.columns) == [f"x{i}" for i in range(12)]
    assert frame.to_numpy().tolist() == x.reshape(2, 12).tolist()
    assert outputs is None
    assert input_frame(np.zeros(5)).shape == (5, 1)
    assert input_frame(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_long_rows_are_projected_the_same_way_whatever_stands_beside_them():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 28, 28)).astype(np.float32)
    frame = input_frame(x)
    assert list(frame.columns) == [f"projection_{i}" for i in range(32)]
    for size in (1, 7, 100):
        pieces = [input_frame(x[i : i + size]) for i in range(0, 300, size)]
        pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), frame)


def test_a_shift_of_long_rows_shows_in_the_projections():
    rng = np.random.default_rng(2)
    profile = DriftProfile.fit(input_frame(rng.normal(size=(3_000, 400)).astype(np.float32)))
    same = input_frame(rng.normal(size=(1_000, 400)).astype(np.float32))
    moved = input_frame((rng.normal(size=(1_000, 400)) + 0.8).astype(np.float32))
    assert check(profile, Window.empty(profile).update(same)).status == "ok"
    assert check(profile, Window.empty(profile).update(moved)).status == "drift"


def test_projections_keep_lengths():
    vectors = np.random.default_rng(3).normal(size=(200, 5_000))
    assert project(vectors).std() == pytest.approx(1.0, abs=0.05)


def test_outputs_are_probabilities_entropy_and_prediction():
    p = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0], [np.nan, 0.5, 0.5]], np.float32)
    frame = output_frame(p)
    assert list(frame.columns) == ["probability_0", "probability_1", "probability_2", "entropy", "prediction"]
    assert frame["entropy"][0] == pytest.approx(-sum(v * np.log(v) for v in (0.7, 0.2, 0.1)), rel=1e-5)
    assert frame["entropy"][1] == 0.0
    assert np.isnan(frame["entropy"][2])
    assert frame["prediction"].tolist()[:2] == ["0", "2"]
    assert frame["prediction"].isna().tolist() == [False, False, True]
    # a class that the reference never predicted is known all the same
    assert DriftProfile.fit(frame).parts["prediction"].labels == ("0", "1", "2", "unseen")


def test_what_is_no_array_of_numbers_is_refused():
    with pytest.raises(BadInput, match="inputs have type"):
        input_frame(np.array(["a"]))
    with pytest.raises(BadInput, match="inputs have type"):
        input_frame(np.float32(1))
    with pytest.raises(BadInput, match="outputs have type"):
        output_frame(np.zeros((3, 1)))
