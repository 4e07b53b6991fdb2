"""Applying a plan to files: the bits of torch.lerp, the drifted model's header, and nothing half-written ever."""

import fcntl
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from heritage.errors import BadInput, Conflict, Misconfigured, NotFound, Unavailable
from heritage.repair import apply as subject
from heritage.repair.apply import apply_plan, file_digest, undo
from heritage.repair.plan import Recipe, RepairPlan, Rung, Statistics
from heritage.repair.search import SearchOptions, realise, search
from heritage.repair.tensors import pruned_names
from heritage.repair.vector import apply, difference
from heritage.weights.checkpoint import Checkpoint

State = dict[str, torch.Tensor]


def make_state(seed: int) -> State:
    g = torch.Generator().manual_seed(seed)
    return {
        "conv.weight": torch.randn(8, 3, 3, 3, generator=g),
        "half.weight": torch.randn(64, 5, generator=g).to(torch.bfloat16),
        "bn.running_var": torch.rand(8, generator=g) + 0.1,
        "bn.num_batches_tracked": torch.tensor(seed),
        "empty": torch.zeros(0, 4),
        "head.weight": torch.randn(10, 8, generator=g) * (torch.arange(80).reshape(10, 8) % 3 > 0 if seed == 1 else 1),
    }


def save(path: Path, state: State) -> Path:
    save_file(state, path, {"author": "somebody"})
    return path


