import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heritage.errors import BadInput
from heritage.masks.hamming import all_pairs, distances, nearest, pack

try:
    import numba  # noqa: F401 whether it is there decides which engines are tested

    ENGINES = ["numba", "numpy"]
except ImportError:
    ENGINES = ["numpy"]


def brute(mask):
    return (mask.T[:, None, :] != mask.T[None, :, :]).sum(axis=2)


def random_mask(rows, columns, seed, kept=0.5):
    return np.random.default_rng(seed).random((rows, columns)) < kept


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(1, 2), (7, 5), (64, 70), (65, 300), (130, 200)])
def test_all_pairs_equal_counting(shape, engine):
    mask = random_mask(*shape, seed=1)
    np.testing.assert_array_equal(all_pairs(pack(mask), engine), brute(mask))


@given(st.integers(1, 200), st.integers(2, 30), st.integers(0, 10_000))
def test_distances_equal_counting_and_kept_counts(rows, columns, seed):
    mask = random_mask(rows, columns, seed, kept=0.3)
    packed = pack(mask)
    np.testing.assert_array_equal(distances(packed, columns - 1), brute(mask)[columns - 1])
    np.testing.assert_array_equal(packed.kept, mask.sum(axis=0))


@given(st.integers(0, 10_000), st.integers(1, 19))
def test_nearest_is_a_stable_sort_without_the_feature_itself(seed, n):
    mask = random_mask(6, 20, seed)  # few rows: many ties
    index, distance = nearest(pack(mask), 7, n)
    full = brute(mask)[7]
    order = [j for j in np.argsort(full, kind="stable") if j != 7][:n]
    assert index.tolist() == order
    assert distance.tolist() == full[order].tolist()


def test_scipy_agrees():
    from scipy.spatial.distance import cdist

    mask = random_mask(100, 40, seed=3)
    np.testing.assert_allclose(all_pairs(pack(mask)) / 100, cdist(mask.T, mask.T, "hamming"))


@pytest.mark.parametrize("n", [0, 5, 100])
def test_more_neighbours_than_features_are_refused_with_the_limit(n):
    with pytest.raises(BadInput, match="4 others"):
        nearest(pack(random_mask(8, 5, seed=0)), 0, n)


@pytest.mark.parametrize("feature", [-1, 5])
def test_features_that_do_not_exist_are_refused(feature):
    with pytest.raises(BadInput, match="0 to 4"):
        distances(pack(random_mask(8, 5, seed=0)), feature)


def test_unknown_engines_are_refused():
    with pytest.raises(BadInput, match="not known"):
        all_pairs(pack(random_mask(8, 5, seed=0)), "gpu")
