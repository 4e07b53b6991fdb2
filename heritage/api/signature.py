"""Whether a webhook was sent by MLflow, just now: HMAC-SHA256 over delivery id, time and body.

The form is that of Standard Webhooks: `X-MLflow-Signature: v1,<base64>` over '<delivery id>.<Unix seconds>.<body>'.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fastapi import HTTPException

WINDOW_S = 300.0
_DELIVERY = re.compile(r"[A-Za-z0-9-]{8,64}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that was signed with the secret; `sent_at_s` is Unix time."""

    id: str
    sent_at_s: int


def signature(secret: str, delivery: str, sent_at: str, body: bytes) -> str:
    """What MLflow writes into the header."""
    digest = hmac.new(secret.encode(), f"{delivery}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def check(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Delivery:
    """The delivery, if `headers` sign `body` with `secret` and were written within five minutes of `now`.

    Raises HTTPException 401 for anything else, without saying which part was wrong.
    """
    delivery, sent_at = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
    given = headers.get("x-mlflow-signature", "")
    wanted = signature(secret, delivery, sent_at, body)
    # compared in any case, so that the time taken tells nothing
    fits = any(hmac.compare_digest(part.encode(), wanted.encode()) for part in given.split(" ")[:4])
    in_form = _DELIVERY.fullmatch(delivery) and sent_at.isascii() and sent_at.isdecimal() and len(sent_at) <= 12
    if not fits or not in_form or abs(now.timestamp() - int(sent_at)) > WINDOW_S:
        raise HTTPException(401, "the signature is missing, wrong or too old")
    return Delivery(delivery, int(sent_at))