def save_sharded(folder: Path, state: State, shards: int = 3) -> Path:
    folder.mkdir()
    parts = [dict(list(state.items())[i::shards]) for i in range(shards)]
    weight_map = {}
    for i, part in enumerate(parts):
        save_file(part, folder / f"m-{i}.safetensors")
        weight_map |= dict.fromkeys(part, f"m-{i}.safetensors")
    (folder / "m.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def digest(path: Path) -> str:
    with Checkpoint.open(path) as checkpoint:
        return checkpoint.digest


def make_plan(drifted: Path, donors: dict[str, Path], coefficients: dict[str, float], **changes) -> RepairPlan:
    with Checkpoint.open(drifted) as checkpoint:
        masked = pruned_names(checkpoint.torch_state())
    digests = {d: digest(p) for d, p in donors.items()}
    recipe = Recipe(Rung.HULL, coefficients)
    return replace(RepairPlan(digest(drifted), digests, recipe, "f" * 64, seed=0, masked=masked), **changes)


@pytest.fixture
def files(tmp_path):
    drifted = save(tmp_path / "drifted.safetensors", make_state(1))
    donors = {n: save(tmp_path / f"{n}.safetensors", make_state(i)) for i, n in ((2, "root"), (3, "uncle"))}
    return drifted, donors, tmp_path / "out.safetensors"


def expected(coefficients: dict[str, float]) -> State:
    states = {"root": make_state(2), "uncle": make_state(3)}
    drifted = make_state(1)
    return apply(drifted, [difference(states[d], drifted) for d in coefficients], list(coefficients.values()))


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("chunk", [12, 64, 2**20])
@pytest.mark.parametrize("coefficients", [{"root": 0.3}, {"root": 1.0}, {"root": 0.25, "uncle": 0.5}, {}])
def test_streaming_gives_the_bits_of_the_algebra_in_memory(files, coefficients, chunk, monkeypatch):
    drifted, donors, out = files
    monkeypatch.setattr("heritage.repair.stream.PIECE_BYTES", chunk)
    applied = apply_plan(make_plan(drifted, donors, coefficients), drifted, donors, out)
    assert same(load_file(out), expected(coefficients))
    assert applied.digest == digest(out)


def test_one_donor_is_bit_equal_to_torch_lerp_and_the_header_is_reused(tmp_path):
    g = torch.Generator().manual_seed(0)
    a, b = ({"w": torch.randn(1000, 333, generator=g), "v": torch.randn(7, generator=g)} for _ in range(2))
    drifted, donor, out = save(tmp_path / "a.safetensors", a), save(tmp_path / "b.safetensors", b), tmp_path / "o"
    apply_plan(make_plan(drifted, {"b": donor}, {"b": 0.37}), drifted, {"b": donor}, out)
    assert all(torch.equal(t, torch.lerp(a[n], b[n], 0.37)) for n, t in load_file(out).items())
    length = 8 + int.from_bytes(drifted.read_bytes()[:8], "little")
    assert out.read_bytes()[:length] == drifted.read_bytes()[:length]


def test_pieces_are_mixed_in_one_thread_and_those_of_the_caller_come_back(files, monkeypatch):
    drifted, donors, out = files
    before, seen = torch.get_num_threads(), []
    mix = subject.Mixture.bytes_of

    def told(mixture, info):
        seen.append(torch.get_num_threads())
        return mix(mixture, info)

    monkeypatch.setattr(subject.Mixture, "bytes_of", told)
    torch.set_num_threads(2)
    try:
        apply_plan(make_plan(drifted, donors, {"root": 0.3}), drifted, donors, out)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_repair_then_undo_is_the_original_bit_for_bit(files):
    drifted, donors, out = files
    plan = make_plan(drifted, donors, {"root": 0.7})
    apply_plan(plan, drifted, donors, out)
    assert file_digest(out) != file_digest(drifted)
    undone = undo(plan, drifted, out)
    assert file_digest(out) == file_digest(drifted)
    assert undone.digest == plan.drifted


def test_undo_takes_no_other_model_for_the_original(files):
    drifted, donors, out = files
    with pytest.raises(Conflict, match="give the weights of those very versions"):
        undo(make_plan(drifted, donors, {"root": 0.7}), donors["root"], out)
    assert not out.exists()


def test_undo_of_a_sharded_model_is_the_original_bit_for_bit(tmp_path, monkeypatch):
    drifted = save_sharded(tmp_path / "drifted", make_state(1))
    donors = {"root": save(tmp_path / "root.safetensors", make_state(2))}
    plan = make_plan(drifted, donors, {"root": 0.3})
    apply_plan(plan, drifted, donors, tmp_path / "repaired")
    undone = undo(plan, drifted, tmp_path / "back")
    assert undone.digest == plan.drifted
    for file in drifted.iterdir():
        assert (tmp_path / "back" / file.name).read_bytes() == file.read_bytes()
    with pytest.raises(Conflict, match="give the weights of those very versions"):
        undo(plan, tmp_path / "repaired", tmp_path / "wrong")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back", "drifted", "repaired", "root.safetensors"]


def test_shards_keep_their_names_and_index(tmp_path):
    drifted = save_sharded(tmp_path / "drifted", make_state(1))
    donors = {"root": save(tmp_path / "root.safetensors", make_state(2))}
    applied = apply_plan(make_plan(drifted, donors, {"root": 0.3}), drifted, donors, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in drifted.iterdir())
    assert applied.digest == digest(tmp_path / "out")
    with Checkpoint.open(tmp_path / "out") as checkpoint:
        assert same(checkpoint.torch_state(), dict(sorted(expected({"root": 0.3}).items())))
    again = apply_plan(make_plan(drifted, donors, {"root": 0.3}), drifted, donors, tmp_path / "out")
    assert again.digest == applied.digest
    with pytest.raises(Conflict, match="holds another model"):
        apply_plan(make_plan(drifted, donors, {"root": 0.4}), drifted, donors, tmp_path / "out")


def test_finished_shards_are_kept(tmp_path, monkeypatch):
    drifted = save_sharded(tmp_path / "drifted", make_state(1))
    donors = {"root": save(tmp_path / "root.safetensors", make_state(2))}
    plan = make_plan(drifted, donors, {"root": 0.3})
    real, calls = subject.write_tensors, []

    def fails_on_the_last(mixture, source, *rest):
        calls.append(source.name)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return real(mixture, source, *rest)

    monkeypatch.setattr(subject, "write_tensors", fails_on_the_last)
    with pytest.raises(Unavailable, match="No space"):
        apply_plan(plan, drifted, donors, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    applied = apply_plan(plan, drifted, donors, tmp_path / "out")
    assert applied.kept == ("m-0.safetensors", "m-1.safetensors")


def test_a_recipe_with_steps_writes_the_state_that_it_stands_for(tmp_path, family):
    f = family
    options = SearchOptions(rungs=(Rung.NONE, Rung.FINETUNE_20))
    result = search(f.network, f.drifted, {}, f.rows, options=options)
    drifted = save(tmp_path / "drifted.safetensors", f.drifted)
    plan = replace(make_plan(drifted, {}, {}), recipe=result.recipe)
    with pytest.raises(BadInput, match="more than a mix"):
        apply_plan(plan, drifted, {}, tmp_path / "out")
    state = realise(f.network, f.drifted, {}, result.recipe, f.rows, options=options)
    apply_plan(plan, drifted, {}, tmp_path / "out", state)
    assert same(load_file(tmp_path / "out"), result.state)


def test_the_streamed_model_is_the_one_that_was_searched(tmp_path, family):
    f = family
    result = search(f.network, f.drifted, f.donors, f.rows, options=SearchOptions(rungs=(Rung.NONE, Rung.HULL)))
    recipe = replace(result.recipe, statistics=Statistics.KEPT)
    drifted = save(tmp_path / "drifted.safetensors", f.drifted)
    donors = {n: save(tmp_path / f"{n}.safetensors", s) for n, s in f.donors.items()}
    apply_plan(make_plan(drifted, donors, {}, recipe=recipe), drifted, donors, tmp_path / "out")
    assert same(load_file(tmp_path / "out"), realise(f.network, f.drifted, f.donors, recipe, f.rows))


def test_an_input_that_changed_since_the_plan_is_noticed(files):
    drifted, donors, out = files
    plan = replace(make_plan(drifted, donors, {"root": 0.5}), result="0" * 64)
    with pytest.raises(Conflict, match="an input changed since"):
        apply_plan(plan, drifted, donors, out)
    assert sorted(p.name for p in out.parent.iterdir()) == [
        "drifted.safetensors",
        "root.safetensors",
        "uncle.safetensors",
    ]


def test_a_donor_that_is_gone_is_named(files):
    drifted, donors, out = files
    plan = make_plan(drifted, donors, {"root": 0.5})
    donors["root"].unlink()
    with pytest.raises(NotFound, match="donor 'root'"):
        apply_plan(plan, drifted, donors, out)
    with pytest.raises(NotFound, match="has no file"):
        apply_plan(plan, drifted, {}, out)


def test_inputs_are_never_overwritten(files):
    drifted, donors, _ = files
    plan = make_plan(drifted, donors, {"root": 0.5})
    for target in (drifted, donors["root"]):
        with pytest.raises(BadInput, match="one of the inputs"):
            apply_plan(plan, drifted, donors, target)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_leave_nothing_behind(files, value):
    drifted, donors, out = files
    bad = make_state(2)
    bad["conv.weight"][1, 1, 1, 1] = value
    save(donors["root"], bad)
    with pytest.raises(BadInput, match=r"'conv\.weight' holds 1 NaN or infinite"):
        apply_plan(make_plan(drifted, donors, {"root": 0.5}), drifted, donors, out)
    assert not [p for p in out.parent.iterdir() if "out" in p.name]


def test_quantised_donors_are_refused(files):
    drifted, donors, out = files
    save(donors["root"], make_state(2) | {"head.weight": torch.ones(10, 8, dtype=torch.int8)})
    with pytest.raises(BadInput, match="quantised"):
        apply_plan(make_plan(drifted, donors, {"root": 0.5}), drifted, donors, out)


def test_a_second_worker_stops(files):
    drifted, donors, out = files
    plan = make_plan(drifted, donors, {"root": 0.5})
    with (out.parent / f".{out.name}.{plan.hash[:16]}.partial").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="another process"):
            apply_plan(plan, drifted, donors, out)
    apply_plan(plan, drifted, donors, out)


def test_a_full_disk_and_a_missing_folder_say_what_to_do(files, monkeypatch):
    drifted, donors, out = files
    plan = make_plan(drifted, donors, {"root": 0.5})
    with pytest.raises(NotFound, match="make it first"):
        apply_plan(plan, drifted, donors, out.parent / "no" / "out")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(Unavailable, match="free some space"):
        apply_plan(plan, drifted, donors, out)
    monkeypatch.undo()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Unavailable, match="free some space"):
        apply_plan(plan, drifted, donors, out)
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(Misconfigured, match="check permissions and the disk"):
        apply_plan(plan, drifted, donors, out)
    assert not [p for p in out.parent.iterdir() if "out" in p.name]


