"""PostgreSQL restarts, hangs or is far away under the registry; nothing is lost and nothing is doubled."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from heritage.errors import HeritageError, Unavailable
from heritage.registry import DUPLICATE_OF, Registry, Timing
from heritage.storage import ObjectStore
from tests.faults import invariants
from tests.faults.tcp import TcpProxy, tcp_proxy
from tests.faults.tiny import client, tiny_weights

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def database(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a database of its own with MLflow's tables."""
    name = f"faults_{uuid.uuid4().hex[:8]}"
    connection = psycopg2.connect(postgres)
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    address = f"{postgres.rpartition('/')[0]}/{name}"
    files = tmp_path_factory.mktemp("files")
    client(address).create_experiment("heritage", artifact_location=str(files))
    return address


@pytest.fixture
def proxy(database: str) -> Iterator[TcpProxy]:
    with tcp_proxy(urlsplit(database).port or 0) as running:
        yield running


@pytest.fixture
def broken(database: str, proxy: TcpProxy, store: ObjectStore) -> Registry:
    parts = urlsplit(database)
    address = f"{parts.scheme}://{parts.username}@127.0.0.1:{proxy.port}{parts.path}"
    return Registry(address, store, timing=Timing(lease_s=1.0, wait_s=20.0))


def test_a_restart_at_any_step_of_a_registration(
    broken: Registry, proxy: TcpProxy, database: str, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    sound = Registry(database, store)
    steps: list[str] = []
    broken.register(f"{name}-none", tiny_weights(tmp_path), on_step=steps.append)
    assert len(steps) > 5

    for i in range(0, len(steps), 2):
        weights, own, seen = tiny_weights(tmp_path), f"{name}-{i}", []

        def restart(step: str, i: int = i, seen: list[str] = seen) -> None:
            seen.append(step)
            if len(seen) == i + 1:
                proxy.reset_all()

        for _ in range(4):
            try:
                broken.register(own, weights, on_step=restart)
                break
            except Unavailable:  # what Airflow would try again
                continue
        versions = list(sound.versions(name=own))
        assert len([v for v in versions if DUPLICATE_OF not in v.tags]) == 1
        invariants.check_registry(sound, tmp_path, [own])


def test_a_restart_under_a_promotion_is_made_good_by_the_next_one(
    broken: Registry, proxy: TcpProxy, database: str, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    for _ in range(2):
        version = broken.register(name, tiny_weights(tmp_path)).version
    broken.promote(name, "1", None, "initial")
    broken.accept(version, "p2")
    resets = threading.Timer(0.05, proxy.reset_all)
    resets.start()
    for _ in range(4):
        try:
            broken.promote(name, "2", "1", "better", "p2")
            break
        except HeritageError:
            continue
    resets.join()

    sound = Registry(database, store)
    assert sound.aliases(name) == {"champion": "2", "previous": "1"}
    invariants.check_registry(sound, tmp_path, [name])


def test_a_server_far_away_changes_nothing(
    broken: Registry, proxy: TcpProxy, database: str, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    proxy.delay_s = 0.003

    broken.register(name, tiny_weights(tmp_path))

    invariants.check_registry(Registry(database, store), tmp_path, [name])


def test_a_server_that_is_away_is_told(broken: Registry, proxy: TcpProxy, name: str, tmp_path: Path) -> None:
    broken.register(name, tiny_weights(tmp_path))
    proxy.away = True
    proxy.reset_all()

    with pytest.raises(Unavailable, match="try again"):
        broken.version(f"{name}/1")

    proxy.away = False
    assert broken.version(f"{name}/1").version == "1"


@contextmanager
def no_connection_left(address: str) -> Iterator[None]:
    """All that the server allows are taken."""
    taken = []
    try:
        with suppress(psycopg2.OperationalError):  # too many clients
            while len(taken) < 500:
                taken.append(psycopg2.connect(address))
        assert len(taken) < 500
        yield
    finally:
        for each in taken:
            each.close()


def test_a_server_without_a_free_connection_is_told_and_work_goes_on_after(
    database: str, postgres: str, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    registry, weights = Registry(database, store), tiny_weights(tmp_path)
    registry.register(name, tiny_weights(tmp_path))
    # this process keeps connections in a pool, so they are ended first
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    with closing(psycopg2.connect(postgres)) as own:
        own.cursor().execute(ended, [database.rpartition("/")[2]])

    with no_connection_left(postgres), pytest.raises(Unavailable, match="try again"):
        registry.register(name, weights)

    assert registry.register(name, weights).version.version == "2"
    invariants.check_registry(registry, tmp_path / "check", [name])
