"""Re-estimation of BatchNorm statistics on unlabelled current rows (Schneider et al., arXiv 2006.16971).

Interpolated weights meet activations that neither parent saw, and drifted inputs shift them further; running means
and variances measured afresh mend both (Jordan et al., REPAIR, arXiv 2211.08403). With few rows the fresh figures are
blended with the old ones: rows / (rows + PRIOR_ROWS).
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from heritage.repair.evaluate import Runner
from heritage.repair.tensors import State

PRIOR_ROWS = 16


def has_statistics(network: nn.Module) -> bool:
    """True where the network keeps running statistics that can be measured afresh."""
    return any(isinstance(m, _BatchNorm) and m.track_running_stats for m in network.modules())


def reestimate(runner: Runner, state: State, x: Tensor) -> dict[str, Tensor]:
    """`state` with running means and variances measured on `x` (n, ...), layer after layer in one forward pass.

    All rows make one batch, so the result does not depend on how they are cut. Fewer than 2 rows change nothing.
    """
    if len(x) < 2:
        return dict(state)
    network = runner.load(state)
    layers = {n: m for n, m in network.named_modules() if isinstance(m, _BatchNorm) and m.track_running_stats}
    kept = {m: m.momentum for m in layers.values()}
    try:
        for layer in layers.values():
            layer.train()
            layer.momentum = len(x) / (len(x) + PRIOR_ROWS)
        with torch.no_grad():
            network(x)
        return _with_statistics(state, layers)
    finally:
        for layer, momentum in kept.items():
            layer.momentum = momentum
        network.eval()


def _with_statistics(state: State, layers: dict[str, _BatchNorm]) -> dict[str, Tensor]:
    out = dict(state)
    for name, layer in layers.items():
        for key in ("running_mean", "running_var"):
            full = f"{name}.{key}" if name else key
            if full in out:
                out[full] = getattr(layer, key).detach().to(out[full].device, out[full].dtype).clone()
    return out
