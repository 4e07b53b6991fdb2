"""Pictures of distributions and verdicts as PNG, drawn from counts alone.

Figures are made without pyplot's global state, one at a time: matplotlib's settings and font cache are shared by all
threads.
"""

import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from heritage.drift.parts import Counts, Part, Values
from heritage.drift.verdict import Verdict
from heritage.names import printable
from heritage.reports.distributions import BINS, cumulative, heaviest, room, steps, visible_range

REFERENCE, CURRENT = "#8a94a0", "#c2571a"
STATUS_COLOURS = {
    "ok": "#22713f",
    "warning": "#d49a1f",
    "drift": "#a3251d",
    "insufficient": "#c3cad1",
    "schema": "#5b4b8a",
}
_DRAWING = threading.Lock()


def column_plot(part: Part, counts: Counts, instants: bool = False) -> bytes:
    """Reference and current rows of one part: histograms, and the distribution functions of ordered columns.

    `instants`: the values are seconds since 1970 and are shown as dates.
    """
    if part.edges is None or len(part.edges) == 0:
        return _levels_plot(part, counts)
    margins = {"left": 0.065, "right": 0.985, "bottom": 0.13, "top": 0.9, "wspace": 0.2}
    with _canvas(2, (9.0, 2.9), **margins) as (figure, (left, right)):
        low, high = visible_range(part.edges, part.reference, counts)
        discrete = len(part.edges) <= BINS and not part.reference[0::2].any()
        (_draw_values if discrete else _draw_histogram)(left, part.edges, part.reference, counts, (low, high))
        for total, colour in ((part.reference, REFERENCE), (counts, CURRENT)):
            x, y = steps(part.edges, total)
            right.plot(x, y, color=colour, linewidth=1.8)
        left.set_ylabel("% of values")
        left.set_ylim(bottom=0)
        _legend_above(left, outline=True)
        right.set_ylabel("share at or below")
        right.set_ylim(-0.02, 1.02)
        for axis in (left, right):
            axis.set_xlim(low, high)
            axis.locator_params(axis="x", nbins=4 if instants else 6)
            axis.ticklabel_format(axis="x", scilimits=(-3, 5))
            if instants:
                axis.xaxis.set_major_formatter(lambda seconds, _: str(np.datetime64(int(seconds), "s"))[:10])
        return _png(figure)


def timeline_plot(verdicts: Sequence[Verdict], trigger_effect: float = 0.2) -> bytes:
    """Largest effect of each window, oldest first, as bars in the colour of the verdict."""
    with _canvas(1, (9.0, 2.6)) as (figure, axis):
        effects = [max((c.effect for c in v.columns.values() if c.judged), default=0.0) for v in verdicts]
        at = np.arange(len(verdicts))
        shown = [min(e, 1.0) for e in effects]
        axis.bar(at, shown, color=[STATUS_COLOURS[v.status] for v in verdicts], width=0.8, linewidth=0)
        # a small square keeps windows visible whose effect is nothing
        axis.scatter(at, np.full(len(at), -0.03), c=[STATUS_COLOURS[v.status] for v in verdicts], marker="s", s=22)
        axis.axhline(trigger_effect, color="#66727f", linewidth=0.9, linestyle=(0, (4, 3)))
        axis.text(1.005, trigger_effect, "repair", transform=axis.get_yaxis_transform(), va="center", color="#66727f")
        axis.set_ylim(-0.06, max(0.3, 1.08 * max(shown, default=0.0)))
        axis.set_ylabel("largest effect")
        if max(effects, default=0.0) > 1:
            axis.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "≥ 1"])
        _label_windows(axis, [_drawable(v.window or str(i + 1)) for i, v in enumerate(verdicts)])
        _status_legend(axis, {v.status for v in verdicts})
        return _png(figure)


