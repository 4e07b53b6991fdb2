"""Registration, idempotent by (name, digest): however many processes try, and wherever they die, one version.

MLflow makes a new version for every call, so the race is decided in storage, by a claim that one process holds at a
time. A version is created last, when its files are complete and listed. A process that was overtaken finds out at
its next write to the claim; what it made meanwhile is marked as a duplicate.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from heritage.errors import Conflict, HeritageError, NotFound, Unavailable
from heritage.lineage.codec import MANIFEST_PATH, MAX_BYTES
from heritage.lineage.tags import index_tags
from heritage.names import check_name
from heritage.records import ModelVersion
from heritage.registry.artifacts import RunArtifacts
from heritage.registry.claims import CLAIMED, DONE, Claim, check_spelling, claim_key, find_claim, is_expired
from heritage.registry.connect import Connection
from heritage.registry.contents import LocalFile, check_unchanged
from heritage.registry.duplicates import canonical_elsewhere, mark_duplicates
from heritage.registry.fetch import WEIGHTS
from heritage.registry.lease import Lease, LeaseLost
from heritage.registry.plan import Plan
from heritage.registry.read import DUPLICATE_OF, FAMILY, Reader

# tags of a run, by which a process that takes over finds what a dead one began
CLAIM_TAG = "heritage.claim"
PLAN_TAG = "heritage.plan"

STEPS = (
    "claimed",
    "run_created",
    "run_noted",
    "model_created",
    "weights_uploaded",
    "extras_uploaded",
    "manifest_uploaded",
    "run_tagged",
    "version_created",
    "done",
)


@dataclass(frozen=True, slots=True)
class Registered:
    """The canonical version of a content under a name; `created` is false where it was there already."""

    version: ModelVersion
    created: bool


class Registration:
    """One process's attempt to carry out `plan`; `on_step` is told the name of each step (`STEPS`) once it is done."""

    def __init__(
        self, connection: Connection, reader: Reader, plan: Plan, on_step: Callable[[str], None] | None = None
    ) -> None:
        self._connection = connection
        self._mlflow = connection.mlflow
        self._reader = reader
        self._plan = plan
        self._name = plan.manifest.name
        self._digest = plan.manifest.digest
        self._step = on_step or _nothing

    def run(self) -> Registered:
        """Register, or wait for the process that does.

        Raises `UnsafeName` for a case twin, `LineageCycle`, and `Unavailable` where the other process neither ends
        nor dies within the connection's `wait_s`.
        """
        if found := self._registered():
            mark_duplicates(self._connection, self._reader, found)
            return Registered(found, created=False)
        check_spelling(self._connection, self._name)
        self._reader.check_acyclic(self._digest, self._plan.manifest.parents)
        return self._race()

    def _race(self) -> Registered:
        deadline, pause_s = time.monotonic() + self._connection.timing.wait_s, 0.05
        overtaken = False
        while True:
            if lease := self._claim():
                try:
                    return Registered(self._carry_out(lease), created=True)
                except LeaseLost:
                    overtaken = True
            if found := self._registered():
                if overtaken:
                    self._tidy(found)
                return Registered(found, created=False)
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"'{self._name}', digest {self._digest[:12]}: another process is registering it and was not done "
                    f"after {self._connection.timing.wait_s:g} s; see s3://{self._connection.store.bucket}/"
                    f"{claim_key(self._name, self._digest)}, then try again"
                )
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, 1.0)

    def _registered(self) -> ModelVersion | None:
        found = find_claim(self._connection, self._name, self._digest)
        return self._version_of(found.record) if found else None

    def _version_of(self, claim: Claim) -> ModelVersion | None:
        """The version that a finished claim tells, or None where it was deleted; its number may be another's now."""
        if claim.state != DONE:
            return None
        try:
            version = self._reader.numbered(self._name, claim.version)
        except NotFound:
            return None
        return version if version.run_id == claim.run_id else None

    def _claim(self) -> Lease[Claim] | None:
        connection, key = self._connection, claim_key(self._name, self._digest)
        lease_s, now = connection.timing.lease_s, connection.now
        found = find_claim(connection, self._name, self._digest)
        if found is None:
            fresh = Claim(
                state=CLAIMED,
                name=self._name,
                digest=self._digest,
                plan=self._plan.fingerprint,
                created_at=now().isoformat(),
            )
            return Lease.begin(connection.store, key, fresh, lease_s, now)
        over = found.record.state == DONE and not self._version_of(found.record)
        if over or (found.record.state == CLAIMED and is_expired(connection, found.record)):
            return Lease.take_over(connection.store, key, found, lease_s, now, CLAIMED)
        return None

    def _carry_out(self, lease: Lease[Claim]) -> ModelVersion:
        try:
            with lease.kept():
                self._step("claimed")
                version = self._unfinished(lease.record) or self._write(lease)
                lease.update(state=DONE, version=version.version, run_id=version.run_id)
        except HeritageError as error:
            if lease.is_lost():
                raise LeaseLost(str(error)) from error
            lease.release()
            raise
        except BaseException:
            lease.release()
            raise
        self._step("done")
        self._tidy(version)
        return version

    def _unfinished(self, claim: Claim) -> ModelVersion | None:
        """The version that a dead process created but did not note; its files are complete."""
        found = self._reader.of_run(claim.run_id) if claim.run_id else []
        return next((v for v in found if v.name == self._name and v.digest == self._digest), None)

    def _write(self, lease: Lease[Claim]) -> ModelVersion:
        run_id = self._run(lease)
        lease.update(run_id=run_id)
        self._step("run_noted")
        self._make_model()
        self._step("model_created")
        self._upload(RunArtifacts(self._connection, run_id), lease.record.created_at)
        self._tag_run(run_id)
        self._step("run_tagged")
        lease.update()  # the last moment to notice that another process took over
        version = self._unfinished(lease.record) or self._create_version(run_id)
        self._step("version_created")
        return version

    def _run(self, lease: Lease[Claim]) -> str:
        """The run to write to: the one that was begun under the same plan, else a new one."""
        claim = lease.record
        if claim.plan != self._plan.fingerprint:
            created_at = self._connection.now().isoformat()
            lease.update(plan=self._plan.fingerprint, created_at=created_at, run_id="")
        begun = [run for run in self._runs() if run.data.tags.get(PLAN_TAG) == self._plan.fingerprint]
        noted = [run for run in begun if run.info.run_id == lease.record.run_id]
        if noted or begun:
            return str((noted or begun)[0].info.run_id)
        tags = {CLAIM_TAG: f"{self._name}/{self._digest}", PLAN_TAG: self._plan.fingerprint}
        label = f"{self._name}-{self._digest[:12]}"
        made = self._mlflow.create_run(self._connection.experiment_id(), tags=tags, run_name=label)
        self._step("run_created")
        return str(made.info.run_id)

    def _runs(self) -> list[Any]:
        """Runs that were begun for this claim, oldest first."""
        clause = f"tags.`{CLAIM_TAG}` = '{self._name}/{self._digest}'"
        return list(self._mlflow.search_runs([self._connection.experiment_id()], clause, order_by=["start_time ASC"]))

    def _make_model(self) -> None:
        try:
            self._mlflow.create_registered_model(check_name(self._name))
        except Conflict:
            return  # it is there

    def _upload(self, artifacts: RunArtifacts, created_at: str) -> None:
        for file in self._plan.weights:
            artifacts.upload(file.path, f"{WEIGHTS}/{file.record.name}")
        self._step("weights_uploaded")
        for path, extra in self._plan.extras.items():
            if isinstance(extra, LocalFile):
                artifacts.upload(extra.path, path)
            else:
                artifacts.write(path, extra)
        self._step("extras_uploaded")
        manifest = self._plan.manifest_bytes(created_at)
        artifacts.write(MANIFEST_PATH, manifest)
        check_unchanged(self._plan.files)
        self._check_complete(artifacts, manifest)
        self._step("manifest_uploaded")

    def _check_complete(self, artifacts: RunArtifacts, manifest: bytes) -> None:
        sizes = artifacts.sizes(WEIGHTS)
        expected = {f"{WEIGHTS}/{file.record.name}": file.record.size_bytes for file in self._plan.weights}
        wrong = sorted(path for path, size in expected.items() if sizes.get(path) != size)
        if wrong or artifacts.read(MANIFEST_PATH, MAX_BYTES) != manifest:
            raise Unavailable(
                f"'{self._name}', digest {self._digest[:12]}: {wrong or MANIFEST_PATH} was written but does not read "
                "back as it was; no version was made; check the artifact storage, then try again"
            )

    def _tags(self) -> dict[str, str]:
        tags = {**index_tags(self._plan.manifest), **self._plan.tags}
        return {FAMILY: self._family(), **tags}

    def _family(self) -> str:
        for edge in self._plan.manifest.parents:
            for parent in self._reader.versions(digest=edge.digest):
                if family := parent.tags.get(FAMILY):
                    return check_name(family, f"family of {parent.version}")
        return self._name

    def _tag_run(self, run_id: str) -> None:
        from mlflow.entities import Metric, RunTag

        at_ms = int(self._connection.now().timestamp() * 1000)
        metrics = [Metric(key, value, at_ms, 0) for key, value in self._plan.manifest.metrics.items()]
        self._mlflow.log_batch(run_id, metrics=metrics, tags=[RunTag(k, v) for k, v in self._tags().items()])
        self._mlflow.set_terminated(run_id)

    def _create_version(self, run_id: str) -> ModelVersion:
        tags = self._tags()
        if first := canonical_elsewhere(self._connection, self._reader, self._name, self._digest):
            tags[DUPLICATE_OF] = first.address
        made = self._mlflow.create_model_version(
            self._name, f"runs:/{run_id}/{WEIGHTS}", run_id, tags=tags, await_creation_for=0
        )
        return self._reader.numbered(self._name, str(made.version))

    def _tidy(self, version: ModelVersion) -> None:
        """Mark versions, and delete runs, that this or a dead process made beside the canonical `version`."""
        mark_duplicates(self._connection, self._reader, version)
        for run in self._runs():
            run_id = str(run.info.run_id)
            if run_id != version.run_id and not self._reader.of_run(run_id):
                self._mlflow.delete_run(run_id)


def _nothing(step: str) -> None:
    """What is told of the steps where nobody asked."""
