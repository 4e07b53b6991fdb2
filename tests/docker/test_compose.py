"""What can be said of docker/ without an engine: it is linted, complete, pinned, and has no secrets in it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from heritage.errors import Misconfigured
from heritage.local.production_files import expand, read_env, read_units
from heritage.settings import ApiSettings

PROJECT = Path(__file__).parents[2]
DOCKER = PROJECT / "docker"
OVERRIDES = ("serve", "gpu", "observability")
GIVEN = {"HERITAGE_SECRETS": "/etc/heritage/secrets", "SERVE_MODEL": "digits-site"}
ONE_SHOT = {"storage-init", "mlflow-users", "airflow-init"}


def program(name: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return shutil.which(name, path=path) or pytest.skip(f"{name} is not installed")


def compose(*overrides: str, **variables: str) -> subprocess.CompletedProcess[str]:
    files = ["compose.yaml", *(f"compose.{name}.yaml" for name in overrides)]
    words = [word for file in files for word in ("-f", str(DOCKER / file))]
    command = [program("docker-compose"), *words, "config", "--format", "json"]
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, check=False
    )


def scraped() -> list[dict[str, Any]]:
    return yaml.safe_load((DOCKER / "observability/prometheus.yaml").read_text())["scrape_configs"]


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    done = compose(*OVERRIDES, **GIVEN)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


def test_the_dockerfile_is_clean():
    done = subprocess.run([program("hadolint"), DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("override", OVERRIDES)
def test_each_override_fits(override):
    assert compose(override, **GIVEN).returncode == 0


@pytest.mark.parametrize("missing", sorted(GIVEN))
def test_nothing_starts_without_what_must_be_chosen(missing):
    done = compose(*OVERRIDES, **{name: value for name, value in GIVEN.items() if name != missing})

    assert done.returncode != 0
    assert missing in done.stderr


def test_images_are_pinned(services):
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        assert re.match(r"v?\d+\.\d+\.?\d*", tag), f"{name}: {service['image']}"
    bases = re.findall(r"^FROM (\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert bases[0] == "python:3.11.14-slim-bookworm"
    assert set(bases[1:]) == {"python"}


def test_nobody_is_root_and_everything_says_how_it_is(services):
    for name, service in services.items():
        assert service["user"] not in ("", "root", "0", "0:0"), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        checked = not service["healthcheck"].get("disable", False)
        assert checked or name in ONE_SHOT | {"otel-collector"}, name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped"), name


def test_secrets_are_files_that_the_service_was_given(services):
    for name, service in services.items():
        variables = service.get("environment", {})
        given = {secret["source"] for secret in service.get("secrets", [])}
        named = {Path(value).name for value in variables.values() if str(value).startswith("/run/secrets/")}
        if name == "prometheus":  # it has a file of its own in place of variables
            named |= {
                Path(job["authorization"]["credentials_file"]).name for job in scraped() if "authorization" in job
            }
        # a list that all services of a kind share may name one that only some of them use
        assert named - given <= {"airflow_passwords"}, name
        assert given <= named, name
        for variable in variables:
            assert not re.search(r"(PASSWORD|SECRET|TOKEN|_KEY)$", variable) or variable in (
                "AIRFLOW_PASSWORDS_SECRET",
                "HERITAGE_S3__ACCESS_KEY",
            ), f"{name}: {variable}"


def test_ports_are_published_on_this_host_only(services):
    published = [port for service in services.values() for port in service.get("ports", [])]

    assert len(published) == 4
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_storage_has_time_to_stop_and_keeps_off_airflows_port(services):
    assert services["seaweedfs"]["stop_grace_period"] == "1m0s"
    assert services["seaweedfs"]["environment"]["WEED_VOLUME_PORT"] == "9340"


def test_mlflow_sends_webhooks_to_nobody_inside_unless_told_to(services):
    settings = services["mlflow"]["environment"]

    assert settings["MLFLOW_WEBHOOK_ALLOWED_SCHEMES"] == "https"
    assert settings["MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS"] == "false"


def test_the_workers_cannot_reach_the_database(services):
    worker = services["airflow-worker"]

    assert "postgres" not in json.dumps(worker["environment"])
    assert not {secret["source"] for secret in worker["secrets"]} & {"airflow_database_password", "postgres_password"}
    assert "container_name" not in worker  # else it could not be scaled


def test_the_native_start_reads_the_files_as_compose_does():
    expected = json.loads(compose(**GIVEN).stdout)["services"]
    for name, unit in read_units(PROJECT, {}).items():
        found: dict[str, str] = {}
        for file in unit.env_files:
            found |= read_env(file, {})
        assert found == expected[name].get("environment", {}), name
        words = [*(expected[name].get("entrypoint") or []), *(expected[name].get("command") or [])]
        # the entrypoint of the image `heritage` is in the Dockerfile
        assert list(unit.command[-len(words) :] if words else unit.command) == words, name


def test_expansion():
    assert expand("a ${B:-c} ${D}$$", {"D": "e"}) == "a c e$"
    assert expand("${B:-c}", {"B": ""}) == "c"
    with pytest.raises(Misconfigured, match="value for B"):
        expand("${B}", {})


def test_prometheus_asks_the_application_for_what_it_answers(services):
    """The route, the token's variable and the names of metrics in the rules are those of the application."""
    (job,) = [job for job in scraped() if job["job_name"] == "heritage-registry"]
    prefix = re.search(r'"url_prefix": "([^"]+)"', (PROJECT / "plugins/heritage_plugin.py").read_text())
    assert prefix is not None
    assert job["metrics_path"] == f"{prefix[1]}/metrics"
    told = services["airflow-api-server"]["environment"]["HERITAGE_API__METRICS_TOKEN_FILE"]
    assert told == job["authorization"]["credentials_file"]
    assert "metrics_token" in ApiSettings.model_fields
    rules = yaml.safe_load((DOCKER / "observability/alerts.yaml").read_text())["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"heritage_\w+", rule["expr"])}
    answered = (PROJECT / "heritage/api/metrics.py").read_text()
    assert asked
    assert [name for name in asked if f'"{name}"' not in answered] == []


def test_what_prometheus_and_the_collector_read_is_there():
    targets = [t for job in scraped() for config in job["static_configs"] for t in config["targets"]]
    assert targets == [
        "otel-collector:8889",
        "seaweedfs:9327",
        "airflow-api-server:8080",
        "serve:8090",
        "127.0.0.1:9090",
    ]
    written = yaml.safe_load((DOCKER / "observability/prometheus.yaml").read_text())
    assert [(DOCKER / "observability" / file).exists() for file in written["rule_files"]] == [True]
    collector = yaml.safe_load((DOCKER / "observability/otel.yaml").read_text())
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(collector[kind])
