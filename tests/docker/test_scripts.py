"""The shell scripts of docker/: secrets are made once and stay private, and nothing starts half configured."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

DOCKER = Path(__file__).parents[2] / "docker"
SCRIPTS = sorted([*DOCKER.rglob("*.sh"), DOCKER.parent / "mlflow/entrypoint.sh"])
PRINT = ["/usr/bin/env", "-0"]


def sh(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.defpath, **variables}
    return subprocess.run(
        ["/bin/sh", DOCKER / script, *arguments], env=env, capture_output=True, text=True, check=False
    )


def variables(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_it_is_a_shell_script(script):
    assert subprocess.run(["/bin/sh", "-n", script], check=False).returncode == 0
    assert script.read_text().splitlines()[0] == "#!/bin/sh"


def test_secrets_are_made_once_and_differ(tmp_path):
    folder = tmp_path / "secrets"
    assert sh("secrets.sh", str(folder)).returncode == 0
    first = {file.name: file.read_text() for file in folder.iterdir()}
    (folder / "redis_password").unlink()
    assert sh("secrets.sh", str(folder)).returncode == 0
    second = {file.name: file.read_text() for file in folder.iterdir()}

    assert len(set(first.values())) == len(first) == 17
    assert {name for name in first if first[name] != second[name]} == {"redis_password"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(json.loads(first["airflow_passwords"])) == {"admin", "approver", "viewer"}
    for name in ("airflow_fernet_key", "mlflow_webhook_key"):
        Fernet(first[name].encode())


def test_the_entrypoint_reads_secrets_and_leaves_no_names_of_files(tmp_path):
    for name in ("redis", "s3", "logs"):
        (tmp_path / name).write_text(f"secret-of-{name}\n")
    found = variables(
        sh(
            "entrypoint.sh",
            *PRINT,
            REDIS_PASSWORD_FILE=f"{tmp_path}/redis",
            REDIS_ADDRESS="redis:6379",
            HERITAGE_S3__SECRET_KEY_FILE=f"{tmp_path}/s3",
            LOGS_S3_ENDPOINT="http://seaweedfs:8333",
            LOGS_S3_SECRET_FILE=f"{tmp_path}/logs",
            HERITAGE_API__METRICS_TOKEN_FILE=f"{tmp_path}/logs",
        )
    )

    assert found["AIRFLOW__CELERY__BROKER_URL"] == "redis://:secret-of-redis@redis:6379/0"
    assert found["HERITAGE_S3__SECRET_KEY"] == "secret-of-s3"
    assert found["HERITAGE_API__METRICS_TOKEN"] == "secret-of-logs"
    assert json.loads(found["AIRFLOW_CONN_HERITAGE_LOGS"])["password"] == "secret-of-logs"
    assert not [name for name in found if name.endswith("_FILE") or name == "REDIS_PASSWORD"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PGPASSWORD_FILE": "/nowhere"}, "PGPASSWORD_FILE names '/nowhere', which cannot be read"),
        ({"PGPASSWORD_FILE": "/dev/null"}, "which is empty"),
        ({"REDIS_ADDRESS": "redis:6379"}, "REDIS_PASSWORD"),
        ({"LOGS_S3_ENDPOINT": "http://s3"}, "LOGS_S3_SECRET"),
    ],
)
def test_the_entrypoint_refuses_what_is_missing(given, said):
    done = sh("entrypoint.sh", *PRINT, **given)

    assert done.returncode != 0
    assert said in done.stderr
    assert done.stdout == ""


def test_the_api_server_needs_passwords(tmp_path):
    done = sh("entrypoint.sh", "airflow", "api-server", AIRFLOW_HOME=str(tmp_path))

    assert done.returncode == 2
    assert "AIRFLOW_PASSWORDS_SECRET" in done.stderr


@pytest.mark.parametrize("script", ["redis.sh", "seaweedfs.sh", "postgres/databases.sh"])
def test_servers_do_not_start_without_secrets(script):
    done = sh(script)

    assert done.returncode != 0
    assert "_FILE" in done.stderr


def test_a_password_that_is_no_word_makes_no_database(tmp_path):
    (tmp_path / "bad").write_text("x'; DROP ROLE airflow; --")
    bad = f"{tmp_path}/bad"

    done = sh("postgres/databases.sh", AIRFLOW_DATABASE_PASSWORD_FILE=bad, MLFLOW_DATABASE_PASSWORD_FILE=bad)

    assert done.returncode == 2
    assert "letters and digits" in done.stderr
