"""One canonical version a content: which it is, and marking the others.

What counts is a finished claim in storage, not tags: tags of a version can be forged by anybody who may edit it.
"""

from heritage.errors import UnsafeName
from heritage.names import check_name
from heritage.records import ModelVersion
from heritage.registry.claims import DONE, find_claim
from heritage.registry.connect import Connection
from heritage.registry.read import DUPLICATE_OF, Reader


def canonical_elsewhere(connection: Connection, reader: Reader, name: str, digest: str) -> ModelVersion | None:
    """The first registered of the canonical versions of `digest` under other names, or None."""
    others = [v for v in reader.versions(digest=digest) if v.name != name and _is_canonical(connection, v)]
    return min(others, key=_age, default=None)


def mark_duplicates(connection: Connection, reader: Reader, version: ModelVersion) -> None:
    """Mark every other version of the content of `version`, the canonical one of its name.

    Under the same name all others are duplicates of it. Between names the oldest is canonical: whoever looks last
    sees all of them, so of two that were registered at once exactly one is marked.
    """
    found = list(reader.versions(digest=version.digest))
    for other in found:
        if other.name == version.name and other.version != version.version and DUPLICATE_OF not in other.tags:
            _mark(connection, other, version)
    firsts = [v for v in found if v.version == version.version and v.name == version.name]
    firsts += [v for v in found if v.name != version.name and _is_canonical(connection, v)]
    oldest = min(firsts, key=_age, default=version)
    for other in firsts:
        if other is not oldest and DUPLICATE_OF not in other.tags:
            _mark(connection, other, oldest)


def _is_canonical(connection: Connection, version: ModelVersion) -> bool:
    """Whether the claim of its name says so, and no older one was found when it was registered."""
    try:
        check_name(version.name)
    except UnsafeName:  # registered without heritage
        return False
    claim = find_claim(connection, version.name, version.digest)
    done = claim is not None and claim.record.state == DONE and claim.record.version == version.version
    return done and DUPLICATE_OF not in version.tags


def _age(version: ModelVersion) -> tuple[int, str]:
    return version.created_at_ms, version.name


def _mark(connection: Connection, version: ModelVersion, canonical: ModelVersion) -> None:
    connection.mlflow.set_model_version_tag(version.name, version.version, DUPLICATE_OF, canonical.address)
