from pathlib import Path

import pytest

from heritage.local import doctor, processes, tracking
from heritage.local.doctor import Check
from heritage.local.faults import Fault, fault_proxy
from heritage.settings import MlflowSettings, S3Settings, Settings


def at(tracking_uri: str) -> Settings:
    return Settings(mlflow=MlflowSettings(tracking_uri=tracking_uri))


def answering(text: str) -> Fault:
    return Fault(answer=f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode())


def test_all_is_well_where_the_servers_run(seaweed, tracking, tmp_path):
    found = Settings(s3=seaweed, mlflow=MlflowSettings(tracking_uri=tracking))

    checks = {check.name: check for check in doctor.check_all(found, tmp_path / "no-dags")}

    required = [c for c in checks.values() if not c.optional]
    assert [c for c in required if not c.ok] == []
    assert all(c.remedy for c in checks.values() if not c.ok)
    assert "conditional puts honoured" in checks["S3 storage"].detail


def test_servers_that_do_not_run():
    nowhere = "http://127.0.0.1:1"
    storage = doctor.check_storage(
        Settings(s3=S3Settings(endpoint_url=nowhere, access_key="k", secret_key="s", deadline_s=0.5))
    )
    (registry,) = doctor.check_registry(at(nowhere))

    assert (storage.ok, registry.ok) == (False, False)
    assert "heritage up" in storage.remedy
    assert "heritage up" in registry.remedy
    assert nowhere in registry.detail


@pytest.mark.parametrize(
    ("release", "ok"), [("3.15.0", True), ("3.17.2", True), ("4.0.0rc1", True), ("3.14.9", False), ("2.22.4", False)]
)
def test_releases_with_known_holes_are_refused(release, ok):
    with fault_proxy(1) as proxy:
        proxy.plan(then=answering(release))
        check = next(doctor.check_registry(at(proxy.url)))

    assert check.ok == ok
    assert ok or "upgrade" in check.remedy


@pytest.mark.parametrize("text", ["<html>login</html>", "", "\x1b[31m"])
def test_something_that_is_not_mlflow(text):
    with fault_proxy(1) as proxy:
        proxy.plan(then=answering(text))
        check = next(doctor.check_registry(at(proxy.url)))

    assert not check.ok
    assert "not a release" in check.detail
    assert "\x1b" not in check.detail


def test_a_password_in_a_database_address_is_not_shown():
    (check,) = doctor.check_registry(at("postgresql://heritage:topsecret@db/mlflow"))

    assert "topsecret" not in check.detail


def test_a_server_that_cuts_long_values_is_found(seaweed, tmp_path, monkeypatch):
    careless = {**tracking.SERVER_ENVIRONMENT, "MLFLOW_TRUNCATE_LONG_VALUES": "true"}
    monkeypatch.setattr(tracking, "SERVER_ENVIRONMENT", careless)
    server = tracking.start(tmp_path, seaweed)
    try:
        _, check = doctor.check_registry(at(server.uri))
    finally:
        processes.stop(server.process, grace_s=1.0)

    assert check == Check(
        "MLflow long values",
        False,
        "cut silently (404 for a tag of 8,001 characters)",
        "set MLFLOW_TRUNCATE_LONG_VALUES=false there",
    )


def test_a_broken_dag_file_is_named(tmp_path: Path):
    (tmp_path / "broken.py").write_text("from airflow.sdk import dag\nimport no_such_module\n")

    check = doctor.check_dags(tmp_path)

    assert not check.ok
    assert "broken.py: ModuleNotFoundError: No module named 'no_such_module'" in check.detail


def test_an_old_python_is_told():
    assert doctor.check_python((3, 12)) == Check("Python", False, "3.12", "use Python 3.11")
    assert not doctor.check_package("no-such-package").ok
    assert doctor.check_program("no-such-program", "nothing", "install it").optional
