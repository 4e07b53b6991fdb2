"""Files of one MLflow run: listed, read within a stated size, written. Nothing here executes what it reads.

Only two places are read: what the tracking server itself serves (`mlflow-artifacts:/`, no other host), and, where
MLflow runs embedded on a database, the folder of heritage's own experiment. A run may claim any other address.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import stamina

from heritage.errors import BadInput, Conflict, NotFound, Unavailable, UnsafeName
from heritage.names import check_file_name, check_source, printable
from heritage.registry.connect import Connection
from heritage.registry.translate import by_status, translated

CHUNK_BYTES = 2**20
MAX_PARTS = 8
FEW = 2  # runs that are asked for one by one
_SERVICE = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass(frozen=True)
class Saved:
    """A file as it was received."""

    sha256: str
    size_bytes: int


def check_path(path: str) -> str:
    """`path` itself if it is plain file names joined by '/', else `UnsafeName`."""
    parts = path.split("/")
    if len(parts) > MAX_PARTS:
        raise UnsafeName(f"artifact path '{printable(path)}' has {len(parts)} parts; the limit is {MAX_PARTS}")
    for part in parts:
        check_file_name(part, f"artifact path '{printable(path)}'")
    return path


class RunArtifacts:
    """The files of one run. Errors are those of heritage; `NotFound` tells the path that is missing."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self._connection = connection
        self._run_id = run_id
        uri = connection.places.get(run_id) or str(connection.mlflow.get_run(run_id).info.artifact_uri)
        self._uri = _checked_uri(connection, run_id, uri)

    def sizes(self, folder: str) -> dict[str, int]:
        """Paths and sizes in bytes of the files directly under `folder` ('': the run's own folder)."""
        with self._translated(f"listing '{folder}'"):
            found = self._repository().list_artifacts(check_path(folder) if folder else None)
        return {str(info.path): int(info.file_size or 0) for info in found if not info.is_dir}

    def read(self, path: str, limit_bytes: int) -> bytes:
        """Content of the file at `path`; `BadInput` where it is larger than `limit_bytes`."""
        with tempfile.TemporaryDirectory(prefix="heritage-") as folder:
            target = Path(folder) / "artifact"
            self.save(path, target, limit_bytes)
            return target.read_bytes()

    def save(self, path: str, target: Path, limit_bytes: int) -> Saved:
        """Write the file at `path` to `target`, at most `limit_bytes` of it; then `BadInput`."""
        check_path(path)
        for attempt in stamina.retry_context(on=Unavailable, attempts=3, timeout=120.0, wait_initial=0.2):
            with attempt:
                return self._save(path, target, limit_bytes)
        raise AssertionError("stamina tries until it returns or raises")

    def upload(self, local: Path, path: str) -> None:
        """Store the file `local` as `path`."""
        folder, _, name = check_path(path).rpartition("/")
        with tempfile.TemporaryDirectory(prefix="heritage-") as scratch:
            # MLflow names the artifact as the file is named
            link = Path(scratch) / name
            link.symlink_to(local.absolute())
            with self._translated(f"writing '{path}'"):
                self._repository().log_artifact(str(link), folder or None)

    def write(self, path: str, data: bytes) -> None:
        """Store `data` as `path`."""
        with tempfile.TemporaryDirectory(prefix="heritage-") as scratch:
            local = Path(scratch) / "data"
            local.write_bytes(data)
            self.upload(local, path)

    def _save(self, path: str, target: Path, limit_bytes: int) -> Saved:
        state, size = hashlib.sha256(), 0
        with target.open("wb") as file:
            for chunk in self._chunks(path):
                size += len(chunk)
                if size > limit_bytes:
                    raise BadInput(f"{self._where(path)}: has more than the {limit_bytes} bytes that are allowed")
                state.update(chunk)
                file.write(chunk)
        return Saved(state.hexdigest(), size)

    def _chunks(self, path: str) -> Iterator[bytes]:
        if not self._uri.startswith("mlflow-artifacts:"):
            yield from self._embedded(path)
            return
        with self._translated(f"reading '{path}'"):
            answer = self._get(path, max_retries=0)
            if answer.status_code != 200:
                answer.close()
                # the server says 500 for what is not there as for what it cannot reach: the listing tells
                self._check_listed(path)
                answer = self._get(path, max_retries=None)
            with closing(answer):  # also where the reader has had enough
                if answer.status_code != 200:
                    raise by_status(answer.status_code, f"reading '{path}'", self._connection.tracking_uri)
                yield from answer.iter_content(CHUNK_BYTES)

    def _get(self, path: str, max_retries: int | None) -> Any:
        # the client's own download has no size limit, and writes where the server's name for the file says
        from mlflow.utils import credentials, rest_utils

        endpoint = f"{_SERVICE}{urlsplit(self._uri).path}/{path}"
        untyped: Any = credentials.get_default_host_creds, rest_utils.http_request
        host_of, request = untyped
        host = host_of(self._connection.tracking_uri)
        return request(host, endpoint, "GET", max_retries=max_retries, raise_on_status=False, stream=True)

    def _embedded(self, path: str) -> Iterator[bytes]:
        self._check_listed(path)
        with tempfile.TemporaryDirectory(prefix="heritage-") as scratch:
            with self._translated(f"reading '{path}'"):
                local = self._repository().download_artifacts(path, scratch)
            with Path(local).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk

    def _check_listed(self, path: str) -> None:
        if path not in self.sizes(path.rpartition("/")[0]):
            raise NotFound(f"{self._where(path)}: there is no such artifact; it was deleted or never written")

    def _repository(self) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(self._uri, tracking_uri=self._connection.tracking_uri)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        with translated(f"{what} of run {self._run_id}", self._connection.tracking_uri):
            yield

    def _where(self, path: str) -> str:
        return f"run {self._run_id} at {self._connection.shown_uri}, artifact '{path}'"


