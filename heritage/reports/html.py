"""HTML pages that stand alone: escaped by default, no script, nothing loaded from anywhere."""

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from heritage.drift.measures import Interval
from heritage.names import printable


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("heritage.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = lambda text: printable(str(text))
    environment.filters["figure"] = figure
    environment.filters["interval"] = interval
    return environment


def render(template: str, **values: Any) -> str:
    """The page that `template` (a file of `reports/templates`) makes of `values`; all values are escaped.

    Templates extend `base.html`, whose content security policy allows the page's own style and embedded pictures only.
    """
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return _environment().get_template(template).render(style=Markup(style), policy=policy, **values)  # noqa: S704


def embedded(png: bytes) -> str:
    """A picture as the address of an `img` element."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def figure(value: float | None, digits: int = 4) -> str:
    """A number for a table cell; a dash for None and NaN."""
    return "–" if value is None or value != value else f"{value:.{digits}g}"


def interval(value: Interval) -> str:
    """Both ends of an interval, or one figure where they read the same."""
    low, high = figure(value.low, 3), figure(value.high, 3)
    return low if low == high else f"{low} to {high}"


@cache
def _style() -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), "style.css")[0].strip()
