"""One self-contained HTML page over all studies: pictures inside, no script, every value escaped."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from heritage.configs.study import Study, plain
from heritage.configs.summary import quick_summary
from heritage.configs.table import ConfigTable

_ROWS = 15  # of each table that are shown; the csv has all
_COLUMNS = 9


def write_report(studies: Sequence[Study], table: ConfigTable, folder: Path) -> Path:
    """Write report.html into `folder`, where each study lies written in a subfolder of its name; returns its path."""
    path = folder / "report.html"
    path.write_text(render(studies, table, folder), encoding="utf-8")
    return path


def render(studies: Sequence[Study], table: ConfigTable, folder: Path) -> str:
    """The page as text; pictures are read from `folder`/<study>/figures."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True,
                              lstrip_blocks=True)  # fmt: skip
    parts = [_part(study, folder / study.name / "figures") for study in studies]
    page = environment.get_template("report.html")
    return page.render(studies=parts, models=len(table), quick=quick_summary(table), quarantine=_quarantine(table))


def _part(study: Study, pictures: Path) -> dict[str, Any]:
    tables = [_table(name, frame) for name, frame in study.tables.items()]
    figures = [{"name": key, "data": _data(pictures / f"{key}.png")} for key in study.figures]
    return {"name": study.name, "title": study.title, "notes": study.notes, "figures": figures, "tables": tables,
            "numbers": _numbers(plain(study.summary)), "lines": _lines(plain(study.summary))}  # fmt: skip


def _data(picture: Path) -> str:
    return base64.b64encode(picture.read_bytes()).decode("ascii") if picture.is_file() else ""


def _numbers(summary: Any) -> list[tuple[str, str]]:
    """Name and value of what is one number or word."""
    return [
        (k.replace("_", " "), _cell(v)) for k, v in summary.items() if not isinstance(v, dict | list) and v is not None
    ]


def _lines(summary: Any) -> list[tuple[str, list[str]]]:
    """Name and lines of what is a list or a mapping."""
    found = []
    for key, value in summary.items():
        if isinstance(value, list):
            found.append((key.replace("_", " "), [str(v) for v in value]))
        elif isinstance(value, dict):
            lines = [f"{k}: {json.dumps(v) if isinstance(v, dict) else _cell(v)}" for k, v in value.items()]
            found.append((key.replace("_", " "), lines))
    return found


def _table(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    shown = frame.iloc[:_ROWS, :_COLUMNS]
    rows = [[_cell(v) for v in row] for row in shown.itertuples(index=False, name=None)]
    return {"name": name, "columns": [str(c) for c in shown.columns], "rows": rows, "more": len(frame) - len(shown)}


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if value == int(value) and abs(value) < 1e12 else f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _quarantine(table: ConfigTable) -> list[tuple[str, str, str, int]]:
    """(column, rule, action, how many), most frequent first."""
    counts = table.quarantine.value_counts(["column", "rule", "action"]).head(30)
    return [(str(k[0]), str(k[1]), str(k[2]), int(n)) for k, n in counts.items() if isinstance(k, tuple)]