def killed_at(call: str, count: int, work) -> bool:
    """Run `work` in a child that SIGKILLs itself at the `count`-th `os.<call>`; False where it got through."""
    child = os.fork()
    if child == 0:
        real, seen = getattr(os, call), [0]

        def deadly(*args, **kwargs):
            seen[0] += 1
            if seen[0] == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        setattr(os, call, deadly)
        try:
            work()
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("call", ["write", "fsync", "replace", "rename", "ftruncate"])
def test_killed_anywhere_and_run_again_gives_the_same_bytes(tmp_path, call, sharded):
    drifted = (
        save(tmp_path / "d.safetensors", make_state(1)) if not sharded else save_sharded(tmp_path / "d", make_state(1))
    )
    donors = {"root": save(tmp_path / "root.safetensors", make_state(2))}
    plan = make_plan(drifted, donors, {"root": 0.5})
    reference = apply_plan(plan, drifted, donors, tmp_path / "reference")
    bytes_of = [file_digest(f) for f in reference.files]
    count = 1
    while killed_at(call, count, lambda: apply_plan(plan, drifted, donors, tmp_path / "out")):
        if (tmp_path / "out").exists():
            assert digest(tmp_path / "out") == reference.digest
        count += 1
    applied = apply_plan(plan, drifted, donors, tmp_path / "out")
    assert [file_digest(f) for f in applied.files] == bytes_of
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert count > 1 or (call == "rename" and not sharded)
