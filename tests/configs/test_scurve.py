import numpy as np
import pytest

from heritage.configs.scurve import fit_scurve
from heritage.errors import BadInput


def counts(ceiling, growth, midpoint, months=36, n=400, seed=0):
    t = np.arange(float(months))
    rng = np.random.default_rng(seed)
    trials = np.full(months, float(n))
    return t, rng.binomial(n, ceiling / (1 + np.exp(-growth * (t - midpoint)))).astype(float), trials


@pytest.mark.parametrize("truth", [(0.8, 0.3, 16.0), (0.5, -0.25, 20.0), (1.0, 0.2, 10.0)])
def test_a_planted_curve_lies_within_the_intervals(truth):
    curve = fit_scurve(*counts(*truth))
    for span, planted in zip((curve.ceiling, curve.growth, curve.midpoint), truth, strict=True):
        assert span.low - 1e-9 <= planted <= span.high + 1e-9 or abs(span.value - planted) < 0.05 * abs(planted)


def test_intervals_cover_as_often_as_they_say():
    hits = 0
    for seed in range(20):
        curve = fit_scurve(*counts(0.7, 0.3, 15.0, n=150, seed=seed))
        hits += curve.midpoint.low <= 15.0 <= curve.midpoint.high
    assert hits >= 16


def test_a_midpoint_before_the_first_month_is_said_to_be_unidentified():
    curve = fit_scurve(*counts(0.765, 0.25, -6.0, months=27))
    assert any("midpoint" in w and "not identified" in w for w in curve.warnings)


def test_a_curve_that_has_not_levelled_off_has_no_ceiling():
    curve = fit_scurve(*counts(1.0, 0.12, 34.0, months=24))
    assert any("ceiling" in w for w in curve.warnings)


def test_months_without_models_are_left_out_not_zero():
    t, k, n = counts(0.8, 0.3, 16.0)
    full = fit_scurve(t, k, n)
    n[::5], k[::5] = 0, 0
    holed = fit_scurve(t, k, n)
    assert holed.n_months == 28
    assert holed.midpoint.value == pytest.approx(full.midpoint.value, abs=0.5)


def test_more_scatter_gives_wider_intervals():
    t, k, n = counts(0.7, 0.3, 15.0)
    rough = np.clip(k + np.random.default_rng(1).normal(0, 40, len(k)).round(), 0, n)
    assert fit_scurve(t, rough, n).dispersion > 3
    width = [c.midpoint.high - c.midpoint.low for c in (fit_scurve(t, k, n), fit_scurve(t, rough, n))]
    assert width[1] > 1.5 * width[0]


@pytest.mark.parametrize(("k", "n", "told"), [(0, 10, "0 of 100"), (10, 10, "100 of 100")])
def test_a_share_that_never_moves_has_no_curve(k, n, told):
    with pytest.raises(BadInput, match=told):
        fit_scurve(np.arange(10.0), np.full(10, float(k)), np.full(10, float(n)))


def test_too_few_months_are_told():
    with pytest.raises(BadInput, match="5 months"):
        fit_scurve(np.arange(5.0), np.ones(5), np.full(5, 2.0))


def test_unknown_models_are_not_in_the_denominator():
    """The original counted a model that states no dtype as one without bf16."""
    import pandas as pd

    from heritage.configs.adoption import features, monthly_share
    from heritage.configs.table import table_of

    raw = pd.DataFrame({"modelId": ["a/a", "a/b", "a/c"], "config_torch_dtype": ["bfloat16", None, "torch.float16"]})
    flags = features(table_of(raw))
    row = monthly_share(flags["bf16"], pd.Series([600.0, 600.0, 600.0])).iloc[0]
    assert (row["share"], row["n_unknown"]) == (0.5, 1)
    assert row["share_of_all"] == pytest.approx(1 / 3)
    assert flags["fp16"].tolist()[0::2] == [0.0, 1.0]
