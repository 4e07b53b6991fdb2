"""The audit: everything that the registry, the manifests, the files and the locked copies say against one another.

`findings` compares and changes nothing. `run` stores what was found as `audit/findings.json`, where the REST API and
the pages read it, and locks copies of manifests that have none. A finding is a mapping of JSON values:

    id        12 hex digits, equal for equal findings
    kind      a word of `heritage.lineage.findings.Kind`, such as edge_mismatch
    severity  error, warning or note
    subject   'name/version', printable
    message   one sentence
    sides     what each side says, by its name, such as {'manifest': ..., 'tag': ...}; possibly empty
    remedy    what to do next
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from heritage.errors import BadInput, Conflict, NotFound
from heritage.flows import copies
from heritage.flows.attest import signature_findings
from heritage.flows.audit_configs import config_findings
from heritage.flows.audit_files import file_findings
from heritage.flows.audit_promotions import promotion_findings
from heritage.flows.context import Context
from heritage.lineage.audit import audit
from heritage.lineage.audit_copies import without_lost
from heritage.lineage.audit_index import against_index
from heritage.lineage.codec import MANIFEST_PATH, MAX_BYTES, decode
from heritage.lineage.findings import Finding, Kind, Severity, sort_findings
from heritage.lineage.index import LineageIndex
from heritage.names import printable
from heritage.records import ModelVersion
from heritage.registry import Entry

KEY = "audit/findings.json"
_READERS = 6  # the HTTP client keeps 10 connections


def findings(ctx: Context, *, weights: bool = False, index: Path | None = None) -> list[dict[str, Any]]:
    """All findings about the registry, errors first.

    With `weights` every weights file is read and hashed again, else they are listed. `index` is the file of a lineage
    index to compare as well. About two requests a version; see docs/scale.md.
    """
    return [finding.record() for finding in _find(ctx, list(entries(ctx)), weights, index)]


def run(ctx: Context, *, weights: bool = False, index: Path | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Find, and store unless it is a dry run: {'at', 'versions', 'locked', 'counts': {severity: n}, 'findings': [...]}.

    `locked` is how many manifests were copied for the first time, or again since edges were recovered.
    """
    known = list(entries(ctx))
    found = [finding.record() for finding in _find(ctx, known, weights, index)]
    counts = Counter(f["severity"] for f in found)
    result = {
        "at": ctx.now().isoformat(timespec="seconds"),
        "versions": len(known),
        "locked": 0 if dry_run else copies.keep_new(ctx, known),
        "counts": {severity.value: counts[severity.value] for severity in Severity},
        "findings": found,
    }
    if not dry_run:
        ctx.store.put(KEY, json.dumps(result, sort_keys=True, allow_nan=False).encode())
    return result


def counted(result: dict[str, Any]) -> dict[str, Any]:
    """What `run` returned without its findings, and the worst of them in words: small enough for an XCom."""
    worst = [f"{f['subject']}: {f['message']}" for f in result["findings"] if f["severity"] == Severity.ERROR][:5]
    return {**{key: result[key] for key in ("at", "versions", "locked", "counts")}, "worst": worst}


def keep_report(ctx: Context, key: str) -> str:
    """Id of the MLflow run with the HTML report on what the last `run` found and on the fleet; one run a `key`."""
    from heritage.flows import audit_masks, audit_report

    found = stored(ctx)
    if found is None:
        raise NotFound("there is no audit to report on; run: heritage audit")
    known = list(entries(ctx))
    return audit_report.report(ctx, key, found, known, audit_masks.run(ctx, known))


def stored(ctx: Context) -> dict[str, Any] | None:
    """What the last `run` stored; None before the first."""
    try:
        found: dict[str, Any] = json.loads(ctx.store.get(KEY))
    except NotFound:
        return None
    return found


def entries(ctx: Context) -> Iterator[Entry]:
    """Every version with the manifest that its files hold, whatever its tags say."""
    with ThreadPoolExecutor(_READERS, "heritage-audit") as pool:
        yield from pool.map(lambda version: _entry(ctx, version), ctx.registry.located(ctx.registry.versions()))


def _entry(ctx: Context, version: ModelVersion) -> Entry:
    where = f"manifest of {printable(version.address)}"
    try:
        return Entry(version, decode(ctx.registry.artifact(version, MANIFEST_PATH, MAX_BYTES), where))
    except NotFound:
        return Entry(version, None)  # with tags that tell a lineage it is a finding, else nobody claims anything
    except (BadInput, Conflict) as error:
        # a version that was registered without heritage may have its files anywhere
        return Entry(version, None, printable(str(error), 1000) if version.digest else "")


def _find(ctx: Context, known: list[Entry], weights: bool, index: Path | None) -> list[Finding]:
    pairs = [(e.version, e.manifest) for e in known if e.manifest]
    checks: list[Callable[[], Iterable[Finding]]] = [
        lambda: audit(known, ctx.now(), ctx.settings.repair.min_confidence),
        lambda: file_findings(ctx, known, weights),
        lambda: copies.copy_findings(ctx, known),
        lambda: signature_findings(ctx, known),
        lambda: promotion_findings(ctx),
        lambda: config_findings(pairs),
        lambda: _index_findings(pairs, index),
    ]
    found = {finding for check in checks for finding in check()}
    return sort_findings(without_lost(found, [f for f in found if f.kind is Kind.PARENT_DELETED]))


def _index_findings(pairs: list[Any], index: Path | None) -> Iterator[Finding]:
    if index is not None:
        if not index.is_file():
            raise NotFound(f"{index}: no such file; name a lineage index, or leave it out")
        with LineageIndex(index) as opened:
            yield from against_index(pairs, opened.nodes(), opened.edges(), opened.claimed())
