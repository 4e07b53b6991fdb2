"""The first eight bytes: a sound header may begin like a pickle, and a pickle never passes for a header."""

import pickle

import pytest

from heritage.errors import UnsafeCheckpoint
from heritage.weights.header import header_length
from heritage.weights.limits import Limits


@pytest.mark.parametrize("length", [0x80, 0x180, 0x8080])
def test_a_sound_header_whose_length_begins_like_a_pickle_is_read(length: int) -> None:
    prefix = length.to_bytes(8, "little")
    assert prefix[0] == 0x80
    assert header_length(prefix, 8 + length, "m.safetensors", Limits()) == length


@pytest.mark.parametrize("file_bytes", [8, 100, 8 + 0x7F])
def test_the_same_byte_before_too_few_bytes_is_called_a_pickle(file_bytes: int) -> None:
    with pytest.raises(UnsafeCheckpoint, match="pickle"):
        header_length((0x80).to_bytes(8, "little"), file_bytes, "m.safetensors", Limits())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_named_as_such(protocol: int) -> None:
    data = pickle.dumps({"weight": list(range(500))}, protocol)
    with pytest.raises(UnsafeCheckpoint, match="heritage convert"):
        header_length(data[:8], len(data), "m.safetensors", Limits())
