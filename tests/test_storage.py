import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heritage.errors import BadInput, Misconfigured, NotFound, Unavailable, UnsafeName
from heritage.large_objects import Upload
from heritage.local import seaweed as seaweed_server
from heritage.local.faults import LOST, REFUSED, Fault, FaultProxy, failure, fault_proxy
from heritage.settings import S3Settings
from heritage.storage import ObjectStore, check_key, check_prefix

SLOW_DOWN = failure(503, "SlowDown")


@pytest.fixture
def proxy(seaweed: S3Settings) -> Iterator[FaultProxy]:
    port = urlsplit(seaweed.endpoint_url).port
    assert port
    with fault_proxy(port) as running:
        yield running


@pytest.fixture
def shaky(store: ObjectStore, seaweed: S3Settings, proxy: FaultProxy) -> ObjectStore:
    """The bucket of `store`, reached through the proxy, with a deadline of two seconds."""
    changes = {"bucket": store.bucket, "endpoint_url": proxy.url, "deadline_s": 2.0}
    return ObjectStore.connect(seaweed.model_copy(update=changes))


def race(*calls: Callable[[], bool]) -> list[bool]:
    """The calls' results, all called at the same moment."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], bool]) -> bool:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_what_was_put_is_read_back(store):
    store.put("a/b.bin", b"\x00\xff" * 1000)

    assert store.get("a/b.bin") == b"\x00\xff" * 1000
    assert store.exists("a/b.bin")


def test_an_empty_object_is_an_object(store):
    store.put("a", b"")

    assert store.get("a") == b""


def test_nothing_there(store):
    assert not store.exists("a")
    with pytest.raises(NotFound, match=r"s3://test-\w+/a at http://127"):
        store.get("a")
    store.delete("a")


def test_a_longer_key_with_the_same_beginning_is_another_object(store):
    store.put("a/bc", b"1")

    assert not store.exists("a/b")
    assert not store.exists("a")


def test_deleted_is_gone(store):
    store.put("a", b"1")
    store.delete("a")

    assert not store.exists("a")
    assert store.create("a", b"2")


@pytest.mark.parametrize("number", range(3))
def test_of_eight_creators_one_wins(store, number):
    won = race(*[lambda i=i: store.create(f"race/{number}", f"writer {i}".encode()) for i in range(8)])

    assert sum(won) == 1
    assert store.get(f"race/{number}") == f"writer {won.index(True)}".encode()


def test_of_eight_creators_of_equal_content_one_wins(store):
    assert sum(race(*[lambda: store.create("same", b"content")] * 8)) == 1


def test_of_eight_replacers_one_wins(store):
    store.put("a", b"before")
    etag = store.read("a").etag

    won = race(*[lambda i=i: store.replace("a", f"writer {i}".encode(), etag) for i in range(8)])

    assert sum(won) == 1
    assert store.get("a") == f"writer {won.index(True)}".encode()


def test_replace_of_what_is_not_there(store):
    store.put("a", b"1")
    etag = store.read("a").etag
    store.delete("a")

    assert not store.replace("a", b"2", etag)
    assert not store.exists("a")


def test_no_update_is_lost_when_all_try_until_they_win(store):
    store.put("counter", b"0")

    def add() -> bool:
        for _ in range(100):
            seen = store.read("counter")
            if store.replace("counter", str(int(seen.data) + 1).encode(), seen.etag):
                return True
        return False

    assert all(race(*[add] * 6))
    assert store.get("counter") == b"6"


def test_list_goes_on_after_a_thousand(store):
    keys = [f"many/{i:04d}" for i in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    store.put("other/1", b"")

    assert list(store.list("many/")) == keys
    assert list(store.list("many/100")) == keys[1000:]
    assert len(list(store.list())) == 1006
    assert list(store.list("none-such/")) == []


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".a", "a b", "a\nb", "ä", "a\\b", "a\x00", "%2e%2e", "con"],
)
def test_odd_keys_are_refused_before_anything_is_sent(key):
    nowhere = ObjectStore.connect(S3Settings(endpoint_url="http://127.0.0.1:1", deadline_s=0.1))

    for call in (nowhere.get, nowhere.exists, nowhere.delete, lambda k: nowhere.create(k, b"")):
        with pytest.raises(UnsafeName):
            call(key)


@given(st.text(max_size=60))
def test_an_accepted_key_is_plain(key):
    try:
        check_key(key)
    except UnsafeName:
        return
    assert key.isascii()
    assert not {"", ".", ".."} & set(key.split("/"))
    assert check_prefix(key[: len(key) // 2]) is not None


def test_a_key_may_be_1024_bytes_long(store):
    key = "/".join(["x" * 127] * 8)
    assert len(key) == 1023
    store.put(key, b"1")

    assert store.exists(key)
    with pytest.raises(UnsafeName, match="longer than 1024 bytes"):
        store.put(key + "/xx", b"1")


def test_probe_leaves_nothing(store):
    store.probe()

    assert list(store.list()) == []


@pytest.mark.parametrize("do", ["probe", "get", "put", "create", "exists", "list", "delete"])
def test_a_missing_bucket_is_named_with_its_remedy(seaweed, do):
    store = ObjectStore.connect(seaweed.model_copy(update={"bucket": "none-such"}))
    arguments = {"probe": (), "list": (), "put": ("a", b""), "create": ("a", b"")}.get(do, ("a",))

    with pytest.raises(Misconfigured, match=r"none-such.*HERITAGE_S3__BUCKET"):
        list(getattr(store, do)(*arguments) or ())


@pytest.mark.parametrize(("field", "value"), [("access_key", "wrong"), ("secret_key", "wrong")])
def test_wrong_keys_are_told_at_once(seaweed, field, value):
    given_keys = S3Settings.model_validate({**seaweed.model_dump(), field: value})
    started = time.monotonic()

    with pytest.raises(Misconfigured, match=r"403 .*HERITAGE_S3__SECRET_KEY") as caught:
        ObjectStore.connect(given_keys).probe()

    assert time.monotonic() - started < 2
    assert "wrong" not in str(caught.value).replace("are wrong", "")


@pytest.mark.parametrize(
    "changes", [{"endpoint_url": "127.0.0.1:9"}, {"endpoint_url": "http://a b"}, {"region": "no such"}]
)
def test_an_address_that_is_none(changes):
    with pytest.raises(Misconfigured, match="HERITAGE_S3__"):
        ObjectStore.connect(S3Settings(**changes)).probe()


def test_an_outage_is_told_within_the_deadline_and_ends(tmp_path):
    server = seaweed_server.start(tmp_path)
    store = ObjectStore.connect(server.settings.model_copy(update={"deadline_s": 1.5}))
    store.put("a", b"1")
    seaweed_server.stop(server.process, tmp_path)
    started = time.monotonic()

    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:\d+.* tried \d+ times in 1\.\d s"):
        store.get("a")

    assert 1.0 < time.monotonic() - started < 2.5
    again = seaweed_server.start(tmp_path, server.port)
    try:
        assert store.get("a") == b"1"
    finally:
        seaweed_server.stop(again.process, tmp_path, grace_s=1.0)


@pytest.mark.parametrize("fault", [SLOW_DOWN, REFUSED, failure(500, "InternalError"), Fault(cut=30), LOST])
def test_a_fault_that_passes_is_not_noticed(store, shaky, proxy, fault):
    store.put("a", b"content")
    proxy.plan(fault, fault)

    assert shaky.get("a") == b"content"
    assert proxy.seen == 3


@pytest.mark.parametrize("fault", [SLOW_DOWN, REFUSED, Fault(delay_s=30), Fault(drip_s=0.5), Fault(cut=300)])
def test_a_fault_that_stays_ends_at_the_deadline(store, shaky, proxy, fault):
    store.put("a", b"x" * 1000)
    proxy.plan(then=fault)
    started = time.monotonic()

    with pytest.raises(Unavailable, match=proxy.url):
        shaky.get("a")

    assert time.monotonic() - started < 3.5


@pytest.mark.parametrize("fault", [LOST, SLOW_DOWN, REFUSED])
def test_create_whose_answer_was_lost_still_won(store, shaky, proxy, fault):
    proxy.plan(fault)

    assert shaky.create("a", b"mine")
    assert store.get("a") == b"mine"


def test_replace_whose_answer_was_lost_still_won(store, shaky, proxy):
    store.put("a", b"before")
    etag = shaky.read("a").etag
    proxy.plan(LOST)

    assert shaky.replace("a", b"mine", etag)
    assert store.get("a") == b"mine"


@pytest.mark.parametrize("theirs", [b"theirs", b"mine"])
def test_create_that_was_refused_by_the_network_and_then_lost_the_race_says_so(store, shaky, proxy, theirs):
    proxy.plan(SLOW_DOWN)
    store.create("a", theirs)

    assert not shaky.create("a", b"mine")
    assert store.get("a") == theirs


def test_a_half_sent_body_is_never_returned(store, shaky, proxy):
    store.put("a", b"x" * 100_000)
    proxy.plan(Fault(cut=50_000), Fault(cut=99_000))

    assert shaky.get("a") == b"x" * 100_000


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (failure(403, "ExpiredToken"), Misconfigured, "expired"),
        (failure(400, "ExpiredToken"), Misconfigured, "expired"),
        (failure(403, "RequestTimeTooSkewed"), Misconfigured, "clock"),
        (failure(501, "NotImplemented"), Misconfigured, "SeaweedFS or AWS S3"),
        (failure(400, "EntityTooLarge", "&#8238;too large"), BadInput, "EntityTooLarge"),
        (failure(404, "NoSuchKey"), NotFound, "no such object"),
        (failure(404, "NoSuchVersion"), NotFound, "no such object"),
        (failure(404, "NoSuchUpload"), NotFound, "no such object"),
    ],
)
def test_an_answer_that_will_not_change_is_told_at_once(shaky, proxy, fault, error, said):
    proxy.plan(then=fault)

    with pytest.raises(error, match=said) as caught:
        shaky.get("a")

    assert proxy.seen == 1
    assert "\u202e" not in str(caught.value)


def test_an_answer_that_is_not_s3(shaky, proxy):
    proxy.plan(then=Fault(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html>hello\r\n"))

    with pytest.raises((Unavailable, Misconfigured), match=proxy.url):
        list(shaky.list())


def test_probe_finds_a_server_that_ignores_conditions(seaweed, store):
    """A stand-in for rclone: it takes the conditions out of every request before SeaweedFS sees them."""
    careless = ObjectStore.connect(seaweed.model_copy(update={"bucket": store.bucket}))
    careless._client.meta.events.register("before-call.s3.PutObject", _without_conditions)

    with pytest.raises(Misconfigured, match="does not honour If-None-Match"):
        careless.probe()
    assert list(store.list()) == []


def _without_conditions(params: dict[str, dict[str, str]], **_: object) -> None:
    for name in ("If-None-Match", "If-Match"):
        params["headers"].pop(name, None)


def test_making_a_bucket_twice_is_once(store):
    store.put("a", b"1")
    store.make_bucket()

    assert store.get("a") == b"1"


def test_servers_state_outlives_a_restart_of_the_client(seaweed, store):
    store.put("a", b"1")

    assert ObjectStore.connect(seaweed.model_copy(update={"bucket": store.bucket})).get("a") == b"1"


def test_only_the_owner_can_read_the_servers_keys(tmp_path: Path):
    seaweed_server.settings_for(tmp_path, 1)

    assert (tmp_path / "s3.json").stat().st_mode & 0o777 == 0o600


def test_an_upload_that_was_completed_though_its_answer_was_lost_is_committed(store, shaky, proxy):
    """As AWS tells it: once it is completed, the upload is not known any more."""
    with Upload(shaky, "large") as upload:
        upload.write(memoryview(b"content"))
        store.put("large", b"content")
        proxy.plan(Fault(), failure(404, "NoSuchUpload"))  # the last part, then the answer to a second try
        assert upload.commit()


def test_giving_up_an_upload_that_is_gone_is_no_fault(shaky, proxy):
    with Upload(shaky, "large"):
        proxy.plan(failure(404, "NoSuchUpload"))
