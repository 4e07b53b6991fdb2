"""A second PostgreSQL that follows the stack's own, and takes its place."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from heritage.local import processes
from heritage.local.ports import LOOPBACK, free_ports
from heritage.local.postgres import accepts, as_owner, find_programs
from heritage.local.processes import Process
from heritage.local.production import Production
from tests.faults.tcp import TcpProxy

POSTGRES, LIMIT_S = "postgres", 60.0


@dataclass
class Standby:
    """The follower; after `take_over` it is the server at the stack's address."""

    production: Production
    home: Path
    port: int
    process: Process
    relay: TcpProxy | None = None

    def take_over(self) -> float:
        """The first server dies without a word; seconds until the second one takes writes at the same address."""
        began = time.monotonic()
        dead = self.production.running.pop(POSTGRES)
        for member in processes.members(dead):
            member.kill()
        psutil.wait_procs(processes.members(dead), LIMIT_S)
        with closing(self._connected(self.port)) as connection:
            connection.cursor().execute("SELECT pg_promote()")
        self.relay = TcpProxy(self.port, _port(self.production))
        return time.monotonic() - began

    def make_it_the_stacks(self) -> None:
        """From now on the stack starts and stops it as its own server."""
        if self.relay is None:
            self._tell_first("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
            processes.stop(self.process, grace_s=10.0)
            return
        self.relay.close()
        processes.stop(self.process, grace_s=10.0)
        own = self.production.work_dir / POSTGRES / "data"
        shutil.rmtree(own)
        (self.home / "data").rename(own)
        self.production.start(POSTGRES)

    def wait_until_in_step(self) -> None:
        """The first server answers a commit only when the second one has it on disk."""
        self._tell_first("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        deadline = time.monotonic() + LIMIT_S
        while self._tell_first("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            assert time.monotonic() < deadline, "the standby does not follow"
            time.sleep(0.2)

    def _tell_first(self, *statements: str) -> Any:
        """Rows of the last of `statements`, which go to the first server."""
        with closing(self._connected(_port(self.production))) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def _connected(self, port: int) -> Any:
        password = self.production.secret("postgres_password")
        connection = psycopg2.connect(host=LOOPBACK, port=port, user="postgres", password=password, dbname="postgres")
        connection.autocommit = True
        return connection


@contextmanager
def standby(production: Production) -> Iterator[Standby]:
    """A follower that is in step; afterwards the stack has one server again, the second one if that took over."""
    home = production.work_dir / "standby"
    home.mkdir()
    found = _start(production, home)
    try:
        found.wait_until_in_step()
        yield found
    finally:
        found.make_it_the_stacks()
        shutil.rmtree(home)


def _start(production: Production, home: Path) -> Standby:
    programs, port, as_user = find_programs(), free_ports(1)[0], as_owner(home)
    source = ["-h", LOOPBACK, "-p", str(_port(production)), "-U", "postgres"]
    copy = [*as_user, str(programs / "pg_basebackup"), *source, "-D", str(home / "data"), "-R", "-X", "stream"]
    environment = {**os.environ, "PGPASSWORD": production.secret("postgres_password")}
    done = subprocess.run([*copy, "-c", "fast"], env=environment, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    options = ["-p", str(port), "-c", f"listen_addresses={LOOPBACK}", "-c", "unix_socket_directories="]
    command = [*as_user, str(programs / "postgres"), "-D", str(home / "data"), *options]
    process = processes.start("standby", command, home / "standby.log", dict(os.environ), cwd=home)
    processes.wait_ready(process, lambda: accepts(programs, port), LIMIT_S)
    return Standby(production, home, port, process)


def _port(production: Production) -> int:
    return int(production.values["POSTGRES_PORT"])
