"""What drift checking costs and how often it errs: ours, Evidently and scipy, in one run.

    python tests/bench/drift.py            # full size, about half an hour on two cores
    python tests/bench/drift.py --quick    # a tenth of it, to see that it runs

CPU seconds are those of a process of its own per method, on one thread; memory is the peak above what the data take.
"""

import argparse
import os
import resource
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from heritage.drift import measures
from heritage.drift.agent import DriftAgent
from heritage.drift.columns import as_frame
from heritage.drift.performance import PerformanceReference, check_performance
from heritage.drift.profile import DriftProfile
from heritage.drift.verdict import check
from heritage.drift.window import Window

SIZES = (50, 200, 1_000, 10_000, 100_000)
SCENARIOS = ("no drift", "all +.02 sd", "one +.1 sd", "one +.3 sd", "one +1 sd", "one sd x1.5")
RULES = ("guarded", "guarded, drift only", "PSI > .1", "PSI > .2", "KL > .1", "KS p < .05", "KS p < .05 Bonferroni")


# --- cost


def table(seed, rows, columns):
    """Gaussian columns, made one at a time so that making them has no peak."""
    rng = np.random.default_rng(seed)
    values = np.empty((columns, rows))
    for column in values:
        column[:] = rng.normal(size=rows)
    return pd.DataFrame(values.T, columns=[f"c{i}" for i in range(columns)], copy=False)


def ours(reference, current):
    profile = DriftProfile.fit(reference)
    yield "fit"
    verdict = check(profile, Window.empty(profile).update(current))
    assert verdict.status == "ok"
    yield "check"


def evidently(method):
    def run(reference, current):
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(numerical_columns=list(reference.columns))
        report = Report([DataDriftPreset(num_method=method)])
        yield "import"
        now, then = (Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference))
        report.run(now, then).dict()
        yield "check"

    return run


def with_scipy(reference, current):
    from scipy import stats

    yield "import"
    for name in reference.columns:
        x, y = reference[name].to_numpy(), current[name].to_numpy()
        edges = np.quantile(x, np.arange(1, 10) / 10)
        cells = [np.bincount(np.searchsorted(edges, v, side="right"), minlength=10) for v in (x, y)]
        measures.psi(cells[1], cells[0])
        measures.kl(cells[1], cells[0])
        stats.ks_2samp(x, y, method="asymp")
    yield "check"


METHODS = {"ours": ours, "evidently psi": evidently("psi"), "evidently ks": evidently("ks"), "scipy": with_scipy}


def memory_mb(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def cost_here(method, rows, columns):
    """In a process of its own: prints step, CPU seconds and extra MB of each step."""
    warnings.simplefilter("ignore")
    reference, current = table(0, rows, columns), table(1, rows, columns)
    steps = METHODS[method](reference, current)
    while True:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before, started = memory_mb("VmRSS"), time.process_time()
        step = next(steps, None)
        if step is None:
            return
        print(f"{step} {time.process_time() - started:.3f} {memory_mb('VmHWM') - before:.0f}", flush=True)


def cost(method, rows, columns):
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
    command = [sys.executable, __file__, "--one", method, "--rows", str(rows), "--columns", str(columns)]
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread, check=False)
    if done.returncode:
        print(f"  {method}: {done.stderr.strip().splitlines()[-1]}")
        return {}
    lines = [line.split() for line in done.stdout.splitlines() if len(line.split()) == 3]
    return {step: (float(cpu_s), float(mb)) for step, cpu_s, mb in lines if step in ("fit", "import", "check")}


def compare_costs(rows, columns):
    found = {method: cost(method, rows, columns) for method in METHODS}
    own = found["ours"]["check"][0]
    print(f"\n{rows} x {columns}: PSI, KS and KL of all columns\n")
    print("| method | CPU s | extra MB | times ours |\n|---|---|---|---|")
    for method, steps in found.items():
        for step in ("fit", "check"):
            if step in steps:
                cpu_s, mb = steps[step]
                name = f"{method} (fit, once)" if step == "fit" else method
                print(f"| {name} | {cpu_s:.2f} | {mb:.0f} | {cpu_s / own:.1f} |", flush=True)
    both = [found[m]["check"][0] for m in ("evidently psi", "evidently ks") if "check" in found[m]]
    return sum(both) / own if len(both) == 2 else None, found["ours"]["check"][1]


# --- the agent


def agent_table(calls):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1_024, 30)).astype(np.float32)
    profile = DriftProfile.fit(as_frame(rng.normal(size=(20_000, 30)).astype(np.float32))[0])
    print("\nagent.observe, 30 columns, called without a pause\n")
    print("| rows a call | threads | rows/s | mean us | median us | 99 % us | lost |\n|---|---|---|---|---|---|---|")
    worst, all_lost = 0.0, 0
    for rows, threads in ((1, 1), (1_024, 1), (1_024, 8)):
        rate, times_us, lost = one_agent(profile, x[:rows], calls if rows > 1 else 20 * calls, threads)
        mean, median, high = times_us.mean(), np.median(times_us), np.quantile(times_us, 0.99)
        print(f"| {rows} | {threads} | {rate:,.0f} | {mean:.1f} | {median:.1f} | {high:.1f} | {lost} |", flush=True)
        worst = max(worst, mean if threads == 1 and rows > 1 else 0.0)
        all_lost += lost
    return worst, all_lost


