"""How long the HTTP interface takes over a large registry: `python tests/bench/api.py [versions] [seconds] [clients]`.

The index is filled with a made-up forest; the application runs in a process of its own, asked by two clients at once.
"""

import json
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import uvicorn

from heritage.api import counts, create_app, token_guard
from heritage.api.catalogue import Catalogue
from heritage.api.follow import Follower
from heritage.api.refresh import REFRESHED_AT
from heritage.flows.context import Context
from heritage.local.ports import free_ports
from heritage.records import MadeBy, Manifest, ModelVersion, Origin, ParentEdge, Relation
from heritage.registry import Entry, Registry
from heritage.settings import ApiSettings, MlflowSettings, Settings
from heritage.storage import ObjectStore

AT = "2026-11-22T00:00:00+00:00"
CLIENTS = 2
MEMBERS = 50  # versions a family, on average


def context(folder: Path) -> Context:
    """Connections that nothing is asked of."""
    settings = Settings(
        mlflow=MlflowSettings(tracking_uri="http://127.0.0.1:9"), api=ApiSettings(refresh_s=1e9), work_dir=folder
    )
    store = ObjectStore.connect(settings.s3)
    return Context(Registry.connect(settings, store), store, settings)


def digest(i: int) -> str:
    return f"{i:064x}"[::-1]


def entries(count: int, seed: int = 0):
    """Versions of a forest: each has one earlier parent in its family, one in ten a second one."""
    rng = random.Random(seed)
    for i in range(count):
        family = i % max(1, count // MEMBERS)
        older = range(family, i, max(1, count // MEMBERS))
        parents = rng.sample(older, min(len(older), 2 if rng.random() < 0.1 else 1))
        edges = tuple(ParentEdge(digest(j), Relation.FINETUNE, Origin.DECLARED) for j in parents)
        tags = {"heritage.family": f"family-{family}"} | {f"heritage.parent.{e.digest[:12]}": "x" for e in edges}
        if i % 20 == 0:
            tags["heritage.drift"] = f"{rng.choice(['ok', 'drift', 'warning'])}:2026-11-22T07"
        aliases = ("champion",) if i % 100 == 0 else ()
        version = ModelVersion(f"model-{i:06d}", "1", digest(i), "", "", tags, aliases, 1_700_000_000_000 + i)
        manifest = Manifest(
            digest(i), version.name, (), "F32", 1, MadeBy("0"), "2026-11-22T00:00:00+00:00", parents=edges
        )
        yield Entry(version, manifest)


def fill(folder: Path, count: int) -> float:
    """Seconds to fill the index."""
    path = Follower(lambda: context(folder)).path()
    begun = time.perf_counter()
    with Catalogue(path) as catalogue:
        known = list(entries(count))
        made = time.perf_counter()
        for i in range(0, count, 5000):
            catalogue.put(e.version for e in known[i : i + 5000])
            catalogue.confirm(known[i : i + 5000])
        counts.keep(catalogue)
        catalogue.note(REFRESHED_AT, AT)
    print(
        f"made {count} versions in {made - begun:.1f} s; index filled in {time.perf_counter() - made:.1f} s, "
        f"{path.stat().st_size / 2**20:.0f} MiB"
    )
    return time.perf_counter() - made


def serve(folder: str, port: int) -> None:
    app = create_app(token_guard(""), connect=lambda: context(Path(folder)))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


def questions(count: int) -> dict[str, object]:
    def some(rng: random.Random) -> int:
        return rng.randrange(count)

    return {
        "list, first page": lambda _: "/api/models",
        "list, text": lambda r: f"/api/models?query={r.randrange(1000)}",
        "list, family": lambda r: f"/api/models?family=family-{some(r) // MEMBERS}",
        "lineage, both ways": lambda r: f"/api/models/model-{some(r):06d}/1/lineage",
        "lineage, of a digest": lambda r: f"/api/models/{digest(some(r))[:16]}/lineage?depth=2",
        "genealogy": lambda r: f"/api/families/family-{some(r) // MEMBERS}/genealogy",
        "fleet by drift": lambda _: "/api/drift",
        "families": lambda _: "/api/families",
        "statistics": lambda _: "/api/clustering/statistics",
    }


def ask(port: int, count: int, until: float, seed: int, taken: dict[str, list[float]]) -> None:
    rng, asked = random.Random(seed), list(questions(count).items())
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        while time.monotonic() < until:
            name, path = rng.choice(asked)
            begun = time.perf_counter()
            answer = client.get(path(rng))
            assert answer.status_code == 200, answer.text
            taken[name].append(1000 * (time.perf_counter() - begun))


def main(count: int = 100_000, seconds: int = 20, clients: int = CLIENTS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), count)
        port = free_ports(1)[0]
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, port), daemon=True)
        server.start()
        for _ in range(600):
            try:
                httpx.get(f"http://127.0.0.1:{port}/api/models", timeout=60, trust_env=False)
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        taken: dict[str, list[float]] = {name: [] for name in questions(count)}
        before = psutil.Process(server.pid).cpu_times()
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=ask, args=(port, count, until, i, taken)) for i in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = psutil.Process(server.pid).cpu_times()
        server.terminate()
        every = [t for some in taken.values() for t in some]
        cpu_s = sum(after[:2]) - sum(before[:2])
        print(
            f"{count} versions, {clients} clients, {len(every) / seconds:.0f} requests/s, "
            f"{1000 * cpu_s / len(every):.1f} ms of CPU each"
        )
        for name, some in {**taken, "all": every}.items():
            p50, p95, p99 = np.percentile(some, [50, 95, 99])
            print(f"{name:22} n {len(some):5}  p50 {p50:7.1f} ms  p95 {p95:7.1f} ms  p99 {p99:7.1f} ms")
        print(json.dumps({"p95_ms": round(float(np.percentile(every, 95)), 1)}))


if __name__ == "__main__":
    main(*(int(arg) for arg in sys.argv[1:]))
