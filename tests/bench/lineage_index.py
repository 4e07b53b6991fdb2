"""Times of the lineage index and graph at 100,000 versions and 110,000 edges; prints a table.

Run: .venv/bin/python tests/bench/lineage_index.py
"""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from heritage.lineage.audit import audit
from heritage.lineage.codec import decode, encode
from heritage.lineage.graph import LineageGraph
from heritage.lineage.index import LineageIndex
from heritage.lineage.tags import index_tags
from heritage.records import MadeBy, Manifest, ModelVersion, Origin, ParentEdge, Relation

VERSIONS, EDGES, SEED = 100_000, 110_000, 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A version with its manifest."""

    version: ModelVersion
    manifest: Manifest
    problem: str = ""


def registry() -> list[Entry]:
    """One family: each version is made from a random one of the 2,000 before it; one in ten is a merge of two."""
    rng = random.Random(SEED)
    digests = [rng.randbytes(32).hex() for _ in range(VERSIONS)]
    merges = set(rng.sample(range(3, VERSIONS), EDGES - VERSIONS + 1))
    entries = []
    for i, digest in enumerate(digests):
        near = range(max(0, i - 2000), i)
        parents = rng.sample(near, 2 if i in merges else 1) if i else []
        records = tuple(ParentEdge(digests[p], Relation.FINETUNE, Origin.DECLARED) for p in parents)
        at = (
            f"2026-01-01T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}+00:00"
            if i < 86_400
            else "2026-01-02T00:00:00Z"
        )
        manifest = Manifest(digest, "digits", (), "float32", 1000, MadeBy("0.1.0"), at, parents=records)
        version = ModelVersion("digits", str(i + 1), digest, "r", "s", index_tags(manifest), (), 1_700_000_000_000 + i)
        entries.append(Entry(version, manifest))
    return entries


def timed(what: str, work: Callable[[], object], repeats: int = 1) -> None:
    """Print the median wall and CPU time of `work` in ms."""
    wall, cpu = [], []
    for _ in range(repeats):
        started = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started[0])
        cpu.append(time.process_time() - started[1])
    print(f"{what:58s} {statistics.median(wall) * 1e3:10.1f} {statistics.median(cpu) * 1e3:10.1f}")


def main() -> None:
    """Measure and print."""
    entries = registry()
    root, leaf = entries[0].version.digest, entries[-1].version.digest
    data = [encode(e.manifest) for e in entries[:10_000]]
    edges = sum(len(e.manifest.parents) for e in entries)
    print(f"{len(entries)} versions, {edges} edges; Python {sys.version.split()[0]}")
    print(f"{'':58s} {'wall ms':>10s} {'CPU ms':>10s}")
    timed("encode 10,000 manifests", lambda: [encode(e.manifest) for e in entries[:10_000]])
    timed("decode 10,000 manifests", lambda: [decode(d, "m.json") for d in data])
    with tempfile.TemporaryDirectory() as folder, LineageIndex(Path(folder) / "index.sqlite") as index:
        timed("index: rebuild", lambda: index.rebuild(entries))
        print(f"{'index: file size':58s} {index.path.stat().st_size / 2**20:10.1f} MiB")
        timed("index: update with the last 1,000 (all known)", lambda: index.update(entries[-1000:]))
        timed(f"index: ancestors of the newest ({len(index.ancestors(leaf))})", lambda: index.ancestors(leaf), 9)
        timed(f"index: descendants of the root ({len(index.descendants(root))})", lambda: index.descendants(root), 3)
        timed("index: content digest", index.digest)
        timed("index: load as graph", index.graph)
    graph = LineageGraph.of([e.manifest for e in entries], [e.version for e in entries])
    timed(
        "graph: from manifests and versions, acyclicity checked", lambda: LineageGraph.of([e.manifest for e in entries])
    )
    timed(f"graph: ancestors of the newest ({len(graph.ancestors(leaf))})", lambda: graph.ancestors(leaf), 9)
    timed("graph: descendants of the root", lambda: graph.descendants(root), 3)
    timed("graph: relatives of the newest within 4 edges", lambda: graph.relatives(leaf, max_distance=4), 3)
    timed("graph: statistics", graph.statistics)
    timed("audit", lambda: audit(entries, datetime(2026, 11, 22, tzinfo=UTC)))


if __name__ == "__main__":
    main()
