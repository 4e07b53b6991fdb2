"""The files of every version against its manifest: listed always, read and hashed again on request."""

import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from heritage.errors import BadInput, Conflict, NotFound
from heritage.flows.context import Context
from heritage.lineage.audit_files import against_files, changed_weights, missing
from heritage.lineage.findings import Finding
from heritage.records import Manifest, ModelVersion
from heritage.registry import Entry

_READERS = 6  # the HTTP client keeps 10 connections


def file_findings(ctx: Context, entries: Iterable[Entry], weights: bool) -> Iterator[Finding]:
    """What does not fit; with `weights` each version's files are downloaded to a folder that is removed again."""
    known = [(e.version, e.manifest) for e in entries if e.manifest]
    with ThreadPoolExecutor(_READERS, "heritage-audit") as pool:
        for found in pool.map(lambda pair: _of_one(ctx, pair[0], pair[1], weights), known):
            yield from found


def _of_one(ctx: Context, version: ModelVersion, manifest: Manifest, weights: bool) -> list[Finding]:
    model = version.address
    try:
        found = list(against_files(model, manifest, ctx.registry.listed_weights(version)))
    except (BadInput, Conflict, NotFound) as error:  # a source or run that was edited, or is gone
        return [missing(model, "weights, all of them", str(error))]
    return found or (_read(ctx, version, manifest) if weights else [])


def _read(ctx: Context, version: ModelVersion, manifest: Manifest) -> list[Finding]:
    """Download every file and compare digests; nothing is taken from the cache that repairs use."""
    with tempfile.TemporaryDirectory(prefix="heritage-audit-") as folder:
        try:
            # against the manifest, whatever an edited tag says
            ctx.registry.fetch_weights(replace(version, digest=manifest.digest), Path(folder))
        except NotFound as error:
            return [missing(version.address, "weights, some of them", str(error))]
        except (BadInput, Conflict) as error:
            detail = "the weights are not what the manifest tells"
            return [changed_weights(version.address, detail, f"digest {manifest.digest}", str(error))]
    return []
