"""Benchmark of repair: what it gains, what applying it costs, what query strategies are worth.

    python tests/bench/repair.py gain --seeds 6 --architectures cnn-batchnorm,mlp-layernorm --rows 64,256
    python tests/bench/repair.py apply --gib 2
    python tests/bench/repair.py query --seeds 5
    python tests/bench/repair.py peers

Families are trained once and kept under --cache. Run it on an idle machine; figures of accuracy do not depend on it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from repair_apply import bench_apply
from repair_family import BUILDERS, KINDS, Data, Family, State, draw, load_data, make_family
from repair_peers import bench_peers
from repair_query import bench_query

from heritage.repair.choose import choose_candidate
from heritage.repair.evaluate import Budget, Runner, predict
from heritage.repair.finetune import blend, fine_tune
from heritage.repair.gate import GateDecision
from heritage.repair.options import NEAREST_RULE, SearchOptions
from heritage.repair.plan import Rung
from heritage.repair.rungs import Workshop, make_workshop
from heritage.repair.search import SearchResult, realise, search
from heritage.rows import Rows

TEST_ROWS, UNLABELLED_ROWS = 1500, 1000
MIXES = (Rung.NONE, Rung.ROLLBACK, Rung.ONE, Rung.HULL)
OPTIONS = SearchOptions(device="cpu")


class Case:
    """One family under one kind of drift with so many labelled rows; validation, guard and test share no image."""

    def __init__(self, data: Data, family: Family, kind: str, seed: int, rows: int) -> None:
        self.family, self.kind, self.seed, self.count = family, kind, seed, rows
        self.validation = draw(data, KINDS[kind], rows, seed, 0)
        self.guard = draw(data, KINDS[kind], rows, seed, 1)
        self.test = draw(data, KINDS[kind], TEST_ROWS, seed, 2)
        self.unlabelled = Rows(draw(data, KINDS[kind], UNLABELLED_ROWS, seed, 3).x)

    def accuracy(self, state: State) -> float:
        """Percent right on the test rows."""
        return 100 * float((predict(self.family.network, state, self.test, "cpu").argmax(1) == self.test.y).mean())

    def search(self, options: SearchOptions, donors: dict[str, State] | None = None) -> SearchResult:
        """The search with these options."""
        f = self.family
        return search(f.network, f.drifted, donors or f.donors, self.validation, self.unlabelled, options)

    def workshop(self, options: SearchOptions) -> Workshop:
        """What the search works with, for single rungs."""
        f = self.family
        return make_workshop(f.network, f.drifted, f.donors, self.validation, self.unlabelled, options)


def single_rungs(case: Case) -> dict[str, float]:
    """Accuracy of every rung tuned on all validation rows, without any choice between rungs."""
    shop = case.workshop(replace(OPTIONS, rungs=MIXES))
    climb = shop.climb(case.validation, Budget(10_000))
    states = {recipe.rung.value: shop.state(recipe, None) for recipe in climb.recipes}
    hull = states["hull"]
    for steps in (20, 60, 200):
        tuned = fine_tune(shop.runner, hull, case.validation, steps, 0)
        states |= {f"hull + {steps} steps": tuned, f"hull + half of {steps}": blend(hull, tuned, 0.5)}
    return {name: case.accuracy(state) for name, state in states.items()}


def plain_rule(case: Case) -> State:
    """The rule that the ladder replaces: the nearest relative, one factor."""
    nearest = dict(list(case.family.donors.items())[:1])
    return case.search(replace(OPTIONS, rungs=NEAREST_RULE, splits=1), nearest).state


def rivals(case: Case) -> dict[str, float]:
    """Accuracy of TIES-trim, the uniform soup, and fine-tuning the drifted model."""
    f = case.family
    trimmed = case.workshop(replace(OPTIONS, rungs=(Rung.ONE,), trim=0.2))
    ties = trimmed.state(trimmed.climb(case.validation, Budget(10_000)).recipes[-1], None)
    whole = [f.drifted, *f.donors.values()]
    soup = {
        n: torch.stack([s[n] for s in whole]).mean(0) if t.dtype.is_floating_point else t for n, t in f.drifted.items()
    }
    tuned = fine_tune(Runner(f.network, "cpu"), f.drifted, case.validation, 60, 0)
    states = {"TIES-trim 20 %": ties, "soup": soup, "fine-tune drifted": tuned}
    return {name: case.accuracy(state) for name, state in states.items()}


def gated(case: Case, found: SearchResult) -> tuple[str, GateDecision, float]:
    """What the gate ships of the ladder: rung, decision, test accuracy of that rung."""
    f = case.family
    states = {
        r.rung.value: realise(f.network, f.drifted, f.donors, r, case.validation, case.unlabelled, OPTIONS)
        for r in found.recipes
    }
    seen = {name: predict(f.network, state, case.guard, "cpu").argmax(1) for name, state in states.items()}
    deployed = predict(f.network, f.drifted, case.guard, "cpu").argmax(1)
    name, decision = choose_candidate(deployed, seen, case.guard.y)
    return name, decision, case.accuracy(states[name])


def run_case(case: Case, thorough: bool) -> dict[str, Any]:
    """All figures of one case; test accuracies in percent."""
    started = time.process_time()
    found = case.search(OPTIONS)
    seconds = time.process_time() - started
    name, decision, candidate = gated(case, found)
    drifted = case.accuracy(case.family.drifted)
    accuracies = {"drifted": drifted, "ladder": case.accuracy(found.state), "candidate": candidate}
    accuracies["shipped"] = candidate if decision.accepted else drifted
    accuracies["nearest, one factor"] = case.accuracy(plain_rule(case))
    if thorough:
        accuracies |= single_rungs(case) | rivals(case)
    return {
        "kind": case.kind, "seed": case.seed, "rows": case.count, "accuracy": accuracies, "cpu_s": seconds,
        "searched": found.rung.value, "ships": name, "verdict": decision.verdict.value, "p": decision.p,
        "passes": found.passes,
    }  # fmt: skip


def bench_gain(arguments: argparse.Namespace) -> None:
    """Part (a): gains of every rung and rival, and what the gate lets through."""
    data = load_data()
    results = []
    for architecture in arguments.architectures.split(","):
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            family = make_family(data, architecture, seed, arguments.cache)
            for rows in map(int, arguments.rows.split(",")):
                for kind in KINDS:
                    result = run_case(Case(data, family, kind, seed, rows), not arguments.ladder_only)
                    results.append({"architecture": architecture, **result})
                    notice(f"{architecture} seed {seed} V {rows} {kind}: {result['searched']} {result['verdict']}")
    report_gain(results, data.name, arguments.seeds)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


def report_gain(results: list[dict[str, Any]], data: str, seeds: int) -> None:
    """The tables of part (a)."""
    small = "" if seeds >= 6 else f"  [SMALL RUN: {seeds} seeds; at least 6 are needed to compare methods]"
    for architecture in dict.fromkeys(r["architecture"] for r in results):
        for rows in dict.fromkeys(r["rows"] for r in results):
            cases = [r for r in results if r["architecture"] == architecture and r["rows"] == rows]
            print(f"\n{data}, {architecture}, V = {rows}, {len(cases)} cases{small}")
            print_methods(cases)
            print_gate(cases)


def print_methods(cases: list[dict[str, Any]]) -> None:
    """Mean accuracy by kind, gain over the drifted model, worst gain, share harmful (> .5 point worse)."""
    kinds = list(dict.fromkeys(c["kind"] for c in cases))
    print(f"{'method':22s}" + "".join(f"{k:>10s}" for k in kinds) + "      gain     se   worst  harmful")
    for method in cases[0]["accuracy"]:
        if method == "candidate":
            continue
        by_kind = [np.mean([c["accuracy"][method] for c in cases if c["kind"] == k]) for k in kinds]
        gains = np.array([c["accuracy"][method] - c["accuracy"]["drifted"] for c in cases])
        error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else float("nan")
        print(
            f"{method:22s}" + "".join(f"{a:10.1f}" for a in by_kind)
            + f"  {gains.mean():+8.2f} {error:6.2f} {gains.min():+7.1f} {np.mean(gains < -0.5):8.2f}"
        )  # fmt: skip


def print_gate(cases: list[dict[str, Any]]) -> None:
    """What was let through, and what real gains were refused."""
    gains = np.array([c["accuracy"]["candidate"] - c["accuracy"]["drifted"] for c in cases])
    accepted = np.array([c["verdict"] == "accept" for c in cases])
    real = gains > 2.0
    verdicts = {v: sum(c["verdict"] == v for c in cases) for v in ("accept", "shadow", "ask_labels", "refuse")}
    print(f"gate on {cases[0]['rows']} guard rows: {verdicts}")
    print(
        f"harmful (> .5 point) before {int(np.sum(gains < -0.5))}, shipped {int(np.sum(accepted & (gains < -0.5)))}; "
        f"real gains (> 2 points) not accepted {int(np.sum(real & ~accepted))} of {int(real.sum())}; "
        f"CPU {np.mean([c['cpu_s'] for c in cases]):.1f} s, {np.mean([c['passes'] for c in cases]):.0f} passes a search"
    )


def notice(line: str) -> None:
    """Progress, apart from the tables."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path(".heritage/bench/repair"))
    parser.add_argument("--json", type=Path)
    parts = parser.add_subparsers(dest="part", required=True)
    gain = parts.add_parser("gain")
    gain.add_argument("--seeds", type=int, default=6)
    gain.add_argument("--first-seed", type=int, default=100)
    gain.add_argument("--rows", default="64,256")
    gain.add_argument("--architectures", default=",".join(BUILDERS))
    gain.add_argument("--ladder-only", action="store_true", help="leave single rungs and most rivals out")
    apply = parts.add_parser("apply")
    apply.add_argument("--gib", type=float, default=2.0)
    apply.add_argument("--folder", type=Path, default=Path(".heritage/bench/apply"))
    query = parts.add_parser("query")
    query.add_argument("--seeds", type=int, default=5)
    query.add_argument("--first-seed", type=int, default=100)
    query.add_argument("--budgets", default="32,128")
    parts.add_parser("peers")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    run: dict[str, Callable[[argparse.Namespace], None]] = {
        "gain": bench_gain, "apply": bench_apply, "query": bench_query,
        "peers": bench_peers,
    }  # fmt: skip
    run[arguments.part](arguments)


if __name__ == "__main__":
    main()
