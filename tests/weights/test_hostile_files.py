"""Files made to break readers: each gets one error that names the file, the rule and the remedy."""

import json
import math
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from heritage.errors import BadInput, HeritageError, NotFound, UnsafeCheckpoint, UnsafeName
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.header import parse_header
from heritage.weights.limits import Limits
from heritage.weights.write import write_safetensors


def raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(begin: int = 0, end: int = 4, shape: Any = (1,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def pair(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {"a": first, "b": second}


ONE = entry()
FOUR = b"\0" * 4
GOOD = raw({"a": ONE}, FOUR)
TWICE = json.dumps(ONE).encode()

BROKEN = {
    "empty": (b"", "has 0 bytes"),
    "seven bytes": (b"1234567", "has 7 bytes"),
    "header cut": (GOOD[:30], "claims a header of"),
    "body cut": (GOOD[:-1], "is cut short: the tensors need 4 bytes, the file holds 3"),
    "bytes after the end": (GOOD + b"x", "has bytes after its last tensor"),
    "length 2^63": (raw({"a": ONE}, FOUR, 2**63), "claims a header of 9223372036854775808 bytes"),
    "length beyond file": (raw({"a": ONE}, FOUR, 100 * 2**20 + 1), "claims a header of 104857601 bytes"),
    "length 0": (raw(b"", b"{}"), "the header is not a JSON object"),
    "not UTF-8": (raw(b'{"\xff\xfe": {}}'), "the header is not UTF-8"),
    "not JSON": (raw(b"{hello there}"), "the header is not JSON"),
    "JSON list": (raw(b'["a"]'), "the header is not a JSON object"),
    "space before": (raw(b" {}"), "the header is not a JSON object"),
    "deep": (raw(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"), "nested too deeply"),
    "deep objects": (raw(b'{"a":' * 40_000 + b"1" + b"}" * 40_000), "nested too deeply"),
    "deeper": (raw(b'{"a":' + b"[" * 150_000 + b"]" * 150_000 + b"}"), "more lists or numbers than"),
    "many numbers": (raw({"a": {**ONE, "shape": [1] * 3_000_000}}, FOUR), "more lists or numbers than"),
    "huge number": (raw(b'{"a":' + b"9" * 5000 + b"}"), "the header is not JSON"),
    "NaN": (raw(b'{"a":NaN}'), "the header holds NaN"),
    "negative side": (raw({"a": entry(shape=[-1])}, FOUR), "shape that is not up to"),
    "true for a side": (raw({"a": entry(shape=[True])}, FOUR), "shape that is not up to"),
    "fraction for a side": (raw({"a": entry(shape=[1.0])}, FOUR), "shape that is not up to"),
    "33 sides": (raw({"a": entry(shape=[1] * 33)}, FOUR), "shape that is not up to"),
    "no list for a shape": (raw({"a": {**ONE, "shape": 1}}, FOUR), "shape that is not up to"),
    "unknown type": (raw({"a": entry(dtype="F33")}, FOUR), "unknown dtype"),
    "big-endian type": (raw({"a": entry(dtype=">F4")}, FOUR), "unknown dtype"),
    "list for a type": (raw({"a": entry(dtype=["F32"])}, FOUR), "unknown dtype"),
    "six-bit type": (raw({"a": entry(0, 3, [4], "F6_E2M3")}, b"123"), "unknown dtype"),
    "half a byte": (raw({"a": entry(0, 1, [1], "F4")}, b"1"), "another size by shape"),
    "metadata not text": (raw({"__metadata__": {"n": 3}, "a": ONE}, FOUR), "__metadata__ key 'n' holds int"),
    "metadata no object": (raw({"__metadata__": "x", "a": ONE}, FOUR), "__metadata__ is not"),
    "metadata half pair": (raw({"__metadata__": {"n": "\ud800"}, "a": ONE}, FOUR), "half of a UTF-16 pair"),
    "hole": (raw(pair(ONE, entry(8, 12)), FOUR * 3), "'b' at byte 8 leaves a hole before it"),
    "hole at the start": (raw({"a": entry(4, 8)}, FOUR * 2), "leaves a hole before it"),
    "overlap": (raw(pair(entry(0, 8, [2]), entry(4, 8)), FOUR * 2), "'b' at byte 4 overlaps"),
    "same range": (raw(pair(ONE, ONE), FOUR), "overlaps the one before it"),
    "reversed": (raw({"a": entry(4, 0)}, FOUR), "not two rising whole numbers"),
    "three offsets": (raw({"a": {**ONE, "data_offsets": [0, 4, 8]}}, FOUR), "not two rising whole numbers"),
    "past the end": (raw({"a": entry(0, 8, [2])}, FOUR), "is cut short"),
    "size mismatch": (raw({"a": entry(shape=[2])}, FOUR), "another size by shape than by data_offsets"),
    "size overflow": (raw({"a": entry(shape=[2**32, 2**32])}, FOUR), "another size by shape"),
    "64-bit overflow": (raw({"a": entry(0, 4, [2**62, 4, 1])}, FOUR), "another size by shape"),
    "extra field": (raw({"a": {**ONE, "x": 1}}, FOUR), "does not give exactly dtype"),
    "missing field": (raw({"a": {"dtype": "F32", "shape": [1]}}, FOUR), "does not give exactly dtype"),
    "number for a tensor": (raw({"a": 3}), "does not give exactly dtype"),
    "same key, same range": (raw(b'{"a":%b,"a":%b}' % (TWICE, TWICE), FOUR), "gives the key 'a' twice"),
    "same key, two ranges": (
        raw(b'{"a":%b,"a":%b}' % (TWICE, json.dumps(entry(4, 8)).encode()), FOUR * 2),
        "gives the key 'a' twice",
    ),
    "same field": (raw(b'{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', FOUR), "'dtype' twice"),
    "pickle": (b"\x80\x02}q\x00." + b"\0" * 20, "is a pickle or zip archive"),
    "zip": (b"PK\x03\x04" + b"\0" * 40, "is a pickle or zip archive"),
    "seven-zip": (b"7z\xbc\xaf\x27\x1c" + b"\0" * 40, "claims a header of"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused_with_file_rule_and_remedy(tmp_path: Path, case: str) -> None:
    content, rule = BROKEN[case]
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(UnsafeCheckpoint) as caught:
        Checkpoint.open(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert rule in text
    assert any(word in text for word in ("fetch it again", "re-save", "convert"))
    assert len(text) < 700


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a/../b", "/etc/passwd", "a\\b", "a\0b", "x" * 10_240, "a\u202eb", "a\nb", "\x1b[2J", ""],
)
def test_tensor_names_that_play_tricks_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw({name: ONE}, FOUR))
    with pytest.raises(UnsafeName) as caught:
        Checkpoint.open(path)
    assert str(caught.value).startswith(f"{path}: tensor name")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_html_in_names_and_metadata_is_only_text(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    html = "<script>alert(1)</script>"
    path.write_bytes(raw({"__metadata__": {html: html}, html: ONE}, FOUR))
    with Checkpoint.open(path) as view:
        assert list(view.tensors) == [html]
        assert view.metadata == {html: html}


def test_limits_hold_before_anything_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.write(raw(b"{" + b" " * 100, length=99 * 2**20))
        file.truncate(100 * 2**20)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(
        UnsafeCheckpoint, match="header of 103809024 bytes, the limit is 16777216; raise HERITAGE_WEIGHTS"
    ):
        Checkpoint.open(path)
    assert time.perf_counter() - start < 0.5
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("count", [50_001, 100_000])
def test_too_many_tensors_are_refused(tmp_path: Path, count: int) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw({str(i): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(count)}))
    with pytest.raises(UnsafeCheckpoint, match=f"more tensors than allowed \\({count}, the limit is 50000\\)"):
        Checkpoint.open(path)
    with Checkpoint.open(path, Limits(max_tensors=count)) as view:
        assert len(view.tensors) == count


def test_hostile_headers_take_little_time_and_memory() -> None:
    quotes = b'{"a":"' + b'\\"' * 2**20  # a string that never ends
    lists = b'{"a":[' + b"[]," * 2**20 + b"[]]}"
    for header in (quotes, lists):
        tracemalloc.start()
        start = time.perf_counter()
        with pytest.raises(UnsafeCheckpoint):
            parse_header(header, 0, "it", Limits())
        assert time.perf_counter() - start < 5
        assert tracemalloc.get_traced_memory()[1] < 5 * len(header)
        tracemalloc.stop()


# --- files that are no plain files


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def fifo(path: Path, target: Path) -> None:
    os.mkfifo(path)


def dangling(path: Path, target: Path) -> None:
    path.symlink_to(target.with_name("nowhere"))


def sparse(path: Path, target: Path) -> None:
    size = 10**12
    with path.open("wb") as file:
        file.write(raw({"a": entry(0, size, [size // 4])}))
        file.truncate(file.tell() + size)


NOT_PLAIN: dict[Callable[[Path, Path], None], str] = {
    link: "is a symbolic link, which is not followed",
    dangling: "is a symbolic link",
    hard_link: "has 2 hard links",
    fifo: "is not a regular file",
    sparse: "are on disk",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", NOT_PLAIN, ids=lambda f: f.__name__)
@pytest.mark.parametrize("place", ["file", "shard", "index", "folder"])
def test_links_pipes_and_sparse_files_are_refused(
    tmp_path: Path, make: Callable[[Path, Path], None], place: str
) -> None:
    target = tmp_path / "target"
    target.write_bytes(GOOD)
    folder = tmp_path / "model"
    folder.mkdir()
    index = folder / "model.safetensors.index.json"
    path = folder / "m.safetensors"
    if place == "index":
        path = index
    elif place == "shard":
        index.write_text(json.dumps({"weight_map": {"a": "m.safetensors"}}))
    make(path, target)
    opened = {"file": path, "shard": index, "index": index, "folder": folder}[place]
    with pytest.raises(UnsafeCheckpoint, match=NOT_PLAIN[make]) as caught:
        Checkpoint.open(opened)
    assert str(caught.value).startswith(f"{path}: ")


def test_absent_unreadable_and_odd_paths(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no such file"):
        Checkpoint.open(tmp_path / "absent.safetensors")
    with pytest.raises(NotFound, match="there is no such file"):
        Checkpoint.open(tmp_path / "absent" / "m.safetensors")
    with pytest.raises(NotFound, match="there is no such folder"):
        Checkpoint.open(tmp_path / "absent" / "model.safetensors.index.json")
    with pytest.raises(NotFound, match="holds no safetensors file"):
        Checkpoint.open(tmp_path)
    (tmp_path / "m.bin").touch()
    with pytest.raises(NotFound, match="run `heritage convert`"):
        Checkpoint.open(tmp_path)
    with pytest.raises(UnsafeCheckpoint, match="is not a regular file"):
        Checkpoint.open(Path("/dev/null"))
    for odd in ("a\0b", "x" * 5000, "a\nb"):
        with pytest.raises(HeritageError) as caught:
            Checkpoint.open(tmp_path / odd)
        assert str(caught.value).isprintable()


@pytest.fixture
def plain_user() -> Iterator[None]:
    """Root may read everything, so be nobody for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


def test_files_without_permission(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(GOOD)
    path.chmod(0)
    request.getfixturevalue("plain_user")
    with pytest.raises(UnsafeCheckpoint, match="may not be read by this user"):
        Checkpoint.open(path)


# --- shards


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    write_safetensors(tmp_path / "a.safetensors", {"x": torch.ones(2)})
    write_safetensors(tmp_path / "b.safetensors", {"y": torch.ones(3)})
    return tmp_path


def index(folder: Path, content: Any) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


GOOD_MAP = {"x": "a.safetensors", "y": "b.safetensors"}
BAD_INDEXES = {
    "missing shard": ({**GOOD_MAP, "z": "c.safetensors"}, "names shards that are not there: c.safetensors"),
    "surplus shard": ({"x": "a.safetensors"}, "leaves out: b.safetensors"),
    "tensor that is not there": ({**GOOD_MAP, "z": "b.safetensors"}, "'z' in shard 'b.safetensors', which lacks it"),
    "tensor elsewhere": ({"x": "b.safetensors", "y": "a.safetensors"}, "which lacks it"),
    "outside": ({**GOOD_MAP, "x": "../a.safetensors"}, "no plain file name inside the folder"),
    "absolute": ({**GOOD_MAP, "x": "/etc/passwd"}, "no plain file name inside the folder"),
    "hidden": ({**GOOD_MAP, "x": ".a.safetensors"}, "no plain file name inside the folder"),
    "folder": ({**GOOD_MAP, "x": "sub/a.safetensors"}, "no plain file name inside the folder"),
    "backslash": ({**GOOD_MAP, "x": "..\\a.safetensors"}, "no plain file name inside the folder"),
    "other ending": ({**GOOD_MAP, "x": "a.bin"}, "is not called *.safetensors"),
    "number": ({**GOOD_MAP, "x": 3}, "has no 'weight_map'"),
    "list": (["a.safetensors"], "has no 'weight_map'"),
    "empty": ({}, "names 0 shards"),
}


@pytest.mark.parametrize("case", BAD_INDEXES)
def test_wrong_indexes_are_refused(sharded: Path, case: str) -> None:
    weight_map, rule = BAD_INDEXES[case]
    path = index(sharded, {"weight_map": weight_map})
    for opened in (path, sharded):
        with pytest.raises(UnsafeCheckpoint) as caught:
            Checkpoint.open(opened)
        assert str(caught.value).startswith(f"{path}: ")
        assert rule in str(caught.value)
        assert any(word in str(caught.value) for word in ("mend the index", "move the surplus"))


@pytest.mark.parametrize(
    "content", ['{"weight_map": {"x": "a.safetensors", "x": "b.safetensors"}}', "[]", "{}", "", "[" * 99_999, '"x"']
)
def test_indexes_that_are_no_plain_json_objects_are_refused(sharded: Path, content: str) -> None:
    with pytest.raises(UnsafeCheckpoint, match="index"):
        Checkpoint.open(index(sharded, content))


def test_a_tensor_in_two_shards_is_refused(sharded: Path) -> None:
    write_safetensors(sharded / "b.safetensors", {"x": torch.ones(2), "y": torch.ones(3)})
    with pytest.raises(UnsafeCheckpoint, match=r"'x' in shard 'b.safetensors', which the index does not say"):
        Checkpoint.open(index(sharded, {"weight_map": GOOD_MAP}))


def test_tensor_names_of_an_index_are_checked(sharded: Path) -> None:
    with pytest.raises(UnsafeName, match="looks like a path"):
        Checkpoint.open(index(sharded, {"weight_map": {**GOOD_MAP, "../z": "a.safetensors"}}))


def test_a_huge_index_is_refused(sharded: Path) -> None:
    path = index(sharded, {"weight_map": GOOD_MAP, "pad": "x" * 5000})
    with pytest.raises(UnsafeCheckpoint, match="is larger than 4096 bytes"):
        Checkpoint.open(path, Limits(max_header_bytes=4096))


def test_a_folder_with_several_models_is_refused(sharded: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match=r"holds several models \(a.safetensors, b.safetensors\)"):
        Checkpoint.open(sharded)
    index(sharded, {"weight_map": GOOD_MAP})
    (sharded / "other.safetensors.index.json").write_text("{}")
    with pytest.raises(UnsafeCheckpoint, match="holds several models"):
        Checkpoint.open(sharded)


# --- what anybody could write: refused or read, never anything else

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@st.composite
def headers(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """Valid headers and their data."""
    record: dict[str, Any] = {}
    reached = 0
    for name in draw(st.lists(st.from_regex(r"[a-z][a-z0-9_.]{0,9}", fullmatch=True), unique=True, max_size=5)):
        dtype, width = draw(st.sampled_from([("F32", 4), ("BF16", 2), ("I64", 8), ("BOOL", 1), ("F8_E4M3", 1)]))
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        size = math.prod(shape) * width
        record[name] = entry(reached, reached + size, shape, dtype)
        reached += size
    return record, draw(st.binary(min_size=reached, max_size=reached))


def read_all(path: Path) -> None:
    with Checkpoint.open(path) as view:
        for name in view.tensors:
            view.read(name)
        view.torch_state()
        view.non_finite()
        assert len(view.digest) == 64


@given(headers())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_valid_file_is_read_as_the_reference_reads_it(tmp_path: Path, made: tuple[dict[str, Any], bytes]) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw(*made))
    read_all(path)
    with Checkpoint.open(path) as view, safetensors.safe_open(path, "pt") as reference:
        assert set(view.tensors) == set(reference.keys())
        for name, tensor in view.torch_state().items():
            other = reference.get_tensor(name)
            assert tensor.dtype == other.dtype
            assert tensor.shape == other.shape
            assert bytes(tensor.reshape(-1).view(torch.uint8)) == bytes(other.reshape(-1).view(torch.uint8))


@given(headers(), st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_are_refused_or_read_and_never_more_lenient_than_the_reference(
    tmp_path: Path, made: tuple[dict[str, Any], bytes], data: st.DataObject
) -> None:
    content = bytearray(raw(*made))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255) | st.sampled_from(list(b'{}[]",:0123456789\\u')))
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    try:
        read_all(path)
    except (UnsafeCheckpoint, UnsafeName):
        return
    with safetensors.safe_open(path, "pt"):  # what we take, the reference takes
        pass


@given(st.binary(max_size=300))
@example(b"\x02\0\0\0\0\0\0\0{}")
@settings(max_examples=300, deadline=None)
def test_any_header_is_refused_or_parsed(content: bytes) -> None:
    for text in (content, b"{" + content + b"}", b'{"a":' + content + b"}"):
        try:
            parse_header(text, 0, "it", Limits())
        except (UnsafeCheckpoint, UnsafeName) as error:
            assert str(error).startswith("it: "), error  # noqa: PT017 - both outcomes are right


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.sampled_from(["F32", "dtype"]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "a"]), inner)
        ),
    )
)
@settings(max_examples=300, deadline=None)
def test_any_json_is_refused_or_parsed(record: Any) -> None:
    for header in (record, {"a": record}, {"__metadata__": record}, {"a": {**ONE, "shape": record}}):
        try:
            parse_header(json.dumps(header).encode(), 0, "it", Limits())
        except (UnsafeCheckpoint, UnsafeName) as error:
            assert str(error).startswith("it: "), error  # noqa: PT017


# --- writing


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_.]{0,9}", fullmatch=True),
        st.tuples(
            st.sampled_from(["<f4", ">f4", "<f8", "<f2", "<i8", ">i2", "u1", "?"]),
            st.lists(st.integers(0, 4), max_size=3),
        ),
        max_size=5,
    ),
    st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(tmp_path: Path, spec: dict[str, tuple[str, list[int]]], fortran: bool) -> None:
    arrays = {
        name: np.arange(math.prod(shape)).reshape(shape, order="F" if fortran else "C").astype(dtype)
        for name, (dtype, shape) in spec.items()
    }
    path = tmp_path / "m.safetensors"
    write_safetensors(path, arrays, {"note": "<b>"})
    with Checkpoint.open(path) as view:
        assert view.metadata == {"format": "pt", "note": "<b>"}
        for name, array in arrays.items():
            np.testing.assert_array_equal(view.read(name), array)
            assert view.read(name).dtype == array.dtype.newbyteorder("=")


def test_views_ties_and_strides_are_written_by_themselves(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {"base": base, "same": base, "row": base[1], "t": base.T, "wide": torch.ones(1).expand(5), "grad": base}
    tensors["grad"] = torch.nn.Parameter(torch.ones(2))
    write_safetensors(tmp_path / "m.safetensors", tensors)
    with Checkpoint.open(tmp_path / "m.safetensors") as view:
        for name, tensor in tensors.items():
            assert torch.equal(view.torch_state()[name], tensor.detach()), name


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ({"a/../b": torch.ones(1)}, UnsafeName, "looks like a path"),
        ({"a": np.array(["text"])}, BadInput, "'a' is of <U4, not numbers"),
        ({"a": np.array([None])}, BadInput, "not numbers"),
        ({"a": torch.ones(2).to_sparse()}, BadInput, "sparse or quantised"),
        ({"a": torch.ones(1, device="meta")}, BadInput, "make it dense first"),
        ({"a": torch.ones(1, dtype=torch.complex128)}, BadInput, "cannot be written"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, tensors: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(error, match=message):
        write_safetensors(path, tensors)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(NotFound, match="its folder does not exist"):
        write_safetensors(tmp_path / "no" / "m.safetensors", {})


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"before")
    # in a process of its own: the limit would hold for the file that pytest reports to as well
    code = f"""
import resource
import numpy as np
from pathlib import Path
from heritage.errors import HeritageError
from heritage.weights.write import write_safetensors
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_safetensors(Path({str(path)!r}), {{"a": np.ones(10_000, np.float32)}})
except HeritageError as error:
    raise SystemExit(0 if "cannot be written" in str(error) else str(error))
raise SystemExit("was written")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
