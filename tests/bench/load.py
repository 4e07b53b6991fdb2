"""What a fleet costs: agents that count rows as they come, and the hourly check of every deployed version.

    python tests/bench/load.py                          # 50 versions, 2,000,000 rows an hour, 1,000 checks
    python tests/bench/load.py --rows 200000 --checks 100

An hour is not waited for: its rows are counted one after the other, and the CPU seconds are set against 3,600. Storage
is a real SeaweedFS, the registry MLflow on SQLite; both work in processes of their own or inside the calls. Memory is
that of this process after each round of checks.
"""

import argparse
import gc
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from heritage.drift.agent import DriftAgent, Limits
from heritage.drift.columns import as_frame
from heritage.drift.profile import DriftProfile
from heritage.flows import check_drift, register
from heritage.flows.context import Context
from heritage.local import seaweed
from heritage.records import ModelVersion
from heritage.registry import INITIAL, Registry
from heritage.rows import Rows
from heritage.settings import MlflowSettings, S3Settings, Settings
from heritage.storage import ObjectStore
from heritage.weights.write import write_safetensors

COLUMNS, CLASSES, BATCH, HOUR_S = 20, 3, 64, 3_600.0


@dataclass
class Fleet:
    """Deployed versions that share one kind of data."""

    ctx: Context
    folder: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    versions: list[ModelVersion] = field(default_factory=list)

    def deploy(self, count: int) -> None:
        """Register `count` versions and make them champions."""
        reference = self.rng.normal(size=(5_000, COLUMNS)).astype(np.float32)
        inputs, outputs = as_frame(reference, self.outputs(len(reference)))
        self.profile = DriftProfile.fit(inputs, outputs=outputs)
        for i in range(count):
            path = self.folder / f"m{i}.safetensors"
            write_safetensors(path, {"w": self.rng.normal(size=(8, 8)).astype(np.float32)})
            wanted = register.Registration(f"load-{i}", path, reference=Rows(reference), profile=self.profile)
            version = register.run(self.ctx, wanted)
            self.ctx.registry.promote(version.name, version.version, None, INITIAL)
            self.versions.append(version)

    def outputs(self, rows: int) -> np.ndarray:
        """Probabilities, (rows, CLASSES)."""
        return self.rng.dirichlet(np.ones(CLASSES), rows).astype(np.float32)

    def serve(self, window: str, rows: int) -> float:
        """CPU seconds of the agents that count `rows` of one hour, in batches as requests come."""
        each = rows // len(self.versions)
        x, p = self.rng.normal(size=(each, COLUMNS)).astype(np.float32), self.outputs(each)
        started = time.process_time()
        for version in self.versions:
            limits = Limits(fold_rows=4_096)
            with DriftAgent(
                self.profile,
                self.ctx.store.create,
                version.name,
                version.version,
                limits=limits,
                window_of=lambda _: window,
            ) as agent:
                for start in range(0, each, BATCH):
                    agent.observe(x[start : start + BATCH], p[start : start + BATCH])
            assert agent.status.dropped == 0
        return time.process_time() - started

    def repeat(self, window: str, first: str) -> None:
        """The same counters as another hour's, so that there is something to check without counting again."""
        for version in self.versions:
            prefix = f"windows/{version.name}/{version.version}"
            for key in self.ctx.store.list(f"{prefix}/{first}/"):
                self.ctx.store.put(f"{prefix}/{window}/{key.rpartition('/')[2]}", self.ctx.store.get(key))

    def check(self) -> tuple[float, float]:
        """CPU and wall seconds of the check of every version."""
        started = time.process_time(), time.perf_counter()
        for version in self.versions:
            found = check_drift.run(self.ctx, version.address)
            assert found["judged"], found
            assert found["status"] != "drift"
        return time.process_time() - started[0], time.perf_counter() - started[1]


def connect(folder: Path, s3: S3Settings) -> Context:
    """A registry on SQLite below `folder`."""
    settings = Settings(
        mlflow=MlflowSettings(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}"), s3=s3, work_dir=folder / "work"
    )
    store = ObjectStore.connect(s3)
    registry = Registry.connect(settings, store)
    from mlflow.tracking import MlflowClient

    MlflowClient(tracking_uri=settings.mlflow.tracking_uri).create_experiment(
        "heritage", artifact_location=str(folder / "files")
    )
    return Context(registry, store, settings)


def measure(fleet: Fleet, rows: int, checks: int) -> None:
    """One hour of rows, then rounds of checks."""
    counted_s = fleet.serve("2026-01-01T00", rows)
    per_million = counted_s / rows * 1e6
    print(f"{rows:,} rows of {COLUMNS} columns in batches of {BATCH}: {counted_s:.1f} s of CPU")
    print(f"  {per_million:.1f} s a million")
    print(f"  the agents of an hour: {counted_s / HOUR_S:.2%} of one core")
    memory, process = [], psutil.Process()
    rounds = max(1, checks // len(fleet.versions))
    for i in range(rounds):
        window = f"2026-01-{1 + i // 24:02d}T{i % 24:02d}"
        if i:
            fleet.repeat(window, "2026-01-01T00")
        cpu_s, wall_s = fleet.check()
        gc.collect()
        memory.append(process.memory_info().rss / 2**20)
        took = f"{cpu_s:6.1f} s CPU {wall_s:6.1f} s wall"
        print(f"  round {i + 1:3d}: {len(fleet.versions)} checks {took}, {memory[-1]:.0f} MiB", flush=True)
    print(f"hourly checks of {len(fleet.versions)} versions: {cpu_s / HOUR_S:.2%} of one core (last round)")
    settled = memory[len(memory) // 4 :]
    slope = float(np.polyfit(range(len(settled)), settled, 1)[0]) if len(settled) > 2 else 0.0
    done = rounds * len(fleet.versions)
    print(f"memory: {memory[0]:.0f} MiB after the first round, {memory[-1]:.0f} after {done} checks,")
    print(f"  {slope / len(fleet.versions) * 1000:+.1f} MiB a thousand checks over the last three quarters")


def main() -> None:
    """Start the storage, deploy, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=50)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--checks", type=int, default=1_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = seaweed.start(folder / "s3")
        try:
            fleet = Fleet(connect(folder, server.settings), folder)
            fleet.deploy(chosen.versions)
            measure(fleet, chosen.rows, chosen.checks)
        finally:
            seaweed.stop(server.process, folder / "s3", grace_s=1.0)


if __name__ == "__main__":
    main()
