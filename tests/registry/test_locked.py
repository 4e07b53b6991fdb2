"""Locked copies on a real S3 server: written once, found again below whatever was put over them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heritage.errors import Misconfigured
from heritage.records import MadeBy, Manifest, ModelVersion, Origin, ParentEdge, Relation
from heritage.registry.locked import LockedCopies, manifest_sha256
from heritage.settings import AuditSettings
from heritage.storage import ObjectStore

MANIFEST = Manifest("ab" * 32, "churn", (), "float32", 10, MadeBy("0.1.0"), "2026-11-22T07:30:00+00:00")
VERSION = ModelVersion("churn", "3", MANIFEST.digest, "run", "runs:/run/weights")


@pytest.fixture
def copies(store: ObjectStore) -> LockedCopies:
    return LockedCopies(store, AuditSettings(retention_days=1))


def test_a_manifest_is_copied_once_and_read_back(copies: LockedCopies) -> None:
    assert copies.all() == {}
    assert copies.keep(VERSION, MANIFEST)
    assert not copies.keep(VERSION, MANIFEST)

    ((copy,),) = copies.all().values()

    assert (copy.address, copy.sha256, copy.touched) == ("churn/3", manifest_sha256(MANIFEST), False)
    assert copies.read(copy) == MANIFEST
    assert copies.protects()


def test_recovered_edges_make_another_copy_of_the_same_statement(copies: LockedCopies) -> None:
    edge = ParentEdge("cd" * 32, Relation.FINETUNE, Origin.RECOVERED, 0.97)
    copies.keep(VERSION, MANIFEST)
    copies.keep(VERSION, replace(MANIFEST, parents=(edge,)))

    (found,) = copies.all().values()

    assert len(found) == 2
    assert len({copy.said_sha256 for copy in found}) == 1


def test_each_state_of_a_manifest_has_a_copy(copies: LockedCopies) -> None:
    later = replace(MANIFEST, metrics={"accuracy": 0.9})
    copies.keep(VERSION, MANIFEST)
    copies.keep(VERSION, later)
    copies.keep(replace(VERSION, version="4"), MANIFEST)

    found = copies.all()

    assert {address: len(each) for address, each in found.items()} == {"churn/3": 2, "churn/4": 1}
    assert {copies.read(copy).metrics.get("accuracy") for copy in found["churn/3"]} == {None, 0.9}


def test_what_is_put_over_a_copy_or_deleted_hides_nothing(copies: LockedCopies, store: ObjectStore) -> None:
    copies.keep(VERSION, MANIFEST)
    ((copy,),) = copies.all().values()
    bucket = store.at_bucket(copies.bucket)
    bucket.put(copy.key, b"forged")
    ((copy,),) = copies.all().values()
    assert copy.touched
    assert copies.read(copy) == MANIFEST

    bucket.delete(copy.key)
    ((copy,),) = copies.all().values()
    assert copy.touched
    assert copies.read(copy) == MANIFEST


def test_a_locked_version_cannot_be_removed(copies: LockedCopies, store: ObjectStore) -> None:
    copies.keep(VERSION, MANIFEST)
    ((copy,),) = copies.all().values()
    client = store._client  # heritage itself has no way to ask for this

    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket=copies.bucket, Key=copy.key, VersionId=copy.version_ids[0])
    with pytest.raises(client.exceptions.ClientError):
        client.put_object_retention(
            Bucket=copies.bucket, Key=copy.key, VersionId=copy.version_ids[0],
            Retention={"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(seconds=5)},
        )  # fmt: skip
    assert copies.read(copy) == MANIFEST


def test_a_bucket_without_lock_is_used_unless_a_lock_is_required(store: ObjectStore) -> None:
    plain = store.at_bucket(f"{store.bucket}-plain")
    plain.make_bucket()
    chosen = AuditSettings(bucket=plain.bucket, lock="required")

    with pytest.raises(Misconfigured, match="HERITAGE_AUDIT__LOCK"):
        LockedCopies(store, chosen).keep(VERSION, MANIFEST)
    relaxed = LockedCopies(store, chosen.model_copy(update={"lock": "auto"}))
    assert relaxed.keep(VERSION, MANIFEST)
    assert not relaxed.protects()
    assert list(relaxed.all()) == ["churn/3"]


def test_nothing_is_copied_where_copies_are_off(store: ObjectStore) -> None:
    off = LockedCopies(store, AuditSettings(lock="off"))

    assert not off.keep(VERSION, MANIFEST)
    assert off.all() == {}
