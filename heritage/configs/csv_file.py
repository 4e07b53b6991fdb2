"""Tables as CSV files for people, who open them in spreadsheets."""

from pathlib import Path
from typing import Any

import pandas as pd

# what makes a spreadsheet take a text for a formula, which may read files and send them away (OWASP, CSV injection)
_FORMULA = ("=", "+", "-", "@", "\t", "\n")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` without its index; a text that could be taken for a formula gets an apostrophe in front.

    Lines inside a text end with a line feed.
    """
    texts = frame.select_dtypes(exclude=["number", "bool", "datetime"]).columns
    safe = frame.copy()
    for name in texts:
        safe[name] = [_plain(value) for value in frame[name]]
    safe.to_csv(path, index=False, header=[str(_plain(str(name))) for name in frame.columns])


def _plain(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")  # pandas does not quote a lone return, which ends the row
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and not text.isspace() and text[0] in "+-"