def _legend_above(axis: Any, outline: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    current = Line2D([], [], color=CURRENT) if outline else Patch(color=CURRENT)
    axis.legend(
        [Patch(color=REFERENCE), current], ["reference", "current"], frameon=False, ncols=2, loc="lower right",
        bbox_to_anchor=(1.01, 0.98), borderaxespad=0.1,
    )  # fmt: skip


def _label_windows(axis: Any, names: list[str]) -> None:
    # some 90 characters fit side by side
    every = max(1, -(-len(names) * (max(map(len, names), default=1) + 3) // 90))
    at = list(range(0, len(names), every))
    axis.set_xticks(at, [names[i] for i in at], parse_math=False)
    axis.set_xlim(-0.7, max(len(names), 12) - 0.3)


def _status_legend(axis: Any, statuses: set[str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=name) for name, colour in STATUS_COLOURS.items() if name in statuses]
    axis.legend(
        handles=handles, frameon=False, ncols=len(handles) or 1, loc="lower left", bbox_to_anchor=(-0.01, 1.0),
        borderaxespad=0.2,
    )  # fmt: skip


def _levels_plot(part: Part, counts: Counts) -> bytes:
    """Shares per level: the most frequent ones, and those that changed most, in the reference's order."""
    f, h = (total / max(total.sum(), 1) for total in (part.reference, counts))
    worth = np.maximum(f, h)
    kept = heaviest(part, f, h)
    labels = [_drawable(part.labels[i] if part.labels else "value") for i in kept]
    with _canvas(1, (9.0, 0.8 + 0.3 * max(len(kept), 1))) as (figure, axis):
        at = np.arange(len(kept))
        axis.barh(at - 0.2, 100 * f[kept], 0.38, color=REFERENCE, linewidth=0)
        axis.barh(at + 0.2, 100 * h[kept], 0.38, color=CURRENT, linewidth=0)
        axis.set_yticks(at, labels, parse_math=False)
        axis.invert_yaxis()
        axis.set_xlabel("% of values")
        axis.set_xlim(left=0, right=None if worth.any() else 1)
        if not len(kept):
            axis.text(0.5, 0.5, "no values", transform=axis.transAxes, ha="center", va="center", color="#66727f")
            axis.set_axis_off()
            return _png(figure)
        if len(kept) < int((worth > 0).sum()):
            axis.set_title(f"{len(kept)} of {int((worth > 0).sum())} levels", fontsize=9, loc="left")
        _legend_above(axis, outline=False)
        return _png(figure)


def _draw_histogram(axis: Any, edges: Values, reference: Counts, counts: Counts, shown: tuple[float, float]) -> None:
    """Forty bars of equal width; rows inside a cell are taken as evenly spread."""
    grid = np.linspace(*shown, BINS + 1)
    f, h = cumulative(edges, reference, grid), cumulative(edges, counts, grid)
    axis.stairs(100 * np.diff(f), grid, fill=True, color=REFERENCE, linewidth=0)  # one shape, not forty
    axis.step(grid, np.append(0.0, 100 * np.diff(h)), where="pre", color=CURRENT, linewidth=1.6)


def _draw_values(axis: Any, edges: Values, reference: Counts, counts: Counts, shown: tuple[float, float]) -> None:
    """A bar for each value of a discrete column; rows between or beyond the reference's values stand there."""
    _, beyond = room(edges)
    at = np.empty(2 * len(edges) + 1)
    at[1::2], at[2:-1:2] = edges, (edges[1:] + edges[:-1]) / 2
    at[0], at[-1] = edges[0] - beyond, edges[-1] + beyond
    gap = float(np.diff(edges).min()) if len(edges) > 1 else beyond
    width = 0.8 * max(gap, (shown[1] - shown[0]) / 150)
    styles = ((reference, {"color": REFERENCE, "linewidth": 0}), (counts, {"edgecolor": CURRENT, "fill": False}))
    for total, style in styles:
        some = np.flatnonzero(total)
        heights = 100 * total[some] / max(int(total.sum()), 1)
        axis.bar(at[some], heights, width, **{"linewidth": 1.6, **style})


@contextmanager
def _canvas(columns: int, size: tuple[float, float], **margins: float) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes, with fixed `margins` or, without them, room found for all labels (slower)."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _DRAWING, mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=size, dpi=110, layout=None if margins else "constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(1, columns, gridspec_kw=margins or None)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    # no version and no date in the file: equal figures give equal bytes
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _drawable(text: str, limit: int = 28) -> str:
    """Text that the font can draw; other characters are written as escapes."""
    shown = printable(text, limit)
    return "".join(c if ord(c) in _glyphs() else f"\\u{ord(c):x}" for c in shown)


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap())
