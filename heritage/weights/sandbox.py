"""What a Linux process can take from itself before it touches a file that may be hostile.

Network by a namespace without interfaces (unshare(2)), files, programs and signals by Landlock (landlock(7), kernel
5.13 and later), resources by setrlimit(2). Each is done where the kernel permits it and reported by name.
"""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Sequence

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
# the same numbers on every architecture
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_TCP, _SOCKETS_AND_SIGNALS = 0b11, 0b11


def cut_network() -> list[str]:
    """Leave this process without any network interface, and let it end with its parent; ['network'] where done.

    To be called while there is one thread only.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # root may do the first, an ordinary user the second where user namespaces are on
    cut = any(libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))
    return ["network"] if cut else []


def limit_resources(memory_bytes: int, cpu_s: int, output_bytes: int) -> list[str]:
    """Bound what this process takes from now on: memory beyond what it has, processor time, size of a written file."""
    with open("/proc/self/statm", "rb") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    for kind, limit in (
        (resource.RLIMIT_AS, now + memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (allowed, allowed))
    return ["resources"]


def cut_files(readable: Sequence[str]) -> list[str]:
    """Leave this process its working folder and reading below or of `readable`; it can start no program.

    ['files'] where the kernel does that, [] where it is too old or Landlock is off.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _GET_VERSION)
    if version < 1:
        return []
    handled = (1 << 12 + min(version, 3)) - 1  # 13 kinds of access in version 1, one more in 2 and in 3
    words = [handled] + [_TCP] * (version >= 4) + [_SOCKETS_AND_SIGNALS] * (version >= 6)
    attributes = struct.pack(f"{len(words)}Q", *words)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return []
    try:
        _allow(libc, ruleset, ".", handled)
        for path in readable:
            _allow(libc, ruleset, path, _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0))
        return ["files"] if libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0 else []
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, access: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = struct.pack("=Qi", access, place)  # packed: 64-bit access, 32-bit descriptor
    libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    os.close(place)
