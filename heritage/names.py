"""The one policy for names and addresses that come from outside.

A name that heritage writes (model, alias, request, window) is ASCII, short, and safe as an S3 key segment, a file
name on any system, an MLflow name and a URL path segment. A name that heritage only reads (a model that somebody
registered directly in MLflow, a tensor in a foreign file) may break that policy; it is then shown through
`printable` and never becomes a path.
"""

import re
import unicodedata
from urllib.parse import unquote, urlsplit

from heritage.errors import UnsafeName

MAX_NAME = 128
MAX_TENSOR_NAME = 512

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?", re.ASCII)
# names that Windows keeps for devices, and words that MLflow, URLs or this project give a meaning of their own
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "latest", "none", "null", "true", "false"]
    + [f"{device}{i}" for device in ("com", "lpt") for i in range(10)]
)
_SOURCE_SCHEMES = frozenset(["runs", "models", "mlflow-artifacts"])


def printable(text: str, limit: int = 120) -> str:
    """Outside text made safe for a terminal line, a log line or an error message.

    Control, format (bidirectional marks, zero-width) and unassigned characters are written as escapes; what is longer
    than `limit` characters is cut and its length told. HTML is not escaped here: templates do that.
    """
    shown = "".join(
        c if c == " " or unicodedata.category(c)[0] not in "CZ" else c.encode("unicode_escape").decode()
        for c in text[:limit]
    )
    return shown if len(text) <= limit else f"{shown}... ({len(text)} characters)"


def check_name(name: str, what: str = "model name") -> str:
    """`name` itself if it may be written anywhere, else `UnsafeName`."""
    if not name:
        raise UnsafeName(f"{what} is empty; give 1 to {MAX_NAME} letters, digits, '.', '_' or '-'")
    if len(name) > MAX_NAME:
        raise UnsafeName(f"{what} {printable(name, 40)!r} is too long; the limit is {MAX_NAME} characters")
    if not _NAME.fullmatch(name):
        raise UnsafeName(
            f"{what} '{printable(name)}' is not allowed; use ASCII letters, digits, '.', '_' or '-', "
            "and begin with a letter or digit"
        )
    if ".." in name:
        raise UnsafeName(f"{what} '{name}' holds '..'; use single dots")
    if name.split(".")[0].lower() in _RESERVED:
        raise UnsafeName(f"{what} '{name}' is a reserved word; choose another")
    return name


def check_digest(digest: str) -> str:
    """`digest` itself if it is 64 lower-case hexadecimal characters (SHA-256), else `UnsafeName`."""
    if not _DIGEST.fullmatch(digest):
        raise UnsafeName(f"digest '{printable(digest)}' is not a SHA-256 in lower-case hexadecimal (64 characters)")
    return digest


def check_version(version: str) -> str:
    """`version` itself if it is a registry version number, else `UnsafeName`."""
    if not _VERSION.fullmatch(version):
        raise UnsafeName(f"version '{printable(version)}' is not a whole number from 1")
    return version


def split_version(address: str) -> tuple[str, str]:
    """Name and the part after it of `name/3`, `name@alias` or `models:/name/3`; the part is '' for a bare name.

    An alias keeps its '@'. Raises `UnsafeName` where either part breaks the policy.
    """
    text = address.removeprefix("models:/")
    if "@" in text:
        name, _, alias = text.partition("@")
        return check_name(name), "@" + check_name(alias, "alias")
    name, slash, version = text.partition("/")
    return check_name(name), check_version(version) if slash else ""


def check_tensor_name(name: str, where: str) -> str:
    """`name` itself if a tensor may be called so: printable, no path tricks, at most 512 characters.

    Raises `UnsafeName` naming the file `where`.
    """
    if not name or len(name) > MAX_TENSOR_NAME:
        raise UnsafeName(
            f"{where}: tensor name '{printable(name, 40)}' has {len(name)} characters; "
            f"allowed are 1 to {MAX_TENSOR_NAME}"
        )
    if any(unicodedata.category(c)[0] in "CZ" and c != " " for c in name):
        raise UnsafeName(f"{where}: tensor name '{printable(name)}' holds control or invisible characters")
    if "\\" in name or name.startswith("/") or ".." in re.split(r"/", name):
        raise UnsafeName(f"{where}: tensor name '{printable(name)}' looks like a path; rename the tensor")
    return name


def check_file_name(name: str, where: str) -> str:
    """`name` itself if it is a plain file name (no folder part, nothing hidden), else `UnsafeName`."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}", name) or ".." in name:
        raise UnsafeName(f"{where}: '{printable(name)}' is not a plain file name inside the same folder")
    return name


def check_source(uri: str) -> str:
    """`uri` itself if artifacts may be read from it: `runs:/`, `models:/` or `mlflow-artifacts:/`, no climbing.

    Everything else (file:, http:, s3: to foreign buckets, encoded or plain '..') raises `UnsafeName`, whatever the
    registry accepted.
    """
    decoded = uri
    for _ in range(3):  # some servers decode twice
        decoded = unquote(decoded)
    parts = urlsplit(decoded)
    if parts.scheme not in _SOURCE_SCHEMES:
        raise UnsafeName(
            f"source '{printable(uri)}' is not read; allowed are runs:/, models:/ and mlflow-artifacts:/ addresses"
        )
    if ".." in parts.path.split("/") or "\\" in decoded or any(ord(c) < 32 for c in decoded):
        raise UnsafeName(f"source '{printable(uri)}' climbs out of its folder or holds control characters")
    return uri


def hub_id(text: str) -> str:
    """Canonical model id of a hub address: 'https://huggingface.co/Org/Name/tree/main' -> 'Org/Name'.

    Case is kept (hub ids are case-preserving); surrounding space, scheme, host, query and revision parts go.
    Raises `UnsafeName` for what is no id.
    """
    bare = text.strip()
    if "://" in bare:
        bare = urlsplit(bare).path.strip("/")
        bare = "/".join(bare.removeprefix("models/").split("/")[:2])
    bare = bare.split("@")[0].strip("/")
    if not _HUB_ID.fullmatch(bare) or ".." in bare:
        raise UnsafeName(f"'{printable(text)}' is not a hub model id such as 'organisation/name'")
    return bare
