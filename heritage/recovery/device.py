"""Where products are computed: on the processor, or on a CUDA device where there is one."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from heritage.errors import Misconfigured

Floats = NDArray[np.float32]


def product_on(device: str) -> Callable[[Floats], Floats]:
    """The function that gives x times its transpose in float32, on `device` ('cpu' or 'cuda').

    Raises `Misconfigured` for 'cuda' where torch finds no such device.
    """
    if device == "cpu":
        return _on_cpu
    import torch

    if not torch.cuda.is_available():
        raise Misconfigured("device 'cuda': torch finds no CUDA device here; use --device cpu")

    def on_cuda(x: Floats) -> Floats:
        there = torch.from_numpy(np.ascontiguousarray(x)).cuda()
        return np.asarray((there @ there.T).cpu().numpy())

    return on_cuda


def _on_cpu(x: Floats) -> Floats:
    return np.asarray(x @ x.T)
