"""Pickled checkpoints: converted in a process that can do nothing else, refused with the reason."""

import http.server
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from heritage.errors import BadInput, Conflict, NotFound, UnsafeCheckpoint
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.convert import Quarantine, convert
from heritage.weights.convert_worker import _dense, _Unusable, _weights
from heritage.weights.limits import Limits


def state() -> dict[str, torch.Tensor]:
    tied = torch.randn(4, 3)
    return OrderedDict(
        {
            "embed.weight": tied,
            "head.weight": tied,
            "view": torch.arange(10.0)[2:5],
            "turned": torch.randn(2, 3).T,
            "half": torch.ones(3, dtype=torch.bfloat16),
            "count": torch.tensor(7),
            "none": torch.zeros(0, 2),
            "parameter": torch.nn.Parameter(torch.ones(2)),
        }
    )


def contents(path: Path) -> dict[str, torch.Tensor]:
    with Checkpoint.open(path) as view:
        return view.torch_state()


class Runs:
    """Runs `call(*args)` when it is unpickled."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.args


class Plain:
    """A class that torch does not know."""


@pytest.mark.parametrize("name", ["m.pt", "m.bin", "legacy.pth", "m.ckpt"])
def test_weights_come_out_as_they_were(tmp_path: Path, name: str) -> None:
    original = state()
    torch.save(original, tmp_path / name, _use_new_zipfile_serialization="legacy" not in name)

    result = convert(tmp_path / name, tmp_path / "m.safetensors")

    assert result.tensors == len(original)
    assert result.dropped == ()
    assert "resources" in result.isolation
    found = contents(tmp_path / "m.safetensors")
    for key, tensor in original.items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key], tensor.detach())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "m.safetensors"])


def test_weights_inside_a_training_checkpoint(tmp_path: Path) -> None:
    weights = {"w": torch.ones(2), "note": "text"}
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, "state_dict": weights}, tmp_path / "m.pt")
    result = convert(tmp_path / "m.pt", tmp_path / "m.safetensors")
    assert (result.tensors, result.dropped) == (1, ("epoch", "optimizer", "state_dict.note"))


def test_one_of_several_sets_is_chosen_by_its_key(tmp_path: Path) -> None:
    content = {"generator": {"w": torch.ones(1)}, "critic": {"w": torch.zeros(1)}}
    torch.save(content, tmp_path / "m.pt")
    convert(tmp_path / "m.pt", tmp_path / "m.safetensors", key="critic")
    assert contents(tmp_path / "m.safetensors")["w"].tolist() == [0]
    for key in ("actor", "w"):
        with pytest.raises(_Unusable, match=f"has no entry '{key}' with tensors"):
            _weights(content, key)


HOSTILE: list[tuple[Callable[..., Any], tuple[Any, ...], str, str]] = [
    (os.system, ("touch {}",), "posix.system", "zip"),
    (os.system, ("touch {}",), "posix.system", "legacy"),
    (os.system, ("touch {}",), "posix.system", "bare"),
    (eval, ("open('{}', 'w')",), "eval", "zip"),
    (Plain, (), "Plain", "zip"),
]


@pytest.mark.parametrize(("call", "arguments", "refused", "kind"), HOSTILE, ids=[f"{h[2]} {h[3]}" for h in HOSTILE])
def test_a_hostile_pickle_runs_nothing(
    tmp_path: Path, call: Callable[..., Any], arguments: tuple[str, ...], refused: str, kind: str
) -> None:
    canary, source, target = tmp_path / "canary", tmp_path / "m.pt", tmp_path / "m.safetensors"
    evil = Runs(call, *(a.format(canary) for a in arguments))
    if kind == "bare":
        source.write_bytes(pickle.dumps({"evil": evil}, protocol=2))
    else:
        torch.save({"w": torch.ones(2), "evil": evil}, source, _use_new_zipfile_serialization=kind == "zip")

    with pytest.raises(UnsafeCheckpoint) as caught:
        convert(source, target)

    assert str(caught.value).startswith(f"{source}: wants to run '")
    assert refused in str(caught.value)
    assert "publish safetensors" in str(caught.value)
    assert not canary.exists()
    assert list(tmp_path.iterdir()) == [source]


def altered_zip(change: Callable[[bytes], bytes]) -> bytes:
    out = io.BytesIO()
    torch.save({"w": torch.ones(100)}, out)
    return change(out.getvalue())


def nested(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def encrypted(archive: bytes) -> bytes:
    """The same zip archive with the bit of encryption set in its directory."""
    content = bytearray(archive)
    place = -1
    while (place := archive.find(b"PK\x01\x02", place + 1)) >= 0:
        content[place + 8] |= 1
    return bytes(content)


BROKEN = {
    "empty": (b"", "is empty"),
    "text": (b"hello world, this is no model", "is no checkpoint"),
    "zip of something else": (altered_zip(lambda z: z.replace(b"data.pkl", b"dada.pkl")), "is no checkpoint"),
    "zip cut": (altered_zip(lambda z: z[: len(z) // 2]), "is no checkpoint"),
    "zip with encryption flags": (altered_zip(encrypted), "is no checkpoint"),
    "seven-zip": (b"7z\xbc\xaf\x27\x1c" + b"\0" * 100, "is no checkpoint"),
    "deep": (nested(100_000), "is no checkpoint"),
    "pickle of another protocol": (pickle.dumps({"a": 1}, protocol=4), "without running code"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused(tmp_path: Path, case: str) -> None:
    content, rule = BROKEN[case]
    source = tmp_path / "m.bin"
    source.write_bytes(content)
    with pytest.raises((UnsafeCheckpoint, BadInput)) as caught:
        convert(source, tmp_path / "m.safetensors")
    assert str(caught.value).startswith(f"{source}: ")
    assert rule in str(caught.value)
    assert str(caught.value).isprintable()
    # torch's own message advises to switch the protection off
    assert "Re-running" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "holds no tensors"),
        ([torch.ones(2)], "holds a list, not a mapping"),
        (torch.ones(2), "holds a Tensor, not a mapping"),
        (3, "holds a int"),
        ({"a": {"w": torch.ones(1)}, "b": {"w": torch.ones(1)}}, r"several sets of tensors \(a, b\)"),
        ({"w": torch.ones(3).to_sparse()}, "'w', which is sparse"),
    ],
    ids=str,
)
def test_content_without_usable_tensors_is_refused(content: Any, message: str) -> None:
    with pytest.raises(_Unusable, match=message):
        dict(_dense(_weights(content, "")[0]))


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module", "ema_weights"])
def test_wrapped_weights_are_found(wrapper: str) -> None:
    weights = {"w": torch.ones(2)}
    content = {wrapper: weights, "epoch": 3, 7: "x"}
    assert _weights(content, "") == (weights, ["epoch", "7"])


def test_the_known_wrapper_goes_before_other_sets() -> None:
    content = {"optimizer_state": {"w": torch.zeros(2)}, "model": {"w": torch.ones(2)}}
    assert _weights(content, "")[0]["w"].tolist() == [1, 1]


def test_names_that_play_tricks_are_refused(tmp_path: Path) -> None:
    torch.save({"a/../b": torch.ones(1)}, tmp_path / "m.pt")
    with pytest.raises(UnsafeCheckpoint, match=r"not accepted: tensor name 'a/../b' looks like a path") as caught:
        convert(tmp_path / "m.pt", tmp_path / "m.safetensors")
    assert str(caught.value).startswith(f"{tmp_path / 'm.pt'}: ")
    assert not (tmp_path / "m.safetensors").exists()


def test_the_limits_of_the_result_hold(tmp_path: Path) -> None:
    torch.save({str(i): torch.ones(1) for i in range(9)}, tmp_path / "m.pt")
    with pytest.raises(UnsafeCheckpoint, match="not accepted: lists more tensors than allowed"):
        convert(tmp_path / "m.pt", tmp_path / "m.safetensors", limits=Limits(max_tensors=8))


def test_memory_time_and_output_are_limited(tmp_path: Path) -> None:
    source, target = tmp_path / "m.pt", tmp_path / "m.safetensors"
    torch.save({"w": torch.ones(1).expand(2**40)}, source)  # 4 TiB from four bytes
    with pytest.raises(UnsafeCheckpoint, match="needs more memory than the conversion may use; raise the limit"):
        convert(source, target)
    torch.save({"w": torch.ones(2**20)}, source)
    with pytest.raises(UnsafeCheckpoint, match="gives a larger result than"):
        convert(source, target, quarantine=Quarantine(output_bytes=2**20))
    with pytest.raises(UnsafeCheckpoint, match=r"took more than 0.05 s; raise the limit"):
        convert(source, target, quarantine=Quarantine(wall_s=0.05))
    assert list(tmp_path.iterdir()) == [source]
    convert(source, target)


def test_a_compressed_bomb_is_stopped(tmp_path: Path) -> None:
    source = tmp_path / "m.pt"
    torch.save({"w": torch.zeros(2**26)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as small:
        for member in plain.namelist():
            small.writestr(member, plain.read(member))
    with pytest.raises(UnsafeCheckpoint):
        convert(source, tmp_path / "m.safetensors", quarantine=Quarantine(memory_bytes=64 * 2**20))


def test_odd_paths_are_refused(tmp_path: Path) -> None:
    source, target = tmp_path / "m.pt", tmp_path / "m.safetensors"
    with pytest.raises(NotFound, match="there is no such file"):
        convert(source, target)
    torch.save({"w": torch.ones(1)}, source)
    (tmp_path / "link.pt").symlink_to(source)
    with pytest.raises(UnsafeCheckpoint, match="is a symbolic link"):
        convert(tmp_path / "link.pt", target)
    with pytest.raises(NotFound, match="its folder does not exist"):
        convert(source, tmp_path / "no" / "m.safetensors")
    convert(source, target)
    with pytest.raises(Conflict, match="exists already"):
        convert(source, target)
    (tmp_path / "renamed.bin").write_bytes(target.read_bytes())
    with pytest.raises(BadInput, match="is a safetensors file already"):
        convert(tmp_path / "renamed.bin", tmp_path / "other.safetensors")


# --- what the process cannot do even if the loader were broken

PROBE = """
import os, sys, json
from heritage.weights import sandbox
done = sandbox.cut_network() + sandbox.limit_resources(2**28, 5, 2**16)
done += sandbox.cut_files([sys.prefix, sys.base_prefix])
result = {"isolation": done}
def attempt(name, action):
    try:
        action()
        result[name] = "done"
    except (OSError, MemoryError) as error:
        result[name] = type(error).__name__
