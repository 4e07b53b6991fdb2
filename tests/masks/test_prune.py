import numpy as np
import pytest
import torch

from heritage.errors import BadInput, NotFound
from heritage.masks.evidence import between, evidence, phi, reprune
from heritage.masks.network import COMPONENTS, FEED, WIDTH, layer_and_inputs, trained
from heritage.masks.prune import METHODS, kept, prune

RNG = np.random.default_rng(0)


def layer(seed=0, out=24, inside=64, n=500):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(0, 1, (inside, inside)) / 8
    inputs = (rng.normal(0, 1, (n, inside)) @ mixing * rng.uniform(0.1, 3, inside)).astype(np.float32)
    return rng.normal(0, 1, (out, inside)).astype(np.float32), inputs


def loss(weights, pruned, inputs):
    return float(np.linalg.norm(inputs @ (weights - pruned).T) / np.linalg.norm(inputs @ weights.T))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.75])
def test_the_share_asked_for_is_zero(method, sparsity):
    weights, inputs = layer()
    assert (prune(weights, inputs, method, sparsity) == 0).mean() == pytest.approx(sparsity, abs=0.01)


def test_wanda_keeps_the_largest_products_row_by_row():
    weights, inputs = layer()
    pruned = prune(weights, inputs, "wanda")
    scores = np.abs(weights) * np.linalg.norm(inputs, axis=0)
    for row in range(len(weights)):
        gone = pruned[row] == 0
        assert gone.sum() == 32
        assert scores[row][gone].max() <= scores[row][~gone].min()
        np.testing.assert_array_equal(pruned[row][~gone], weights[row][~gone])


def test_better_methods_lose_less():
    weights, inputs = layer()
    lost = {m: loss(weights, prune(weights, inputs, m), inputs) for m in METHODS}
    assert lost["sparsegpt"] < lost["wanda"] < lost["magnitude"]


def test_sparsegpt_is_the_least_squares_answer_for_one_pruned_weight():
    weights, inputs = layer(out=1, inside=8)
    pruned = prune(weights, inputs, "sparsegpt", 0.125)
    zero = np.flatnonzero(pruned[0] == 0)
    assert len(zero) == 1
    # only columns to the right of the pruned one may make up for it
    right = np.arange(zero[0] + 1, 8)
    target = inputs[:, zero[0]] * weights[0, zero[0]]
    change = np.linalg.lstsq(inputs[:, right].astype(float), target.astype(float), rcond=None)[0] if len(right) else []
    np.testing.assert_allclose(pruned[0, right] - weights[0, right], change, rtol=0.15, atol=0.03)


def test_inputs_that_never_fire_do_no_harm():
    weights, inputs = layer()
    inputs[:, 5] = 0
    pruned = prune(weights, inputs, "sparsegpt")
    assert np.isfinite(pruned).all()
    assert (pruned[:, 5] == 0).all()


@pytest.mark.parametrize(
    ("method", "sparsity", "width", "told"),
    [
        ("ziplm", 0.5, 64, "not known"),
        ("wanda", 0.0, 64, "between"),
        ("wanda", 1.0, 64, "between"),
        ("wanda", 0.5, 63, "need"),
    ],
)
def test_wrong_requests_are_told(method, sparsity, width, told):
    weights, inputs = layer()
    with pytest.raises(BadInput, match=told):
        prune(weights, inputs[:, :width], method, sparsity)


def test_ties_go_by_index():
    assert kept(np.zeros((1, 4)), 0.5).tolist() == [[False, False, True, True]]


@pytest.fixture(scope="module")
def network():
    return trained(seed=0, epochs=0)


@pytest.mark.slow
def test_the_network_learns():
    net, x, y = trained(seed=0, epochs=4)
    with torch.no_grad():
        assert (net(torch.from_numpy(x)).argmax(1).numpy() == y).mean() > 0.6


def test_its_parts_have_the_names_of_large_models(network):
    net, x, _ = network
    for component in COMPONENTS:
        weights, inputs = layer_and_inputs(net, x[:16], 1, component)
        assert weights.shape[1] == inputs.shape[1] == (FEED if component == "mlp.down_proj" else WIDTH)
        assert len(inputs) == 16 * 8


