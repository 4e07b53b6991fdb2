"""The part of recovery.py that is about MoTHer: what its published scripts do, and the least that its rule needs.

The scripts (github.com/eliahuhorwitz/MoTHer, July 2024, full fine-tuning) load both models for every pair to tell
families, load all models again for the extremes of each layer's differences, and again for distances and kurtosis;
there every layer of every pair goes through `state_dict()` and a table of extremes. The script calls this last step
twice; `once` is without the repetition. What `from_pretrained` does beyond making the modules and copying the weights
into them is left out, in its favour. `rule` is no script but the least that its rule needs: models in memory, no
families, no tables, one look at each difference.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

_KINDS = ("query", "key", "value", "attention.output.dense")
_KURTOSIS_OF = "output.dense"
_GROUP = 6  # models whose pairs are timed together
_GROUPS = 5


@dataclass(frozen=True, slots=True)
class Peer:
    """CPU seconds for all models: medians over several groups of pairs, times their number.

    `spread` is that of the groups, largest less smallest over the median.
    """

    published: float
    once: float
    rule: float
    spread: float


def mother(files: Sequence[Path]) -> Peer:
    """What MoTHer costs for `files`."""
    torch.set_num_threads(1)
    groups = [files[i : i + _GROUP] for i in range(0, len(files) - _GROUP + 1, _GROUP)]
    groups = groups[:: max(1, len(groups) // _GROUPS)][:_GROUPS] or [files]
    pairs = len(files) * (len(files) - 1) / 2
    timed = np.array([_timed(group, len(files), pairs) for group in groups])
    tree = _arborescence(len(files)) if len(files) <= 100 else 0.0  # left out above, in its favour
    middle = np.median(timed, axis=0)
    return Peer(*(middle + tree).tolist(), spread=float(np.ptp(timed[:, 0]) / middle[0]))


def _timed(group: Sequence[Path], models: int, pairs: float) -> tuple[float, float, float]:
    """CPU seconds for so many `models` and `pairs`, told from those of `group`: `published`, `once` and `rule`."""
    some = list(combinations(range(len(group)), 2))
    families = _cpu(lambda: _families(group, some))
    loading, loaded = _cpu_of(lambda: [_from_pretrained(f) for f in group])
    kurtosis = _cpu(lambda: [_kurtosis(m) for m in loaded])
    statistics, table = _cpu_of(lambda: _statistics(loaded, some))
    distances = _cpu(lambda: _distances(loaded, some, table))
    states = [m.state_dict() for m in loaded]
    least = _cpu(lambda: _least(states, some))
    scale, each = pairs / len(some), models / len(group)
    last = distances * scale + (loading + kurtosis) * each
    once = (families + statistics) * scale + loading * each + last
    return once + last, once, least * scale + (loading + kurtosis) * each


def _from_pretrained(path: Path) -> torch.nn.Module:
    """A module with the weights of `path`, its names nested as they are."""
    state = load_file(path)
    whole = torch.nn.Module()
    for name, value in state.items():
        *parts, last = name.split(".")
        place = whole
        for part in parts:
            if part not in place._modules:
                place.add_module(part, torch.nn.Module())
            place = place._modules[part]
        place.register_parameter(last, torch.nn.Parameter(torch.empty_like(value), requires_grad=False))
    whole.load_state_dict(state)
    return whole


def _families(group: Sequence[Path], pairs: Sequence[tuple[int, int]]) -> float:
    total = 0.0
    for i, j in pairs:
        a, b = _from_pretrained(group[i]), _from_pretrained(group[j])
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
            if x.shape == y.shape and x.ndim == 2 and x.shape[0] == x.shape[1]:
                total += float((x.flatten() - y.flatten()).abs().mean().numpy())
    return total


def _layers(model: torch.nn.Module) -> list[str]:
    return [k for k, v in model.state_dict().items() if v.ndim == 2 and any(f"{n}.weight" in k for n in _KINDS)]


def _statistics(models: Sequence[torch.nn.Module], pairs: Sequence[tuple[int, int]]) -> Any:
    import pandas as pd

    table = pd.DataFrame(columns=["layer", "mean", "std", "min", "max"])
    for name in _layers(models[0]):
        data = [m.state_dict()[name] for m in models]
        d = torch.stack([data[i] - data[j] for i, j in pairs])
        table.loc[len(table)] = [name, d.mean().item(), d.std().item(), d.min().item(), d.max().item()]
    return table


def _kurtosis(model: torch.nn.Module) -> float:
    from scipy.stats import kurtosis

    square = [v for k, v in model.state_dict().items() if v.ndim == 2 and len(set(v.shape)) == 1 and _KURTOSIS_OF in k]
    return sum(float(kurtosis(v.flatten().numpy())) for v in square)


def _distances(models: Sequence[torch.nn.Module], pairs: Sequence[tuple[int, int]], table: Any) -> Any:
    import pandas as pd

    layers, index = _layers(models[0]), range(len(models))
    found = {name: pd.DataFrame(np.nan, index=index, columns=index) for name in layers}
    for name in layers:
        for i, j in pairs:
            d = models[i].state_dict()[name] - models[j].state_dict()[name]
            low, high = (table.loc[table["layer"] == name, what].to_numpy()[0] for what in ("min", "max"))
            scaled = (d - low) / (high - low + 1e-12)
            found[name].loc[i, j] = found[name].loc[j, i] = scaled.max().item()
    return np.max([f.to_numpy() for f in found.values()], axis=0)


def _least(states: Sequence[dict[str, torch.Tensor]], pairs: Sequence[tuple[int, int]]) -> float:
    """The rule itself: extremes of each layer over all pairs, then the largest normalised difference of each pair.

    The largest of a normalised difference is the normalised largest one, so one look at each difference is enough.
    """
    names = [k for k, v in states[0].items() if v.ndim == 2 and any(f"{n}.weight" in k for n in _KINDS)]
    worst = 0.0
    for name in names:
        extremes = np.array([[float(v) for v in torch.aminmax(states[i][name] - states[j][name])] for i, j in pairs])
        low, high = extremes[:, 0].min(), extremes[:, 1].max()
        worst = max(worst, float(((extremes[:, 1] - low) / (high - low + 1e-12)).max()))
    return worst


def _arborescence(count: int) -> float:
    """CPU seconds of networkx's minimum arborescence over all pairs."""
    import networkx as nx

    if count < 3:
        return 0.0
    rng = np.random.default_rng(0)
    graph = nx.DiGraph()
    for i, j in combinations(range(count), 2):
        graph.add_weighted_edges_from([(i, j, float(rng.random())), (j, i, float(rng.random()))])
    return _cpu(lambda: nx.minimum_spanning_arborescence(graph))


def _cpu(work: Callable[[], object]) -> float:
    return _cpu_of(work)[0]


def _cpu_of(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    made = work()
    return time.process_time() - start, made
