"""What an audit finds: frozen records that name a version, show both sides and say what to do."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from heritage.names import printable


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
    PARENT_UNRELATED = "parent_unrelated"  # the weights show no relation to the declared parent
    REVERSED = "reversed"  # the weights tell that the declared child is the parent
    ARCHITECTURE_CHANGED = "architecture_changed"  # under a relation that keeps the architecture
    CONFIG_CONTRADICTED = "config_contradicted"  # the configurations speak against a declared parent
    MANIFEST_CHANGED = "manifest_changed"  # the manifest is not the one whose copy was locked
    COPY_TOUCHED = "copy_touched"  # somebody wrote over a locked copy or marked it as deleted
    NOT_LOCKED = "not_locked"  # there is no locked copy to compare with
    PARENT_DELETED = "parent_deleted"  # a parent that was registered once and is gone
    VERSION_DELETED = "version_deleted"  # a locked copy tells a version that is gone
    MISSING_ARTIFACT = "missing_artifact"  # a file that the manifest tells is not there
    WEIGHTS_CHANGED = "weights_changed"  # a file is there, but is not what the manifest tells
    INDEX_MISMATCH = "index_mismatch"  # the index tells something else than the manifests
    SIGNATURE_INVALID = "signature_invalid"  # signed, but not this manifest
    SIGNER_UNKNOWN = "signer_unknown"  # signed by a key that nobody here trusts
    UNSIGNED = "unsigned"  # no signature where one is asked for
    ALIAS_MOVED = "alias_moved"  # champion or previous point elsewhere than the journal says, or a move is not finished
    UNATTESTED = "unattested"  # an edge says attested, no trusted signature stands behind it


# what `recorded` and `claimed` are called for people, and what they should do
_WORDS: dict[Kind, tuple[str, str, str]] = {
    Kind.UNREADABLE: ("problem", "", "register the weights again; a locked copy of the manifest may be restored"),
    Kind.NO_MANIFEST: ("manifest", "tag", "run heritage_ingest for this version, or remove the tags"),
    Kind.DIGEST_MISMATCH: ("manifest", "tag", "set the tag back to what the manifest says, and ask who edited it"),
    Kind.DATA_MISMATCH: ("manifest", "tag", "set the tag back to what the manifest says, and ask who edited it"),
    Kind.EDGE_MISMATCH: ("manifest", "tag", "set the tag back to what the manifest says, and ask who edited it"),
    Kind.TAG_WITHOUT_EDGE: ("manifest", "tag", "remove the tag; a true parent is declared by registering with it"),
    Kind.EDGE_WITHOUT_TAG: ("manifest", "tag", "write the tag again as the manifest says"),
    Kind.MALFORMED_TAG: ("manifest", "tag", "remove the tag or write it again as the manifest says"),
    Kind.AMBIGUOUS_TAG: ("manifest", "tag", "set the tag of each version to the digest in its manifest"),
    Kind.DUPLICATE: ("content", "mark", "mark all but the first version as heritage.duplicate_of it"),
    Kind.CYCLE: ("path", "", "find the wrong edge of the circle and register its child again without it"),
    Kind.ORPHAN: ("manifest", "", "register the parent, or accept that its line ends here"),
    Kind.FUTURE: ("now", "recorded", "check the clock of the machine that registered it"),
    Kind.OLDER_THAN_PARENT: ("child", "parent", "check which of the two is the parent"),
    Kind.PARENT_CONTRADICTED: ("declared", "recovered", "ask who declared the parent; compare both with the weights"),
    Kind.RELATION_CONTRADICTED: ("declared", "recovered", "ask how the version was made and declare that"),
    Kind.PARENT_UNRELATED: ("declared", "recovered", "ask who declared the parent, and how the version was made"),
    Kind.REVERSED: ("declared", "recovered", "check which of the two was made first, and declare it so"),
    Kind.ARCHITECTURE_CHANGED: ("child", "parent", "check that the right parent was declared"),
    Kind.CONFIG_CONTRADICTED: ("parent", "child", "check that the right parent was declared"),
    Kind.MANIFEST_CHANGED: ("locked copy", "manifest", "if the change is meant, heritage audit --accept NAME/VERSION; "
                            "else write the locked copy back"),
    Kind.COPY_TOUCHED: ("locked copy", "found", "ask who may write to the audit bucket; the first copy still stands"),
    Kind.NOT_LOCKED: ("manifest", "storage", "heritage audit locks a copy of every sound manifest"),
    Kind.PARENT_DELETED: ("manifest", "locked copy", "restore the parent from a backup; its manifest is in the "
                          "locked copy"),
    Kind.VERSION_DELETED: ("locked copy", "registry", "restore the version from a backup if nobody meant to delete it"),
    Kind.MISSING_ARTIFACT: ("manifest", "storage", "restore the file from a backup, or register the weights again"),
    Kind.WEIGHTS_CHANGED: ("manifest", "storage", "do not deploy this version; restore its files from a backup"),
    Kind.INDEX_MISMATCH: ("manifests", "index", "rebuild the index"),
    Kind.SIGNATURE_INVALID: ("signature", "manifest", "do not trust this version; find out what was changed, and sign "
                             "again what is right"),
    Kind.SIGNER_UNKNOWN: ("signature", "trusted keys", "ask who signed it; add the key to [audit] trusted_keys if it "
                          "is known"),
    Kind.UNSIGNED: ("manifest", "signature", "heritage sign NAME/VERSION"),
    Kind.ALIAS_MOVED: ("journal", "", "promote the version that is meant; that also finishes or undoes a move that was "
                       "left half-way"),
    Kind.UNATTESTED: ("manifest", "signature", "heritage sign NAME/VERSION, or declare the edge only"),
}  # fmt: skip


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

    @property
    def sides(self) -> dict[str, str]:
        """Both sides under the names that fit this kind; a side that is silent is left out."""
        first, second, _ = _WORDS[self.kind]
        return {name: text for name, text in ((first, self.recorded), (second, self.claimed)) if text}

    @property
    def remedy(self) -> str:
        """What to do next."""
        return _WORDS[self.kind][2]

    def record(self) -> dict[str, Any]:
        """JSON values: id, kind, severity, subject, message, sides, remedy; `id` is equal for equal findings."""
        told = "\n".join((self.kind, self.model, self.detail, self.recorded, self.claimed))
        return {
            "id": hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:12],
            "kind": self.kind.value,
            "severity": self.severity.value,
            "subject": printable(self.model, 300),
            "message": printable(self.detail, 2000),
            "sides": {name: printable(text, 2000) for name, text in self.sides.items()},
            "remedy": self.remedy,
        }


def sort_findings(found: set[Finding]) -> list[Finding]:
    """Errors first, then by kind and model; the same for any order."""
    rank = list(Severity).index
    return sorted(found, key=lambda f: (rank(f.severity), f))