def test_training_leaves_the_global_stream_alone():
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    trained(epochs=0)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("number", "component"), [(2, "mlp.up_proj"), (-1, "mlp.up_proj"), (0, "mlp.gone")])
def test_parts_that_do_not_exist_are_not_found(network, number, component):
    with pytest.raises(NotFound):
        layer_and_inputs(network[0], network[1][:4], number, component)


def test_a_child_that_kept_the_mask_is_known_by_containment():
    weights, inputs = layer()
    parent = prune(weights, inputs, "wanda")
    child = parent * RNG.uniform(0.9, 1.1, parent.shape).astype(np.float32)
    found = evidence(parent, child)
    assert found.kept_mask
    assert found.phi == pytest.approx(1.0)


def test_a_densely_tuned_child_is_known_by_pruning_again_and_a_stranger_is_not():
    weights, inputs = layer()
    norms = np.linalg.norm(inputs, axis=0)
    parent = prune(weights, inputs, "wanda")
    tuned = weights + 0.02 * RNG.normal(0, 1, weights.shape).astype(np.float32)
    strangers = [layer(seed)[0] for seed in range(1, 9)]
    related = evidence(parent, tuned, strangers, norms)
    assert not related.kept_mask
    assert related.repruned_phi > 0.9
    assert related.z > 10
    stranger = evidence(parent, layer(20)[0], strangers, norms)
    assert abs(stranger.z) < 5
    # inputs shared by all models shape all masks: the null does not lie at 0
    assert stranger.repruned_phi > 0.1


def test_phi_is_a_correlation():
    a, b = RNG.random((20, 20)) < 0.3, RNG.random((20, 20)) < 0.6
    assert phi(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert np.isnan(phi(a, np.ones_like(a)))


def test_repruning_keeps_as_many_in_each_row():
    like = RNG.random((6, 30)) < RNG.random((6, 1))
    np.testing.assert_array_equal(reprune(RNG.normal(0, 1, (6, 30)), like).sum(axis=1), like.sum(axis=1))


@pytest.mark.parametrize(
    ("parent", "child", "told"),
    [(np.ones((2, 2)), np.ones((2, 2)), "no weight is zero"), (np.zeros((2, 2)), np.ones((2, 2)), "every weight"),
     (np.eye(2), np.eye(3), "cannot be compared")],
)  # fmt: skip
def test_evidence_needs_a_mask_and_one_shape(parent, child, told):
    with pytest.raises(BadInput, match=told):
        evidence(parent, child)


def tensors_of(seed, pruned=True):
    """Two layers, magnitude-pruned by half where asked for, and a bias that has no mask."""
    tensors = {"a": layer(seed)[0], "b": layer(seed + 1)[0][:, :16], "bias": np.ones(4, np.float32)}
    if pruned:
        tensors |= {n: np.where(np.abs(w) > np.median(np.abs(w)), w, 0) for n, w in tensors.items() if w.ndim == 2}
    return tensors


def test_evidence_of_networks_adds_up_over_their_matrices():
    parent = tensors_of(40)
    tuned = {n: np.where(w != 0, w + np.float32(0.01), 0).astype(np.float32) for n, w in parent.items()}

    kept = between(parent, tuned, [tensors_of(s, pruned=False) for s in (50, 60, 70)])
    stranger = between(parent, tensors_of(80, pruned=False))

    assert kept.kept_mask
    assert kept.phi == pytest.approx(1.0)
    assert kept.repruned_phi == pytest.approx(1.0)
    assert kept.z > 10
    assert abs(stranger.repruned_phi) < 0.2
    # one matrix alone gives what the function for one matrix gives
    alone = between({"a": parent["a"]}, {"a": tensors_of(80, pruned=False)["a"]})
    single = evidence(parent["a"], tensors_of(80, pruned=False)["a"])
    assert (alone.containment, alone.hamming, alone.repruned_phi) == (
        single.containment, single.hamming, single.repruned_phi,
    )  # fmt: skip


def test_evidence_of_networks_needs_a_shared_mask():
    dense = tensors_of(40, pruned=False)
    for parent, child in ((dense, dense), (tensors_of(40), {"bias": np.ones(4, np.float32)}), ({}, {})):
        with pytest.raises(BadInput, match="no mask that the child could share"):
            between(parent, child)
