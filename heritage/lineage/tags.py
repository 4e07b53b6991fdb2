"""Tags as the searchable index of manifests: one lineage edge a tag, never more than a manifest can restore.

    heritage.digest                 SHA-256 of the version's content
    heritage.data                   signature of its training data
    heritage.parent.<12 hex>        relation:origin:confidence, the hex being the beginning of the parent's digest

Anybody with write access may edit tags, so reading never raises: what does not fit is reported for the audit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from heritage.errors import BadInput
from heritage.names import check_digest, printable
from heritage.records import Manifest, Origin, ParentEdge, Relation

DIGEST = "heritage.digest"
DATA = "heritage.data"
PARENT = "heritage.parent."
# MLflow cuts a run tag at 8,000 characters; nothing that heritage writes comes near
MAX_VALUE = 128

_KEY = re.compile(r"heritage\.parent\.([0-9a-f]{12})")
_VALUE = re.compile(r"([a-z]+):([a-z]+):([0-9](?:\.[0-9]{1,20})?(?:e-[0-9]{1,3})?)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RELATIONS = {relation.value: relation for relation in Relation}
_ORIGINS = {origin.value: origin for origin in Origin}
_STRENGTH = {Origin.ATTESTED: 2, Origin.DECLARED: 1, Origin.RECOVERED: 0}


@dataclass(frozen=True, slots=True)
class TagEdge:
    """A lineage edge as a tag tells it; `prefix` is the first 12 characters of the parent's digest."""

    prefix: str
    relation: Relation
    origin: Origin
    confidence: float


@dataclass(frozen=True, slots=True)
class MalformedTag:
    """A tag under heritage's names that says nothing readable; `key` and `value` are as found, not yet printable."""

    key: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class IndexTags:
    """What the tags of one version claim; '' where a tag is absent or malformed."""

    digest: str
    data: str
    parents: tuple[TagEdge, ...]
    malformed: tuple[MalformedTag, ...]


def strength(edge: ParentEdge) -> tuple[int, float, str]:
    """Sort key of trust: attested before declared before recovered, then confidence; the largest is trusted."""
    return _STRENGTH[edge.origin], edge.confidence, edge.relation.value


def parent_key(digest: str) -> str:
    """Key of the tag for the parent `digest`: 'heritage.parent.' and 12 characters."""
    return PARENT + check_digest(digest)[:12]


def edge_tag(edge: ParentEdge) -> tuple[str, str]:
    """Key and value of the tag for `edge`.

    >>> edge_tag(ParentEdge("ab" * 32, Relation.PRUNE, Origin.RECOVERED, 0.97))
    ('heritage.parent.abababababab', 'prune:recovered:0.97')
    """
    return parent_key(edge.digest), f"{edge.relation.value}:{edge.origin.value}:{float(edge.confidence)!r}"


def edge_tags(edges: tuple[ParentEdge, ...]) -> dict[str, str]:
    """One tag a parent; where a parent is known in several ways, the most trusted edge.

    Raises `BadInput` where two parents share the 12 characters, for one tag cannot tell both.
    """
    best: dict[str, ParentEdge] = {}
    for edge in edges:
        key = parent_key(edge.digest)
        known = best.setdefault(key, edge)
        if known.digest != edge.digest:
            raise BadInput(
                f"parents {known.digest} and {edge.digest} share the tag '{key}'; leave one of the two edges out"
            )
        best[key] = max(known, edge, key=strength)
    return dict(edge_tag(edge) for edge in best.values())


def index_tags(manifest: Manifest) -> dict[str, str]:
    """All tags that index `manifest`: digest, training data where known, one a parent."""
    tags = {DIGEST: check_digest(manifest.digest)}
    if manifest.training_data:
        tags[DATA] = check_digest(manifest.training_data.signature)
    return tags | edge_tags(manifest.parents)


def read_tags(tags: Mapping[str, str]) -> IndexTags:
    """What `tags` claim about lineage; other tags are not looked at. Never raises."""
    parents: list[TagEdge] = []
    malformed: list[MalformedTag] = []
    for key, value in sorted(tags.items()):
        if _is_parent(key):
            found = _read_parent(key, value)
            if isinstance(found, TagEdge):
                parents.append(found)
            else:
                malformed.append(found)
        elif key in (DIGEST, DATA) and not _is_digest(value):
            malformed.append(MalformedTag(key, value, "not a SHA-256 in lower-case hexadecimal"))
    digest, data = (tags.get(key, "") if _is_digest(tags.get(key, "")) else "" for key in (DIGEST, DATA))
    return IndexTags(digest, data, tuple(parents), tuple(malformed))


def _is_parent(key: str) -> bool:
    # also what was meant as one: other case, space around
    return key.strip().lower().startswith(PARENT.rstrip("."))


def _is_digest(value: str) -> bool:
    return _SHA256.fullmatch(value) is not None


def _read_parent(key: str, value: str) -> TagEdge | MalformedTag:
    prefix = _KEY.fullmatch(key)
    if not prefix:
        return MalformedTag(key, value, f"the key is not '{PARENT}' and 12 lower-case hexadecimal characters")
    if len(value) > MAX_VALUE:
        return MalformedTag(key, value, f"the value has {len(value)} characters; heritage writes at most {MAX_VALUE}")
    parts = _VALUE.fullmatch(value)
    if not parts:
        reason = f"'{printable(value, 60)}' is not relation:origin:confidence; it was edited or cut short"
        return MalformedTag(key, value, reason)
    relation, origin, confidence = _RELATIONS.get(parts[1]), _ORIGINS.get(parts[2]), float(parts[3])
    if relation is None or origin is None or not 0 <= confidence <= 1:
        return MalformedTag(key, value, f"'{value}' holds an unknown word or a confidence outside [0, 1]")
    return TagEdge(prefix[1], relation, origin, confidence)
