"""The PostgreSQL of the native production stack: data that stay, passwords, and the databases of docker/postgres."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from heritage.errors import Misconfigured
from heritage.local import processes
from heritage.local.ports import LOOPBACK
from heritage.local.postgres import accepts, as_owner, find_programs, run_program
from heritage.local.processes import Process
from heritage.names import printable

READY_LIMIT_S = 60.0


def start(home: Path, environment: Mapping[str, str], databases: Path) -> Process:
    """Start the server whose data lie in `home`, and make accounts and databases the first time."""
    programs, port = find_programs(), int(environment["PGPORT"])
    home.mkdir(parents=True, exist_ok=True)
    as_user = as_owner(home)
    fresh = not (home / "data" / "PG_VERSION").exists()
    if fresh:
        _make_cluster(home, as_user, programs, environment)
    options = ["-p", str(port), "-c", f"listen_addresses={LOOPBACK}", "-c", "unix_socket_directories="]
    command = [*as_user, str(programs / "postgres"), "-D", str(home / "data"), *options]
    server = processes.start("postgres", command, home / "postgres.log", {**os.environ}, cwd=home)
    processes.wait_ready(server, lambda: accepts(programs, port), READY_LIMIT_S)
    if fresh:
        _make_databases(environment, databases)
    return server


def _make_cluster(home: Path, as_user: list[str], programs: Path, environment: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # the secret with its mode, in a folder that the server's user may pass through
        secret = Path(shutil.copy2(environment["POSTGRES_PASSWORD_FILE"], folder))
        Path(folder).chmod(0o711)
        words = [*as_user, str(programs / "initdb"), "-D", str(home / "data"), f"--pwfile={secret}"]
        options = [*environment["POSTGRES_INITDB_ARGS"].split(), "-U", environment["POSTGRES_USER"], "-E", "UTF8"]
        run_program([*words, *options], home)


def _make_databases(environment: Mapping[str, str], script: Path) -> None:
    password = Path(environment["POSTGRES_PASSWORD_FILE"]).read_text().strip()
    client = {**environment, "PGHOST": LOOPBACK, "PGPASSWORD": password}
    done = subprocess.run(["/bin/sh", str(script)], env=client, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Misconfigured(f"{script} failed: {printable(done.stderr.strip(), 500)}")