def one_agent(profile, batch, calls, threads):
    stored = {}

    def sink(key, data):
        return stored.setdefault(key, data) is data

    times = [[] for _ in range(threads)]
    started = time.perf_counter()
    with DriftAgent(profile, sink, "bench", "1") as agent:

        def serve(own):
            for _ in range(calls):
                before = time.perf_counter()
                agent.observe(batch)
                own.append(time.perf_counter() - before)

        workers = [threading.Thread(target=serve, args=(own,)) for own in times]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    took = time.perf_counter() - started
    written = sum(Window.from_bytes(profile, data, key).rows for key, data in stored.items())
    expected = calls * threads * len(batch)
    return expected / took, np.concatenate(times) * 1e6, expected - written


# --- errors


def alarms(verdict, rows, reference_rows):
    columns = verdict.columns.values()
    p = [measures.ks_p(c.ks.low, rows, reference_rows) for c in columns]
    return (
        verdict.status in ("warning", "drift"),
        verdict.status == "drift",
        any(c.psi > 0.1 for c in columns),
        any(c.psi > 0.2 for c in columns),
        any(c.kl > 0.1 for c in columns),
        min(p) < 0.05,
        min(p) < 0.05 / len(p),
    )


def drawn(rng, rows, scenario):
    x = rng.standard_normal((rows, 30), dtype=np.float32)
    if scenario == "all +.02 sd":
        x += 0.02
    elif scenario == "one sd x1.5":
        x[:, 0] *= 1.5
    elif scenario.startswith("one"):
        x[:, 0] += float(scenario.split()[1])
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(30)], copy=False)


def error_tables(trials):
    """Share of windows with an alarm: shares[rows][rule][scenario]; a new reference of 20,000 rows every 20 windows."""
    shares = {}
    for rows in SIZES:
        total = {scenario: np.zeros(len(RULES)) for scenario in SCENARIOS}
        for trial in range(trials):
            rng = np.random.default_rng([trial, rows])
            if trial % 20 == 0:
                profile = DriftProfile.fit(drawn(rng, 20_000, "no drift"))
            for scenario in SCENARIOS:
                window = Window.empty(profile).update(drawn(rng, rows, scenario))
                total[scenario] += alarms(check(profile, window), rows, profile.rows)
        shares[rows] = {scenario: total[scenario] / trials for scenario in SCENARIOS}
        print(f"\nn = {rows}: share of {trials} windows with an alarm (reference 20,000 rows, 30 columns)\n")
        print(f"| rule | {' | '.join(SCENARIOS)} |\n|---|{'---|' * len(SCENARIOS)}")
        for i, rule in enumerate(RULES):
            print(f"| {rule} | {' | '.join(f'{shares[rows][s][i]:.3f}' for s in SCENARIOS)} |", flush=True)
    return shares


def large_windows(trials, rows=1_000_000):
    rng = np.random.default_rng(3)
    profile = DriftProfile.fit(drawn(rng, 20_000, "no drift"))
    windows = (Window.empty(profile).update(drawn(rng, rows, "no drift")) for _ in range(trials))
    return float(np.mean([check(profile, window).status != "ok" for window in windows]))


# --- outliers and concept drift


def outlier_table(trials):
    """Largest relative change of PSI, and verdicts changed, when one of 5,000 rows becomes a million."""
    print("\none outlier of 1e6 among 5,000 rows\n")
    print("| shift, sd | median change of PSI | largest change of PSI | verdicts changed |\n|---|---|---|---|")
    worst = {}
    for shift in (0.0, 0.3, 1.0):
        changes, changed = [], 0
        for trial in range(trials):
            rng = np.random.default_rng([trial, 5])
            profile = DriftProfile.fit(pd.DataFrame({"x": rng.normal(size=20_000)}))
            x = rng.normal(shift, size=5_000)
            spoilt = x.copy()
            spoilt[rng.integers(5_000)] = 1e6
            before, after = (check(profile, Window.empty(profile).update(pd.DataFrame({"x": v}))) for v in (x, spoilt))
            changes.append(abs(after.columns["x"].psi / before.columns["x"].psi - 1))
            changed += after.status != before.status
        worst[shift] = (max(changes), changed)
        typical = float(np.median(changes))
        print(f"| {shift} | {100 * typical:.2f} % | {100 * max(changes):.2f} % | {changed} of {trials} |", flush=True)
    return worst


