"""Evidently behind its guard: its traps, its page, and its numbers against ours on its own bins."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest

from heritage.drift import measures, numeric
from heritage.drift.profile import DriftProfile
from heritage.reports import evidently_report
from heritage.reports.evidently_report import drift_report_html

EVIL = "</script><script>alert(1)</script>"


def rows(seed, n, shift=0.0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"a": rng.normal(shift, size=n), "b": rng.normal(size=n), "k": rng.choice(["x", "y"], n)})


def scores_of(page):
    """Column name to score, from the data that the page carries."""
    data, _ = json.JSONDecoder().raw_decode(page[re.search(r"var metric_\w+ = ", page).end() :])
    table = [widget for widget in data["widgets"][0]["widgets"] if "data" in widget.get("params", {})]
    return {row["column_name"]: row["drift_score"] for row in table[0]["params"]["data"]}


@pytest.fixture(scope="module")
def page():
    reference, current = rows(0, 3_000), rows(1, 1_000, shift=1.0)
    # one page with every trap that Evidently has
    current.loc[0, "a"] = 1e6
    current.loc[1:3, "b"] = [np.inf, -np.inf, np.nan]
    for frame in (reference, current):
        frame[EVIL] = frame["b"]
        frame["level"] = np.where(frame["k"] == "x", EVIL, "plain")
        frame["when"] = pd.Timestamp("2025-01-01")
        frame["code"] = [f"id{i % 700}" for i in range(len(frame))]
        frame["flag"] = frame["k"] == "x"
        frame["flat"] = 1.0
    reference["gone"], current["gone"] = 1.0, np.nan
    profile = DriftProfile.fit(reference)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # people would see them
        return drift_report_html(reference, current.drop(columns="k"), profile).decode()


def test_traps_do_not_stop_the_report_and_an_outlier_hides_nothing(page):
    found = scores_of(page)
    assert found.keys() >= {"a", "b", "level", "code", "flag"}
    assert found.keys().isdisjoint({"gone", "when", "k"})
    assert found["a"] > 0.5
    assert found["b"] < 0.1
    assert found["code"] < 0.1


def test_names_and_levels_cannot_break_out_of_the_page(page):
    assert EVIL not in page
    assert "<script>alert" not in page
    assert "‹/script›‹script›alert(1)‹/script›" in scores_of(page)


def test_the_page_loads_nothing(page):
    assert page.index("Content-Security-Policy") < page.index("<script")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    loaded = re.findall(r"<(?:script|img|iframe|link)[^>]*(?:src|href)=.([^'\"> ]+)", page)
    assert [address for address in loaded if not address.startswith("data:")] == []
    assert not re.search(r"url\(['\"]?https?:", page)


@pytest.mark.parametrize(
    "current",
    [rows(2, 0), rows(2, 5)[[]], rows(2, 5).assign(a=np.nan, b=np.inf, k=None), pd.DataFrame({"other": [1.0]})],
    ids=["empty", "no columns", "all missing", "other columns"],
)
def test_nothing_to_compare_is_said_and_not_raised(current):
    page = drift_report_html(rows(3, 300), current, DriftProfile.fit(rows(3, 300))).decode()
    assert "Nothing to compare" in page


def test_large_frames_are_sampled(monkeypatch):
    monkeypatch.setattr(evidently_report, "MAX_ROWS", 100)
    seen = []
    monkeypatch.setattr(evidently_report, "_run", lambda then, now, *_: seen.extend([then, now]) or "<head>")
    drift_report_html(rows(4, 500), rows(5, 80), DriftProfile.fit(rows(4, 500)))
    assert [len(frame) for frame in seen] == [100, 80]


def test_names_that_become_alike_stay_apart():
    assert evidently_report._safe_names(["<a>", "‹a›", "b"]) == {"<a>": "‹a›", "‹a›": "‹a› (2)", "b": "b"}


# --- our measures on Evidently's bins are Evidently's numbers


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_psi_and_kl_on_evidentlys_bins_are_evidentlys(seed, shift):
    from evidently.legacy.calculations.stattests import kl_div_stat_test, psi_stat_test
    from evidently.legacy.calculations.stattests.utils import get_binned_data
    from evidently.legacy.core import ColumnType

    rng = np.random.default_rng(seed)
    reference, current = pd.Series(rng.normal(size=4_000)), pd.Series(rng.normal(shift, size=1_500))
    bins = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
    r, c = (np.histogram(x, bins)[0] for x in (reference, current))
    # their fill for empty bins, a ten-thousandth, is not ours: the formulas are compared on the same shares
    e, a = get_binned_data(reference, current, ColumnType.Numerical, 30)
    kept = (r > 0) & (c > 0)
    np.testing.assert_allclose(measures.shares(r, 0.0)[kept], e[kept])
    np.testing.assert_allclose(measures.shares(c, 0.0)[kept], a[kept])
    psi = psi_stat_test.func(reference, current, ColumnType.Numerical, 0.1)[0]
    kl = kl_div_stat_test.func(reference, current, ColumnType.Numerical, 0.1)[0]
    assert measures.psi_of_shares(a, e) == pytest.approx(psi, rel=1e-12)
    # their KL is of the reference from the current rows, ours the other way round; entropy() rescales both to 1
    assert measures.kl_of_shares(e / e.sum(), a / a.sum()) == pytest.approx(kl, rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0])
def test_ks_on_bins_that_hold_every_value_is_evidentlys(shift):
    from evidently.legacy.calculations.stattests import ks_stat_test
    from evidently.legacy.core import ColumnType
    from scipy import stats

    rng = np.random.default_rng(6)
    reference = np.round(rng.normal(size=3_000), 1)
    current = np.round(rng.normal(shift, size=900), 1)
    edges = numeric.edges_of(np.sort(reference))
    cells = [numeric.count_sorted(np.sort(x), edges, np.dtype(np.float64))[0] for x in (current, reference)]
    distance = measures.ks(*cells)
    exact = stats.ks_2samp(reference, current)
    assert distance.low == pytest.approx(exact.statistic, abs=1e-12)
    p = ks_stat_test.func(pd.Series(reference), pd.Series(current), ColumnType.Numerical, 0.05)[0]
    assert p == exact.pvalue
    assert measures.ks_p(distance.low, 900, 3_000) == pytest.approx(p, abs=0.02)
