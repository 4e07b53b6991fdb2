"""Thousands of versions on a real MLflow server, and what the index and the audit take to read them.

    python tests/bench/many_versions.py index                    # 5,000 versions, SQLite
    python tests/bench/many_versions.py index --postgres
    python tests/bench/many_versions.py audit --versions 1000

The versions are loaded in seconds: rows into the server's database by MLflow's own tables, files into its bucket. The
server is started afterwards and is asked over HTTP, as everywhere. CPU seconds are of this process and of the server.
"""

import argparse
import hashlib
import json
import random
import resource
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from heritage.flows.context import Context
from heritage.lineage.codec import MANIFEST_PATH, encode
from heritage.lineage.index import LineageIndex
from heritage.lineage.tags import index_tags
from heritage.local import processes, seaweed, tracking
from heritage.local.postgres import throw_away_server
from heritage.records import (
    Architecture,
    MadeBy,
    Manifest,
    Moments,
    Origin,
    ParentEdge,
    Relation,
    TrainingData,
    WeightsFile,
)
from heritage.registry import FAMILY, Registry
from heritage.settings import MlflowSettings, Settings
from heritage.storage import ObjectStore

VERSIONS, A_MODEL, COLUMNS = 5_000, 100, 10
EXPERIMENT = "heritage"
WEIGHTS = b"not read by what is measured here"


def manifests(count: int, seed: int = 0) -> Iterator[Manifest]:
    """`count` manifests of models with `A_MODEL` versions each: made from an earlier one, one in ten from two."""
    rng = random.Random(seed)
    file = WeightsFile("model.safetensors", hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))
    moments = {f"x{i}": Moments(5_000, 0, 0.1 * i, 1.0, 0.01, -0.02, -3.5, 3.5) for i in range(COLUMNS)}
    data = TrainingData(hashlib.sha256(b"data").hexdigest(), 5_000, moments)
    for i in range(count):
        older = range(i - i % A_MODEL, i)
        chosen = rng.sample(older, min(len(older), 2 if rng.random() < 0.1 else 1))
        relation = Relation.MERGE if len(chosen) > 1 else Relation.FINETUNE
        yield Manifest(
            digest_of(i), f"many-{i // A_MODEL:03d}", (file,), "float32", 1_000, MadeBy("0.1.0"),
            f"2026-01-{1 + i // 86_400:02d}T{i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}+00:00",
            Architecture("heritage.demo.networks:mlp", {"width": 16}), data,
            tuple(ParentEdge(digest_of(j), relation, Origin.DECLARED) for j in chosen),
        )  # fmt: skip


def digest_of(i: int) -> str:
    """A digest for version number `i`."""
    return hashlib.sha256(str(i).encode()).hexdigest()


def load(database: str, store: ObjectStore, known: list[Manifest], files: bool = True) -> None:
    """Write a run, a version with its tags and the files of each of `known`; nothing else uses the database yet."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=database, registry_uri=database)
    experiment = client.create_experiment(EXPERIMENT, artifact_location=f"mlflow-artifacts:/{uuid.uuid4().hex[:8]}")
    home = client.get_experiment(experiment).artifact_location
    runs = [uuid.uuid4().hex for _ in known]
    _write_rows(database, _rows(int(experiment), home, runs, known))
    if not files:
        return
    folder = home.replace("mlflow-artifacts:/", "mlflow/")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda run, m: _write_files(store, f"{folder}/{run}/artifacts", m), runs, known))


def _write_files(store: ObjectStore, folder: str, manifest: Manifest) -> None:
    store.put(f"{folder}/{MANIFEST_PATH}", encode(manifest))
    store.put(f"{folder}/weights/{manifest.files[0].name}", WEIGHTS)


def _rows(experiment: int, home: str, runs: list[str], known: list[Manifest]) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Rows by MLflow's tables, in an order that its keys allow."""
    from mlflow.store.model_registry.dbmodels import models as registry
    from mlflow.store.tracking.dbmodels import models as runs_of

    made, versions, tags, run_tags = [], [], [], []
    numbers: dict[str, int] = {}
    for i, (run, manifest) in enumerate(zip(runs, known, strict=True)):
        number = numbers[manifest.name] = numbers.get(manifest.name, 0) + 1
        at = 1_760_000_000_000 + 1_000 * i
        made.append({"run_uuid": run, "name": manifest.name, "experiment_id": experiment, "status": "FINISHED",
                     "source_type": "UNKNOWN", "source_name": "", "entry_point_name": "", "source_version": "",
                     "user_id": "", "start_time": at, "end_time": at,
                     "artifact_uri": f"{home}/{run}/artifacts"})  # fmt: skip
        versions.append({"name": manifest.name, "version": number, "creation_time": at, "last_updated_time": at,
                         "source": f"runs:/{run}/weights", "run_id": run})  # fmt: skip
        for key, value in {**index_tags(manifest), FAMILY: manifest.name}.items():
            tags.append({"name": manifest.name, "version": number, "key": key, "value": value})
            run_tags.append({"run_uuid": run, "key": key, "value": value})
    return [
        (runs_of.SqlRun, made), (runs_of.SqlTag, run_tags),
        (registry.SqlRegisteredModel, [{"name": name} for name in numbers]),
        (registry.SqlModelVersion, versions), (registry.SqlModelVersionTag, tags),
    ]  # fmt: skip


