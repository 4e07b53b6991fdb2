"""Pictures: drawn from counts, for every kind of column, without a warning."""

import io
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heritage.drift.profile import DriftProfile
from heritage.drift.verdict import check
from heritage.drift.window import Window
from heritage.reports import distributions, plots

RNG = np.random.default_rng(0)
N = 600
FRAME = pd.DataFrame(
    {
        "normal": RNG.normal(size=N),
        "count": RNG.poisson(3, N),
        "constant": 3.0,
        "tiny": RNG.normal(1, 1e-9, N),
        "huge": RNG.normal(0, 1e300, N),
        "infinite": np.where(RNG.random(N) < 0.05, np.inf, RNG.normal(size=N)),
        "nothing": np.nan,
        "level $x_1$": RNG.choice(["$\\frac{", "🙂漢字", "\u202eabc", "n" * 300, "a"], N),
        "code": [f"id{i}" for i in RNG.integers(0, 400, N)],
        "flag": RNG.random(N) < 0.5,
        "when": pd.Timestamp("2025-01-01") + pd.to_timedelta(RNG.integers(0, 10**7, N), unit="s"),
    }
)
PROFILE = DriftProfile.fit(FRAME)
PARTS = list(PROFILE.parts)


def counts_of(window, name):
    for column in PROFILE.columns:
        start = 0
        for part in column.parts:
            if part.name == name:
                return window.cells(column)[start : start + len(part.reference)]
            start += len(part.reference)
    raise KeyError(name)


def picture(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def share_of(pixels, colour):
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return float((np.abs(pixels - wanted).sum(axis=2) < 12).mean())


@pytest.mark.parametrize("name", PARTS)
def test_every_kind_of_column_is_drawn_without_a_warning(name):
    window = Window.empty(PROFILE).update(FRAME.iloc[:300])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = picture(plots.column_plot(PROFILE.parts[name], counts_of(window, name), name == "when"))
    if name != "nothing":
        assert share_of(pixels, plots.REFERENCE) > 0.002
        assert share_of(pixels, plots.CURRENT) > 0.0005


@pytest.mark.parametrize("name", PARTS)
def test_an_empty_window_is_drawn(name):
    assert plots.column_plot(PROFILE.parts[name], counts_of(Window.empty(PROFILE), name))


def test_values_that_the_reference_does_not_have_are_visible():
    # given a constant of 3 and a window that is always 4
    window = Window.empty(PROFILE).update(FRAME.assign(constant=4.0))
    pixels = picture(plots.column_plot(PROFILE.parts["constant"], counts_of(window, "constant")))
    left = pixels[:, : pixels.shape[1] // 2]
    wanted = np.array([int(plots.CURRENT[i : i + 2], 16) for i in (1, 3, 5)])
    grey = np.array([int(plots.REFERENCE[i : i + 2], 16) for i in (1, 3, 5)])
    body = left[60:250]
    orange = np.flatnonzero((np.abs(body - wanted).sum(axis=2) < 12).any(axis=0))
    reference = np.flatnonzero((np.abs(body - grey).sum(axis=2) < 12).any(axis=0))
    assert orange.min() > reference.max()


def test_one_outlier_does_not_squeeze_the_picture():
    spoilt = FRAME.copy()
    spoilt.loc[0, "normal"] = 1e6
    plain, with_outlier = (
        plots.column_plot(PROFILE.parts["normal"], counts_of(Window.empty(PROFILE).update(frame), "normal"))
        for frame in (FRAME, spoilt)
    )
    assert np.abs(picture(plain) - picture(with_outlier)).mean() < 4


def test_an_outlier_in_the_reference_does_not_squeeze_it_either():
    reference = pd.DataFrame({"x": np.append(np.random.default_rng(1).normal(size=5_000), 1e6)})
    part = DriftProfile.fit(reference).parts["x"]
    low, high = distributions.visible_range(part.edges, part.reference, part.reference)
    assert -5 < low < -2
    assert 2 < high < 5


def test_equal_counts_give_equal_bytes_also_from_threads():
    window = Window.empty(PROFILE).update(FRAME)
    draw = lambda: plots.column_plot(PROFILE.parts["normal"], counts_of(window, "normal"))  # noqa: E731
    expected, found = draw(), []
    threads = [threading.Thread(target=lambda: found.append(draw())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_the_distribution_function_between_edges_is_a_straight_line():
    edges, counts = np.array([0.0, 10.0]), np.array([0, 1, 8, 1, 0])
    at = distributions.cumulative(edges, counts, np.array([-99.0, 0.0, 5.0, 10.0, 99.0]))
    assert at.tolist() == pytest.approx([0.0, 0.1, 0.5, 1.0, 1.0])


@pytest.mark.parametrize("windows", [1, 8, 200])
def test_a_timeline_shows_each_status_in_its_colour(windows):
    calm = check(PROFILE, Window.empty(PROFILE).update(FRAME), window_id="2026-11-22T07")
    drifted = check(PROFILE, Window.empty(PROFILE).update(FRAME.assign(normal=9.0)), window_id="2026-11-22T08")
    few = check(PROFILE, Window.empty(PROFILE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = picture(plots.timeline_plot([calm, drifted, few][: max(1, min(3, windows))] * (windows // 3 or 1)))
    assert calm.status == "ok"
    assert share_of(pixels, plots.STATUS_COLOURS["ok"]) > 0
    assert (share_of(pixels, plots.STATUS_COLOURS["drift"]) > 0) == (windows > 1)
