import pickle

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from heritage.errors import BadInput, NotFound
from heritage.masks.matrix import check_mask, load_matrix, mask_of

W = np.array([[0.0, 1.0, -2.0], [3.0, 0.0, 0.0]], dtype=np.float32)


def test_every_format_gives_the_same_matrix(tmp_path):
    np.save(tmp_path / "w.npy", W)
    save_file({"layer.weight": W}, tmp_path / "w.safetensors")
    torch.save(torch.from_numpy(W).half(), tmp_path / "w.pt")
    torch.save({"layer.weight": torch.from_numpy(W)}, tmp_path / "d.pt")
    for name in ("w.npy", "w.safetensors", "w.pt", "d.pt"):
        np.testing.assert_array_equal(load_matrix(tmp_path / name), W)
    np.testing.assert_array_equal(mask_of(W), [[False, True, True], [True, False, False]])


def test_of_several_tensors_one_must_be_named(tmp_path):
    save_file({"a": W, "b": 2 * W}, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(load_matrix(tmp_path / "w.safetensors", "b"), 2 * W)
    with pytest.raises(BadInput, match="name one"):
        load_matrix(tmp_path / "w.safetensors")
    with pytest.raises(BadInput, match="no tensor 'c'"):
        load_matrix(tmp_path / "w.safetensors", "c")


def test_a_pickle_that_is_more_than_weights_is_refused_unrun(tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    for name, write in (("t.pt", torch.save), ("p.pt", lambda o, p: p.write_bytes(pickle.dumps(o, protocol=2)))):
        write(Bomb(), tmp_path / name)
        with pytest.raises(BadInput):
            load_matrix(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (np.zeros(3, np.float32), "expected a matrix"), (np.zeros((4, 1), np.float32), "one column"),
        (np.full((2, 2), np.nan, np.float32), "NaN"), (np.zeros((2, 2), complex), "dtype"),
        (np.zeros((0, 5), np.float32), "expected a matrix"),
    ],
)  # fmt: skip
def test_what_is_no_matrix_is_told(tmp_path, content, told):
    np.save(tmp_path / "w.npy", content)
    with pytest.raises(BadInput, match=told):
        load_matrix(tmp_path / "w.npy")


@pytest.mark.parametrize("name", ["w.npy", "w.pt", "w.safetensors"])
def test_broken_files_are_told_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x00\x01 nonsense")
    with pytest.raises(BadInput, match=name):
        load_matrix(tmp_path / name)


def test_missing_files_are_not_found(tmp_path):
    with pytest.raises(NotFound):
        load_matrix(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("mask", "told"),
    [(np.zeros((3, 4), bool), "every weight is zero"), (np.ones((3, 4), bool), "was it pruned"),
     (np.tile([[True], [False]], 4), "same zeros")],
)  # fmt: skip
def test_constant_masks_have_no_pattern(mask, told):
    with pytest.raises(BadInput, match=told):
        check_mask(mask, "matrix")
