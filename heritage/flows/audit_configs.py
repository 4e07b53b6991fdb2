"""Findings about configurations: declared parents that architecture, size or vocabulary of both ends speak against."""

from collections.abc import Iterable, Iterator

from heritage.lineage.findings import Finding, Kind, Severity
from heritage.names import printable
from heritage.records import Manifest, ModelVersion


def config_findings(pairs: Iterable[tuple[ModelVersion, Manifest]]) -> Iterator[Finding]:
    """One finding a contradicted edge and check; what a person may explain away is a note."""
    from heritage.configs.contradictions import contradictions
    from heritage.configs.edges import from_manifests as edges_of
    from heritage.configs.sources import from_manifests as rows_of
    from heritage.configs.sources import manifest_id
    from heritage.configs.table import table_of

    known = list(pairs)
    manifests = [manifest for _, manifest in known]
    if not any(manifest.parents for manifest in manifests):
        return
    address = {manifest_id(manifest): version.address for version, manifest in reversed(known)}
    found = contradictions(table_of(rows_of(manifests), "registry"), edges_of(manifests))
    for row in found[found["severity"] != "note"].to_dict("records"):
        parent = printable(address.get(row["parent_id"], str(row["parent_id"])))
        detail = f"{row['check']} against its parent {parent}, called {row['relation']}: {row['explanation']}"
        severity = Severity.WARNING if row["severity"] == "contradiction" else Severity.NOTE
        sides = printable(str(row["parent_value"]), 200), printable(str(row["child_value"]), 200)
        yield Finding(Kind.CONFIG_CONTRADICTED, severity, address.get(row["child_id"], row["child_id"]), detail, *sides)
