"""Fingerprints: right values, the same from any reading order, distances kept, files refused when damaged."""

import contextlib
import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heritage.errors import BadInput, NotFound
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.fingerprint import WHOLE, Fingerprint, common_tensors, stacked_sketches
from heritage.weights.fingerprint_codec import from_bytes, to_bytes
from heritage.weights.fingerprint_sample import BLOCK_SIDE, SAMPLE_BUDGET, SEGMENT, places, segments
from heritage.weights.fingerprinting import take_fingerprint
from heritage.weights.sketch import fold, ones_sketch, widths
from heritage.weights.write import write_safetensors

FIRST, SECOND, GOLDEN = (Path(__file__).parent / "golden" / f"fingerprint-{version}.npz" for version in (1, 2, 3))
Tensors = dict[str, torch.Tensor]


def taken(path: Path, tensors: Tensors | None = None, **options: int) -> Fingerprint:
    if tensors is not None:
        write_safetensors(path, tensors)
    with Checkpoint.open(path) as view:
        return take_fingerprint(view, **options)


def network(seed: int, width: int = 96) -> Tensors:
    g = torch.Generator().manual_seed(seed)
    return {
        "block.0.weight": torch.randn(width, width, generator=g) * 0.05,
        "block.0.bias": torch.randn(width, generator=g) * 0.01,
        "block.1.weight": torch.randn(3 * width, width, generator=g) * 0.05,
        "norm.weight": 1 + torch.randn(width, generator=g) * 1e-4,
        "norm.running_mean": torch.randn(width, generator=g) * 100,
        "norm.num_batches_tracked": torch.tensor(4711),
        "head.weight": torch.randn(10, width, generator=g),
    }


def golden_model() -> dict[str, np.ndarray]:
    """A small model made by arithmetic alone, so that no random generator can change it."""
    steps = np.arange(300 * 260, dtype=np.int64)
    return {
        "a.weight": ((steps * 7919 % 1009 - 504) / 8192).astype(np.float32).reshape(300, 260),
        "a.bias": (steps[:300] % 7 / 64).astype(np.float32),
        "b.weight": (steps[:4096] * 31 % 15 - 7).astype(np.float16).reshape(64, 64) / 16,
        "bn.num_batches_tracked": np.array(12, np.int64),
        "empty": np.zeros((0, 3), np.float32),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8], ids=str)
@pytest.mark.parametrize("shape", [(7,), (64, 64), (301, 299), (5, 3, 41, 41)], ids=str)
def test_moments_equal_those_of_scipy(tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    g = torch.Generator().manual_seed(len(shape))
    tensor = (torch.randn(shape, generator=g) ** 3 * 9 + 2).to(dtype)
    print_ = taken(tmp_path / "m.safetensors", {"w": tensor}).tensor("w")

    values = tensor.double().numpy().ravel()
    np.testing.assert_allclose(print_.squares, values @ values, rtol=1e-7)
    np.testing.assert_allclose(print_.mean, values.mean(), rtol=1e-6)
    np.testing.assert_allclose(print_.variance, values.var(), rtol=1e-6)
    np.testing.assert_allclose(print_.skewness, scipy.stats.skew(values), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(print_.kurtosis, scipy.stats.kurtosis(values), rtol=1e-4, atol=1e-5)
    assert print_.norm == np.sqrt(print_.squares)
    assert (print_.minimum, print_.maximum) == (np.float32(values.min()), np.float32(values.max()))
    assert print_.zeros == np.count_nonzero(values == 0)
    assert print_.count == values.size


def test_moments_survive_a_dominating_mean(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    tensor = 1 + torch.randn(200, 300, generator=g) * 1e-4
    print_ = taken(tmp_path / "m.safetensors", {"w": tensor}).tensor("w")
    values = tensor.double().numpy().ravel()
    np.testing.assert_allclose(print_.variance, values.var(), rtol=1e-9)
    np.testing.assert_allclose(print_.kurtosis, scipy.stats.kurtosis(values), atol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e9, 1e30, 3e38])
def test_moments_do_not_depend_on_scale(tmp_path: Path, scale: float) -> None:
    base = torch.linspace(-1, 1, 70_000) ** 3
    print_ = taken(tmp_path / "m.safetensors", {"w": base * scale}).tensor("w")
    values = (base * scale).double().numpy() / scale
    np.testing.assert_allclose(print_.kurtosis, scipy.stats.kurtosis(values), rtol=1e-5)
    np.testing.assert_allclose(print_.norm, scale * np.linalg.norm(values), rtol=1e-6)
    assert np.isfinite(taken(tmp_path / "m.safetensors").sketch).all()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(100, 100),
        torch.full((100, 100), 0.1),
        torch.full((70_000,), 3e38),
        torch.zeros(0, 3),
        torch.tensor(2.5),
        torch.full((5000,), float("nan")),
        torch.full((5000,), 60_000, dtype=torch.float16),
        torch.tensor([1e300], dtype=torch.float64),
        torch.ones(6, dtype=torch.complex64),
        torch.ones(6, dtype=torch.bool),
        torch.tensor([2**62, -(2**62)]),
    ],
    ids=lambda t: f"{t.dtype}{list(t.shape)}",
)
def test_degenerate_tensors_give_finite_statistics(tmp_path: Path, tensor: torch.Tensor) -> None:
    result = taken(tmp_path / "m.safetensors", {"w": tensor})
    print_ = result.tensor("w")
    numbers = [print_.squares, print_.mean, print_.variance, print_.skewness, print_.kurtosis, print_.maximum]
    assert np.isfinite(numbers).all()
    assert np.isfinite(result.sketch).all()
    if tensor.numel() and print_.minimum == print_.maximum:
        assert print_.variance <= (1e-7 * print_.mean) ** 2
        assert (print_.skewness, print_.kurtosis) == (0, 0)
    assert to_bytes(from_bytes(to_bytes(result))) == to_bytes(result)


