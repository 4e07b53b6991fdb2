"""The deployment files in mlflow/ say what heritage's own server does, and the entrypoint keeps to them."""

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from heritage.local import processes
from heritage.local.ports import free_ports
from heritage.local.tracking import SERVER_ENVIRONMENT

FILES = Path(__file__).parents[2] / "mlflow"
COMPLETE = {
    "MLFLOW_BACKEND_STORE_URI": "postgresql://heritage@db/mlflow",
    "MLFLOW_AUTH_DATABASE_URI": "postgresql://heritage:p%40ss&word\\1@db/users",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "a long password",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "random",
    "MLFLOW_ARTIFACTS_DESTINATION": "s3://heritage/mlflow",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example:443",
}
# stands where the program `mlflow` would be, and tells how it was called
REPORTER = """#!{python}
import json, os, sys
print(json.dumps({{"arguments": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ)}}))
"""


def lines_of(text: str) -> dict[str, str]:
    found = [line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#")]
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def run(folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = folder / "bin" / "mlflow"
    program.parent.mkdir(exist_ok=True)
    program.write_text(REPORTER.format(python=sys.executable))
    program.chmod(0o755)
    env = {**variables, "PATH": f"{program.parent}:{os.defpath}", "TMPDIR": str(folder)}
    return subprocess.run([FILES / "entrypoint.sh"], env=env, capture_output=True, text=True, check=False)


def test_both_places_agree():
    assert lines_of((FILES / "server.env").read_text()) == dict(SERVER_ENVIRONMENT)


def test_the_server_gets_the_settings_and_users(tmp_path):
    done = run(tmp_path, COMPLETE)
    called = json.loads(done.stdout)

    assert called["environment"].items() >= {**SERVER_ENVIRONMENT, **COMPLETE}.items()
    assert called["arguments"][0] == "server"
    assert called["arguments"][7:9] == ["--app-name", "basic-auth"]
    assert not any("postgresql" in word or "password" in word for word in called["arguments"])
    assert Path(called["cwd"]) != FILES


def test_the_file_of_users_is_private_and_holds_the_database(tmp_path):
    called = json.loads(run(tmp_path, COMPLETE).stdout)
    file = Path(called["environment"]["MLFLOW_AUTH_CONFIG_PATH"])
    read = configparser.ConfigParser()
    read.read(file)

    assert file.stat().st_mode & 0o777 == 0o600
    assert read["mlflow"]["database_uri"] == COMPLETE["MLFLOW_AUTH_DATABASE_URI"]
    assert read["mlflow"]["default_permission"] == "NO_PERMISSIONS"
    assert "admin_password" not in read["mlflow"]
    assert 0 < read["mlflow"].getint("auth_cache_ttl_seconds") <= 60


def test_what_the_operator_set_wins(tmp_path):
    called = json.loads(run(tmp_path, {**COMPLETE, "MLFLOW_SERVER_X_FRAME_OPTIONS": "DENY"}).stdout)

    assert called["environment"]["MLFLOW_SERVER_X_FRAME_OPTIONS"] == "DENY"


def test_secrets_may_be_files(tmp_path):
    (tmp_path / "admin").write_text("from a file\n")
    given = {**COMPLETE, "MLFLOW_AUTH_ADMIN_PASSWORD_FILE": str(tmp_path / "admin")}
    del given["MLFLOW_AUTH_ADMIN_PASSWORD"]

    called = json.loads(run(tmp_path, given).stdout)

    assert called["environment"]["MLFLOW_AUTH_ADMIN_PASSWORD"] == "from a file"


@pytest.mark.parametrize("missing", sorted(COMPLETE))
def test_it_refuses_to_start_half_configured(tmp_path, missing):
    done = run(tmp_path, {name: value for name, value in COMPLETE.items() if name != missing})

    assert done.returncode != 0
    assert done.stdout == ""
    assert missing in done.stderr


@pytest.mark.parametrize("folder", ["/var/mlruns", "file:///var/mlruns", "mlruns"])
def test_a_folder_is_no_registry(tmp_path, folder):
    done = run(tmp_path, {**COMPLETE, "MLFLOW_BACKEND_STORE_URI": folder})

    assert done.returncode == 2
    assert "must be a database" in done.stderr


@pytest.mark.slow
@pytest.mark.services
def test_the_real_server_asks_who_is_there(tmp_path):
    (port,) = free_ports(1)
    given = {
        **COMPLETE,
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "MLFLOW_AUTH_DATABASE_URI": f"sqlite:///{tmp_path}/users.db",
        "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path / "artifacts"),
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
        "MLFLOW_HOST": "127.0.0.1",
        "MLFLOW_PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        "TMPDIR": str(tmp_path),
    }
    server = processes.start("entrypoint", [str(FILES / "entrypoint.sh")], tmp_path / "log", given)
    question = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0"
    try:
        processes.wait_ready(server, lambda: processes.listens(server, port), limit_s=90)
        with httpx.Client(trust_env=False, timeout=60) as client:

            def status(password: str, **headers: str) -> int:
                return client.get(question, auth=("admin", password), headers=headers).status_code

            assert client.get(question).status_code == httpx.codes.UNAUTHORIZED
            assert status("a long password") == httpx.codes.OK
            assert status("password1234") == httpx.codes.UNAUTHORIZED
            assert status("a long password", Host="evil.example") == httpx.codes.FORBIDDEN
    finally:
        processes.stop(server, grace_s=3)
