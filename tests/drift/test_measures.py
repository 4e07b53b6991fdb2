"""Every measure against scipy or brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from heritage.drift import measures, numeric

counts = hnp.arrays(np.int64, st.integers(2, 12), elements=st.integers(0, 400)).filter(lambda a: a.sum() > 0)
values = hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(-5, 5, width=16))


def both(draw_from, size):
    return st.tuples(*[hnp.arrays(np.int64, size, elements=draw_from) for _ in range(2)]).filter(
        lambda p: p[0].sum() > 0 and p[1].sum() > 0
    )


def cells_of(sample, edges):
    return numeric.count_sorted(np.sort(sample), edges, np.dtype(np.float64))[0]


def smoothed(current, reference):
    kept = current + reference > 0
    c, r = current[kept] + 0.5, reference[kept] + 0.5
    return c / c.sum(), r / r.sum()


@given(both(st.integers(0, 400), 7))
def test_kl_and_psi_are_scipys_relative_entropies(pair):
    a, e = smoothed(*pair)
    assert measures.kl(*pair) == pytest.approx(stats.entropy(a, e), abs=1e-12)
    assert measures.psi(*pair) == pytest.approx(stats.entropy(a, e) + stats.entropy(e, a), abs=1e-12)


@given(both(st.integers(0, 400), 7))
def test_js_is_scipys_distance(pair):
    from scipy.spatial.distance import jensenshannon

    # near zero both sides lose half their digits to the square root
    assert measures.js(*pair) == pytest.approx(jensenshannon(*smoothed(*pair), base=2), abs=1e-7)


@given(both(st.integers(100, 400), 5))
def test_chi_square_is_scipys_homogeneity_test_where_no_cell_is_scarce(pair):
    expected = stats.chi2_contingency(np.array(pair), correction=False).pvalue
    assert measures.chi_square(*pair) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@given(both(st.integers(0, 40), 9))
def test_pooling_keeps_all_rows_and_leaves_no_scarce_cell_but_the_last(pair):
    current, reference = measures.pooled(*pair)
    assert (current.sum(), reference.sum()) == (pair[0].sum(), pair[1].sum())
    expected = (current + reference) * min(current.sum(), reference.sum()) / (current.sum() + reference.sum())
    assert len(expected) == 1 or (expected >= 5).all() or len(expected) < len(pair[0])


@given(values, values)
def test_the_ks_interval_holds_scipys_distance(x, y):
    edges = numeric.edges_of(np.sort(x))
    found = measures.ks(cells_of(y, edges), cells_of(x, edges))
    exact = _distance(x, y)
    assert found.low - 1e-12 <= exact <= found.high + 1e-12


def test_the_ks_interval_is_as_narrow_as_the_edges_are_close():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=50_000), rng.normal(0.2, 1.1, size=7_000)
    edges = numeric.edges_of(np.sort(x))
    found = measures.ks(cells_of(y, edges), cells_of(x, edges))
    assert found.high - found.low < 0.006
    assert found.low <= stats.ks_2samp(x, y).statistic <= found.high


@given(st.floats(0.001, 1), st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_p_value_of_ks_is_close_to_scipys_asymptotic_one(distance, n, m):
    size = np.sqrt(n * m / (n + m))
    assert measures.ks_p(distance, n, m) == stats.kstwobign.sf((size + 0.12 + 0.11 / size) * distance)
    assert measures.ks_p(0.0, n, m) == 1.0


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.floats(-1, 1), st.floats(0.3, 2))
def test_wasserstein_of_few_distinct_values_is_scipys(seed, shift, factor):
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=400) * 20) / 20
    y = np.clip(np.round((rng.normal(size=300) * factor + shift) * 20) / 20, x.min(), x.max())
    grid = np.unique(x)
    y = grid[np.clip(np.searchsorted(grid, y), 0, len(grid) - 1)]
    assert len(grid) <= numeric.MAX_EDGES
    found = measures.wasserstein(grid, cells_of(y, grid), cells_of(x, grid), 1.0)
    assert found == pytest.approx(stats.wasserstein_distance(x, y), abs=1e-9)


def test_wasserstein_of_a_continuous_column_is_close_to_scipys_and_scaled():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=20_000) * 3, rng.normal(size=5_000) * 3.5 + 1
    edges = numeric.edges_of(np.sort(x))
    found = measures.wasserstein(edges, cells_of(y, edges), cells_of(x, edges), 3.0)
    inside = np.clip(y, x.min(), x.max())
    assert found == pytest.approx(stats.wasserstein_distance(x, inside) / 3, rel=0.02)


@given(counts)
def test_equal_counts_are_no_distance(c):
    assert measures.psi(c, c) == measures.psi_debiased(c, c) == measures.kl(c, c) == 0
    assert measures.js(c, c) == 0
    assert measures.chi_square(c, c) == 1


def test_debiased_psi_is_zero_on_average_without_drift():
    rng = np.random.default_rng(5)
    shares = np.full(10, 0.1)
    plain, debiased = [], []
    for _ in range(300):
        c, r = rng.multinomial(400, shares), rng.multinomial(2_000, shares)
        plain.append(measures.psi(c, r))
        debiased.append(measures.psi_debiased(c, r))
    assert np.mean(plain) == pytest.approx(9 * (1 / 400 + 1 / 2_000), rel=0.15)
    assert np.mean(debiased) < np.mean(plain) / 3


@pytest.mark.parametrize("measure", [measures.psi, measures.psi_debiased, measures.kl, measures.js])
def test_a_measure_of_an_empty_side_is_not_defined(measure):
    some, none = np.array([3, 4]), np.array([0, 0])
    assert np.isnan(measure(none, some))
    assert np.isnan(measure(some, none))
    assert measures.chi_square(none, some) == 1.0
    assert np.isnan(measures.ks(np.zeros(3, np.int64), np.ones(3, np.int64)).low)
    assert measures.ks_p(measures.NAN, 10, 10) == measures.ks_p(0.5, 0, 10) == 1.0


def test_cells_of_equal_mass_are_ten_and_heavy_values_stand_alone():
    rng = np.random.default_rng(6)
    smooth = numeric.edges_of(np.sort(rng.normal(size=10_000)))
    groups = measures.equal_mass_cells(cells_of(rng.normal(size=10_000), smooth))
    assert groups.max() == 9
    half_zero = np.concatenate([np.zeros(5_000), rng.exponential(size=5_000)])
    edges = numeric.edges_of(np.sort(half_zero))
    fine = cells_of(half_zero, edges)
    mass = measures.coarse(fine, measures.equal_mass_cells(fine))
    assert 5_000 in mass
    assert mass.sum() == 10_000


def _distance(x, y):
    at = np.union1d(x, y)
    return max(abs((x <= t).mean() - (y <= t).mean()) for t in at)
