"""Where the next page of a list begins, as an opaque text."""

import base64
import binascii
import json
from collections.abc import Sequence

from heritage.errors import BadInput

Place = tuple[str | int, ...]


def encode(place: Sequence[str | int]) -> str:
    """The text for a place in a list."""
    return base64.urlsafe_b64encode(json.dumps(list(place)).encode()).decode().rstrip("=")


def decode(cursor: str, kinds: Sequence[type]) -> Place | None:
    """The place that `cursor` stands for, of these types; None for ''. Raises `BadInput` for any other text."""
    if not cursor:
        return None
    try:
        place = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        place = None
    fits = isinstance(place, list) and [type(part) for part in place] == list(kinds)
    if not fits or any(isinstance(part, int) and not 0 <= part < 2**53 for part in place):
        raise BadInput("cursor: not the 'next' of an earlier answer; leave it out to begin at the first page")
    return tuple(place)


def offset_of(cursor: str) -> int:
    """The number of rows to pass over."""
    place = decode(cursor, [int])
    return 0 if place is None else int(place[0])


def after(offset: int, shown: int, more: bool) -> str | None:
    """The cursor behind the rows shown; None where there are no more."""
    return encode([offset + shown]) if more else None
