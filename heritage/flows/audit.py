"""The audit: everything that the registry, the manifests, the files and the locked copies say against one another.

`findings` compares and changes nothing. `run` stores what was found as `audit/findings.json`, where the REST API and
the pages read it. A finding is a mapping of JSON values:

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
from typing import Any

from heritage.errors import NotFound
from heritage.flows.audit_files import file_findings
from heritage.flows.context import Context
from heritage.lineage.audit import audit
from heritage.lineage.findings import Finding, Severity, sort_findings

KEY = "audit/findings.json"


def findings(ctx: Context, *, weights: bool = False) -> list[dict[str, Any]]:
    """All findings about the registry, errors first; with `weights` every weights file is read and hashed again."""
    entries = list(ctx.registry.entries())
    found: set[Finding] = set(audit(entries, ctx.now(), ctx.settings.repair.min_confidence))
    found.update(file_findings(ctx, entries, weights))
    return [finding.record() for finding in sort_findings(found)]


def run(ctx: Context, *, weights: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Find, and store unless it is a dry run: {'at', 'counts': {severity: n}, 'findings': [...]}."""
    found = findings(ctx, weights=weights)
    counts = Counter(f["severity"] for f in found)
    result = {
        "at": ctx.now().isoformat(timespec="seconds"),
        "counts": {severity.value: counts[severity.value] for severity in Severity},
        "findings": found,
    }
    if not dry_run:
        ctx.store.put(KEY, json.dumps(result, sort_keys=True, allow_nan=False).encode())
    return result


def stored(ctx: Context) -> dict[str, Any] | None:
    """What the last `run` stored; None before the first."""
    try:
        found: dict[str, Any] = json.loads(ctx.store.get(KEY))
    except NotFound:
        return None
    return found
