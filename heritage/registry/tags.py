"""Tags of versions and runs: an index that anybody may edit, kept far below the lengths that MLflow cuts."""

import re

from heritage.errors import BadInput
from heritage.names import printable

MAX_VALUE = 5000  # characters; MLflow cuts run tags at 8,000 unless told not to
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}")


def check_tag(key: str, value: str) -> str:
    """`key` itself if the tag may be written, else `BadInput`."""
    if not _KEY.fullmatch(key) or ".." in key:
        raise BadInput(f"tag '{printable(key)}': the key may hold up to 200 letters, digits, '.', '_', '/' and '-'")
    if len(value) > MAX_VALUE:
        raise BadInput(
            f"tag '{key}': the value has {len(value)} characters, the limit is {MAX_VALUE}; store it as an artifact"
        )
    return key
