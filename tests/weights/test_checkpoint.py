"""The view over weights files: values, digests, shards, and files that change under it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heritage.errors import BadInput, NotFound, UnsafeCheckpoint
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.limits import Limits
from heritage.weights.write import write_safetensors

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool, torch.complex64,
]  # fmt: skip


def save(path: Path, **tensors: torch.Tensor) -> Path:
    safetensors.torch.save_file({k.replace("__", "."): v for k, v in tensors.items()}, path)
    return path


def shards(folder: Path, parts: dict[str, dict[str, torch.Tensor]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, tensors in parts.items():
        safetensors.torch.save_file(tensors, folder / name)
    index = {"metadata": {}, "weight_map": {t: name for name, tensors in parts.items() for t in tensors}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_values_of_every_type_equal_those_of_torch(tmp_path: Path, dtype: torch.dtype) -> None:
    width = torch.empty((), dtype=dtype).element_size()
    bits = np.arange(256 * width, dtype=np.uint8).reshape(-1)  # every byte value
    tensor = torch.from_numpy(bits % 2 if dtype == torch.bool else bits).view(dtype).reshape(16, -1)
    path = save(tmp_path / "m.safetensors", w=tensor)

    with Checkpoint.open(path) as view:
        read, state = view.read("w"), view.torch_state()["w"]

    small = tensor.is_floating_point() and width < 4 and dtype != torch.float16
    expected = (tensor.float() if small else tensor).numpy()
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)
    assert state.dtype == dtype
    assert torch.equal(state.view(torch.uint8), tensor.view(torch.uint8))


def test_packed_four_bit_floats_and_powers_of_two(tmp_path: Path) -> None:
    packed = torch.tensor([[0x10, 0x32], [0x7F, 0x98]], dtype=torch.uint8)
    scales = torch.tensor([0, 127, 254, 255], dtype=torch.uint8)
    path = save(
        tmp_path / "m.safetensors",
        four=packed.view(torch.float4_e2m1fn_x2),
        scale=scales.view(torch.float8_e8m0fnu),
    )
    with Checkpoint.open(path) as view:
        assert view.read("four").tolist() == [[0, 0.5, 1, 1.5], [-6, 6, -0.0, -0.5]]
        np.testing.assert_array_equal(view.read("scale"), np.float32([2**-127, 1, 2.0**127, np.nan]))
        assert torch.equal(view.torch_state()["four"].view(torch.uint8), packed)
        with pytest.raises(NotFound, match="no tensor 'five'; it holds 2: four, scale"):
            view.read("five")


def test_read_f32_refuses_complex_and_keeps_shapes(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.safetensors",
        c=torch.zeros(2, dtype=torch.complex64),
        scalar=torch.tensor(3),
        none=torch.zeros(0, 4),
        huge=torch.tensor([1e300], dtype=torch.float64),
    )
    with Checkpoint.open(path) as view:
        with pytest.raises(BadInput, match="'c' is complex"):
            view.read_f32("c")
        assert view.read_f32("scalar").shape == ()
        assert view.read_f32("none").shape == (0, 4)
        assert view.read_f32("huge").tolist() == [float("inf")]
        assert list(view.chunks("none")) == []


def test_summary_of_a_model(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.safetensors",
        b=torch.ones(3, 2, dtype=torch.bfloat16),
        a=torch.ones(4),
        count=torch.zeros(100, dtype=torch.int64),
    )
    with Checkpoint.open(path) as view:
        assert list(view.tensors) == ["a", "b", "count"]
        assert (view.parameters, view.dtype, view.files) == (110, "BF16", (path,))
        assert view.size_bytes == path.stat().st_size
        info = view.tensors["b"]
        assert (info.dtype, info.shape, info.count, info.size_bytes) == ("BF16", (3, 2), 6, 12)


@given(st.integers(1, 200), st.sampled_from(["F64", "BF16", "I8"]))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_chunks_put_together_are_the_tensor(tmp_path: Path, size_bytes: int, kind: str) -> None:
    dtype = {"F64": torch.float64, "BF16": torch.bfloat16, "I8": torch.int8}[kind]
    tensor = torch.arange(77).to(dtype)
    with Checkpoint.open(save(tmp_path / "m.safetensors", w=tensor)) as view:
        chunks = list(view.chunks("w", size_bytes))
    assert b"".join(chunks) == bytes(tensor.view(torch.uint8).numpy())
    assert all(len(c) % tensor.element_size() == 0 for c in chunks)
    assert all(len(c) <= max(size_bytes, tensor.element_size()) for c in chunks)


def test_digest_does_not_depend_on_order_split_or_metadata(tmp_path: Path) -> None:
    tensors = {f"layer.{i}.w": torch.randn(4, i + 1) for i in range(6)}
    names = list(tensors)
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    write_safetensors(one, tensors)
    write_safetensors(other, dict(reversed(tensors.items())), {"author": "<b>me</b>"})
    folder = shards(
        tmp_path / "sharded",
        {
            "model-00001-of-00002.safetensors": {n: tensors[n] for n in names[::2]},
            "model-00002-of-00002.safetensors": {n: tensors[n] for n in names[1::2]},
        },
    )
    paths = [one, other, folder, folder / "model.safetensors.index.json"]

    digests = set()
    for path in paths:
        with Checkpoint.open(path) as view:
            digests.add((view.digest, tuple(view.tensor_digests().items())))
            assert torch.equal(view.torch_state()[names[3]], tensors[names[3]])

    assert len(digests) == 1


@pytest.mark.parametrize("change", ["value", "name", "dtype", "shape", "split"])
def test_digest_changes_with_content(tmp_path: Path, change: str) -> None:
    before = {"a": torch.tensor([1, 2, 3, 4]), "b": torch.tensor([5, 6])}
    after = {
        "value": {**before, "b": torch.tensor([5, 7])},
        "name": {"a": before["a"], "c": before["b"]},
        "dtype": {**before, "b": before["b"].view(torch.float64)},
        "shape": {**before, "a": before["a"].reshape(2, 2)},
        "split": {"a": torch.tensor([1, 2, 3]), "b": torch.tensor([4, 5, 6])},
    }[change]
    digests = []
    for i, tensors in enumerate((before, after)):
        write_safetensors(tmp_path / f"{i}.safetensors", tensors)
        with Checkpoint.open(tmp_path / f"{i}.safetensors") as view:
            digests.append(view.digest)
    assert digests[0] != digests[1]


def test_the_digest_is_the_documented_one(tmp_path: Path) -> None:
    """The digest is an identity that outlives releases: this value never changes."""
    write_safetensors(tmp_path / "m.safetensors", {"b": np.float32([[1, -2]]), "a": np.int8([3])})
    with Checkpoint.open(tmp_path / "m.safetensors") as view:
        assert view.digest == "fca618621d4d0a9c3a9619800cf9ebe44d643b8eb5941716bdf745a5e8cbfb86"


def test_non_finite_values_are_counted(tmp_path: Path) -> None:
    bad = torch.tensor([1.0, float("nan"), float("inf"), -float("inf")])
    path = save(tmp_path / "m.safetensors", a=bad, b=bad.bfloat16(), c=torch.ones(3), d=torch.tensor([2**40]))
    with Checkpoint.open(path) as view:
        assert view.non_finite() == {"a": 3, "b": 3}


def test_a_file_cut_or_changed_while_open_gives_an_error(tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors", w=torch.zeros(100_000))
    with Checkpoint.open(path) as view:
        os.truncate(path, 5_000)
        with pytest.raises(UnsafeCheckpoint, match="was cut while it was read"):
            view.read("w")
    path = save(tmp_path / "m.safetensors", w=torch.zeros(100_000))
    with Checkpoint.open(path) as view:
        with path.open("r+b") as file:
            file.seek(-4, 2)
            file.write(b"abcd")
        os.utime(path, ns=(1, 1))
        with pytest.raises(UnsafeCheckpoint, match="was changed while it was read"):
            view.digest  # noqa: B018 - a property that reads


def test_a_replaced_file_is_not_opened_again(tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors", w=torch.zeros(4))
    with Checkpoint.open(path) as view:
        save(tmp_path / "new.safetensors", w=torch.ones(4)).replace(path)
        assert view.read("w").tolist() == [0, 0, 0, 0]
    with pytest.raises(UnsafeCheckpoint, match="was closed"):
        view.read("w")


def test_no_file_stays_open_after_a_refusal(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", {"a.safetensors": {"x": torch.ones(1)}, "b.safetensors": {"y": torch.ones(1)}})
    (folder / "b.safetensors").write_bytes(b"rubbish")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(UnsafeCheckpoint):
        Checkpoint.open(folder)
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_index_named_by_itself_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards(tmp_path, {"a.safetensors": {"x": torch.ones(1)}})
    monkeypatch.chdir(tmp_path)
    with Checkpoint.open(Path("model.safetensors.index.json")) as view:
        assert view.read("x").tolist() == [1]


def test_limits_count_over_all_shards(tmp_path: Path) -> None:
    parts = {f"{i}.safetensors": {f"t{i}{j}": torch.ones(1) for j in range(3)} for i in range(2)}
    folder = shards(tmp_path / "s", parts)
    Checkpoint.open(folder, Limits(max_tensors=6)).close()
    with pytest.raises(UnsafeCheckpoint, match="limit is 5"):
        Checkpoint.open(folder, Limits(max_tensors=5))
