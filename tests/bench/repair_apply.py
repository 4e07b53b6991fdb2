"""Part (b): what writing a repaired model costs, against `cp` and against loading both models whole."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]

_MAKE = """
import sys, torch
from safetensors.torch import save_file
gib, path, seed = float(sys.argv[1]), sys.argv[2], int(sys.argv[3])
g = torch.Generator().manual_seed(seed)
count = max(1, round(gib * 8))
save_file({f"layer{i}.weight": torch.randn(8192, 4096, generator=g) for i in range(count)}, path)
"""
_STREAM = """
import sys
from pathlib import Path
from heritage.repair.apply import apply_plan
from heritage.repair.plan import Recipe, RepairPlan, Rung
plan = RepairPlan("0" * 64, {"donor": "1" * 64}, Recipe(Rung.ONE, {"donor": 0.37}), "2" * 64, seed=0)
apply_plan(plan, Path(sys.argv[1]), {"donor": Path(sys.argv[2])}, Path(sys.argv[3]))
"""
_LOAD_ALL = """
import sys, torch
from safetensors.torch import load_file, save_file
a, b = load_file(sys.argv[1]), load_file(sys.argv[2])
save_file({n: torch.lerp(t, b[n], 0.37) for n, t in a.items()}, sys.argv[3])
"""
_COMPARE = """
import sys, torch
from safetensors import safe_open
a, b, out = (safe_open(p, "pt") for p in sys.argv[1:4])
print(all(torch.equal(out.get_tensor(n), torch.lerp(a.get_tensor(n), b.get_tensor(n), 0.37)) for n in a.keys()))
"""
_MEASURE = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
wall = time.perf_counter() - started
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}))
"""


def bench_apply(arguments: argparse.Namespace) -> None:
    """Make two models, mix them in each way in a process of its own, and compare; the files are removed again."""
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    drifted, donor, out = (str(folder / f"{n}.safetensors") for n in ("drifted", "donor", "out"))
    try:
        for seed, path in enumerate((drifted, donor)):
            _python(_MAKE, str(arguments.gib), path, str(seed))
        results = {
            "cp": _measured("cp", drifted, out),
            "load all": _measured(sys.executable, "-c", _LOAD_ALL, drifted, donor, out),
            "stream": _measured(sys.executable, "-c", _STREAM, drifted, donor, out),
        }
        equal = _python(_COMPARE, drifted, donor, out).strip()
    finally:
        for path in (drifted, donor, out):
            Path(path).unlink(missing_ok=True)
    print(f"2 x {arguments.gib} GiB float32, {arguments.threads} thread(s)")
    for name, r in results.items():
        print(f"{name:9s} wall {r['wall_s']:6.1f} s  CPU {r['cpu_s']:6.1f} s  peak {r['peak_mb']:7.0f} MB")
    ratio = results["stream"]["cpu_s"] / results["load all"]["cpu_s"]
    print(f"CPU of stream over load all {ratio:.2f}; bit-equal to torch.lerp: {equal}")


def _measured(*command: str) -> dict[str, float]:
    measured: dict[str, float] = json.loads(_python(_MEASURE, *command))
    return measured


def _python(code: str, *arguments: str) -> str:
    environment = {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, env=environment, stdout=subprocess.PIPE, text=True
    )
    return done.stdout
