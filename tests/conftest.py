"""Real servers for the tests, each started at most once a session, on loopback, and stopped as a group.

    seaweed            S3Settings of a running SeaweedFS
    store              ObjectStore with a bucket of its own for this test
    tracking           address of an MLflow server on SQLite, artifacts in that SeaweedFS
    tracking_postgres  the same on PostgreSQL
    postgres           address of a PostgreSQL server with one empty database
    services           the environment of the test is set to `tracking` and `store`; gives the variables
    airflow_db         Airflow's metadata database is made (SQLite)

Tests that use them carry the markers `services`, `postgres` and `airflow` without asking for them.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from heritage.errors import Misconfigured
from heritage.local import processes
from heritage.local import seaweed as seaweed_server
from heritage.local import tracking as tracking_server
from heritage.local.environment import client_environment
from heritage.local.postgres import find_programs, throw_away_server
from heritage.settings import S3Settings, settings
from heritage.storage import ObjectStore

ROOT = Path(__file__).parent.parent

pytest_plugins = ["tests.stages"]

# read by libraries when they are imported, so these come before any test module does
_AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="heritage-airflow-"))
os.environ |= {
    "OMP_NUM_THREADS": "1",  # several test processes share the cores
    **tracking_server.CLIENT_ENVIRONMENT,
    "AIRFLOW_HOME": str(_AIRFLOW_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_AIRFLOW_HOME / 'airflow.db'}",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "HERITAGE_CONFIG": os.devnull,
}
# the machine that runs the tests may be busy, so a slow example is no failure
hypothesis.settings.register_profile("heritage", deadline=None, print_blob=True)
hypothesis.settings.register_profile("gate", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.load_profile("heritage")

_MARKED = {
    "services": {"seaweed", "store", "tracking", "tracking_postgres", "services"},
    "postgres": {"postgres", "tracking_postgres"},
    "airflow": {"airflow_db"},
}


# minutes long, so they begin first: otherwise one process is still at them while the others have nothing left to do
_LONG = {"test_demo.py": 0, "test_dags.py": 1, "test_main_job.py": 2, "test_killed.py": 3, "test_pages.py": 4}


@pytest.hookimpl(trylast=True)  # after the order was drawn
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark a test by the servers that it uses; put the files first that take longest."""
    for item in items:
        for marker, fixtures in _MARKED.items():
            if fixtures & set(getattr(item, "fixturenames", ())):
                item.add_marker(marker)
    items.sort(key=lambda item: _LONG.get(item.path.name, len(_LONG)))


def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: a third of the time is waiting for servers."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_unconfigure() -> None:
    """Remove what was made when this file was read."""
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Settings]:
    folder = tmp_path_factory.mktemp("seaweed")
    server = seaweed_server.start(folder)
    yield server.settings
    seaweed_server.stop(server.process, folder, grace_s=1.0)


@pytest.fixture
def store(seaweed: S3Settings) -> ObjectStore:
    own = ObjectStore.connect(seaweed.model_copy(update={"bucket": f"test-{uuid.uuid4().hex}", "deadline_s": 20.0}))
    own.make_bucket()
    return own


@pytest.fixture(scope="session")
def tracking(seaweed: S3Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = tracking_server.start(tmp_path_factory.mktemp("mlflow"), seaweed)
    yield server.uri
    processes.stop(server.process, grace_s=3.0)


@pytest.fixture(scope="session")
def tracking_postgres(seaweed: S3Settings, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = tracking_server.start(tmp_path_factory.mktemp("mlflow-postgres"), seaweed, database=postgres)
    yield server.uri
    processes.stop(server.process, grace_s=3.0)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    try:
        find_programs()
    except Misconfigured as missing:
        pytest.skip(str(missing))
    with throw_away_server() as address:
        yield address


@pytest.fixture
def services(
    tracking: str, seaweed: S3Settings, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    variables = client_environment(seaweed.model_copy(update={"bucket": store.bucket}), tracking)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield variables
    settings.cache_clear()


@pytest.fixture(scope="session")
def airflow_db() -> Path:
    from airflow.utils.db import initdb

    initdb()
    return _AIRFLOW_HOME
