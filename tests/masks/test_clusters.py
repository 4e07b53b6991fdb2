import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heritage.errors import BadInput
from heritage.masks.clusters import average_linkage, corrected, kmeans, published, published_hamming, shuffled
from heritage.masks.hamming import all_pairs, pack


def planted(groups=4, each=10, rows=400, flip=0.1, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.random((rows, groups)) < 0.5
    truth = np.repeat(np.arange(groups), each)
    return centres[:, truth] ^ (rng.random((rows, len(truth))) < flip), truth


def uneven(seed=0, rows=512, columns=128):
    """Masks without structure whose columns keep very different shares, as pruned layers do."""
    rng = np.random.default_rng(seed)
    density = np.where(np.arange(columns) < 110, 0.1, rng.uniform(0.4, 0.6, columns))
    return rng.random((rows, columns)) < density


def test_planted_groups_are_found_by_both():
    from sklearn.metrics import adjusted_rand_score

    mask, truth = planted()
    assert adjusted_rand_score(truth, kmeans(mask.T.astype(np.int32), 4, 0).labels) == 1
    assert adjusted_rand_score(truth, average_linkage(all_pairs(pack(mask)), 4)) == 1


def test_average_linkage_finds_noisy_groups_that_kmeans_misses():
    from sklearn.metrics import adjusted_rand_score

    mask, truth = planted(groups=8, each=16, rows=2048, flip=0.4)
    linkage = adjusted_rand_score(truth, average_linkage(all_pairs(pack(mask)), 8))
    assert linkage > adjusted_rand_score(truth, kmeans(mask.T.astype(np.int32), 8, 0).labels)
    assert linkage > 0.8


def test_inertia_is_the_sum_of_hamming_over_cluster_sizes():
    mask, _ = planted(flip=0.3)
    found = kmeans(mask.T.astype(np.int32), 5, 1)
    h = all_pairs(pack(mask))
    members = [np.flatnonzero(found.labels == c) for c in range(5)]
    assert found.inertia == pytest.approx(sum(h[np.ix_(m, m)].sum() / 2 / len(m) for m in members))


def test_published_numbers_by_their_definition():
    points = np.array([[0, 0], [0, 2], [4, 0], [4, 2]])
    found = kmeans(points, 2, 0)
    numbers = published(points, found)
    assert numbers.mean_within_cluster == pytest.approx(1.0)
    assert numbers.mean_between_cluster == pytest.approx(4.0)
    assert numbers.separation_ratio == pytest.approx(4.0)
    assert numbers.total_inertia == pytest.approx(4.0)
    assert sorted(numbers.cluster_sizes) == [2, 2]
    assert numbers.cluster_balance_std == 0


def test_singletons_inflate_the_published_ratio_and_not_the_corrected_one():
    """A cluster of one counted as within 0.0: masks without any structure then 'separate' three times."""
    mask = uneven()
    h = all_pairs(pack(mask))
    found = kmeans(mask.T.astype(np.int32), 16, 0)
    old = published_hamming(h / len(mask), found.labels, 16, np.random.default_rng(0))
    new = corrected(h, found.labels)
    assert new.n_singletons > 5
    assert old.separation_ratio > 1.5 * new.separation_ratio


def test_corrected_means_are_over_pairs():
    h = np.array([[0, 1, 5, 7], [1, 0, 5, 7], [5, 5, 0, 9], [7, 7, 9, 0]])
    found = corrected(h, np.array([0, 0, 1, 2]))
    assert found.mean_within == 1.0
    assert found.mean_between == pytest.approx((5 + 7 + 5 + 7 + 9) / 5)
    assert found.n_singletons == 2


def test_structure_beats_the_null_and_noise_does_not():
    rng = np.random.default_rng(0)

    def p_value(mask):
        def ratio(m):
            return corrected(all_pairs(pack(m)), kmeans(m.T.astype(np.int32), 4, 0).labels).separation_ratio

        null = [ratio(shuffled(mask, rng)) for _ in range(9)]
        return corrected(all_pairs(pack(mask)), kmeans(mask.T.astype(np.int32), 4, 0).labels, null).null_p

    assert p_value(planted(flip=0.2)[0]) == pytest.approx(0.1)
    # p is uniform where there is nothing to find; four draws of it are not all at the lower end
    assert np.mean([p_value(uneven(seed, rows=256, columns=64)) for seed in range(4)]) > 0.2


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_shuffling_keeps_row_and_column_sums_and_moves_entries(seed):
    mask = np.random.default_rng(seed).random((40, 12)) < 0.4
    drawn = shuffled(mask, np.random.default_rng(seed))
    np.testing.assert_array_equal(drawn.sum(axis=0), mask.sum(axis=0))
    np.testing.assert_array_equal(drawn.sum(axis=1), mask.sum(axis=1))
    assert (drawn != mask).any()


def test_published_between_draws_follow_the_seed():
    """They came from an unseeded generator: two runs of the same command disagreed."""
    mask, truth = planted(flip=0.3)
    h = all_pairs(pack(mask)) / len(mask)
    first, again = (published_hamming(h, truth, 4, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.between, again.between)
    np.testing.assert_array_equal(first.between, first.between.T)


def test_alike_points_fill_fewer_clusters_without_a_warning():
    found = kmeans(np.array([[0, 1], [0, 1], [1, 0], [1, 0]]), 3, 0)
    assert len(np.unique(found.labels)) == 2
    assert published(np.eye(4), kmeans(np.eye(4), 1, 0)).mean_between_cluster == 0


@pytest.mark.parametrize("k", [0, 6])
def test_more_clusters_than_features_are_refused(k):
    with pytest.raises(BadInput, match="1 to 5"):
        kmeans(np.eye(5), k, 0)
    with pytest.raises(BadInput, match="1 to 5"):
        average_linkage(1 - np.eye(5), k)