def _write_rows(database: str, rows: list[tuple[Any, list[dict[str, Any]]]]) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(database)
    with engine.begin() as connection:
        for table, values in rows:
            connection.execute(table.__table__.insert(), values)
    engine.dispose()


@dataclass
class Loaded:
    """A server with many versions."""

    ctx: Context
    server: psutil.Process
    load_s: float

    def cpu_s(self) -> float:
        """CPU seconds of the server and its workers so far."""
        return sum(sum(p.cpu_times()[:2]) for p in [self.server, *self.server.children(recursive=True)])

    def own_cpu_s(self, work: Callable[[], Any]) -> float:
        """CPU seconds of this process for `work`."""
        before = time.process_time()
        work()
        return time.process_time() - before


@contextmanager
def loaded(folder: Path, s3: Any, database: str, count: int, files: bool = True) -> Iterator[Loaded]:
    """A server on `database` and a bucket of its own with `count` versions; without `files` nothing can be read."""
    store = ObjectStore.connect(s3.model_copy(update={"bucket": f"many-{uuid.uuid4().hex}"}))
    store.make_bucket()
    own = s3.model_copy(update={"bucket": store.bucket})
    started = time.perf_counter()
    load(database, store, list(manifests(count)), files)
    took = time.perf_counter() - started
    server = tracking.start(folder, own, database=database)
    try:
        settings = Settings(mlflow=MlflowSettings(tracking_uri=server.uri), s3=own, work_dir=folder / "work")
        ctx = Context(Registry.connect(settings, store), store, settings)
        yield Loaded(ctx, psutil.Process(server.process.pid), took)
    finally:
        processes.stop(server.process, grace_s=3.0)


def timed(many: Loaded, what: str, work: Callable[[], Any]) -> dict[str, Any]:
    """Print and return wall and CPU seconds of `work`, and the peak memory of this process so far."""
    before = time.perf_counter(), time.process_time(), many.cpu_s()
    found = work()
    after = time.perf_counter(), time.process_time(), many.cpu_s()
    wall, own, server = (b - a for a, b in zip(before, after, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{what:44s} {wall:8.2f} s wall {own:8.2f} s CPU {server:8.2f} s CPU of MLflow {peak:7.0f} MiB peak  {found}")
    return {"what": what, "wall_s": round(wall, 2), "cpu_s": round(own, 2), "server_cpu_s": round(server, 2)}


def measure_index(many: Loaded, folder: Path) -> list[dict[str, Any]]:
    """The index from tags, again, what is listed alone, and from all manifests."""
    with LineageIndex(folder / "index.sqlite") as index:
        found = [
            timed(many, "index from tags, first", lambda: many.ctx.registry.index(index)),
            timed(many, "index from tags, again", lambda: many.ctx.registry.index(index)),
            timed(many, "listing alone", lambda: len(list(many.ctx.registry.versions()))),
            timed(many, "index from all manifests", lambda: index.rebuild(many.ctx.registry.entries())),
        ]
        print(index.counts())
    return found


def measure_audit(many: Loaded, _: Path) -> list[dict[str, Any]]:
    """An audit that locks every manifest, and one that finds all of them locked."""
    from heritage.flows import audit

    def counts() -> Any:
        done = audit.run(many.ctx)
        return {key: done[key] for key in ("versions", "locked", "counts")}

    return [timed(many, "audit, first", counts), timed(many, "audit, again", counts)]


def main() -> None:
    """Load, measure, print."""
    parts = {"index": measure_index, "audit": measure_audit}
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("what", choices=parts)
    told.add_argument("--versions", type=int, default=VERSIONS)
    told.add_argument("--postgres", action="store_true")
    given = told.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        s3 = seaweed.start(folder / "s3")
        try:
            with (
                databases(folder, given.postgres) as database,
                loaded(folder, s3.settings, database, given.versions) as many,
            ):
                print(f"{given.versions} versions loaded in {many.load_s:.0f} s")
                print(json.dumps(parts[given.what](many, folder)))
        finally:
            seaweed.stop(s3.process, folder / "s3", grace_s=1.0)


@contextmanager
def databases(folder: Path, postgres: bool) -> Iterator[str]:
    """The address of an empty database."""
    if not postgres:
        yield f"sqlite:///{folder / 'mlflow.db'}"
        return
    with throw_away_server() as address:
        yield address


if __name__ == "__main__":
    main()
