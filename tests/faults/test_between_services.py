"""The network fails between heritage and its services, at any request; afterwards the work is done once."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from heritage.errors import HeritageError, Unavailable
from heritage.local.faults import LOST, PASS, REFUSED, Fault, FaultProxy, failure, fault_proxy
from heritage.registry import DUPLICATE_OF, Registry, Timing
from heritage.settings import S3Settings
from heritage.storage import ObjectStore
from tests.faults import invariants
from tests.faults.tiny import tiny_weights

pytestmark = pytest.mark.services
BUSY = failure(503, "SlowDown")
TIMING = Timing(lease_s=2.0, wait_s=30.0)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")


@pytest.fixture
def mlflow_proxy(tracking: str) -> Iterator[FaultProxy]:
    with fault_proxy(urlsplit(tracking).port or 0, as_target=True) as proxy:
        yield proxy


@pytest.fixture
def s3_proxy(seaweed: S3Settings) -> Iterator[FaultProxy]:
    with fault_proxy(urlsplit(seaweed.endpoint_url or "").port or 0) as proxy:
        yield proxy


def through(proxy: FaultProxy, seaweed: S3Settings, store: ObjectStore, deadline_s: float = 20.0) -> ObjectStore:
    return ObjectStore.connect(
        seaweed.model_copy(
            update={"endpoint_url": proxy.url, "bucket": store.bucket, "deadline_s": deadline_s, "region": "us-east-1"}
        )
    )


def work(registry: Registry, name: str, weights: Path) -> None:
    """A registration and a first promotion, which may both have been done before."""
    version = registry.register(name, weights).version
    registry.promote(name, version.version, None, "initial")


def until_done(job: Callable[[], None], tries: int = 5) -> int:
    """As Airflow does it: again after every failure that is told as one of heritage. Gives the number of tries."""
    for attempt in range(1, tries + 1):
        try:
            job()
        except HeritageError:
            if attempt == tries:
                raise
        else:
            return attempt
    raise AssertionError


def requests_of(proxy: FaultProxy, registry: Registry, name: str, folder: Path) -> int:
    """How many requests the work makes when nothing fails."""
    proxy.plan()
    work(registry, name, tiny_weights(folder))
    return proxy.seen


def check_one(registry: Registry, name: str, folder: Path) -> None:
    # MLflow's client sends a lost `create` again, which makes a second version; heritage marks one as duplicate
    versions = list(registry.versions(name=name))
    assert len([v for v in versions if DUPLICATE_OF not in v.tags]) == 1
    assert len({v.run_id for v in versions}) == 1
    invariants.check_registry(registry, folder, [name])


@pytest.mark.parametrize("fault", [LOST, BUSY], ids=["answer lost", "503"])
def test_each_request_to_mlflow_may_fail_once(
    fault: Fault, mlflow_proxy: FaultProxy, tracking: str, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    broken, sound = Registry(mlflow_proxy.url, store, timing=TIMING), Registry(tracking, store)
    count = requests_of(mlflow_proxy, broken, f"{name}-none", tmp_path)

    # the other requests are met by the slow test; 13 is the one that makes the version
    for k in range(1 if fault is LOST else 4, count, 6):
        weights, own = tiny_weights(tmp_path), f"{name}-{k}"
        mlflow_proxy.plan(*[PASS] * k, fault)
        until_done(lambda weights=weights, own=own: work(broken, own, weights))
        check_one(sound, own, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [LOST, BUSY, REFUSED, Fault(cut=20)], ids=["lost", "503", "reset", "cut"])
def test_every_request_to_mlflow_may_fail_for_long(
    fault: Fault, mlflow_proxy: FaultProxy, tracking: str, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    broken, sound = Registry(mlflow_proxy.url, store, timing=TIMING), Registry(tracking, store)
    count = requests_of(mlflow_proxy, broken, f"{name}-none", tmp_path)

    for k in range(count):
        weights, own = tiny_weights(tmp_path), f"{name}-{k}"
        # so often that MLflow's own client gives up
        mlflow_proxy.plan(*[PASS] * k, *[fault] * 3)
        until_done(lambda weights=weights, own=own: work(broken, own, weights))
        check_one(sound, own, tmp_path)


def test_each_request_to_the_storage_may_fail_once(
    s3_proxy: FaultProxy,
    tracking: str,
    seaweed: S3Settings,
    store: ObjectStore,
    name: str,
    tmp_path: Path,
) -> None:
    broken, sound = Registry(tracking, through(s3_proxy, seaweed, store), timing=TIMING), Registry(tracking, store)
    count = requests_of(s3_proxy, broken, f"{name}-none", tmp_path)

    for k in range(0, count, 4):
        weights, own = tiny_weights(tmp_path), f"{name}-{k}"
        s3_proxy.plan(*[PASS] * k, (LOST, BUSY, Fault(cut=30))[k // 4 % 3])
        assert until_done(lambda weights=weights, own=own: work(broken, own, weights)) == 1  # nobody has noticed
        check_one(sound, own, tmp_path)


def test_storage_away_for_as_long_as_the_deadline_is_waited_for(
    s3_proxy: FaultProxy, tracking: str, seaweed: S3Settings, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    """A minute away under the usual deadline of a minute; here both are shortened."""
    registry = Registry(tracking, through(s3_proxy, seaweed, store, deadline_s=10.0), timing=TIMING)
    s3_proxy.plan(then=REFUSED)
    back = threading.Timer(2.0, s3_proxy.plan)
    back.start()

    work(registry, name, tiny_weights(tmp_path))

    back.join()
    check_one(Registry(tracking, store), name, tmp_path)


def test_storage_away_for_longer_is_told_and_nothing_is_half_done(
    s3_proxy: FaultProxy, tracking: str, seaweed: S3Settings, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    registry = Registry(tracking, through(s3_proxy, seaweed, store, deadline_s=1.0), timing=TIMING)
    weights = tiny_weights(tmp_path)
    s3_proxy.plan(*[PASS] * 4, then=REFUSED)

    with pytest.raises(Unavailable, match=r"limit 1 s, HERITAGE_S3__DEADLINE_S"):
        work(registry, name, weights)

    sound = Registry(tracking, store)
    for entry in sound.entries(list(sound.versions(name=name))):
        assert entry.manifest is not None
    s3_proxy.plan()
    until_done(lambda: work(registry, name, weights))
    check_one(sound, name, tmp_path)


def test_a_tracking_server_that_hangs_ends_in_bounded_time(
    mlflow_proxy: FaultProxy, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    registry = Registry(mlflow_proxy.url, store, timing=TIMING)
    mlflow_proxy.plan(then=Fault(delay_s=30.0))

    with pytest.raises(Unavailable, match="try again"):
        registry.version(f"{name}/1")


def test_a_slow_network_changes_nothing(
    mlflow_proxy: FaultProxy, tracking: str, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    mlflow_proxy.plan(then=Fault(delay_s=0.05))

    work(Registry(mlflow_proxy.url, store, timing=TIMING), name, tiny_weights(tmp_path))

    check_one(Registry(tracking, store), name, tmp_path)
