"""npz files: equal arrays give equal bytes; hostile bytes give `BadInput` within bounded memory."""

import contextlib
import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from heritage.errors import BadInput
from heritage.npz import read_npz, write_npz

ARRAYS = st.dictionaries(
    st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda n: n not in ("file",)),
    hnp.arrays(
        st.sampled_from(["<f4", ">f8", "<i8", "|u1", "|b1", "<U3", "<c8", "<f2"]),
        hnp.array_shapes(min_dims=0, min_side=0),
    ),
    max_size=4,
)


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=True)
    return out.getvalue()


def zipped(members: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return out.getvalue()


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    padded = text.encode("latin-1")
    return b"\x93NUMPY" + version + len(padded).to_bytes(2, "little") + padded


@given(ARRAYS)
@settings(deadline=None)
def test_arrays_come_back_as_numpy_itself_reads_them(arrays: dict[str, np.ndarray]) -> None:
    data = write_npz(arrays)
    back = read_npz(data, "it", 2**20)
    with np.load(io.BytesIO(data), allow_pickle=False) as reference:
        assert set(back) == set(arrays) == set(reference.files)
        for name, array in back.items():
            assert array.dtype == reference[name].dtype
            np.testing.assert_array_equal(array, reference[name])
            assert array.flags.writeable
    assert write_npz(dict(reversed(back.items()))) == data


def test_memory_layout_does_not_show_in_the_bytes() -> None:
    array = np.arange(12).reshape(3, 4)
    assert write_npz({"a": np.asfortranarray(array)}) == write_npz({"a": array}) == write_npz({"a": array[:, :]})


def test_fortran_order_is_read() -> None:
    array = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(read_npz(zipped({"a.npy": npy(np.asfortranarray(array))}), "it", 2**20)["a"], array)


class Malicious:
    """Writes a file when unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def test_python_objects_are_never_made(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    evil = pickle.dumps(Malicious(canary))
    objects = npy(np.array([Malicious(canary), None]))
    for data in (
        evil,
        zipped({"x.npy": objects}),
        zipped({"x.npy": evil}),
        zipped({"x": evil}),
        objects,
        evil + zipped({}),
    ):
        with contextlib.suppress(BadInput):
            read_npz(data, "it", 2**20)
    assert not canary.exists()
    with pytest.raises(BadInput, match="dtype object"):
        read_npz(zipped({"x.npy": objects}), "it", 2**20)


GOOD = npy(np.zeros(3))
HOSTILE = {
    "empty": b"",
    "text": b"hello",
    "bare array": GOOD,
    "pickle": pickle.dumps({"x": 1}),
    "empty zip cut": zipped({})[:-1],
    "folder part": zipped({"../x.npy": GOOD}),
    "no array": zipped({"x": GOOD}),
    "odd name": zipped({"a-b.npy": GOOD}),
    "control name": zipped({"a\nb.npy": GOOD}),
    "array cut": zipped({"x.npy": GOOD[:-1]}),
    "array with more": zipped({"x.npy": GOOD + b"x"}),
    "no magic": zipped({"x.npy": b"x" * 100}),
    "nothing inside": zipped({"x.npy": b""}),
    "huge claim": zipped({"x.npy": header("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,), }")}),
    "overflowing claim": zipped(
        {"x.npy": header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**63}, 2), }}")}
    ),
    "negative": zipped(
        {"x.npy": header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }") + b"12345678"}
    ),
    "huge type": zipped({"x.npy": header("{'descr': '<U999999999', 'fortran_order': False, 'shape': (9999,), }")}),
    "no size": zipped({"x.npy": header("{'descr': '<U0', 'fortran_order': False, 'shape': (9,), }")}),
    "code": zipped({"x.npy": header("__import__('os').system('id')")}),
    "deep": zipped({"x.npy": header("(" * 5000 + ")" * 5000)}),
    "deeper": zipped({"x.npy": header("-" * 9000 + "1")}),
    "unclosed": zipped({"x.npy": header("{'descr': '''")}),
    "bad type": zipped({"x.npy": header("{'descr': 'what', 'fortran_order': False, 'shape': (1,), }")}),
    "list type": zipped({"x.npy": header("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }")}),
    "version 3": zipped({"x.npy": header("{}", b"\x03\x00")}),
    "version 9": zipped({"x.npy": header("{}", b"\x09\x00")}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(case: str) -> None:
    tracemalloc.start()
    with pytest.raises(BadInput, match=r"^window 7: not a readable npz file .*; write it again$") as caught:
        read_npz(HOSTILE[case], "window 7", 2**20)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
    assert str(caught.value).isprintable()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="holds an array twice"):
        read_npz(zipped([("x.npy", GOOD), ("x.npy", GOOD)]), "it", 2**20)


def test_bombs_are_refused_before_they_unpack() -> None:
    bomb = zipped({"x.npy": npy(np.zeros(2**24))})
    assert len(bomb) < 2**18
    tracemalloc.start()
    with pytest.raises(BadInput, match="unpacks to more than 1048576 bytes; split it"):
        read_npz(bomb, "it", 2**20)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_lie_about_the_unpacked_size_is_refused() -> None:
    bomb = bytearray(zipped({"x.npy": npy(np.zeros(2**20))}))
    true = (8 * 2**20 + 128).to_bytes(4, "little")
    assert bomb.count(true) == 2  # in the member's header and in the directory
    tracemalloc.start()
    with pytest.raises(BadInput, match="not a readable npz file"):
        read_npz(bytes(bomb.replace(true, (100).to_bytes(4, "little"))), "it", 2**20)
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    tracemalloc.stop()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_flipped_bytes_are_refused_or_read(data: st.DataObject) -> None:
    method = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    raw = bytearray(zipped({"x.npy": npy(np.arange(6.0).reshape(2, 3)), "ids.npy": npy(np.array(["a", "bc"]))}, method))
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadInput):
        read_npz(bytes(raw), "it", 2**20)
