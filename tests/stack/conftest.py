"""The production stack as processes of this machine, once for all tests of this folder."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from heritage.errors import Misconfigured
from heritage.flows.context import Context
from heritage.local.airflow_rest import AirflowApi
from heritage.local.postgres import find_programs
from heritage.local.production import Production
from heritage.registry import Registry
from heritage.settings import MlflowSettings, S3Settings, Settings
from heritage.storage import ObjectStore

PROJECT = Path(__file__).parents[2]
BUILDERS = ("heritage.demo", "torch.nn")


@pytest.fixture(scope="session")
def production() -> Iterator[Production]:
    try:
        find_programs()
    except Misconfigured as missing:
        pytest.skip(str(missing))
    # not below pytest's own folder, which PostgreSQL's user may not pass through
    folder = Path(tempfile.mkdtemp(prefix="heritage-production-"))
    with pytest.MonkeyPatch.context() as patch:
        stack = started(folder)
        patch.setenv("MLFLOW_TRACKING_USERNAME", "heritage")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", stack.secret("mlflow_heritage_password"))
        yield stack
        stack.down(hurry=True)
    shutil.rmtree(folder)


def started(folder: Path) -> Production:
    """The whole stack over `with_own_dags`; its workers may also build the networks of `tests.deployed`."""
    stack = Production.prepared(folder, with_own_dags(folder / "project"))
    stack.values["ALLOWED_BUILDERS"] = ",".join(BUILDERS)
    try:
        stack.start_stores()
        stack.start_services()
    except BaseException:
        stack.down(hurry=True)
        raise
    return stack


def with_own_dags(folder: Path) -> Path:
    """The project as links, but for its DAG files: those are copies, which a test may change."""
    folder.mkdir()
    for entry in PROJECT.iterdir():
        if entry.name == "dags":
            shutil.copytree(entry, folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        elif not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.fixture
def ctx(production: Production) -> Context:
    return connect(production)


def connect(production: Production) -> Context:
    """The registry and storage of the stack, with heritage's own accounts."""
    s3 = S3Settings(
        endpoint_url=production.url("seaweedfs"),
        access_key="heritage",
        secret_key=SecretStr(production.secret("s3_heritage_secret")),
    )
    mlflow = MlflowSettings(tracking_uri=production.url("mlflow"))
    settings = Settings(mlflow=mlflow, s3=s3, work_dir=production.work_dir / "client", allowed_builders=BUILDERS)
    store = ObjectStore.connect(s3)
    return Context(Registry.connect(settings, store), store, settings)


@pytest.fixture
def airflow(production: Production) -> Iterator[AirflowApi]:
    api = AirflowApi(production.url("airflow-api-server"), "admin", production.passwords()["admin"])
    yield api
    api.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here is slow and starts servers."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for marker in ("slow", "services", "airflow", "postgres"):
                item.add_marker(marker)
            item.add_marker(pytest.mark.timeout(1200))