def test_non_finite_values_are_counted_and_left_out(tmp_path: Path) -> None:
    clean = torch.linspace(-1, 1, 200_000)
    dirty = clean.clone()
    dirty[[3, 5000, 150_000]] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    clean[[3, 5000, 150_000]] = 0
    result = taken(tmp_path / "m.safetensors", {"dirty": dirty, "whole": clean})
    a, b = result.tensor("dirty"), result.tensor("whole")
    assert (a.non_finite, b.non_finite) == (3, 0)
    assert (a.squares, a.minimum, a.maximum) == (b.squares, -1, 1)
    assert a.zeros == b.zeros - 3


@given(
    seed=st.integers(0, 2**16),
    chunk_rows=st.integers(1, 200),
    cut=st.integers(1, 6),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_chunks_file_order_and_shards_change_nothing(
    tmp_path: Path, seed: int, chunk_rows: int, cut: int, dtype: torch.dtype
) -> None:
    tensors = {k: v.to(dtype) if v.is_floating_point() else v for k, v in network(seed, 160).items()}
    whole = taken(tmp_path / "m.safetensors", tensors)
    folder = tmp_path / "shards"
    folder.mkdir(exist_ok=True)
    names = list(np.random.default_rng(seed).permutation(list(tensors)))
    parts = {"b.safetensors": names[:cut], "a.safetensors": names[cut:]}
    for file, members in parts.items():
        write_safetensors(folder / file, {n: tensors[n] for n in members})
    index = {"weight_map": {n: file for file, members in parts.items() for n in members}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    split = taken(folder, chunk_rows=chunk_rows)

    assert to_bytes(split) == to_bytes(whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_some_values_of_matrices_are_kept_as_they_are(tmp_path: Path, dtype: torch.dtype) -> None:
    g = torch.Generator().manual_seed(3)
    tensors = {
        "word_embeddings.weight": torch.randn(700, 48, generator=g),
        "layer.0.query.weight": torch.randn(60, 48, generator=g),
        "layer.0.up.weight": torch.randn(500, 300, generator=g),
        "layer.0.norm.weight": torch.randn(48, generator=g),
    }
    result = taken(tmp_path / "m.safetensors", {k: v.to(dtype) for k, v in tensors.items()})
    for name in result.names:
        values, places_ = result.stretches(name), result.stretch_places(name)
        np.testing.assert_array_equal(values, tensors[name].to(dtype).float().numpy().ravel()[places_])
    rows = {name: len(result.stretches(name)) for name in result.names}
    assert rows["word_embeddings.weight"] > 90
    assert rows["layer.0.query.weight"] == rows["layer.0.up.weight"] == BLOCK_SIDE
    assert rows["layer.0.norm.weight"] == 0
    longer = 1 if dtype == torch.float32 else 2
    assert result.stretches("word_embeddings.weight").shape[1] == longer * SEGMENT
    assert result.stretches("layer.0.up.weight").shape[1] == longer * BLOCK_SIDE
    assert result.stretches("layer.0.query.weight").shape[1] == min(48, longer * BLOCK_SIDE)


@given(
    st.integers(1, 900),
    st.integers(1, 300),
    st.integers(1, 400),
    st.integers(1, 400),
    st.sampled_from([16, BLOCK_SIDE]),
)
def test_fewer_stretches_are_a_part_of_more(rows: int, columns: int, count: int, other: int, span: int) -> None:
    few, many = sorted((min(count, rows), min(other, rows)))
    a, b = places("w", "F32", (rows, columns), few, span), places("w", "BF16", (rows, columns), many, span)
    assert set(a.ravel().tolist()) <= set(b.ravel().tolist())
    assert b.max() < rows * columns
    assert (np.diff(b[:, 0]) >= columns).all()


@given(st.lists(st.tuples(st.sampled_from(["embed", "query", "up", "x"]), st.lists(st.integers(0, 300), max_size=3))))
def test_stretches_stay_within_the_budget(tensors: list[tuple[str, list[int]]]) -> None:
    tensors = sorted((f"{name}.{i}", shape) for i, (name, shape) in enumerate(tensors))
    shapes = [tuple(s) for _, s in tensors]
    count, spans = segments([n for n, _ in tensors], shapes, np.ones(len(tensors), bool))
    kept = sum(places(n, "F32", s, k, w).size for (n, _), s, k, w in zip(tensors, shapes, count, spans, strict=True))
    assert kept <= SAMPLE_BUDGET + SEGMENT * len(tensors)
    assert np.array_equal(count > 0, spans > 0)
    assert all(k == 0 or (len(s) > 1 and k <= s[0]) for k, s in zip(count.tolist(), shapes, strict=True))


def test_digests_are_the_checkpoints(tmp_path: Path) -> None:
    result = taken(tmp_path / "m.safetensors", network(0))
    with Checkpoint.open(tmp_path / "m.safetensors") as view:
        assert result.digest == view.digest
        assert result.digests == tuple(d[:32] for d in view.tensor_digests().values())
    without = taken(tmp_path / "m.safetensors", digests=False)
    assert without.digest == ""
    assert set(without.digests) == {""}
    assert to_bytes(from_bytes(to_bytes(without))) == to_bytes(without)


def test_squared_distances_are_kept_for_the_whole_and_for_each_tensor(tmp_path: Path) -> None:
    # given models that differ by a thousandth of their norm
    base = network(1, 400)
    models = [base] + [
        {k: v + torch.randn(v.shape) * 1e-4 if v.is_floating_point() else v for k, v in base.items()} for _ in range(6)
    ]
    prints = [taken(tmp_path / f"{i}.safetensors", m) for i, m in enumerate(models)]

    # when distances are told from sketches
    names = common_tensors(prints)
    joined, starts = stacked_sketches(prints, names)

    # then they are those of the weights
    assert names == ["block.0.bias", "block.0.weight", "block.1.weight", "head.weight", "norm.weight"]
    edges = np.append(starts, joined.shape[1])
    for i in range(1, 7):
        exact = {n: float(((models[i][n] - base[n]).double() ** 2).sum()) for n in names}
        estimate = {
            n: ((joined[i, a:b] - joined[0, a:b]) ** 2).sum() for n, a, b in zip(names, edges, edges[1:], strict=False)
        }
        for name in names:
            assert abs(estimate[name] / exact[name] - 1) < 5 * np.sqrt(2 / prints[0].own_sketch(name).size), name
        # few elements are kept without loss
        assert abs(estimate["norm.weight"] / exact["norm.weight"] - 1) < 1e-2
        whole = ((prints[i].sketch.astype(float) - prints[0].sketch) ** 2).sum()
        assert abs(whole / sum(exact.values()) - 1) < 5 * np.sqrt(2 / WHOLE)
        assert abs(sum(estimate.values()) / sum(exact.values()) - 1) < 0.15


def test_distances_hold_for_steps_along_one_row_or_column(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for axis in (0, 1):
        step = np.zeros((1024, 1024), np.float32)
        step[(slice(None), 5) if axis else (5, slice(None))] = rng.normal(size=1024)
        result = taken(tmp_path / "m.safetensors", {"w": torch.from_numpy(step)})
        assert abs((result.sketch.astype(float) ** 2).sum() / (step.astype(float) ** 2).sum() - 1) < 0.5


def test_own_sketches_compare_models_with_other_heads(tmp_path: Path) -> None:
    a, b = network(1), network(1)
    b["head.weight"] = torch.randn(500, 96)
    b["block.0.weight"] = a["block.0.weight"] + 0.001
    prints = [taken(tmp_path / f"{i}.safetensors", m) for i, m in enumerate((a, b))]
    names = common_tensors(prints)
    assert "head.weight" not in names
    joined, _ = stacked_sketches(prints, names)
    assert abs(((joined[0] - joined[1]) ** 2).sum() / (96 * 96 * 1e-6) - 1) < 0.4
    assert prints[0].architecture != prints[1].architecture
    with pytest.raises(BadInput, match="shapes"):
        stacked_sketches(prints, ["head.weight"])
    with pytest.raises(NotFound, match="no tensor 'tail'"):
        stacked_sketches(prints, ["tail"])


def test_architecture_ignores_types_and_buffers(tmp_path: Path) -> None:
    a = network(1)
    b = {k: v.bfloat16() if v.is_floating_point() else v for k, v in a.items() if "num_batches" not in k}
    prints = [taken(tmp_path / f"{i}.safetensors", m) for i, m in enumerate((a, b))]
    assert prints[0].architecture == prints[1].architecture
    assert prints[0].counters == {"norm.num_batches_tracked": 4711}
    assert prints[0].parameters - prints[1].parameters == 1


def test_a_constant_can_be_taken_out_of_a_sketch(tmp_path: Path) -> None:
    tensor = torch.linspace(1, 2, 300 * 300).reshape(300, 300)
    prints = [taken(tmp_path / f"{i}.safetensors", {"w": t}) for i, t in enumerate((tensor, tensor - 1.5))]
    width = prints[0].own_sketch("w").size
    centred = prints[0].own_sketch("w") - 1.5 * ones_sketch("w", 300 * 300, width)
    np.testing.assert_allclose(centred, prints[1].own_sketch("w"), atol=1e-2)


@given(st.lists(st.integers(0, 10**7), max_size=400), st.integers(1, 20_000))
def test_widths_are_powers_of_two_within_the_budget(sizes: list[int], budget: int) -> None:
    result = widths(np.array(sizes, np.int64), budget)
    assert result.sum() <= budget
    assert not (result & (result - 1)).any()
    assert all(w < 2 * n or w == n == 0 for w, n in zip(result.tolist(), sizes, strict=True))


def test_folding_refuses_other_widths() -> None:
    assert fold(np.arange(8.0), 2).tolist() == [12, 16]
    with pytest.raises(BadInput, match="does not fold"):
        fold(np.arange(8.0), 3)


def test_zero_masks_are_told_apart(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(300, 300, generator=g)
    mask = torch.rand(300, 300, generator=g) > 0.5
    other = mask.clone()
    other[299, 299] = ~other[299, 299]
    tensors = {"full": weight, "half": weight * mask, "same": weight * mask * 3, "other": weight * other}
    result = taken(tmp_path / "m.safetensors", tensors)
    masks = {n: result.tensor(n).mask for n in result.names}
    assert masks["full"] == 0
    assert masks["half"] == masks["same"] != masks["other"]
    assert result.tensor("half").zeros == int((~mask).sum())


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("per_row", [True, False])
def test_quantised_values_lie_on_a_grid(tmp_path: Path, bits: int, per_row: bool) -> None:
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 400, generator=g)
    top = 2 ** (bits - 1) - 1
    scale = (weight.abs().amax(dim=1, keepdim=True) if per_row else weight.abs().max()) / top
    result = taken(tmp_path / "m.safetensors", {"plain": weight, "grid": (weight / scale).round() * scale})
    assert result.tensor("plain").grid.levels == 0
    assert top / 3 <= result.tensor("grid").grid.levels <= top
    assert result.tensor("grid").grid.distinct <= 2 * top + 1 < result.tensor("plain").grid.distinct


def test_size_stays_within_64_kb_and_100_bytes_a_tensor(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    for blocks, dtype in ((1, torch.float32), (30, torch.float32), (400, torch.float32), (1, torch.bfloat16)):
        tensors = {
            f"model.layers.{i}.attention.{name}": torch.randn(40, 30, generator=g).to(dtype)
            for i in range(blocks)
            for name in ("query.weight", "key.weight", "value.weight", "query.bias", "out.weight")
        } | {"model.embed.weight": torch.randn(900, 64, generator=g).to(dtype)}
        size = len(to_bytes(taken(tmp_path / "m.safetensors", tensors)))
        assert size <= 64_000 + 100 * len(tensors)


@pytest.mark.parametrize("path", [FIRST, SECOND, GOLDEN], ids=lambda p: p.stem)
def test_a_fingerprint_of_every_release_is_still_read_and_made(tmp_path: Path, path: Path) -> None:
    golden = from_bytes(path.read_bytes(), str(path))
    write_safetensors(tmp_path / "m.safetensors", golden_model())
    now = taken(tmp_path / "m.safetensors")
    for part in ("digest", "names", "dtypes", "shapes", "grids", "digests", "counters"):
        assert getattr(now, part) == getattr(golden, part), part
    for part in ("zeros", "non_finite", "masks", "widths", "minimum", "maximum"):
        np.testing.assert_array_equal(getattr(now, part), getattr(golden, part))
    for part in ("squares", "mean", "variance", "skewness", "kurtosis"):
        np.testing.assert_allclose(getattr(now.moments, part), getattr(golden.moments, part), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(now.sketch, golden.sketch, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(now.own_sketches, golden.own_sketches, rtol=1e-6, atol=1e-6)
    if path == GOLDEN:
        assert to_bytes(golden) == path.read_bytes()
        for part in ("segments", "spans", "sampled"):
            np.testing.assert_array_equal(getattr(golden, part), getattr(now, part))


def test_what_earlier_releases_kept_is_where_it_was() -> None:
    first, second = (from_bytes(p.read_bytes(), str(p)) for p in (FIRST, SECOND))
    assert first.stretches("a.weight").shape == (0, 0)
    assert second.stretches("a.weight").shape == (106, 16)
    assert second.stretches("b.weight").shape == (64, 32)
    for name in ("a.weight", "b.weight"):
        whole = golden_model()[name].astype(np.float32).ravel()
        np.testing.assert_array_equal(second.stretches(name), whole[second.stretch_places(name)])


def changed(**parts: object) -> bytes:
    with np.load(GOLDEN, allow_pickle=False) as file:
        arrays = dict(file)
    about = json.loads(arrays["about"].tobytes())
    arrays.update({k: v for k, v in parts.items() if isinstance(v, np.ndarray)})
    about.update({k: v for k, v in parts.items() if not isinstance(v, np.ndarray)})
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


@pytest.mark.parametrize(
    "parts",
    [
        {"version": 4},
        {"version": 2},
        {"version": 1.5},
        {"segments": np.zeros(4, np.uint16)},
        {"segments": np.full(5, 60_000, np.uint16)},
        {"segments": np.array([0, 0, 0, 0, 1], np.uint16)},
        {"segments": np.array([0, 106, 64, 0, 0], np.uint16), "spans": np.zeros(5, np.uint16)},
        {"spans": np.full(5, 60_000, np.uint16)},
        {"spans": np.full(5, 16, np.uint16)},
        {"sampled": np.zeros((4, 3), np.uint8)},
        {"sampled": np.zeros(3, np.float32)},
        {"shapes": [[300], [2**61, 2**61], [64, 64], [], [0, 3]]},
        {"format": "other"},
        {"names": ["a"]},
        {"names": ["b", "a", "c", "d", "e"]},
        {"names": [1, 2, 3, 4, 5]},
        {"digest": "x"},
        {"dtypes": ["F32"] * 4 + ["F99"]},
        {"shapes": [[-1]] * 5},
        {"shapes": [[1]] * 4},
        {"shapes": 3},
        {"counters": {"nobody": 1}},
        {"counters": {"a.bias": "1"}},
        {"squares": np.zeros(4)},
        {"squares": np.zeros(5, np.float32)},
        {"squares": np.zeros(5, np.complex128)},
        {"sketch": np.zeros(1024, np.float32)},
        {"sketch": np.zeros((4, 1023), np.uint8)},
        {"sketch": np.zeros((3, 1024), np.uint8)},
        {"own_sketches": np.zeros((4, 3), np.uint8)},
        {"widths": np.full(5, 3, np.uint16)},
        {"grids": np.zeros((4, 3), np.uint16)},
        {"digests": np.zeros(79, np.uint8)},
    ],
    ids=str,
)
def test_a_wrong_fingerprint_file_is_refused(parts: dict[str, object]) -> None:
    from_bytes(changed())  # as it was, it is fine
    with pytest.raises(BadInput, match="from the weights"):
        from_bytes(changed(**parts))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_fingerprint_file_is_refused_or_read(data: st.DataObject) -> None:
    raw = bytearray(GOLDEN.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(raw)) | st.just(len(raw)))
    with contextlib.suppress(BadInput):
        from_bytes(bytes(raw[:end]))


def test_memory_is_bounded_by_the_chunk_not_the_model(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "m.safetensors", {"w": torch.randn(2500, 4096).half()})
    taken(tmp_path / "m.safetensors")  # tables that are kept between calls
    tracemalloc.start()
    taken(tmp_path / "m.safetensors")
    assert tracemalloc.get_traced_memory()[1] < 3 * 2**20
    tracemalloc.stop()
