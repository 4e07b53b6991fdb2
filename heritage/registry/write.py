"""Adding to a version that exists: tags, artifacts, metrics, and an amended manifest. Weights never change."""

import math
from collections.abc import Callable
from datetime import datetime

from heritage.errors import BadInput, Conflict
from heritage.lineage.codec import MANIFEST_PATH, encode
from heritage.lineage.tags import PARENT, index_tags
from heritage.names import printable
from heritage.records import Manifest, ModelVersion
from heritage.registry.artifacts import check_path, run_of
from heritage.registry.connect import Connection
from heritage.registry.read import FAMILY, Reader
from heritage.registry.tags import check_tag

MAX_DESCRIPTION = 100_000  # MLflow's limit


class Writer:
    """Changes to versions; each call may be repeated and changes nothing the second time."""

    def __init__(self, connection: Connection, reader: Reader) -> None:
        self._mlflow = connection.mlflow
        self._reader = reader

    def set_tag(self, version: ModelVersion, key: str, value: str) -> None:
        """Set the tag on the version and on the run that made it; `BadInput` for what MLflow might cut."""
        check_tag(key, value)
        self._mlflow.set_model_version_tag(version.name, version.version, key, value)
        if version.run_id:
            self._mlflow.set_tag(version.run_id, key, value)

    def remove_tag(self, version: ModelVersion, key: str) -> None:
        """Remove the tag from the version; the run keeps its own."""
        if key in version.tags:
            self._mlflow.delete_model_version_tag(version.name, version.version, key)

    def describe(self, version: ModelVersion, change: Callable[[str], str]) -> None:
        """Make the version's description what `change` makes of the one that is there."""
        known = str(self._mlflow.get_model_version(version.name, version.version).description or "")
        wanted = change(known)
        if len(wanted) > MAX_DESCRIPTION:
            raise BadInput(
                f"description of {printable(version.address)} would have {len(wanted)} characters; the limit is "
                f"{MAX_DESCRIPTION}"
            )
        if wanted != known:
            self._mlflow.update_model_version(version.name, version.version, wanted)

    def put_artifact(self, version: ModelVersion, path: str, data: bytes) -> None:
        """Store `data` as `path` among the version's files; `BadInput` for weights and the manifest."""
        folder = check_path(path).split("/")[0]
        if path == MANIFEST_PATH or folder in (self._weights_folder(version), "weights"):
            raise BadInput(
                f"artifact '{path}' of {printable(version.address)} is not replaced: weights never change, and the "
                "manifest is written by `amend`"
            )
        self._reader.artifacts(version).write(path, data)

    def log_metric(
        self, version: ModelVersion, key: str, value: float, step: int = 0, at: datetime | None = None
    ) -> None:
        """Add one point to the metric `key` of the version's run; `at` is when it was measured (default: now)."""
        if not math.isfinite(value):
            raise BadInput(f"metric '{printable(key)}' of {printable(version.address)} is {value}; leave it out")
        self._reader.artifacts(version)  # refuses a version that was made by no run
        at_ms = int(at.timestamp() * 1000) if at else None
        self._mlflow.log_metric(version.run_id, key, value, timestamp=at_ms, step=step)

    def amend(self, version: ModelVersion, manifest: Manifest, family: str = "") -> None:
        """Give the version this manifest, and the tags that index it: for edges found later, or for a version that
        was registered without heritage.

        The content cannot change: raises `Conflict` where the version's digest is another one, and `LineageCycle`.
        Of two processes that amend one version at once, the last one wins.
        """
        if version.digest not in ("", manifest.digest):
            raise Conflict(
                f"version {printable(version.address)} has the digest {version.digest}, the manifest is of "
                f"{manifest.digest}; register other weights as a version of their own"
            )
        data = encode(manifest)
        self._reader.check_acyclic(manifest.digest, manifest.parents)
        self._reader.artifacts(version).write(MANIFEST_PATH, data)
        tags = {**index_tags(manifest), **({FAMILY: family} if family else {})}
        for key, value in tags.items():
            if version.tags.get(key) != value:
                self.set_tag(version, key, value)
        for key in sorted(version.tags.keys() - tags.keys()):
            if key.startswith(PARENT):
                self.remove_tag(version, key)

    def _weights_folder(self, version: ModelVersion) -> str:
        if not version.source.startswith("runs:"):
            return ""
        return run_of(version.source, version.run_id).split("/")[0]
