"""The MLflow tracking server, with the settings that heritage needs; artifacts go to S3 through the server."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx

from heritage.local import processes
from heritage.local.ports import LOOPBACK, check_free, free_ports
from heritage.local.processes import Process
from heritage.settings import S3Settings

READY_LIMIT_S = 90.0
STOP_GRACE_S = 10.0

# what every deployment of the server must set; mlflow/server.env says the same, and a test compares the two
SERVER_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        # a long value is an error: cut silently it would lose lineage
        "MLFLOW_TRUNCATE_LONG_VALUES": "false",
        # the job runner is not used, and its routes were outside basic-auth in earlier releases
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # a version's files come from this server only; without it any s3:// or file: address is taken
        "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": "^(mlflow-artifacts|models|runs):/",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_ALLOW_MODEL_CODE_EXECUTION": "false",
        "MLFLOW_SERVER_X_FRAME_OPTIONS": "SAMEORIGIN",
        # nothing is sent to the makers of the server
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
)
# what every process that talks to the server sets
CLIENT_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        name: SERVER_ENVIRONMENT[name]
        for name in (
            "MLFLOW_TRUNCATE_LONG_VALUES",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION",
            "MLFLOW_ALLOW_MODEL_CODE_EXECUTION",
            "MLFLOW_DISABLE_TELEMETRY",
            "DO_NOT_TRACK",
        )
    }
)


@dataclass(frozen=True)
class Tracking:
    """A running MLflow server and its address."""

    process: Process
    uri: str
    port: int
    ready_s: float


def start(
    folder: Path, s3: S3Settings, port: int | None = None, database: str | None = None, workers: int = 1
) -> Tracking:
    """Start the server and wait until it answers.

    `database` is a SQLAlchemy address such as postgresql://...; without it the server keeps `folder/mlflow.db`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own_port = check_free(port, "MLflow") if port else free_ports(1)[0]
    store = database or f"sqlite:///{(folder / 'mlflow.db').resolve()}"
    process = processes.start(
        "mlflow",
        _command(own_port, s3.bucket, workers),
        folder / "mlflow.log",
        # the address of the database may hold a password, so it is not an argument that everybody can list
        {**os.environ, **_environment(s3, own_port), **_webhooks(folder), "MLFLOW_BACKEND_STORE_URI": store},
        cwd=folder,
    )
    uri = f"http://{LOOPBACK}:{own_port}"
    try:
        ready_s = processes.wait_ready(process, lambda: _answers(process, uri, own_port), READY_LIMIT_S)
    except BaseException:
        processes.stop(process, grace_s=1.0)
        raise
    return Tracking(process, uri, own_port, ready_s)


def s3_environment(s3: S3Settings) -> dict[str, str]:
    """The variables by which boto3, s3fs and MLflow find the storage of `s3`."""
    found = {
        "AWS_ENDPOINT_URL_S3": s3.endpoint_url,
        "MLFLOW_S3_ENDPOINT_URL": s3.endpoint_url,
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key.get_secret_value() if s3.secret_key else None,
        "AWS_DEFAULT_REGION": s3.region,
    }
    return {name: value for name, value in found.items() if value}


def _command(port: int, bucket: str, workers: int) -> list[str]:
    program = [sys.executable, "-m", "mlflow", "server"]
    where = ["--host", LOOPBACK, "--port", str(port), "--workers", str(workers)]
    return [*program, *where, "--serve-artifacts", "--artifacts-destination", f"s3://{bucket}/mlflow"]


def _environment(s3: S3Settings, port: int) -> dict[str, str]:
    """The server's own variables; only its loopback names are accepted as Host and Origin."""
    names = [f"{LOOPBACK}:{port}", f"localhost:{port}"]
    allowed = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(names),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{name}" for name in names),
    }
    return {**SERVER_ENVIRONMENT, **s3_environment(s3), **allowed}


def _webhooks(folder: Path) -> dict[str, str]:
    """Variables with which the server may tell a receiver on this machine, over plain HTTP, what happened.

    For a server on loopback only: elsewhere whoever may make a webhook could reach what stands behind the firewall.
    """
    from cryptography.fernet import Fernet

    file = folder / "webhook.key"  # secrets in the database are encrypted with it
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(Fernet.generate_key())
    return {
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",
        "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "10",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": file.read_text(),
    }


def _answers(process: Process, uri: str, port: int) -> bool:
    try:
        healthy = httpx.get(f"{uri}/health", timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
    return healthy and processes.listens(process, port)
