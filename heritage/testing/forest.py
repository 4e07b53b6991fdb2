"""Trains a forest of small networks with known history and writes it to a folder."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from heritage.testing.family import Node, grow_family
from heritage.testing.plan import ForestPlan
from heritage.testing.truth import remove_some, truth_of


def generate(plan: ForestPlan, folder: Path, seed: int, workers: int = 1) -> dict[str, Any]:
    """The truth of a forest whose weights now lie in `folder` as `<name>.safetensors`, and beside it in `truth.json`.

    Equal plans and seeds give equal files on one machine. File names are random and tell nothing. Families are trained
    one after the other, or in `workers` processes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = _family_sizes(plan, np.random.default_rng([seed, 0]))
    jobs = [(plan, size, i, [seed, 1, i]) for i, size in enumerate(sizes)]
    if workers > 1:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            families = list(pool.map(_grow, jobs))
    else:
        families = [_grow(job) for job in jobs]
    return write_forest(families, plan, folder, np.random.default_rng([seed, 2]))


def write_forest(
    families: list[list[Node]], plan: ForestPlan, folder: Path, rng: np.random.Generator
) -> dict[str, Any]:
    """The truth of `families` after some parents were taken away; what is left is written under random names."""
    from safetensors.torch import save_file

    nodes = [n for family in families for n in family]
    gone = remove_some(nodes, plan.missing, rng)
    names = {n.id: f"{v:08x}" for n, v in zip(nodes, rng.choice(2**32, len(nodes), replace=False), strict=True)}
    for node in sorted((n for n in nodes if n.id not in gone), key=lambda n: names[n.id]):
        save_file({k: v.contiguous() for k, v in node.saved.items()}, folder / f"{names[node.id]}.safetensors")
    truth = truth_of(nodes, gone, names)
    truth["plan"] = {k: v for k, v in asdict(plan).items() if k in ("models", "dtype", "kinds")}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1))
    return truth


def _grow(job: tuple[ForestPlan, int, int, list[int]]) -> list[Node]:
    import torch

    plan, size, number, seed = job
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one thread a process is faster here, and the sums come out in one order
    try:
        return grow_family(plan, size, number, np.random.default_rng(seed))
    finally:
        torch.set_num_threads(threads)


def _family_sizes(plan: ForestPlan, rng: np.random.Generator) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < plan.models:
        size = int(rng.integers(max(1, plan.family_size // 2), plan.family_size * 2))
        sizes.append(min(size, plan.models - sum(sizes)))
    return sizes
