"""What is done to a trained network besides training: pruning, quantisation, adapters, merges."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from heritage.testing.networks import HEADS
from heritage.testing.tasks import Task
from heritage.testing.training import State


def _is_matrix(value: Tensor) -> bool:
    return value.is_floating_point() and value.ndim > 1


def prune(state: State, share: float, whole: bool) -> tuple[State, State]:
    """`state` with the smallest `share` of its matrix entries at zero (over all matrices if `whole`), and the masks."""
    sizes = torch.cat([v.abs().flatten() for k, v in state.items() if _is_matrix(v)])
    limit = sizes.quantile(share)
    masks = {
        k: (v.abs() > (limit if whole else v.abs().flatten().quantile(share))).to(v.dtype)
        for k, v in state.items()
        if _is_matrix(v) and k.split(".")[0] not in HEADS
    }
    return {k: v * masks[k] if k in masks else v.clone() for k, v in state.items()}, masks


def quantise(state: State, per_row: bool, bits: int = 8) -> State:
    """`state` with every matrix rounded to a symmetric grid of `bits` bits, one step a tensor or a row."""
    top = 2 ** (bits - 1) - 1

    def rounded(v: Tensor) -> Tensor:
        flat = v.view(len(v), -1)
        size = flat.abs().amax(1, keepdim=True) if per_row else flat.abs().max()
        step = (size / top).clamp_min(1e-12)
        on_grid: Tensor = (flat / step).round() * step
        return on_grid.view_as(v)

    return {k: rounded(v) if _is_matrix(v) else v.clone() for k, v in state.items()}


def train_adapter(
    network: nn.Module, task: Task, rank: int, steps: int, rate: float, seed: int, everywhere: bool
) -> State:
    """`network` with a low-rank adapter trained on its matrices and merged in; the head is left as it is."""
    generator = torch.Generator().manual_seed(seed)
    targets = {
        k: p
        for k, p in network.named_parameters()
        if p.ndim > 1 and k.split(".")[0] not in HEADS and "embed" not in k and (everywhere or _is_attention(k))
    }
    targets = targets or {k: p for k, p in network.named_parameters() if p.ndim > 1}
    rank = min([rank] + [max(1, min(len(p), p[0].numel()) // 3) for p in targets.values()])
    down = {
        k: (torch.randn(rank, p[0].numel(), generator=generator) * 0.1).requires_grad_() for k, p in targets.items()
    }
    up = {k: torch.zeros(len(p), rank, requires_grad=True) for k, p in targets.items()}
    optimiser = torch.optim.AdamW([*down.values(), *up.values()], lr=rate, weight_decay=0.0)
    base = {k: v.detach() for k, v in network.state_dict().items()}

    def merged() -> State:
        return {k: base[k] + (up[k] @ down[k]).view_as(base[k]) for k in targets}

    network.eval()
    draw = np.random.default_rng(seed)
    x, y = torch.from_numpy(np.ascontiguousarray(task.x)), torch.from_numpy(task.y)
    for _ in range(steps):
        rows = torch.from_numpy(draw.integers(0, len(x), 24))
        loss = nn.functional.cross_entropy(functional_call(network, merged(), (x[rows],)), y[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        return {k: v.clone() for k, v in {**base, **merged()}.items()}


def _is_attention(name: str) -> bool:
    return any(part in name for part in ("query", "value", "q_proj", "v_proj"))


def linear(states: Sequence[State], weights: Sequence[float]) -> State:
    """The weighted mean of `states`."""
    return _each(states, lambda vs: sum((w * v for w, v in zip(weights, vs, strict=True)), torch.zeros_like(vs[0])))


def slerp(states: Sequence[State], share: float, whole: bool) -> State:
    """Spherical interpolation from the first of two states to the second, over the whole model or tensor by tensor."""
    a, b = states
    names = [k for k, v in a.items() if v.is_floating_point()]
    joined = [torch.cat([s[k].flatten().double() for k in names]) for s in states]
    one, two = _slerp_factors(joined[0], joined[1], share)

    def mix(vs: Sequence[Tensor]) -> Tensor:
        x, y = vs[0].double(), vs[1].double()
        p, q = (one, two) if whole else _slerp_factors(x.flatten(), y.flatten(), share)
        return (p * x + q * y).float()

    return _each([a, b], mix)


def _slerp_factors(a: Tensor, b: Tensor, share: float) -> tuple[float, float]:
    cosine = torch.dot(a, b) / (a.norm() * b.norm()).clamp_min(1e-30)
    angle = torch.arccos(cosine.clamp(-1, 1))
    if float(angle) < 1e-4:
        return 1 - share, share
    return float(torch.sin((1 - share) * angle) / torch.sin(angle)), float(torch.sin(share * angle) / torch.sin(angle))


def ties(base: State, states: Sequence[State], density: float, scale: float = 1.0) -> State:
    """TIES (arXiv 2306.01708): trim each task vector to its largest `density`, elect signs, mean of what agrees."""

    def mix(vs: Sequence[Tensor]) -> Tensor:
        origin, rest = vs[0], vs[1:]
        vectors = torch.stack([_trimmed(v - origin, density) for v in rest])
        sign = vectors.sum(0).sign()
        agree = (vectors.sign() == sign) & (vectors != 0)
        total = (vectors * agree).sum(0) / agree.sum(0).clamp_min(1)
        return origin + scale * total

    return _each([base, *states], mix)


def _trimmed(vector: Tensor, density: float) -> Tensor:
    size = vector.abs().flatten()
    kept = max(1, int(density * len(size)))
    return torch.where(vector.abs() >= size.kthvalue(len(size) - kept + 1).values, vector, 0.0)


def _each(states: Sequence[State], mix: Callable[[Sequence[Tensor]], Tensor]) -> State:
    first = states[0]
    return {k: mix([s[k] for s in states]) if v.is_floating_point() else v.clone() for k, v in first.items()}
