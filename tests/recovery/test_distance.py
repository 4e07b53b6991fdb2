import numpy as np
import pytest
import torch

import heritage.recovery.stack as stack_module
from heritage.recovery.distance import measure
from heritage.recovery.metrics import METRICS, numerical_rank


def brute(family, k):
    rows = [family.values(i, k).astype(np.float64) for i in range(family.count)]
    return np.array([[((x - y) ** 2).sum() for y in rows] for x in rows])


def family_states(planter):
    root = planter.root()
    near = planter.finetuned(root, 1e-5)
    return {"root": root, "a": planter.finetuned(root), "b": planter.finetuned(root), "near": near}


def test_squared_distances_norms_and_sums_are_exact_to_single_precision(planter, planted):
    with planted(family_states(planter)) as family:
        d = family.distances
        for k in range(len(d.slots)):
            expected = brute(family, k)
            assert np.allclose(d.squared[k], expected, rtol=1e-4, atol=1e-6 * expected.max())
            rows = [family.values(i, k).astype(np.float64) for i in range(family.count)]
            assert np.allclose(d.norms[k], [(r**2).sum() for r in rows], rtol=1e-5)
            assert np.allclose(d.sums[k], [r.sum() for r in rows], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_streaming_tile_by_tile_gives_what_keeping_gives(planter, planted, monkeypatch, dtype):
    with planted(family_states(planter), dtype) as family:
        kept = family.distances
        monkeypatch.setattr(stack_module, "KEEP_BYTES", 0)
        monkeypatch.setattr(stack_module, "TILE_BYTES", 4 * 4 * 100)
        streamed = measure(family.stack, family.members)
    assert np.allclose(kept.squared, streamed.squared, rtol=1e-4, atol=1e-6)
    assert np.allclose(kept.norms, streamed.norms, rtol=1e-5)


def test_a_slot_that_a_model_lacks_is_nan_there_only(planter, planted):
    states = family_states(planter)
    states["b"] = {**states["b"], "classifier.weight": torch.zeros(3, 32), "classifier.bias": torch.zeros(3)}
    with planted(states) as family:
        d = family.distances
        k = next(k for k, s in enumerate(d.slots) if s.name == "classifier.weight" and s.shape == (5, 32))
        missing = np.isnan(d.squared[k])
        assert missing[2].all()
        assert missing[:, 2].all()
        assert missing.sum() == 2 * 4 - 1
        assert all(np.isfinite(METRICS[m](family)[~np.eye(4, dtype=bool)]).all() for m in ("auto", "l2", "cosine"))


def test_the_rank_metric_counts_ranks(planter, planted):
    root = planter.root()
    states = {"root": root, "x": planter.adapted(root, 2), "y": planter.adapted(root, 4)}
    with planted(states) as family:
        cost = METRICS["rank"](family)
    assert np.floor(cost[0, 1]) == 3 * 2
    assert np.floor(cost[0, 2]) == 3 * 4
    assert np.floor(cost[1, 2]) == 3 * 6


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_numerical_rank_cuts_rounding_off(rng, dtype):
    a = rng.normal(size=(48, 40)).astype(np.float32)
    b = (a + 0.3 * rng.normal(size=(48, 5)) @ rng.normal(size=(5, 40))).astype(np.float32)
    if dtype == "BF16":
        a, b = (torch.from_numpy(x).to(torch.bfloat16).float().numpy() for x in (a, b))
    assert numerical_rank(a, b, dtype, dtype) == 5
    assert numerical_rank(a, a, dtype, dtype) == 0
