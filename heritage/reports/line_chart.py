"""Lines over one axis as positions in a picture; templates draw them as SVG, which stays sharp and needs no script."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 760.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 16.0, 14.0, 44.0
# distinguishable with colour-blind eyes (Okabe and Ito), dark enough on white
COLOURS = ("#0072b2", "#c2571a", "#22713f", "#9a4d87", "#8a6d00", "#3b4754")
_DASHES = ("", "6 4", "2 3")
_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) in order of x under a label."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One line in pixels: `path` of an SVG path, `dots` of the points that were looked at."""

    label: str
    path: str
    dots: tuple[tuple[float, float], ...]
    best: tuple[float, float]
    colour: str
    dash: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of WIDTH x HEIGHT pixels: lines, and ticks as (position, text)."""

    lines: tuple[Drawn, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    x_label: str
    y_label: str
    size: tuple[float, float] = (WIDTH, HEIGHT)
    box: tuple[float, float, float, float] = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)


def line_chart(lines: Sequence[Line], x_label: str, y_label: str) -> Chart | None:
    """The lines with x from 0 to 1 over a logarithmic y axis (y > 0); None where there are none.

    Losses far from the best are many times as large, which would flatten the valleys on an even axis.
    """
    values = [max(y, _LEAST) for line in lines for _, y in line.points]
    if not values:
        return None
    ticks = _ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]
    return Chart(
        tuple(_drawn(i, line, low, high) for i, line in enumerate(lines)),
        tuple((_x(x), f"{x:g}") for x in (0.0, 0.25, 0.5, 0.75, 1.0)),
        tuple((_y(y, low, high), f"{y:.4g}") for y in ticks),
        x_label,
        y_label,
    )


def _drawn(number: int, line: Line, low: float, high: float) -> Drawn:
    dots = tuple((_x(x), _y(max(y, _LEAST), low, high)) for x, y in line.points)
    path = " ".join(f"{'L' if i else 'M'}{x:.1f},{y:.1f}" for i, (x, y) in enumerate(dots))
    best = min(range(len(dots)), key=lambda i: line.points[i][1])
    dash = _DASHES[number // len(COLOURS) % len(_DASHES)]
    return Drawn(line.label, path, dots, dots[best], COLOURS[number % len(COLOURS)], dash)


def _x(x: float) -> float:
    return round(LEFT + x * (WIDTH - LEFT - RIGHT), 1)


def _y(y: float, low: float, high: float) -> float:
    share = math.log(y / low) / math.log(high / low)
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _ticks(low: float, high: float) -> list[float]:
    """Three to eight round numbers, the first at or below `low`, the last at or above `high`."""
    for steps in ((1, 10), (1, 2, 5, 10), (1, 1.5, 2, 3, 4, 5, 6, 8, 10), tuple(1 + i / 10 for i in range(91))):
        # one decade more on either side: log10 rounds numbers just below a power of ten up to it
        decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
        marks = sorted({round(step * 10.0**d, 12) for d in decades for step in steps})
        first = max(i for i, m in enumerate(marks) if m <= low)
        last = next(i for i, m in enumerate(marks) if m >= high and i > first)
        if last - first >= 2:
            break
    every = -(-(last - first) // 8)
    return [*marks[first:last:every], marks[last]]
