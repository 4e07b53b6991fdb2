"""Connecting: refused addresses, and every failure of the server as an error that says what to do."""

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from heritage.errors import BadInput, HeritageError, Misconfigured, NotFound, Unavailable
from heritage.registry import Registry
from heritage.settings import MlflowSettings, S3Settings, Settings
from heritage.storage import ObjectStore


@pytest.fixture
def nowhere() -> ObjectStore:
    """Storage that no test here gets as far as to use."""
    return ObjectStore.connect(S3Settings(endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="b"))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "databricks", "", "s3://bucket/mlruns"])
def test_what_is_no_server_or_database_is_refused(uri: str, nowhere: ObjectStore) -> None:
    with pytest.raises(Misconfigured, match="TRACKING_URI"):
        Registry(uri, nowhere)


def test_settings_name_the_registry(nowhere: ObjectStore) -> None:
    chosen = Settings(mlflow=MlflowSettings(tracking_uri="http://127.0.0.1:9"))

    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        Registry.connect(chosen, nowhere).version("digits/1")


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], str]]:
    """Starts a server that gives one answer to everything; status 0 is a server that never answers."""
    servers: list[ThreadingHTTPServer] = []
    released = threading.Event()

    def start(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if status == 0:
                    released.wait(10)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"127.0.0.1:{server.server_port}"

    yield start
    released.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (500, b'{"error_code": "INTERNAL_ERROR", "message": "oops"}', Unavailable, "try again"),
        (429, b"slow down", Unavailable, "try again"),
        (502, b"<html>Bad Gateway</html>", Unavailable, "try again"),
        (200, b"<html>Sign in</html>", Unavailable, "JSON"),
        (0, b"", Unavailable, "try again"),
        (401, b"You are not authenticated", Misconfigured, "permissions"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "Permission denied"}', Misconfigured, "permissions"),
        (404, b"<html>no such page</html>", Misconfigured, "TRACKING_URI"),
        (404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no \\u202e version\\n"}', NotFound, "u202e"),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}', BadInput, "no"),
    ],
)
def test_failures_are_errors_of_heritage_without_the_password(
    status: int,
    body: bytes,
    error: type[HeritageError],
    said: str,
    answering: Callable[[int, bytes], str],
    nowhere: ObjectStore,
) -> None:
    registry = Registry(f"http://user:hunter2@{answering(status, body)}", nowhere)

    with pytest.raises(error, match=said) as caught:
        registry.version("digits/1")

    assert type(caught.value) is error
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_outage_is_raised_and_not_told_as_a_fault_of_a_version(
    answering: Callable[[int, bytes], str], nowhere: ObjectStore
) -> None:
    with pytest.raises(Unavailable):
        list(Registry(f"http://{answering(503, b'')}", nowhere).entries())


def test_nothing_listens(nowhere: ObjectStore) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

    with pytest.raises(Unavailable, match=f"{port}"):
        Registry(f"http://127.0.0.1:{port}", nowhere).version("digits/1")


def test_importing_the_registry_loads_no_mlflow(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import heritage.registry, sys; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
