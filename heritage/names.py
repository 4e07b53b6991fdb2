"""The one policy for names and addresses that come from outside.

A name that heritage writes (model, alias, request, window) is ASCII, short, and safe as an S3 key segment, a file
name on any system, an MLflow name and a URL path segment. A name that heritage only reads (a model that somebody
registered directly in MLflow, a tensor in a foreign file) may break that policy; it is then shown through
`printable` and never becomes a path.
"""

import re
import unicodedata
from urllib.parse import unquote

from heritage.errors import UnsafeName

MAX_NAME = 128
MAX_TENSOR_NAME = 512
MAX_SOURCE = 2048

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_HUB_HOST = re.compile(r"(?:www\.)?(?:huggingface\.co|hf\.co)/", re.IGNORECASE)
_HUB_OTHERS = frozenset(["datasets", "spaces"])
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
    if len(text) <= limit and text.isascii() and text.isprintable():  # the common case, and fast
        return text
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
            f"allowed are 1 to {MAX_TENSOR_NAME}, so rename the tensor"
        )
    if not _is_visible(name):
        raise UnsafeName(
            f"{where}: tensor name '{printable(name)}' holds control or invisible characters; rename the tensor"
        )
    if "\\" in name or name.startswith("/") or ".." in name.split("/"):
        raise UnsafeName(f"{where}: tensor name '{printable(name)}' looks like a path; rename the tensor")
    return name


def check_file_name(name: str, where: str) -> str:
    """`name` itself if it is a plain file name (no folder part, nothing hidden), else `UnsafeName`."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}", name) or ".." in name:
        raise UnsafeName(f"{where}: '{printable(name)}' is not a plain file name inside the same folder")
    return name


def check_source(uri: str) -> str:
    """`uri` itself if artifacts may be read from it: `runs:/`, `models:/` or `mlflow-artifacts:/`, no climbing.

    Everything else (file:, http:, s3:, another host, '..' plain or encoded any number of times) raises `UnsafeName`,
    whatever the registry accepted.
    """
    shown = f"source '{printable(uri)}'"
    if len(uri) > MAX_SOURCE:
        raise UnsafeName(f"{shown} is not read; the limit is {MAX_SOURCE} characters")
    decoded = _decoded(uri)
    scheme, colon, path = uri.partition(":")
    if not colon or scheme not in _SOURCE_SCHEMES or not path.startswith("/"):
        raise UnsafeName(f"{shown} is not read; allowed are runs:/, models:/ and mlflow-artifacts:/ addresses")
    if path.startswith("//"):
        raise UnsafeName(f"{shown} is not read; it names another host")
    if decoded is None or not _is_visible(decoded) or ".." in re.split(r"[/\\?#;]", decoded) or "\\" in decoded:
        raise UnsafeName(f"{shown} climbs out of its folder or holds control characters")
    return uri


def _decoded(uri: str) -> str | None:
    """`uri` without percent encoding, however often it was applied; None where it hides below five layers."""
    for _ in range(5):  # some servers decode twice
        once = unquote(uri)
        if once == uri:
            return uri
        uri = once
    return None


def _is_visible(text: str) -> bool:
    """True without control, format and other characters that leave no mark; plain spaces are fine."""
    if text.isascii():
        return text.isprintable()  # the common case, and fast
    return all(unicodedata.category(c)[0] not in "CZ" or c == " " for c in text)


def hub_id(text: str) -> str:
    """Canonical model id of a hub address: 'https://huggingface.co/Org/Name/tree/main' -> 'Org/Name'.

    Case is kept (hub ids are case-preserving); surrounding space, scheme, host, query and revision parts go.
    Raises `UnsafeName` for what is no model's id, such as a data set's address.
    """
    bare = text.strip()
    host = _HUB_HOST.match(bare)
    if "://" in bare or host:
        # the path, without what urlsplit would raise ValueError for
        path = re.split(r"[?#]", bare.partition("://")[2] or bare)[0].partition("/")[2].strip("/")
        bare = "/".join(path.removeprefix("models/").split("/")[:2])
    bare = bare.split("@")[0].strip("/")
    if len(bare) > 2 * MAX_NAME or not _HUB_ID.fullmatch(bare) or ".." in bare or bare.split("/")[0] in _HUB_OTHERS:
        raise UnsafeName(f"'{printable(text)}' is not a hub model id such as 'organisation/name'")
    return bare
