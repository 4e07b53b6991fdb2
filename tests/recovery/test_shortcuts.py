"""What is left out to save time would have changed nothing."""

from itertools import combinations

import numpy as np
import pytest

from heritage.recovery.proofs.linear import clouds_of
from heritage.recovery.proofs.quantise import _ruled_out, find_grid
from heritage.recovery.proofs.ties import _SLACK, _misfit, _possible, _telling
from heritage.testing import relations as made


@pytest.mark.parametrize("merged", ["m", "a"])
def test_no_attempt_at_a_ties_merge_is_left_out_that_fits(planter, planted, merged):
    root = planter.root()
    states = {"root": root, **{n: planter.finetuned(root, 0.03) for n in "abcde"}}
    states["m"] = made.ties(root, [states["a"], states["b"]], 0.4)
    place = list(states).index(merged)
    with planted(states) as family:
        (cloud,) = clouds_of(family)
    pool = [i for i in range(len(states)) if i != place]
    some = np.linspace(0, cloud.raw.shape[1] - 1, 512).astype(np.int64)
    telling = _telling(cloud, place, pool, some)
    assert set(telling) <= set(some)
    for count in (2, 3):
        every = [(b, p) for b in pool for p in combinations([i for i in pool if i != b], count)]
        possible = _possible(cloud, place, pool, count, telling)
        assert possible == [t for t in every if t in possible]
        assert {t for t in every if _misfit(cloud, place, *t) < _SLACK} <= set(possible)
        assert len(possible) < len(every) / 4
        # over the same columns it is the same sum
        few = [t for t in every if _misfit(cloud, place, *t, telling) * len(telling) < 2 * _SLACK * cloud.raw.shape[1]]
        assert possible == few
    if merged == "m":
        assert (0, (1, 2)) in _possible(cloud, place, pool, 2, telling)


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize(("shape", "step"), [((80, 64), "none"), ((80, 64), "row"), ((80, 64), "tensor"),
                                             ((9, 2000), "row"), ((900, 3), "row"), ((700, 8), "column")])  # fmt: skip
def test_a_matrix_is_ruled_out_only_where_no_grid_would_be_found(rng, shape, step, dtype):
    matrix = rng.normal(size=shape).astype(np.float32)
    axis = {"row": 1, "column": 0, "tensor": None, "none": None}[step]
    if step != "none":
        size = np.abs(matrix).max(axis=axis, keepdims=True) / np.float32(127)
        matrix = (np.round(matrix / size) * size).astype(np.float32)
    if _ruled_out(matrix[: 3 + 1024 // shape[1] + 512 // shape[1]], dtype):
        assert find_grid(matrix, dtype, partial=True) is None
        assert step not in ("row", "tensor") or shape[1] < 4
    else:
        assert step != "none" or dtype == "BF16"
