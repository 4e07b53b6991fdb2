"""What a registration will write, known before anything is written: equal plans have equal fingerprints."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version as installed_version
from pathlib import Path

from heritage.errors import BadInput
from heritage.lineage.codec import MANIFEST_PATH, encode
from heritage.lineage.tags import index_tags
from heritage.names import check_name
from heritage.records import Architecture, MadeBy, Manifest, ParentEdge, TrainingData
from heritage.registry.artifacts import check_path
from heritage.registry.contents import Contents, LocalFile, measure, measure_file
from heritage.registry.fetch import WEIGHTS
from heritage.registry.read import DUPLICATE_OF, FAMILY
from heritage.registry.tags import check_tag
from heritage.weights.limits import Limits

EPOCH = "1970-01-01T00:00:00+00:00"
MAX_METRICS = 1000  # MLflow's limit of one request


@dataclass(frozen=True, slots=True)
class Description:
    """What is told of a version beside its weights.

    `family` '' means: that of the first parent that is registered, else the model's own name. `tags` are further
    index tags such as `heritage.repair`. `made_by` None means: by hand, with this heritage.
    """

    parents: tuple[ParentEdge, ...] = ()
    architecture: Architecture | None = None
    training_data: TrainingData | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    made_by: MadeBy | None = None
    family: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that will be written. `manifest` lacks its time; `extras` map artifact paths to bytes or files."""

    manifest: Manifest
    weights: tuple[LocalFile, ...]
    extras: Mapping[str, bytes | LocalFile]
    tags: Mapping[str, str]
    fingerprint: str

    def manifest_bytes(self, created_at: str) -> bytes:
        """The manifest as it will be stored."""
        return encode(replace(self.manifest, created_at=created_at))

    @property
    def files(self) -> tuple[LocalFile, ...]:
        """Every local file that will be read."""
        return (*self.weights, *(extra for extra in self.extras.values() if isinstance(extra, LocalFile)))


def make_plan(
    name: str, weights: Path, description: Description, extras: Mapping[str, Path | bytes], limits: Limits
) -> Plan:
    """The plan to register `weights` as `name`. Reads the files; raises for whatever would be refused later."""
    check_name(name)
    contents = measure(weights, limits)
    manifest = _manifest(name, contents, description)
    measured = {_extra_path(path): _measured(extra) for path, extra in sorted(extras.items())}
    tags = {check_tag(key, value): value for key, value in description.tags.items()}
    if reserved := (index_tags(manifest).keys() | {FAMILY, DUPLICATE_OF}) & tags.keys():
        raise BadInput(f"tags {sorted(reserved)} are written by heritage itself; leave them out")
    if description.family:
        tags[FAMILY] = check_name(description.family, "family")
    if len(description.metrics) > MAX_METRICS:
        raise BadInput(f"{len(description.metrics)} metrics; the limit is {MAX_METRICS}")
    return Plan(manifest, contents.files, measured, tags, _fingerprint(manifest, measured, tags))


def _manifest(name: str, contents: Contents, description: Description) -> Manifest:
    return Manifest(
        digest=contents.digest,
        name=name,
        files=tuple(file.record for file in contents.files),
        dtype=contents.dtype,
        parameters=contents.parameters,
        made_by=description.made_by or MadeBy(installed_version("heritage")),
        created_at=EPOCH,
        architecture=description.architecture,
        training_data=description.training_data,
        parents=description.parents,
        metrics=description.metrics,
    )


def _extra_path(path: str) -> str:
    if check_path(path).split("/")[0] == WEIGHTS or path == MANIFEST_PATH:
        raise BadInput(f"artifact '{path}' is written by heritage itself; give another path, such as heritage/x.npz")
    return path


def _measured(extra: Path | bytes) -> bytes | LocalFile:
    return measure_file(extra) if isinstance(extra, Path) else extra


def _fingerprint(manifest: Manifest, extras: Mapping[str, bytes | LocalFile], tags: Mapping[str, str]) -> str:
    digests = {
        path: extra.record.sha256 if isinstance(extra, LocalFile) else hashlib.sha256(extra).hexdigest()
        for path, extra in extras.items()
    }
    parts = [encode(manifest).decode(), digests, dict(tags)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
