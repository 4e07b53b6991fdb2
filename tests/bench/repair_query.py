"""Part (c): query strategies against random, paired over seeds and kinds of drift."""

import argparse
import sys

import numpy as np
from repair_family import KINDS, Data, Family, draw, load_data, make_family

from heritage.labelling.features import penultimate
from heritage.labelling.pool import Pool
from heritage.labelling.strategies import NAMES, RANDOM, select
from heritage.repair.evaluate import predict
from heritage.repair.options import SearchOptions
from heritage.repair.search import realise, search
from heritage.rows import Rows, concatenate

QUERY_KINDS = ("rotation", "rot+prior", "occlude", "invert")
FIRST_LABELS, POOL_ROWS, TEST_ROWS = 64, 1000, 1500


def bench_query(arguments: argparse.Namespace) -> None:
    """Accuracy after refining with N more labels: mean by kind, and the paired difference to random with its error."""
    data = load_data()
    budgets = [int(b) for b in arguments.budgets.split(",")]
    found: dict[tuple[int, str], dict[str, list[float]]] = {}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        family = make_family(data, "mlp-layernorm", seed, arguments.cache)
        for kind in QUERY_KINDS:
            for key, accuracy in run_kind(data, family, kind, seed, budgets).items():
                found.setdefault(key, {}).setdefault(kind, []).append(accuracy)
            print(f"seed {seed} {kind}", file=sys.stderr, flush=True)
    report(found, arguments.seeds, data.name)


def run_kind(data: Data, family: Family, kind: str, seed: int, budgets: list[int]) -> dict[tuple[int, str], float]:
    """Test accuracy (percent) of the refined repair for every budget and strategy; (0, 'repaired') before."""
    options = SearchOptions(device="cpu", splits=2)
    first, pool, test = (draw(data, KINDS[kind], n, seed, w) for n, w in ((64, 0), (POOL_ROWS, 4), (TEST_ROWS, 2)))
    start = search(family.network, family.drifted, family.donors, first, None, options)
    base = realise(family.network, family.drifted, family.donors, start.recipe, first, None, options)
    probabilities, features = penultimate(family.network, base, pool.x, "cpu")
    committee = np.stack([predict(family.network, s, pool, "cpu") for s in family.donors.values()])
    labelled = penultimate(family.network, base, first.x, "cpu")[1]
    seen = Pool(probabilities, features, committee, labelled)
    results = {(0, "repaired"): _accuracy(family, base, test)}
    for budget in budgets:
        for strategy in NAMES:
            picked = select(strategy, seen, budget, np.random.default_rng(seed))
            more = concatenate([first, Rows(pool.x[picked.index], pool.y[picked.index])])
            refined = search(family.network, family.drifted, family.donors, more, None, options)
            results[budget, strategy] = _accuracy(family, refined.state, test)
    return results


def _accuracy(family: Family, state: dict, test: Rows) -> float:
    return 100 * float((predict(family.network, state, test, "cpu").argmax(1) == test.y).mean())


def report(found: dict[tuple[int, str], dict[str, list[float]]], seeds: int, data: str) -> None:
    """The table of part (c)."""
    small = "" if seeds >= 5 else f"  [SMALL RUN: {seeds} seeds]"
    print(f"{data}, mlp-layernorm, {FIRST_LABELS} labels first, {seeds} seeds{small}")
    print(f"{'labels strategy':24s}" + "".join(f"{k:>11s}" for k in QUERY_KINDS) + "   vs random (se)")
    for (budget, strategy), by_kind in sorted(found.items()):
        means = "".join(f"{np.mean(by_kind[k]):11.1f}" for k in QUERY_KINDS)
        rival = found.get((budget, RANDOM))
        paired = "" if rival is None else _paired(by_kind, rival)
        print(f"{budget:4d} {strategy:19s}{means}   {paired}")


def _paired(by_kind: dict[str, list[float]], rival: dict[str, list[float]]) -> str:
    gaps = np.array([a - b for k in QUERY_KINDS for a, b in zip(by_kind[k], rival[k], strict=True)])
    error = gaps.std(ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else float("nan")
    return f"{gaps.mean():+.2f} ({error:.2f})"
