"""Findings about the files of a version: those that its manifest tells against those that are there."""

from collections.abc import Iterator, Mapping

from heritage.lineage.findings import Finding, Kind, Severity
from heritage.names import printable
from heritage.records import Manifest


def against_files(model: str, manifest: Manifest, listed: Mapping[str, int]) -> Iterator[Finding]:
    """Files of `manifest` that are missing or have another size; `listed` maps file names to sizes in bytes.

    A size that fits proves nothing: `changed_weights` tells what reading the files found.
    """
    for file in manifest.files:
        found = listed.get(file.name)
        if found is None:
            yield missing(model, f"{file.name}, {file.size_bytes} bytes", "no such file")
        elif found != file.size_bytes:
            sides = f"{file.name}, {file.size_bytes} bytes", f"{found} bytes"
            yield changed_weights(model, f"weights file {file.name} has another size than the manifest tells", *sides)


def missing(model: str, recorded: str, problem: str) -> Finding:
    """A file that is not there."""
    detail = f"weights file {recorded.partition(',')[0]} is gone"
    return Finding(Kind.MISSING_ARTIFACT, Severity.ERROR, model, detail, recorded, printable(problem, 500))


def changed_weights(model: str, detail: str, recorded: str, found: str) -> Finding:
    """A file whose content is not what the manifest tells."""
    return Finding(Kind.WEIGHTS_CHANGED, Severity.ERROR, model, printable(detail, 500), recorded, printable(found, 500))