def connect():
    import socket
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5).close()
attempt("connect", connect)
attempt("read", lambda: open(sys.argv[2]).read())
attempt("write", lambda: open(sys.argv[2] + ".new", "w").close())
attempt("remove", lambda: os.unlink(sys.argv[2]))
attempt("list", lambda: os.listdir(os.path.dirname(sys.argv[2])))
attempt("start", lambda: os.execv("/bin/true", ["true"]) if os.fork() == 0 else os.wait())
attempt("signal", lambda: os.kill(os.getppid(), 0))
attempt("allocate", lambda: bytearray(2**29))
attempt("fill", lambda: open("here", "wb").write(b"x" * 2**20))
attempt("own", lambda: open("mine", "w").close())
result["environment"] = len(os.environ)
print(json.dumps(result))
"""


@pytest.fixture
def local_port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_sandbox_leaves_nothing_but_the_working_folder(tmp_path: Path, local_port: int) -> None:
    secret, work = tmp_path / "secret", tmp_path / "work"
    secret.write_text("secret")
    work.mkdir()
    with socket.create_connection(("127.0.0.1", local_port)):
        pass  # from here it can be reached
    command = [sys.executable, "-I", "-c", PROBE, str(local_port), str(secret)]
    run = subprocess.run(command, cwd=work, env={}, capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(run.stdout.splitlines()[-1])
    if "network" not in found["isolation"] or "files" not in found["isolation"]:
        pytest.skip(f"this kernel allows only {found['isolation']}")
    assert found["own"] == "done"
    refused = ("connect", "read", "write", "remove", "list", "allocate", "fill")
    assert {name: found[name] for name in refused if found[name] == "done"} == {}
    assert secret.read_text() == "secret"
