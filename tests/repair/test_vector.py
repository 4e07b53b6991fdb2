"""Vector algebra: the laws of a linear space, torch.lerp as oracle, and the rules of each kind of tensor."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from heritage.errors import BadInput
from heritage.repair.lora import merge_lora
from heritage.repair.tensors import TensorClass, align_rows, combine, pruned_names, tensor_class
from heritage.repair.vector import apply, cosine, difference, interpolate, norm, state_norm, trim

finite = st.floats(-4, 4, allow_nan=False)


def state(seed: int, **extra: torch.Tensor) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=g),
        "bn.weight": torch.rand(4, generator=g) + 0.5,
        "bn.bias": torch.randn(4, generator=g),
        "bn.running_mean": torch.randn(4, generator=g),
        "bn.running_var": torch.rand(4, generator=g) + 0.1,
        "bn.num_batches_tracked": torch.tensor(seed),
        "head.weight": torch.randn(5, 4, generator=g),
        **extra,
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@given(a=st.floats(0, 1))
def test_one_donor_is_exactly_torch_lerp(a):
    drifted, donor = state(1), state(2)
    repaired = interpolate(drifted, donor, a)
    for name, tensor in drifted.items():
        if tensor.dtype.is_floating_point:
            expected = torch.lerp(tensor, donor[name], a) if a else tensor
            assert torch.equal(repaired[name], expected)


def test_the_ends_of_the_line_are_the_models_themselves():
    drifted, donor = state(1), state(2)
    assert same(interpolate(drifted, donor, 0.0), drifted)
    assert same(interpolate(drifted, donor, 1.0), donor | {"bn.num_batches_tracked": torch.tensor(1)})


@given(a=finite, b=finite)
def test_vectors_scale_and_add_linearly(a, b):
    one, other = difference(state(2), state(1)), difference(state(3), state(1))
    both = a * one + b * other
    for name in one:
        assert torch.allclose(both[name], a * one[name] + b * other[name], atol=1e-5)
    assert norm(a * one) == pytest.approx(abs(a) * norm(one), rel=1e-5)


def test_a_sum_of_vectors_reaches_where_the_separate_vectors_reach():
    drifted = state(1)
    one, other = difference(state(2), drifted), difference(state(3), drifted)
    separate = apply(drifted, [one, other], [0.25, 0.5])
    together = apply(drifted, [0.25 * one + 0.5 * other], [1.0])
    assert all(torch.allclose(separate[n], together[n], atol=1e-6) for n in drifted)


def test_cosine_and_norm_agree_with_flat_arithmetic():
    one, other = difference(state(2), state(1)), difference(state(3), state(1))
    flat = [torch.cat([v[n].flatten() for n in v]) for v in (one, other)]
    assert norm(one) == pytest.approx(float(flat[0].norm()), rel=1e-5)
    assert cosine(one, other) == pytest.approx(float(torch.cosine_similarity(*flat, dim=0)), abs=1e-5)
    assert norm(one, [TensorClass.BIAS]) == pytest.approx(float(one["bn.bias"].norm()), rel=1e-5)
    assert cosine(one, 0.0 * one) == 0.0


def test_trim_keeps_the_largest_entries_of_the_whole_vector_and_all_statistics():
    vector = difference(state(2), state(1))
    trimmed = trim(vector, 0.2)
    names = [n for n in vector if "running" not in n]
    before = torch.cat([vector[n].abs().flatten() for n in names])
    after = torch.cat([trimmed[n].abs().flatten() for n in names])
    assert int((after > 0).sum()) == round(0.2 * before.numel())
    assert torch.equal(after[after > 0].sort().values, before.sort().values[-int((after > 0).sum()) :])
    assert torch.equal(trimmed["bn.running_var"], vector["bn.running_var"])


def test_classes_of_tensors():
    names = {n: tensor_class(n, t) for n, t in state(1, **{"tok_embed.weight": torch.ones(3, 2)}).items()}
    assert names == {
        "conv.weight": "matrix",
        "bn.weight": "norm",
        "bn.bias": "bias",
        "bn.running_mean": "statistic",
        "bn.running_var": "statistic",
        "bn.num_batches_tracked": "buffer",
        "head.weight": "matrix",
        "tok_embed.weight": "embedding",
    }


def test_counters_come_from_the_drifted_model():
    repaired = interpolate(state(1), state(2), 0.7)
    assert repaired["bn.num_batches_tracked"] == 1
    assert repaired["bn.num_batches_tracked"].dtype == torch.int64


def test_extrapolated_variances_stay_positive():
    drifted, donor = state(1), state(2)
    drifted["bn.running_var"], donor["bn.running_var"] = torch.tensor([1.0, 1, 1, 0]), torch.tensor([3.0, 1, 1, 0])
    variance = interpolate(drifted, donor, -2.0)["bn.running_var"]
    assert variance.tolist() == pytest.approx([1e-5, 1, 1, 0])


def test_a_different_head_is_left_and_listed():
    drifted, donor = state(1), state(2)
    donor["head.weight"] = torch.randn(7, 4)
    donor["extra.weight"] = torch.randn(2, 2)
    vector = difference(donor, drifted)
    left = {part.name: part.reason for part in vector.left}
    assert "shape (5, 4), the donor has (7, 4)" in left["head.weight"]
    assert left["extra.weight"] == "only the donor has it"
    assert torch.equal(apply(drifted, [vector], [0.5])["head.weight"], drifted["head.weight"])


def test_nothing_in_common_is_refused():
    with pytest.raises(BadInput, match="share no tensor"):
        difference({"a": torch.ones(2)}, {"b": torch.ones(2)})


def test_pruned_zeros_survive():
    drifted, donor = state(1), state(2)
    drifted["head.weight"] = drifted["head.weight"] * (torch.arange(20).reshape(5, 4) % 2)
    repaired = interpolate(drifted, donor, 0.5)["head.weight"]
    assert pruned_names(drifted) == ("head.weight",)
    assert torch.equal(repaired == 0, drifted["head.weight"] == 0)


def test_tied_tensors_move_once_and_stay_tied():
    drifted, donor = state(1), state(2)
    drifted["tail.weight"], donor["tail.weight"] = drifted["head.weight"], donor["head.weight"]
    vector = difference(donor, drifted)
    repaired = apply(drifted, [vector], [0.5])
    assert "tail.weight" not in vector
    assert repaired["tail.weight"] is repaired["head.weight"]
    assert state_norm(drifted) == pytest.approx(state_norm(state(1)))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantised_weights_are_refused_with_the_way_out(dtype):
    drifted, donor = state(1), state(2)
    donor["head.weight"] = torch.ones(5, 4).to(dtype)
    with pytest.raises(BadInput, match=r"donor: tensor 'head\.weight' is quantised.*float parent"):
        difference(donor, drifted)


def test_unmerged_lora_is_refused():
    with pytest.raises(BadInput, match="merge the adapter"):
        difference(state(2), state(1, **{"fc.lora_A.weight": torch.ones(2, 4)}))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", ["donor", "drifted"])
def test_values_that_are_not_finite_are_refused_by_name(value, which):
    drifted, donor = state(1), state(2)
    (donor if which == "donor" else drifted)["bn.bias"][2] = value
    with pytest.raises(BadInput, match=rf"{which}.*'bn\.bias' holds 1 NaN or infinite"):
        interpolate(drifted, donor, 0.0 if which == "neither" else 0.5)


@pytest.mark.parametrize("a", [math.nan, math.inf])
def test_a_coefficient_that_is_not_finite_is_refused(a):
    with pytest.raises(BadInput, match="finite number"):
        interpolate(state(1), state(2), a)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    drifted = {n: t.to(dtype) if t.dtype.is_floating_point else t for n, t in state(1).items()}
    donor = state(2)
    repaired = interpolate(drifted, donor, 0.3)["conv.weight"]
    assert torch.equal(repaired, torch.lerp(drifted["conv.weight"].float(), donor["conv.weight"], 0.3).to(dtype))


def test_a_result_beyond_half_precision_is_refused():
    drifted, donor = {"w": torch.tensor([60000.0], dtype=torch.float16)}, {"w": torch.tensor([60000.0 * 4])}
    with pytest.raises(BadInput, match="repaired model"):
        interpolate(drifted, donor, 1.0)


@given(cut=st.integers(1, 400), a=st.floats(0, 1), b=st.floats(0, 1))
def test_a_mix_does_not_depend_on_how_it_is_sliced(cut, a, b):
    g = torch.Generator().manual_seed(0)
    parts = [torch.randn(1000, generator=g) for _ in range(3)]
    whole = combine(parts[0], parts[1:], [a, b])
    sliced = [combine(d, [x, y], [a, b]) for d, x, y in zip(*(p.split(cut) for p in parts), strict=True)]
    assert torch.equal(whole, torch.cat(sliced))


def test_embeddings_are_matched_by_token():
    drifted, donor = torch.zeros(3, 2), torch.arange(8.0).reshape(4, 2)
    assert align_rows(donor, drifted, {0: 3, 2: 0}).tolist() == [[6, 7], [0, 0], [0, 1]]
    with pytest.raises(BadInput, match="same width"):
        align_rows(torch.zeros(3, 5), drifted, {})


def test_lora_is_merged_into_its_base():
    g = torch.Generator().manual_seed(0)
    a, b, w = torch.randn(2, 6, generator=g), torch.randn(5, 2, generator=g), torch.randn(5, 6, generator=g)
    merged = merge_lora({"fc.base_layer.weight": w, "fc.lora_A.default.weight": a, "fc.lora_B.default.weight": b}, 0.5)
    assert list(merged) == ["fc.weight"]
    assert torch.allclose(merged["fc.weight"], w + 0.5 * b @ a, atol=1e-6)
    with pytest.raises(BadInput, match="lacks"):
        merge_lora({"fc.weight": w, "fc.lora_A.weight": a}, 1.0)
