"""One page over all that the audit found: findings, config drift, mutations, masks; kept as an MLflow run."""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heritage.errors import BadInput
from heritage.flows.context import Context
from heritage.records import Manifest
from heritage.registry import Entry, RunRecord
from heritage.reports.html import embedded, render

if TYPE_CHECKING:
    from heritage.configs.study import Study

Record = dict[str, Any]
STUDIES = ("lineage", "drift", "subgraphs")  # those of the suite that say something about a registry's edges
PAGE = "audit.html"
# pictures that stand on the page; fleet/report.html has all
_PICTURES = frozenset(["lineage_contradictions", "config_drift_analysis", "mutational_landscape", "drift_by_depth"])
_SHOWN = 500  # findings on the page; findings.json has all


def report(ctx: Context, key: str, audited: Record, entries: Iterable[Entry], masks: Sequence[Record]) -> str:
    """Id of the MLflow run that holds the page, its tables and pictures; one run a `key`, however often called.

    `audited` is what `audit.run` returned, `masks` what `audit_masks.run` returned.
    """
    from heritage.configs.report import write_report
    from heritage.configs.study import write

    table, studies = studied([e.manifest for e in entries if e.manifest])
    with tempfile.TemporaryDirectory(prefix="heritage-audit-") as scratch:
        folder = Path(scratch)
        for study in studies:
            write(study, folder / study.name)
        if table is not None:
            write_report(studies, table, folder)
        files = {f"fleet/{file.relative_to(folder)}": file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    files[PAGE] = page(audited, studies, masks, files).encode()
    counts = {f"findings_{severity}": float(n) for severity, n in audited["counts"].items()}
    metrics = {**counts, "versions": float(audited["versions"]), "pruned_versions": float(len(masks))}
    wanted = RunRecord(f"audit {audited['at'][:10]}", {"heritage.kind": "audit"}, {}, metrics, {}, files)
    return ctx.registry.record_run(f"audit/runs/{hashlib.sha256(key.encode()).hexdigest()[:32]}", wanted)


def studied(manifests: Sequence[Manifest]) -> tuple[Any, "list[Study]"]:
    """The registry as a config table and the studies of its edges; (None, []) where there is nothing to compare."""
    from heritage.configs.edges import from_manifests as edges_of
    from heritage.configs.sources import from_manifests as rows_of
    from heritage.configs.suite import Fleet, run
    from heritage.configs.table import table_of

    if not manifests:
        return None, []
    fleet = Fleet(table_of(rows_of(manifests), "registry"), edges_of(manifests))
    try:
        return fleet.table, [run(name, fleet) for name in STUDIES]
    except BadInput:  # no field that two versions could be compared by
        return None, []


def page(audited: Record, studies: "Sequence[Study]", masks: Sequence[Record], files: dict[str, bytes]) -> str:
    """The page; pictures are taken from `files`."""
    still = any(study.summary.get("unchanged_share") == 1 for study in studies)
    return render(
        "audit.html", audited=audited, findings=audited["findings"][:_SHOWN], masks=masks, still=still,
        studies=[_part(study, {} if still else files) for study in studies],
        left_out=max(0, len(audited["findings"]) - _SHOWN),
    )  # fmt: skip


def _part(study: "Study", files: dict[str, bytes]) -> Record:
    paths = {name: f"fleet/{study.name}/figures/{name}.png" for name in study.figures if name in _PICTURES}
    pictures = [(name.replace("_", " "), embedded(files[path])) for name, path in paths.items() if path in files]
    numbers = [(k.replace("_", " "), v) for k, v in study.summary.items() if isinstance(v, int | float)]
    return {"title": study.title, "numbers": numbers, "notes": study.notes, "pictures": pictures}
