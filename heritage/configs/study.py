"""What a study of the suite hands back, and how it is written to a folder."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from heritage.configs.csv_file import write_csv
from heritage.configs.figures import save
from heritage.configs.table import ConfigTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Study:
    """One analysis: frames to be written as <key>.csv, figures as figures/<key>.png, a JSON summary and notes.

    A figure is a function that draws when called, so that nothing is drawn that nobody wants. `notes` tell what was
    left out and why, and every caution that the numbers need.
    """

    name: str
    title: str
    tables: Mapping[str, pd.DataFrame]
    summary: Mapping[str, Any]
    figures: Mapping[str, "Callable[[], Figure]"] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def write(study: Study, folder: Path) -> list[Path]:
    """Write tables, figures and <name>.json of `study` into `folder` (made if absent); returns the paths in order."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    written = []
    for key, frame in study.tables.items():
        written.append(folder / f"{key}.csv")
        write_csv(frame, written[-1])
    for key, draw in study.figures.items():
        written.append(folder / "figures" / f"{key}.png")
        save(draw, written[-1])
    written.append(folder / f"{study.name}.json")
    content = {"study": study.name, "title": study.title, "summary": plain(study.summary), "notes": list(study.notes)}
    written[-1].write_text(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    return written


def plain(value: Any) -> Any:
    """`value` as JSON values: numpy numbers unwrapped, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    unwrapped = value.item() if hasattr(value, "item") else value
    return None if isinstance(unwrapped, float) and not math.isfinite(unwrapped) else unwrapped


def months(table: ConfigTable) -> pd.Series:
    """Month of creation of each model as the number of months since January 1970; NaN where unknown or implausible.

    Dates before 2018 or unreadable ones count as unknown.
    """
    if "createdAt" not in table.frame:
        return pd.Series([math.nan] * len(table), dtype=float)
    stamp = pd.to_datetime(table.frame["createdAt"], errors="coerce", utc=True, format="ISO8601")
    number = (stamp.dt.year - 1970) * 12 + stamp.dt.month - 1
    return number.where(stamp.dt.year >= 2018).astype(float)


def month_name(number: float) -> str:
    """'2024-03' of a number that `months` gives."""
    return f"{1970 + int(number) // 12}-{int(number) % 12 + 1:02d}"


def missing_note(table: ConfigTable, columns: list[str], what: str) -> tuple[str, ...]:
    """A note that `what` was left out, for those of `columns` in which the table has no value; else nothing."""
    absent = [c for c in columns if not table.column(c).notna().any()]
    return (f"{what} left out: the table has no values of {', '.join(absent)}",) if absent else ()
