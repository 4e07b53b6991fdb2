import numpy as np
import pytest
import torch

import heritage.recovery.stack as stack_module
from heritage.errors import Misconfigured
from heritage.recovery.distance import measure
from heritage.recovery.metrics import METRICS, numerical_rank
from heritage.recovery.models import NotFinite


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sketches_of_large_models_give_nearly_the_distances_and_exact_norms(planted, monkeypatch, dtype):
    generator = torch.Generator().manual_seed(0)
    root = {
        "a.weight": torch.randn(300, 277, generator=generator),
        "b.weight": torch.randn(90, 30, generator=generator),
    }
    states = {"root": root}
    for i in range(12):
        states[str(i)] = {k: v + 0.01 * torch.randn(v.shape, generator=generator) for k, v in root.items()}
    states["column"] = {**root, "a.weight": root["a.weight"] + 0.1 * (torch.arange(277) == 5)}
    with planted(states, dtype) as family:
        exact = family.distances
        monkeypatch.setattr(stack_module, "KEEP_BYTES", 0)
        streamed = measure(family.stack, family.members)
        again = measure(family.stack, family.members, exact=True)
    large = next(k for k, s in enumerate(exact.slots) if s.name == "a.weight")
    off = ~np.eye(len(states), dtype=bool)
    error = (streamed.squared[large] / np.where(off, exact.squared[large], 1.0) - 1)[off]
    assert 0 < np.abs(error).max() < 0.25
    assert np.sqrt((error**2).mean()) < 0.05
    assert np.allclose(again.squared, exact.squared, rtol=1e-3, atol=1e-6)
    assert np.allclose(streamed.squared[1 - large], exact.squared[1 - large], rtol=1e-3, atol=1e-6)
    assert np.allclose(streamed.norms, exact.norms, rtol=1e-6)
    assert np.isnan(streamed.sums[large]).all()  # of matrices they tell nothing
    assert np.allclose(streamed.sums[1 - large], exact.sums[1 - large], rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e30])
@pytest.mark.parametrize("kept_bytes", [0, 2**30], ids=["streamed", "kept"])
def test_a_model_with_immense_weights_is_named(planted, monkeypatch, value, kept_bytes):
    monkeypatch.setattr(stack_module, "KEEP_BYTES", kept_bytes)
    states = {str(i): {"a.weight": torch.full((300, 277), 1.0 + i)} for i in range(13)}
    states["7"]["a.weight"][299, 276] = value
    with pytest.raises(NotFinite, match=r"'7'.*a\.weight"), planted(states):
        pass


def test_a_device_that_is_not_there_is_an_error(planter, planted):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with planted(family_states(planter)) as family, pytest.raises(Misconfigured, match="--device cpu"):
        measure(family.stack, family.members, "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_another_device_gives_the_same_distances(planter, planted):
    with planted(family_states(planter)) as family:
        there = measure(family.stack, family.members, "cuda")
        assert np.allclose(there.squared, family.distances.squared, rtol=1e-3, atol=1e-6)


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


def test_sums_of_a_long_vector_are_exact_where_it_is_sketched(planted, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    states = {str(i): {"a.bias": torch.randn(90_001, generator=generator)} for i in range(13)}
    with planted(states) as family:
        exact = family.distances
        monkeypatch.setattr(stack_module, "KEEP_BYTES", 0)
        streamed = measure(family.stack, family.members)
    assert np.abs(streamed.squared - exact.squared).max() > 0
    assert np.allclose(streamed.sums, exact.sums, rtol=1e-4, atol=1e-1)
    assert np.allclose(streamed.norms, exact.norms, rtol=1e-6)
