"""A throw-away PostgreSQL on a free loopback port, run by a user who is not root."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heritage.errors import Misconfigured
from heritage.local import processes
from heritage.local.ports import LOOPBACK, free_ports
from heritage.names import printable


@contextmanager
def throw_away_server() -> Iterator[str]:
    """Address (postgresql://...) of an empty database; server and data are gone afterwards.

    Raises `Misconfigured` where PostgreSQL is not installed.
    """
    programs = find_programs()
    folder = Path(tempfile.mkdtemp(prefix="heritage-postgres-"))
    try:
        as_user = as_owner(folder)
        data = folder / "data"
        # no password: it listens on loopback, for the length of a test
        options = ["-D", str(data), "-U", "heritage", "--auth=trust", "--no-sync", "-E", "UTF8"]
        run_program([*as_user, str(programs / "initdb"), *options], folder)
        yield from _served(as_user, programs, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _served(as_user: list[str], programs: Path, folder: Path) -> Iterator[str]:
    port = free_ports(1)[0]
    options = ["-p", str(port), "-c", f"listen_addresses={LOOPBACK}", "-c", "unix_socket_directories=", "-F"]
    command = [*as_user, str(programs / "postgres"), "-D", str(folder / "data"), *options]
    server = processes.start("postgres", command, folder / "postgres.log", dict(os.environ), cwd=folder)
    try:
        processes.wait_ready(server, lambda: accepts(programs, port), limit_s=30)
        yield f"postgresql://heritage@{LOOPBACK}:{port}/postgres"
    finally:
        processes.stop(server, grace_s=3.0)


def find_programs() -> Path:
    """Folder of `initdb` and `postgres`, the newest release first; `Misconfigured` where there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders += [Path(found).parent for found in [shutil.which("initdb")] if found]
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    raise Misconfigured("PostgreSQL's initdb is missing; on Debian: apt-get install postgresql")


def run_program(command: list[str], folder: Path) -> None:
    """Run one of PostgreSQL's programs to its end; `Misconfigured` with its last words where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        raise Misconfigured(f"{command[0]} failed: {printable(done.stderr.strip(), 500)}")


def as_owner(folder: Path) -> list[str]:
    """Words before a command that make it run as the owner of `folder`, who is not root."""
    if os.getuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise Misconfigured("PostgreSQL does not run as root, and there is no user 'postgres'") from None
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["runuser", "-u", "postgres", "--"]


def accepts(programs: Path, port: int) -> bool:
    """Whether a server on loopback takes connections on `port`."""
    asked = [str(programs / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(port)]
    return subprocess.run(asked, check=False, timeout=10).returncode == 0
