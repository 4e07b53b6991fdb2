"""Plans carried out on weights in storage, on a real S3 server: the bits of the local way, whole or not at all."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from heritage import large_objects
from heritage.errors import BadInput, Conflict, NotFound, UnsafeCheckpoint
from heritage.flows import remote_apply as subject
from heritage.flows.remote import open_remote
from heritage.flows.remote_apply import apply_remote, undo_remote
from heritage.large_objects import LargeObject, Upload
from heritage.repair.plan import Recipe, RepairPlan, Rung
from heritage.storage import ObjectStore

pytestmark = pytest.mark.services

DRIFTED, DONOR = "models/site/model.safetensors", "models/root/model.safetensors"
INDEX = "models/site/model.safetensors.index.json"


def make_state(seed: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "w": torch.randn(300, 40, generator=g),
        "v": torch.randn(7, generator=g),
        "n": torch.tensor(seed),
        "empty": torch.zeros(0, 3),
    }


@pytest.fixture
def models(store):
    store.put(DRIFTED, save(make_state(1)))
    store.put(DONOR, save(make_state(2)))
    return store


def make_plan(store: ObjectStore, drifted: str = DRIFTED, a: float = 0.37, **changes) -> RepairPlan:
    with open_remote(store, drifted) as one, open_remote(store, DONOR) as other:
        digests = one.digest, other.digest
    plan = RepairPlan(digests[0], {"root": digests[1]}, Recipe(Rung.ONE, {"root": a}), "f" * 64, seed=0)
    return replace(plan, **changes)


def shard(store: ObjectStore) -> None:
    state = make_state(1)
    parts = {"m-1.safetensors": ["w"], "m-2.safetensors": ["v", "n", "empty"]}
    for name, tensors in parts.items():
        store.put(f"models/site/{name}", save({t: state[t] for t in tensors}))
    weight_map = {t: name for name, tensors in parts.items() for t in tensors}
    store.put(INDEX, json.dumps({"weight_map": weight_map}).encode())


def expected() -> dict[str, torch.Tensor]:
    one, other = make_state(1), make_state(2)
    return {n: torch.lerp(t, other[n], 0.37) if t.is_floating_point() else t for n, t in one.items()}


def is_expected(data: bytes) -> bool:
    wanted = expected()
    return all(torch.equal(t, wanted[n]) for n, t in load(data).items())


def test_an_object_comes_out_bit_equal_to_lerp_and_goes_back_bit_for_bit(models):
    plan = make_plan(models)
    applied = apply_remote(models, plan, DRIFTED, {"root": DONOR}, "out/model.safetensors")
    assert is_expected(models.get("out/model.safetensors"))
    with open_remote(models, "out/model.safetensors") as checkpoint:
        assert checkpoint.digest == applied.digest
    undo_remote(models, plan, DRIFTED, "back/model.safetensors")
    assert models.get("back/model.safetensors") == models.get(DRIFTED)
    with pytest.raises(Conflict, match="give the weights of those very versions"):
        undo_remote(models, plan, DONOR, "wrong/model.safetensors")
    assert not models.exists("wrong/model.safetensors")


@pytest.mark.parametrize("read", [64, 1000, 2**20])
def test_whatever_the_size_of_a_read_the_bits_are_the_same(models, read, monkeypatch):
    monkeypatch.setattr("heritage.flows.remote.PART_BYTES", read)
    monkeypatch.setattr("heritage.repair.stream.PIECE_BYTES", 4096)
    apply_remote(models, make_plan(models), DRIFTED, {"root": DONOR}, "out/model.safetensors")
    assert is_expected(models.get("out/model.safetensors"))


def test_again_is_the_same_and_another_model_is_never_replaced(models):
    plan = make_plan(models)
    first = apply_remote(models, plan, DRIFTED, {"root": DONOR}, "out/model.safetensors")
    assert apply_remote(models, plan, DRIFTED, {"root": DONOR}, "out/model.safetensors") == first
    with pytest.raises(Conflict, match="holds another model"):
        apply_remote(models, make_plan(models, a=0.5), DRIFTED, {"root": DONOR}, "out/model.safetensors")
    assert is_expected(models.get("out/model.safetensors"))


def test_what_the_plan_was_judged_as_is_what_comes_out_or_nothing(models):
    plan = make_plan(models, result="0" * 64)
    with pytest.raises(Conflict, match="an input changed since"):
        apply_remote(models, plan, DRIFTED, {"root": DONOR}, "out/model.safetensors")
    assert not models.exists("out/model.safetensors")


def test_shards_are_committed_by_their_index(models):
    shard(models)
    plan = make_plan(models, INDEX)
    out = "out/model.safetensors.index.json"
    apply_remote(models, plan, INDEX, {"root": DONOR}, out)
    assert all(is_expected(models.get(f"out/{name}")) for name in ("m-1.safetensors", "m-2.safetensors"))
    assert models.get(out) == models.get(INDEX)
    undo_remote(models, plan, INDEX, "back/model.safetensors.index.json")
    assert models.get("back/m-1.safetensors") == models.get("models/site/m-1.safetensors")


@pytest.mark.parametrize("request_number", [1, 3, 5, 7, 9])
def test_killed_at_any_request_and_run_again_gives_the_same_shards(models, seaweed, request_number):
    shard(models)
    plan, out = make_plan(models, INDEX), "out/model.safetensors.index.json"
    pid = os.fork()
    if not pid:
        own = ObjectStore.connect(seaweed.model_copy(update={"bucket": models.bucket}))
        left = request_number
        real = own._retried

        def counted(call, key):
            nonlocal left
            if key.startswith(("out/", "repairs/")):
                left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(call, key)

        own._retried = counted
        try:
            apply_remote(own, plan, INDEX, {"root": DONOR}, out)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert not models.exists(out) or is_expected(models.get("out/m-2.safetensors"))
    whole = models.exists("out/m-1.safetensors")
    applied = apply_remote(models, plan, INDEX, {"root": DONOR}, out)
    assert all(is_expected(models.get(f"out/{name}")) for name in ("m-1.safetensors", "m-2.safetensors"))
    assert whole or not applied.kept


def test_a_finished_shard_is_not_written_again(models, monkeypatch):
    shard(models)
    plan, out = make_plan(models, INDEX), "out/model.safetensors.index.json"
    real = subject.write_tensors

    def fails_on_the_second(mixture, source, write):
        if source.name == "m-2.safetensors":
            raise Conflict("stopped here")
        return real(mixture, source, write)

    monkeypatch.setattr(subject, "write_tensors", fails_on_the_second)
    with pytest.raises(Conflict, match="stopped here"):
        apply_remote(models, plan, INDEX, {"root": DONOR}, out)
    monkeypatch.undo()
    assert apply_remote(models, plan, INDEX, {"root": DONOR}, out).kept == ("m-1.safetensors",)


def test_an_input_that_changes_while_it_is_read_is_noticed(models, monkeypatch):
    monkeypatch.setattr("heritage.flows.remote.PART_BYTES", 1024)
    plan = make_plan(models)
    with open_remote(models, DRIFTED) as checkpoint:
        models.put(DRIFTED, save(make_state(5)))
        with pytest.raises(Conflict):
            _ = checkpoint.digest
    with pytest.raises(NotFound, match="donor 'root'"):
        apply_remote(models, plan, DRIFTED, {"root": "models/gone.safetensors"}, "out/model.safetensors")


@pytest.mark.parametrize("out", [DRIFTED, "models/site/x.safetensors.index.json", "../x", "out/model.safetensors"])
def test_outputs_that_would_harm_an_input_are_refused(models, out):
    shard(models)
    with pytest.raises(BadInput):
        apply_remote(models, make_plan(models), INDEX if "out" in out else DRIFTED, {"root": DONOR}, out)


@pytest.mark.parametrize("data", [b"", b"x" * 7, b"\xff" * 100, save(make_state(1))[:-1]])
def test_objects_that_are_no_weights_are_refused(store, data):
    store.put(DRIFTED, data)
    with pytest.raises(UnsafeCheckpoint), open_remote(store, DRIFTED):
        pass


def test_an_upload_is_whole_or_never_seen(store, monkeypatch):
    monkeypatch.setattr(large_objects, "PART_BYTES", 5 * 2**20)
    data = bytes(range(256)) * 50_000
    with Upload(store, "big") as upload:
        upload.write(memoryview(data))
    assert not store.exists("big")
    with Upload(store, "big") as upload:
        upload.write(memoryview(data))
        assert upload.commit()
    assert store.get("big") == data
    found = LargeObject.find(store, "big")
    assert found.read(len(data) - 3, 10) == data[-3:]
    with Upload(store, "big") as upload:
        upload.write(memoryview(b"other"))
        assert not upload.commit()
    assert store.get("big") == data
