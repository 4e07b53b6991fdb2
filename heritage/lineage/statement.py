"""What was said of a version, apart from what its weights tell: the part of a manifest that never changes.

Recovered edges come and go with what is registered. Everything else is written once; so this is what a locked copy is
compared with and what a signature stands for.
"""

import hashlib
from dataclasses import replace

from heritage.lineage.codec import encode
from heritage.records import Manifest, Origin


def as_said(manifest: Manifest) -> Manifest:
    """`manifest` without its recovered edges."""
    return replace(manifest, parents=tuple(e for e in manifest.parents if e.origin is not Origin.RECOVERED))


def statement(manifest: Manifest) -> bytes:
    """Canonical bytes of what was said."""
    return encode(as_said(manifest))


def statement_sha256(manifest: Manifest) -> str:
    """SHA-256 (hex) of what was said: equal as long as nobody said something else."""
    return hashlib.sha256(statement(manifest)).hexdigest()


def changes(before: Manifest, after: Manifest) -> list[tuple[str, str, str]]:
    """(field, value before, value after) of what was said otherwise, in the order of the manifest's fields."""
    one, other = as_said(before), as_said(after)
    names = ("digest", "name", "files", "dtype", "parameters", "made_by", "created_at", "architecture",
             "training_data", "metrics")  # fmt: skip
    found = [(n, str(getattr(one, n)), str(getattr(other, n))) for n in names if getattr(one, n) != getattr(other, n)]
    edges = [{f"{e.digest[:12]} {e.relation.value}:{e.origin.value}": e for e in m.parents} for m in (one, other)]
    for name in sorted(edges[0].keys() | edges[1].keys()):
        sides = [side.get(name) for side in edges]
        if sides[0] != sides[1]:
            told = [("" if e is None else f"{name}:{e.confidence!r} {e.transformation}") for e in sides]
            found.append(("parents", told[0], told[1]))
    return found
