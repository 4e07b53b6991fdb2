"""Weight matrices from files: safetensors, .pt (weights only), .npy. A feature is a column of (D, N)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput, NotFound
from heritage.names import printable
from heritage.weights.checkpoint import Checkpoint


def load_matrix(path: Path, tensor: str | None = None) -> NDArray[np.float32]:
    """The matrix (D, N) in `path` as float32; `tensor` names it where a file or checkpoint folder holds several.

    Nothing is unpickled: .pt files are read as weights only. Raises `NotFound` or `BadInput`.
    """
    if path.suffix not in (".npy", ".pt", ".pth"):
        return check_matrix(_checkpoint(path, tensor), f"{path} {tensor or ''}".strip())
    if not path.is_file():
        raise NotFound(f"{path}: no such file; give a .safetensors, .pt or .npy file")
    try:
        found = np.load(path, allow_pickle=False) if path.suffix == ".npy" else _torch(path, tensor)
    except (ValueError, OSError, EOFError, RuntimeError, KeyError) as error:
        raise BadInput(f"{path}: not readable as a matrix ({printable(str(error), 200)})") from error
    return check_matrix(found, f"{path} {tensor or ''}".strip())


def check_matrix(matrix: NDArray[np.generic], where: str) -> NDArray[np.float32]:
    """`matrix` as float32 if it has two dimensions, two columns or more, and finite numbers; else `BadInput`."""
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise BadInput(f"{where}: shape {matrix.shape}; expected a matrix (D, N) whose columns are features")
    if matrix.shape[1] < 2:
        raise BadInput(f"{where}: has one column; Hamming distances need two features or more")
    if matrix.dtype.kind not in "fiub":
        raise BadInput(f"{where}: dtype {matrix.dtype}; expected numbers")
    numbers = np.asarray(matrix, dtype=np.float32)
    if not np.isfinite(numbers).all():
        raise BadInput(f"{where}: holds NaN or infinite weights; mend the checkpoint first")
    return numbers


def mask_of(matrix: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which weights are kept: |w| > 0."""
    return np.asarray(np.abs(matrix) > 0)


def check_mask(mask: NDArray[np.bool_], where: str) -> NDArray[np.bool_]:
    """`mask` itself unless all columns are equal, for then every distance is 0 and there is nothing to cluster."""
    if not mask.any():
        raise BadInput(f"{where}: every weight is zero; there is no pattern to compare")
    if (mask == mask[:, :1]).all():
        kept = "no weight is zero (was it pruned?)" if mask.all() else "all columns have the same zeros"
        raise BadInput(f"{where}: {kept}; there is no pattern to compare")
    return mask


def _checkpoint(path: Path, tensor: str | None) -> NDArray[np.float32]:
    with Checkpoint.open(path) as checkpoint:
        return checkpoint.read_f32(_chosen(list(checkpoint.tensors), tensor, path))


def _torch(path: Path, tensor: str | None) -> NDArray[np.generic]:
    import pickle

    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(f"{path}: holds more than weights and was not read; convert it to safetensors") from error
    if isinstance(found, dict):
        found = found[_chosen([k for k, v in found.items() if isinstance(v, torch.Tensor)], tensor, path)]
    if not isinstance(found, torch.Tensor):
        raise BadInput(f"{path}: holds a {type(found).__name__}; expected a tensor or a mapping of tensors")
    return np.asarray(found.detach().float().to_dense().numpy())


def _chosen(names: list[str], tensor: str | None, path: Path) -> str:
    if tensor is None and len(names) == 1:
        return names[0]
    if tensor is None or tensor not in names:
        shown = [printable(n) for n in sorted(names)[:10]]
        what = "holds several tensors; name one" if tensor is None else f"has no tensor '{printable(tensor)}'"
        raise BadInput(f"{path}: {what}; it has {len(names)}, such as {shown}")
    return tensor
