"""The registry as the rest of heritage sees it: one object, records in and out, errors of heritage only."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from heritage.lineage.graph import LineageGraph
from heritage.lineage.index import LineageIndex
from heritage.records import Manifest, ModelVersion
from heritage.registry import journal, webhooks
from heritage.registry.connect import Timing, connect, utc_now
from heritage.registry.fetch import fetch_unverified, fetch_weights, listed_weights
from heritage.registry.journal import Move
from heritage.registry.moves import GATE, gate_tag
from heritage.registry.plan import Description, make_plan
from heritage.registry.promote import Promoter, Request
from heritage.registry.pyfunc import log_pyfunc
from heritage.registry.read import Entry, Reader
from heritage.registry.register import Registered, Registration
from heritage.registry.runs import RunRecord, record
from heritage.registry.write import Writer
from heritage.settings import Settings
from heritage.storage import ObjectStore
from heritage.weights.limits import Limits

MAX_ARTIFACT_BYTES = 2**30


class Registry:
    """MLflow's registry with the ancestry of every version. Sends nothing until it is asked something."""

    def __init__(
        self,
        tracking_uri: str,
        store: ObjectStore,
        experiment: str = "heritage",
        limits: Limits = Limits(),  # noqa: B008 a frozen value
        now: Callable[[], datetime] = utc_now,
        timing: Timing = Timing(),  # noqa: B008 a frozen value
    ) -> None:
        self._connection = connect(tracking_uri, store, experiment, now, timing)
        self._limits = limits
        self._reader = Reader(self._connection)
        self._writer = Writer(self._connection, self._reader)
        self._promoter = Promoter(self._connection, self._reader)

    @classmethod
    def connect(cls, settings: Settings, store: ObjectStore | None = None) -> "Registry":
        """The registry that `settings` name; `store` is opened from them too where it is not given."""
        limits = Limits(settings.weights.max_header_bytes, settings.weights.max_tensors)
        own = store or ObjectStore.connect(settings.s3)
        return cls(settings.mlflow.tracking_uri, own, settings.mlflow.experiment, limits)

    def register(
        self,
        name: str,
        weights: Path,
        description: Description = Description(),  # noqa: B008 a frozen value
        extras: Mapping[str, Path | bytes] | None = None,
        on_step: Callable[[str], None] | None = None,
    ) -> Registered:
        """Register the safetensors file or folder `weights` as a version of `name`, once however often it is called.

        `extras` map artifact paths to content, such as 'heritage/profile.npz'. What is there already is returned as
        it is; `amend` adds to it. Raises `UnsafeName`, `UnsafeCheckpoint`, `LineageCycle`, `Unavailable`.
        """
        plan = make_plan(name, weights, description, extras or {}, self._limits)
        return Registration(self._connection, self._reader, plan, on_step).run()

    def version(self, address: str) -> ModelVersion:
        """The version at 'name/3', 'name@champion' or 'name' (the newest); `NotFound` where there is none."""
        return self._reader.version(address)

    def versions(
        self, name: str | None = None, family: str | None = None, digest: str | None = None, parent: str | None = None
    ) -> Iterator[ModelVersion]:
        """All versions that fit every argument given, oldest first, with their aliases; see `Reader.versions`."""
        return self._reader.versions(name, family, digest, parent)

    def models(self) -> Iterator[str]:
        """Names of all registered models, as MLflow has them."""
        return self._reader.models()

    def aliases(self, name: str) -> dict[str, str]:
        """Alias to version number of a registered model."""
        return self._reader.aliases(name)

    def manifest(self, version: ModelVersion) -> Manifest | None:
        """The version's manifest, checked against its tag; None for a version registered without heritage."""
        return self._reader.manifest(version)

    def entries(self, versions: Iterable[ModelVersion] | None = None) -> Iterator[Entry]:
        """Each version (default: all) with its manifest or with what is wrong with it."""
        return self._reader.entries(versions)

    def located(self, versions: Iterable[ModelVersion]) -> Iterator[ModelVersion]:
        """`versions`, for whoever will read files of all of them: half as many requests."""
        return self._reader.located(versions)

    def manifests(self) -> Iterator[tuple[ModelVersion, Manifest]]:
        """Every version whose manifest is sound, with it."""
        return self._reader.manifests()

    def graph(self) -> LineageGraph:
        """The lineage of everything in the registry."""
        return self._reader.graph()

    def index(self, into: LineageIndex) -> int:
        """Make `into` an index of what the tags of all versions tell; the number of versions.

        A few requests a thousand versions: a manifest is read only where tags leave something open.
        """
        known = list(self._reader.versions())
        into.update(self._reader.entries(into.rebuild_from_tags(known)))
        return len(known)

    def fetch_weights(self, version: ModelVersion, folder: Path) -> Path:
        """Folder below `folder` with the version's verified safetensors files; a second call downloads nothing."""
        return fetch_weights(self._reader, version, folder, self._limits)

    def listed_weights(self, version: ModelVersion) -> dict[str, int]:
        """Name and size in bytes of the files where the version's weights should lie; `NotFound` without a run."""
        return listed_weights(self._reader, version)

    def fetch_unverified(self, version: ModelVersion, folder: Path, limit_bytes: int = 64 * 2**30) -> Path:
        """Folder with the safetensors files of a version that has no manifest yet; for ingestion only."""
        return fetch_unverified(self._reader, version, folder, limit_bytes)

    def artifact(self, version: ModelVersion, path: str, limit_bytes: int = MAX_ARTIFACT_BYTES) -> bytes:
        """Content of one of the version's files, such as 'heritage/profile.npz'; `NotFound` where it is not there."""
        return self._reader.artifacts(version).read(path, limit_bytes)

    def put_artifact(self, version: ModelVersion, path: str, data: bytes) -> None:
        """Store `data` as `path` among the version's files; weights and manifest are refused."""
        self._writer.put_artifact(version, path, data)

    def describe(self, version: ModelVersion, change: Callable[[str], str]) -> None:
        """Make the version's description, Markdown that MLflow shows, what `change` makes of the one that is there."""
        self._writer.describe(version, change)

    def set_tag(self, version: ModelVersion, key: str, value: str) -> None:
        """Set the tag on the version and its run."""
        self._writer.set_tag(version, key, value)

    def remove_tag(self, version: ModelVersion, key: str) -> None:
        """Remove the tag from the version; its run keeps it."""
        self._writer.remove_tag(version, key)

    def log_metric(
        self, version: ModelVersion, key: str, value: float, step: int = 0, at: datetime | None = None
    ) -> None:
        """Add one point to a metric of the version's run."""
        self._writer.log_metric(version, key, value, step, at)

    def amend(self, version: ModelVersion, manifest: Manifest, family: str = "") -> None:
        """Give the version this manifest and its tags: for edges found later, or a version without one."""
        self._writer.amend(version, manifest, family)

    def record_run(self, key: str, wanted: RunRecord) -> str:
        """Id of the run that holds `wanted`: one run a `key` of the storage, however often this is called."""
        return record(self._connection, key, wanted)

    def log_pyfunc(self, version: ModelVersion, folder: Path) -> str:
        """Store the version as an MLflow pyfunc model, watched for drift; 'runs:/<run>/pyfunc'. See `log_pyfunc`."""
        return log_pyfunc(self._reader, version, folder, self._limits)

    def accept(self, version: ModelVersion, plan_hash: str) -> None:
        """Record that the gate accepted the version under the plan; `promote` asks for it."""
        self._writer.set_tag(version, GATE, gate_tag(plan_hash))

    def nominate(self, version: ModelVersion) -> None:
        """Point the alias 'challenger' at the version."""
        self._promoter.nominate(version)

    def promote(self, name: str, version: str, expected: str | None, reason: str, plan_hash: str = "") -> Move:
        """Make `version` champion in place of `expected`; see `Promoter.promote`."""
        return self._promoter.promote(Request(name, version, expected, reason, plan_hash))

    def rollback(self, name: str, reason: str, expected: str | None = None) -> Move:
        """Make the previous champion champion again; see `Promoter.rollback`."""
        return self._promoter.rollback(name, reason, expected)

    def recover_promotion(self, name: str) -> Move | None:
        """Finish or undo what a dead promoter left."""
        return self._promoter.recover(name)

    def history(self, name: str) -> tuple[Move, ...]:
        """The moves of the champion of `name`, oldest first."""
        return journal.history(self._connection, name)

    def note_manual_move(self, name: str) -> Move | None:
        """Enter into the journal that somebody moved the champion by hand; None where nobody did."""
        return self._promoter.note_manual(name)

    def subscribe(self, url: str, secret: str) -> str:
        """Have MLflow tell `url` what happens in the registry; the webhook's id. See `webhooks.subscribe`."""
        return webhooks.subscribe(self._connection, url, secret)

    def unsubscribe(self) -> bool:
        """Remove that webhook; whether there was one."""
        return webhooks.unsubscribe(self._connection)

    def try_webhook(self, webhook_id: str) -> str:
        """What came of a test delivery; '' where it was taken."""
        return webhooks.tried(self._connection, webhook_id)

    def promotion_findings(self, name: str) -> tuple[str, ...]:
        """What does not fit together in the aliases and the journal of `name`."""
        return self._promoter.findings(name)
