"""What an audit finds: frozen records that name a version and show both sides."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # a record is broken, forged or impossible
    WARNING = "warning"  # two records contradict each other; a person should look
    NOTE = "note"  # nothing wrong, but good to know


class Kind(StrEnum):
    """What was found."""

    UNREADABLE = "unreadable"  # the manifest cannot be read
    NO_MANIFEST = "no_manifest"  # heritage's tags, but no manifest behind them
    DIGEST_MISMATCH = "digest_mismatch"  # tag and manifest name different content
    DATA_MISMATCH = "data_mismatch"  # tag and manifest name different training data
    EDGE_MISMATCH = "edge_mismatch"  # tag and manifest tell an edge differently
    TAG_WITHOUT_EDGE = "tag_without_edge"  # a parent that only a tag knows: added by hand, or forged
    EDGE_WITHOUT_TAG = "edge_without_tag"  # a parent that only the manifest knows: tag deleted
    MALFORMED_TAG = "malformed_tag"  # a tag under heritage's names that says nothing readable
    AMBIGUOUS_TAG = "ambiguous_tag"  # a tag that several versions of different content answer to
    DUPLICATE = "duplicate"  # one content in several versions that are not marked as duplicates
    CYCLE = "cycle"  # versions that are their own ancestors
    ORPHAN = "orphan"  # a parent that was never registered
    FUTURE = "future"  # made later than now
    OLDER_THAN_PARENT = "older_than_parent"  # made before its parent
    PARENT_CONTRADICTED = "parent_contradicted"  # the weights tell another parent than people do
    RELATION_CONTRADICTED = "relation_contradicted"  # the weights tell another relation than people do
    REVERSED = "reversed"  # the weights tell that the declared child is the parent
    ARCHITECTURE_CHANGED = "architecture_changed"  # under a relation that keeps the architecture


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One finding about `model` ('name/version' as registered: outside text, show it through `names.printable`).

    `recorded` is what the manifest or the registry's own entry says, `claimed` what stands against it; '' where that
    side is silent.
    """

    kind: Kind
    severity: Severity
    model: str
    detail: str
    recorded: str = ""
    claimed: str = ""
