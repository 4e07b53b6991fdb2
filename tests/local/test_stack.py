import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from heritage.errors import BadInput, Conflict, Misconfigured, NotFound
from heritage.local import processes, state
from heritage.local.ports import is_free
from heritage.local.stack import Plan, Stack, down
from heritage.settings import Settings
from heritage.storage import ObjectStore

pytestmark = pytest.mark.services


def running_for(work_dir: Path) -> list[psutil.Process]:
    """Every process whose command line or environment names the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            named = [*process.cmdline(), process.environ().get(processes.MARK, "")]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(work_dir) in word for word in named):
            found.append(process)
    return found


@pytest.fixture
def work_dir(tmp_path):
    yield tmp_path / "work"
    down(tmp_path / "work")
    assert running_for(tmp_path) == []


def test_from_up_to_down(work_dir, monkeypatch):
    stack = Stack.up(work_dir)
    ports = [service.port for service in stack.services.values()]
    assert stack.started == ("mlflow", "s3")
    assert httpx.get(f"{stack.tracking_uri}/version").text.startswith("3.")
    ObjectStore.connect(stack.s3).probe()
    assert all(is_loopback(member) for s in stack.services.values() for member in processes.members(s.process))

    # a second call keeps what runs, and another process may load it
    again = Stack.up(work_dir)
    assert (again.started, again.services) == ((), stack.services)
    assert Stack.load(work_dir).services == stack.services
    assert (work_dir / "services.json").stat().st_mode & 0o777 == 0o600
    assert stack.s3.secret_key.get_secret_value() not in (work_dir / "services.json").read_text()

    # commands find it, also where a settings file says something about other things
    file = work_dir.parent / "heritage.toml"
    file.write_text(f'allowed_builders = ["acme_nets"]\nwork_dir = "{work_dir}"\n')
    shown = subprocess.run(
        [sys.executable, "-m", "heritage.cli", "config", "show", "--json"],
        env={"HERITAGE_CONFIG": str(file), "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(shown.stdout)["settings"]
    assert (told["mlflow"]["tracking_uri"], told["allowed_builders"]) == (stack.tracking_uri, ["acme_nets"])

    # the environment is what settings read
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    seen = Settings()
    assert (seen.mlflow.tracking_uri, seen.s3) == (stack.tracking_uri, stack.s3)
    assert seen.work_dir == work_dir

    # a dead server is started again on its port, with those that need it
    os.kill(stack.services["s3"].process.pid, signal.SIGKILL)
    while processes.is_alive(stack.services["s3"].process):
        time.sleep(0.01)
    with pytest.raises(NotFound, match=r"s3 of .* do not run; start them with: heritage up"):
        Stack.load(work_dir)
    mended = Stack.up(work_dir)
    assert [service.port for service in mended.services.values()] == ports
    assert mended.started == ("mlflow", "s3")

    mended.down()
    assert running_for(work_dir) == []
    assert all(is_free(port) for port in ports)
    assert down(work_dir) == []
    with pytest.raises(NotFound):
        Stack.load(work_dir)


def is_loopback(process: psutil.Process) -> bool:
    listening = [s for s in process.net_connections(kind="tcp") if s.status == psutil.CONN_LISTEN]
    return all(s.laddr.ip == "127.0.0.1" for s in listening)


UP = "import sys; from pathlib import Path; from heritage.local.stack import Stack; "
HOLD = UP + "import time\nwith Stack.running(Path(sys.argv[1])) as s:\n print('up', flush=True); time.sleep(600)"


def test_a_killed_starter_leaves_servers_that_down_finds(work_dir):
    """Given a starter killed while MLflow was starting, when down is called elsewhere, then nothing is left."""
    starter = subprocess.Popen([sys.executable, "-c", UP + "Stack.up(Path(sys.argv[1]))", str(work_dir)])
    wait_for(lambda: processes.find("mlflow", work_dir / "mlflow" / "mlflow.log") is not None)
    starter.kill()
    starter.wait()
    assert "mlflow" not in state.read(work_dir)

    assert down(work_dir) == ["mlflow", "s3"]
    assert running_for(work_dir) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_stops_what_it_started(work_dir, number):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(work_dir)], stderr=subprocess.DEVNULL) as holder:
        wait_for(lambda: processes.find("mlflow", work_dir / "mlflow" / "mlflow.log") is not None)
        holder.send_signal(number)

    assert holder.returncode != 0
    assert running_for(work_dir) == []
    assert not (work_dir / "services.json").exists()


DROPPED = """
import os, signal
from heritage.local.stack import _interrupts

class Dropping:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        [None for _ in range(3)]

with _interrupts() as raise_missed:
    Dropping()
    print("went on", flush=True)
    raise_missed()
    print("went on still", flush=True)
"""


def test_an_interrupt_that_python_drops_is_made_good_for():
    """Given an interrupt inside a finaliser, where Python ignores exceptions, then it is raised later."""
    said = subprocess.run([sys.executable, "-c", DROPPED], capture_output=True, text=True, check=False)

    assert said.stdout == "went on\n"
    assert said.returncode == -signal.SIGINT


def test_a_terminated_block_stops_what_it_started(work_dir):
    command = [sys.executable, "-c", HOLD, str(work_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "up\n"
        holder.terminate()

    assert holder.returncode == 128 + signal.SIGTERM
    assert running_for(work_dir) == []


def test_a_taken_port_is_refused_and_nothing_stays(work_dir):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"port {port} for MLflow is taken"):
            Stack.up(work_dir, plan=Plan(mlflow_port=port))

    assert running_for(work_dir) == []
    assert state.read(work_dir) == {}


def test_a_missing_dag_folder_is_told_before_anything_starts(work_dir):
    with pytest.raises(Misconfigured, match=r"the DAG folder .*none does not exist"):
        Stack.up(work_dir, plan=Plan(airflow=True, dags=work_dir / "none"))

    assert not (work_dir / "s3").exists()


def test_two_commands_do_not_start_at_once(work_dir):
    with state.locked(work_dir), pytest.raises(Conflict, match="another command is starting or stopping"):
        Stack.up(work_dir)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 9}', '{"format": 1, "services": {"s3": {"port": 1}}}'])
def test_a_broken_state_file_is_named(work_dir, text):
    work_dir.mkdir()
    (work_dir / "services.json").write_text(text)

    with pytest.raises(BadInput, match=r"services\.json cannot be read"):
        Stack.load(work_dir)
    (work_dir / "services.json").unlink()


def test_what_is_written_is_read_again(work_dir):
    work_dir.mkdir()
    service = state.Service(processes.Process("s3", 1, 2.5, "log", "mark"), 9)
    state.write(work_dir, {"s3": service})

    assert state.read(work_dir) == {"s3": service}
    assert json.loads((work_dir / "services.json").read_text())["format"] == 1
    state.write(work_dir, {})
    assert not (work_dir / "services.json").exists()


def wait_for(condition, limit_s=60):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
