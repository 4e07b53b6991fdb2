import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from heritage.errors import Misconfigured, Unavailable
from heritage.local import processes
from heritage.local.ports import check_free, free_ports, is_free

# a parent that ignores SIGTERM's usual effect on its children: one in its session, one in a session of its own
FAMILY = """
import signal, subprocess, sys, time
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", stubborn])
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""
SERVER = (
    "import http.server, sys; http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), None).serve_forever()"
)


def start(folder: Path, code: str, *arguments: object) -> processes.Process:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return processes.start("child", command, folder / "child.log", dict(os.environ))


def ready(process: processes.Process) -> bool:
    return "ready" in Path(process.log).read_text() and len(processes.members(process)) == 3


def test_all_of_a_family_ends_though_one_ignores_sigterm_and_one_left_the_session(tmp_path):
    process = start(tmp_path, FAMILY)
    processes.wait_ready(process, lambda: ready(process), limit_s=20)
    pids = [member.pid for member in processes.members(process)]

    processes.stop(process, grace_s=0.5)

    assert processes.members(process) == []
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)
    processes.stop(process)


def test_children_are_found_when_the_parent_is_dead_already(tmp_path):
    process = start(tmp_path, FAMILY)
    processes.wait_ready(process, lambda: ready(process), limit_s=20)
    os.kill(process.pid, 9)
    while processes.is_alive(process):
        time.sleep(0.01)

    assert len(processes.members(process)) == 2
    processes.stop(process, grace_s=0.5)
    assert processes.members(process) == []


def test_a_recycled_pid_is_left_alone(tmp_path):
    """Given a record whose pid now belongs to another process, when it is stopped, then that process lives on."""
    innocent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        record = processes.Process("old", innocent.pid, time.time() - 86_400, str(tmp_path / "old.log"), "old:log")

        assert not processes.is_alive(record)
        processes.stop(record, grace_s=0.2)

        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_another_interpreter_finds_what_was_started_and_stops_it(tmp_path):
    process = start(tmp_path, FAMILY)
    processes.wait_ready(process, lambda: ready(process), limit_s=20)
    code = (
        "import sys; from pathlib import Path; from heritage.local import processes; "
        "found = processes.find('child', Path(sys.argv[1])); processes.stop(found, 0.5); print(found.pid)"
    )

    said = subprocess.run([sys.executable, "-c", code, process.log], capture_output=True, text=True, check=True)

    assert int(said.stdout) == process.pid
    assert not processes.is_alive(process)
    assert processes.find("child", Path(process.log)) is None


def test_a_second_start_with_the_same_log_ends_the_first(tmp_path):
    first = start(tmp_path, "import time; time.sleep(600)")
    second = start(tmp_path, "import time; time.sleep(600)")

    assert not processes.is_alive(first)
    assert processes.is_alive(second)
    processes.stop(second)


def test_a_server_that_ends_while_it_starts_is_told_with_its_last_words(tmp_path):
    process = start(tmp_path, "raise SystemExit('no \\x1b[31m disk')")

    with pytest.raises(Misconfigured, match=r"child ended while it started(.|\n)*no \\x1b\[31m disk"):
        processes.wait_ready(process, lambda: False, limit_s=20)


def test_a_server_that_never_gets_ready_is_told_in_time(tmp_path):
    process = start(tmp_path, "import time; time.sleep(600)")
    started = time.monotonic()

    with pytest.raises(Unavailable, match=r"not ready after 0\.3 s"):
        processes.wait_ready(process, lambda: False, limit_s=0.3)

    assert time.monotonic() - started < 2
    processes.stop(process)


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(Misconfigured, match=r"cannot start child \(/no/such\)"):
        processes.start("child", ["/no/such"], tmp_path / "log", {})


def test_only_the_servers_own_port_counts(tmp_path):
    """Given another server on the port, when ours lives beside it, then ours is not taken for the one that answers."""
    own_port, foreign_port = free_ports(2)
    process = start(tmp_path, SERVER, own_port)
    try:
        with socket.create_server(("127.0.0.1", foreign_port)):
            processes.wait_ready(process, lambda: processes.listens(process, own_port), limit_s=20)

            assert not processes.listens(process, foreign_port)
            assert not processes.listens(replace(process, pid=os.getpid(), mark="x"), own_port)
    finally:
        processes.stop(process)
    assert is_free(own_port)


def test_free_ports_differ_and_are_free():
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(is_free(port) and is_free(port + 10_000) for port in ports)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_refused(address):
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]

        assert not is_free(port)
        with pytest.raises(Misconfigured, match=f"port {port} for S3 is taken"):
            check_free(port, "S3")
