"""Penultimate features of a network: what its last linear layer is given."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heritage.repair.tensors import State


def penultimate(
    network: "nn.Module", state: "State", x: NDArray[np.float32], device: str = "auto"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Class probabilities (n, classes) and features (n, d) of the network with `state` on inputs `x`.

    Raises `BadInput` where the network has no linear layer; then only strategies without features can be used.
    """
    import torch

    from heritage.repair.evaluate import Runner

    runner = Runner(network, device)
    linear = [m for m in runner.network.modules() if isinstance(m, torch.nn.Linear)]
    if not linear:
        raise BadInput("the network has no linear layer to take features from; use 'margin' or 'random'")
    seen: list[Tensor] = []
    hook = linear[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    try:
        logits = runner.logits(state, runner.inputs(x))
    finally:
        hook.remove()
    features = torch.cat(seen).double().flatten(1).cpu().numpy()
    if len(features) != len(x):
        raise BadInput(f"the last linear layer ran on {len(features)} rows for {len(x)}; use 'margin' or 'random'")
    return logits.double().softmax(1).cpu().numpy(), features