def look_up(connection: Connection, run_ids: Iterable[str]) -> None:
    """Learn where the files of many runs lie, by one request; those in other experiments stay unknown."""
    unknown = sorted({run_id for run_id in run_ids if run_id.isalnum()} - connection.places.keys())
    if len(unknown) <= FEW:
        return
    experiment = connection.mlflow.get_experiment_by_name(connection.experiment)
    if experiment is None or experiment.lifecycle_stage != "active":
        return
    clause = f"attributes.run_id IN ({', '.join(repr(run_id) for run_id in unknown)})"
    found = connection.mlflow.search_runs([experiment.experiment_id], clause, max_results=len(unknown))
    connection.places.update({str(run.info.run_id): str(run.info.artifact_uri) for run in found})


def _checked_uri(connection: Connection, run_id: str, uri: str) -> str:
    """The address of the run's files if they may be read; `UnsafeName` for what lies elsewhere."""
    if urlsplit(uri).scheme == "mlflow-artifacts":
        return check_source(uri)
    if urlsplit(connection.tracking_uri).scheme not in ("http", "https"):
        home = str(connection.mlflow.get_experiment(connection.experiment_id()).artifact_location)
        if uri.startswith(home.rstrip("/") + "/") and ".." not in uri:
            return uri
    raise UnsafeName(
        f"run {run_id}: its files lie at '{printable(uri)}', which heritage does not read; start the MLflow "
        "server with --serve-artifacts, so that clients reach files through it"
    )


def run_of(source: str, run_id: str) -> str:
    """The folder below the run's files that `source` names ('weights' of 'runs:/<run>/weights').

    Raises `UnsafeName` for other schemes or folders, and `Conflict` where it names another run than `run_id`.
    """
    check_source(source)
    parts = urlsplit(source)
    run, _, folder = parts.path.lstrip("/").partition("/")
    if parts.scheme != "runs" or parts.query or parts.fragment:
        raise UnsafeName(f"source '{printable(source)}' names no run; register the weights with heritage")
    if not run_id or run != run_id:
        raise Conflict(f"source '{printable(source)}' and run '{printable(run_id)}' differ; the version was edited")
    return check_path(folder)
