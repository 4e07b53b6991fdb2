"""Calls to an S3 server: the client, a call's time limit, faults as errors of heritage; boto3 is imported here only."""

import threading
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from heritage.errors import BadInput, Conflict, HeritageError, Misconfigured, NotFound, Unavailable
from heritage.names import printable
from heritage.settings import S3Settings

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0

_ABSENT = frozenset(["NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NotFound", "404"])
_TAKEN = frozenset(["BucketAlreadyOwnedByYou", "BucketAlreadyExists"])
# codes that some servers send with a status other than 401 and 403
_DENIED = frozenset(["ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"])
# 409 is S3's answer to a conditional put that met another one half-way: it asks for another try
_PASSING_STATUS = frozenset([408, 409, 429, 500, 502, 503, 504])
_PASSING = frozenset(["ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown", "Throttling"])

T = TypeVar("T")


def client(settings: S3Settings) -> Any:
    """A client of the server that `settings` describe, to be shared by threads; `Misconfigured` where it cannot be."""
    from botocore.config import Config  # 0.15 s, so not for a command that stores nothing
    from botocore.exceptions import BotoCoreError

    config = Config(
        signature_version="s3v4",
        # a server of one's own has no DNS name per bucket
        s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
        connect_timeout=min(CONNECT_TIMEOUT_S, settings.deadline_s),
        read_timeout=min(READ_TIMEOUT_S, settings.deadline_s),
        retries={"total_max_attempts": 1},  # stamina retries, and counts the deadline
        max_pool_connections=32,
    )
    secret = settings.secret_key.get_secret_value() if settings.secret_key else None
    try:
        return _session().client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=secret,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise Misconfigured(
            f"S3 client for {printable(settings.endpoint_url or 'AWS')}: {printable(str(error), 300)}; "
            "check HERITAGE_S3__ENDPOINT_URL, HERITAGE_S3__REGION and the keys"
        ) from error


@cache
def _models() -> Any:
    """botocore's reader of its service descriptions, which remembers what it has read (60 ms a client)."""
    from botocore.loaders import create_loader

    return create_loader()


def _session() -> Any:
    """A new session (they are not for sharing between threads) that reads no description twice."""
    import boto3
    import botocore.session

    core = botocore.session.get_session()
    core.register_component("data_loader", _models())
    return boto3.session.Session(botocore_session=core)


def translated(call: Callable[[], T], where: str, limit_s: float) -> T:
    """What `call` returns within `limit_s`; its faults as errors of heritage."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        return _bounded(call, limit_s)
    except ClientError as error:
        raise _answered(error.response, where) from error
    except BotoCoreError as error:
        raise _failed(error, where) from error
    except (ResponseParserError, TimeoutError) as error:
        raise Unavailable(f"{where}: {printable(str(error), 300)}") from error


def _bounded(call: Callable[[], T], limit_s: float) -> T:
    """What `call` returns or raises; TimeoutError when that takes longer than `limit_s`.

    botocore's timeouts hold per packet, so a server that drips bytes would hold a caller for ever. The thread left
    behind ends with its connection; it cannot keep the process alive.
    """
    outcome: list[T] = []
    fault: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # raised again below, in the caller's thread
            fault.append(error)

    thread = threading.Thread(target=run, name="heritage-s3", daemon=True)
    thread.start()
    thread.join(max(limit_s, 0.0))
    if fault:
        raise fault[0]
    if not outcome:
        raise TimeoutError(f"no complete answer within {limit_s:.1f} s")
    return outcome[0]


def _answered(response: dict[str, Any], where: str) -> HeritageError:
    """The error for an answer of the server that is no success."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{where}: the server said {status} {printable(code, 60)}"
    if status == 412 or code in _TAKEN:
        return Conflict(f"{said}; the object is there already or changed since it was read")
    if code == "NoSuchBucket":
        return Misconfigured(f"{said}; make the bucket, or name another in HERITAGE_S3__BUCKET")
    if code == "InvalidBucketName":
        return Misconfigured(f"{said}; HERITAGE_S3__BUCKET takes 3 to 63 lower-case letters, digits or '-'")
    if code in _ABSENT:
        return NotFound(f"{said}; there is no such object")
    if code == "RequestTimeTooSkewed":
        return Misconfigured(f"{said}; set this machine's clock")
    if code in _DENIED or status in (401, 403):
        return Misconfigured(
            f"{said}; the keys are wrong, expired or not allowed to do this: check HERITAGE_S3__ACCESS_KEY, "
            "HERITAGE_S3__SECRET_KEY or the AWS profile"
        )
    if code in _PASSING or status in _PASSING_STATUS:
        return Unavailable(said)
    if status == 501:
        return Misconfigured(f"{said}; this server lacks a function that heritage needs, use SeaweedFS or AWS S3")
    return BadInput(f"{said}: {printable(str(response.get('Error', {}).get('Message', '')), 200)}")


def _failed(error: Exception, where: str) -> HeritageError:
    """The error for a request that got no usable answer."""
    from botocore import exceptions as boto

    passing = (
        boto.HTTPClientError,
        boto.ConnectionError,
        boto.IncompleteReadError,
        boto.ChecksumError,
        boto.FlexibleChecksumError,
    )
    said = f"{where}: {printable(' '.join(str(error).split()), 300)}"
    if isinstance(error, boto.SSLError):
        return Misconfigured(f"{said}; check the scheme (http or https) and the certificate of the server")
    if isinstance(error, passing):
        return Unavailable(said)
    return Misconfigured(f"{said}; check the HERITAGE_S3__ settings and the AWS profile")
