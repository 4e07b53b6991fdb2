"""A record that one process at a time may change."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from heritage.errors import BadInput
from heritage.registry.lease import Lease, LeaseLost, Owned, encode, find
from heritage.storage import ObjectStore

KEY = "registrations/m/record.json"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Owned):
    step: int = 0


def _clock(seconds: float = 0.0) -> Callable[[], datetime]:
    return lambda: NOW + timedelta(seconds=seconds)


def _begin(store: ObjectStore) -> Lease[Record]:
    lease = Lease.begin(store, KEY, Record(state="claimed"), 30.0, _clock())
    assert lease is not None
    return lease


def test_one_begins_and_its_writes_are_read_back(store: ObjectStore) -> None:
    lease = _begin(store)
    assert Lease.begin(store, KEY, Record(state="claimed"), 30.0, _clock()) is None

    lease.update(step=3)

    found = find(store, KEY, Record)
    assert found is not None
    assert found.record == lease.record
    assert (found.record.step, found.record.expires_at_s) == (3, NOW.timestamp() + 30)


def test_an_owner_that_was_overtaken_cannot_write(store: ObjectStore) -> None:
    lease = _begin(store)
    found = find(store, KEY, Record)
    assert found is not None
    other = Lease.take_over(store, KEY, found, 30.0, _clock(60), "claimed")
    assert other is not None
    assert Lease.take_over(store, KEY, found, 30.0, _clock(60), "claimed") is None

    for _ in range(2):
        with pytest.raises(LeaseLost, match="took this record over"):
            lease.update(step=1)
    lease.release()
    assert lease.is_lost()
    assert not other.is_lost()
    other.update(step=2)
    assert find(store, KEY, Record).record.step == 2  # type: ignore[union-attr]


def test_a_write_whose_answer_was_lost_is_still_ours(store: ObjectStore) -> None:
    lease = _begin(store)
    found = find(store, KEY, Record)
    assert found is not None
    # the write took place, but this process knows the older ETag only
    assert store.replace(KEY, encode(lease.record), found.etag)

    lease.update(step=5)

    assert find(store, KEY, Record).record.step == 5  # type: ignore[union-attr]


def test_a_released_lease_has_run_out(store: ObjectStore) -> None:
    lease = _begin(store)

    lease.release()

    assert find(store, KEY, Record).record.expires_at_s == 0.0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"owner":1,"expires_at_s":0,"state":"x","step":0}', b"\xff", b"null"]
)
def test_a_record_that_is_none_is_told(data: bytes, store: ObjectStore) -> None:
    store.put(KEY, data)

    with pytest.raises(BadInput, match=r"record\.json"):
        find(store, KEY, Record)
    assert find(store, "registrations/m/absent.json", Record) is None