def concept_drift(trials):
    """Alarms within 1,000 labels when a fifth of the labels flips; when none does; inputs blamed; labels needed."""
    seen = false = blamed = 0
    needed = []
    for trial in range(trials):
        rng = np.random.default_rng([trial, 7])
        x, p, y = labelled(rng, 5_000, 0.0)
        reference, profile = PerformanceReference.fit(p, y), DriftProfile.fit(as_frame(x)[0])
        x, p, y = labelled(rng, 1_000, 0.2)
        moved = check_performance(reference, p, y)
        verdict = check(profile, Window.empty(profile).update(as_frame(x)[0]), performance=moved)
        seen += moved.moved
        blamed += "input" in verdict.moved
        steps = range(50, 1_001, 50)
        needed.append(next((k for k in steps if check_performance(reference, p[:k], y[:k]).moved), np.inf))
        _, p, y = labelled(rng, 1_000, 0.0)
        false += check_performance(reference, p, y).moved
    return seen / trials, false / trials, blamed / trials, float(np.median(needed))


def labelled(rng, rows, flipped):
    x = rng.standard_normal((rows, 10), dtype=np.float32)
    p1 = 1 / (1 + np.exp(-4 * x[:, 0].astype(float)))
    y = (rng.random(rows) < p1).astype(np.int64)
    return x, np.stack([1 - p1, p1], axis=1), np.where(rng.random(rows) < flipped, 1 - y, y)


# --- all of it


@dataclass
class Asked:
    what: str
    reached: str
    holds: bool


def must_reach(ratio, memory, shares, large, outliers, concept, agent, profile_bytes):
    agent_us, lost = agent
    guarded = {rows: {s: shares[rows][s][0] for s in SCENARIOS} for rows in SIZES}
    false = max([*(guarded[rows]["no drift"] for rows in SIZES), large])
    power = min(guarded[rows]["one +.3 sd"] for rows in SIZES if rows >= 1_000)
    nuisance = guarded[100_000]["all +.02 sd"]
    return [
        *([] if ratio is None else _costs_asked(ratio, memory)),
        Asked("alarms without drift, at most 2 %", f"{100 * false:.2f} %", false <= 0.02),
        Asked("one of 30 columns +.3 sd, n >= 1,000, at least 95 % seen", f"{100 * power:.1f} %", power >= 0.95),
        Asked("all columns +.02 sd, n = 100k, under 1 % alarms", f"{100 * nuisance:.2f} %", nuisance < 0.01),
        Asked(
            "one outlier: PSI of a shifted column changes by less than 1 %, no verdict changes",
            f"{100 * max(outliers[0.3][0], outliers[1.0][0]):.2f} %, {sum(c for _, c in outliers.values())}",
            max(outliers[0.3][0], outliers[1.0][0]) < 0.01 and not sum(c for _, c in outliers.values()),
        ),
        Asked(
            "concept drift seen within 1,000 labels, no input blamed",
            f"{100 * concept[0]:.0f} %, {100 * concept[2]:.0f} % blamed, median {concept[3]:.0f} labels, "
            f"{100 * concept[1]:.0f} % false",
            concept[0] >= 0.95 and concept[2] <= 0.02,
        ),
        Asked("observe 1,024 x 30 rows, mean under 2 ms", f"{agent_us / 1000:.3f} ms", agent_us < 2_000),
        Asked("one and eight threads lose no row", f"{lost} lost", lost == 0),
        Asked("profile of 30 columns under 200 kB", f"{profile_bytes / 1000:.0f} kB", profile_bytes < 200_000),
    ]


def _costs_asked(ratio, memory):
    return [
        Asked("CPU against Evidently psi + ks, at least 200 times", f"{ratio:.0f}", ratio >= 200),
        Asked("extra memory under 50 MB", f"{memory:.0f} MB", memory < 50),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows and trials")
    parser.add_argument("--skip-wide", action="store_true", help="leave 100,000 x 300 out")
    parser.add_argument("--skip-cost", action="store_true", help="leave the comparison of costs out")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        cost_here(given.one, given.rows, given.columns)
        return
    share = 10 if given.quick else 1
    ratio, memory = (None, 0.0) if given.skip_cost else compare_costs(given.rows // share, given.columns)
    if not given.skip_wide and not given.skip_cost:
        compare_costs(100_000 // share, 300)
    trials = max(10, given.trials // share)
    agent = agent_table(1_000 // share)
    outliers, concept = outlier_table(trials // 4), concept_drift(trials // 4)
    shares = error_tables(trials)
    large = large_windows(max(3, trials // 20))
    size = len(DriftProfile.fit(table(4, 50_000, 30)).to_bytes())
    print("\n| must reach | reached | |\n|---|---|---|")
    for asked in must_reach(ratio, memory, shares, large, outliers, concept, agent, size):
        print(f"| {asked.what} | {asked.reached} | {'yes' if asked.holds else 'NO'} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n(this process: {time.process_time():.0f} CPU s, peak {peak:.0f} MB)")


if __name__ == "__main__":
    main()
