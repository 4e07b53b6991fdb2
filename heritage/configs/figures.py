"""The look of all config figures, and the few chart forms that they are made of.

Colours are those of Okabe and Ito, told apart in every common form of colour blindness; heat maps use cividis, or
purple to orange around 0, and print their numbers. Everything is drawn on `Figure` objects: no global state, safe in
threads.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#7F7F7F",
)
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, "#882255", "#000000")
_STYLE: Any = {
    "font.size": 10, "axes.titlesize": 11.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.labelsize": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": "#E3E3E3", "grid.linewidth": 0.7, "legend.frameon": False,
    "legend.fontsize": 9, "xtick.labelsize": 9, "ytick.labelsize": 9, "axes.edgecolor": "#606060",
    "figure.facecolor": "white", "patch.linewidth": 0.0, "lines.linewidth": 1.8,
}  # fmt: skip
_LABEL = 34


def save(draw: "Callable[[], Figure]", path: Path, dpi: int = 140) -> None:
    """Draw and write a PNG to `path`."""
    from matplotlib import rc_context

    with rc_context(_STYLE):
        draw().savefig(path, dpi=dpi)


def panels(rows: int = 1, columns: int = 1, height: float = 3.6, width: float = 8.0) -> "tuple[Figure, list[Axes]]":
    """A figure of `width` inches with its axes in reading order; `height` is that of one row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height * rows), layout="constrained")
    return figure, list(np.ravel(figure.subplots(rows, columns)))


def cut(label: object, limit: int = _LABEL) -> str:
    """`label`, shortened in the middle where it would crowd the picture; '$' cannot start a formula."""
    text = str(label).replace("$", r"\$")
    return text if len(text) <= limit else f"{text[: limit // 2 - 1]}…{text[-(limit // 2 - 1) :]}"


def bars(axes: "Axes", labels: Sequence[object], values: ArrayLike, told: Sequence[str] | None = None,
         colour: str | Sequence[str] = BLUE, spans: tuple[ArrayLike, ArrayLike] | None = None) -> None:  # fmt: skip
    """Horizontal bars, first at the top, each with its number; `spans` are lower and upper limits drawn as whiskers."""
    v = np.asarray(values, dtype=float)
    y = list(range(len(v)))
    axes.barh(y, v, color=colour, height=0.72)
    ends = v
    if spans is not None:
        low, high = (np.asarray(s, dtype=float) for s in spans)
        axes.errorbar(v, y, xerr=[np.maximum(v - low, 0), np.maximum(high - v, 0)], fmt="none", ecolor="#303030",
                      elinewidth=1.1, capsize=2.5)  # fmt: skip
        ends = np.fmax(v, high)
    axes.set_yticks(y, [cut(label) for label in labels])
    axes.set_ylim(len(v) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    reach = float(np.nanmax(ends)) if len(ends) and np.isfinite(ends).any() else 1.0
    for at, end, text in zip(y, ends, told or [number(x) for x in v], strict=True):
        x = max(0.0 if np.isnan(end) else float(end), 0.0) + reach * 0.012
        axes.text(x, at, text, va="center", fontsize=8.5,
                  bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.4})  # fmt: skip
    axes.set_xlim(min(0.0, float(np.nanmin(v, initial=0.0))), (reach or 1.0) * 1.18)


def number(x: float) -> str:
    """A number as a label: 1,234 / 12.3 / 0.0123 / 1.2e-05."""
    if np.isnan(x):
        return "no data"
    if x == int(x) and abs(x) < 1e9:
        return f"{int(x):,}"
    return f"{x:,.1f}" if abs(x) >= 10 else f"{x:.3g}"


def percents(axes: "Axes", which: str = "x") -> None:
    """Write the ticks of axis `which` as percentages of 1, none beyond 100 %."""
    from matplotlib.ticker import FuncFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0%}" if -1e-9 <= x <= 1 + 1e-9 else ""))


def histogram(
    axes: "Axes", values: ArrayLike, name: str, log: bool = False, colour: str = BLUE, bins: int = 40
) -> None:
    """Distribution of `values`; logarithmic bins where `log`; median and number stand under the axis."""
    v = np.asarray(values, dtype=float)
    v = v[np.isfinite(v) & (v > 0)] if log else v[np.isfinite(v)]
    if len(v) < 1:
        return nothing(axes, name)
    spread = log and v.max() > v.min()
    edges: Any = np.geomspace(v.min(), v.max() * 1.001, bins + 1) if spread else bins
    axes.hist(v, bins=edges, color=colour)
    plain(axes, log=log)
    middle = float(np.median(v))
    axes.axvline(middle, color="black", linestyle="--", linewidth=1.3)
    axes.set_xlabel(f"{name}\nn = {len(v):,}, median {number(middle)} (dashed)")
    axes.set_ylabel("models")
    return None


def plain(axes: "Axes", which: str = "x", log: bool = True) -> None:
    """An axis (logarithmic where `log`) with at most six ticks written as 500, 10k, 2M. Call it after drawing."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    if log:
        getattr(axes, f"set_{which}scale")("log")
        low, high = getattr(axes, f"get_{which}lim")()
        fine = np.log10(high / low) < 2.2
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if fine else (1.0,), numticks=7))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(6))
    axis.set_major_formatter(FuncFormatter(lambda x, _: short_number(x)))


def short_number(x: float) -> str:
    """500, 10k, 2M, 0.01."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= limit:
            return f"{x / limit:g}{unit}"
    return f"{x:g}"


def legend_below(figure: "Figure", axes: "Axes", columns: int = 4) -> None:
    """The legend of `axes` below all panels, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def nothing(axes: "Axes", name: str) -> None:
    """An empty panel that says so."""
    axes.text(0.5, 0.5, f"no data: {name}", ha="center", va="center", color=GREY, transform=axes.transAxes)
    axes.set_axis_off()


def boxes(axes: "Axes", groups: Mapping[str, NDArray[np.float64]], name: str, log: bool = True) -> None:
    """Box plots, one a group, with the number of values beside each name; whiskers at 5 and 95 %."""
    kept = {k: v[np.isfinite(v) & ((v > 0) | (not log))] for k, v in groups.items()}
    kept = {k: v for k, v in kept.items() if len(v)}
    if not kept:
        return nothing(axes, name)
    labels = [f"{cut(k, 22)} ({len(v):,})" for k, v in kept.items()]
    drawn = axes.boxplot(list(kept.values()), orientation="horizontal", tick_labels=labels, whis=(5, 95), widths=0.62,
                         patch_artist=True, showfliers=False, medianprops={"color": "black"})  # fmt: skip
    for box in drawn["boxes"]:
        box.set(facecolor=SKY, edgecolor="#404040", linewidth=0.9)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(name)
    plain(axes, log=log)
    return None


def heat(
    axes: "Axes", frame: pd.DataFrame, form: Callable[[float], str], label: str, span: tuple[float, float]
) -> None:
    """Heat map of `frame` with its numbers written in; cells without data stay white."""
    values = frame.to_numpy(dtype=float)
    both_ways = span[0] < 0
    image = axes.imshow(values, cmap="PuOr_r" if both_ways else "cividis", vmin=span[0], vmax=span[1], aspect="auto")
    axes.set_xticks(np.arange(frame.shape[1]), [cut(c, 24) for c in frame.columns], rotation=40, ha="right",
                    rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(np.arange(frame.shape[0]), [cut(i, 26) for i in frame.index])
    axes.grid(visible=False)
    for (r, c), v in np.ndenumerate(values):
        if np.isfinite(v):
            dark = abs(v) > 0.7 * span[1] if both_ways else v < span[0] + 0.55 * (span[1] - span[0])
            axes.text(c, r, form(v), ha="center", va="center", fontsize=8, color="white" if dark else "black")
    figure = axes.get_figure()
    if figure is not None:
        figure.colorbar(image, ax=axes, label=label, shrink=0.85)


def month_ticks(axes: "Axes", low: float, high: float) -> None:
    """Ticks of an axis counted in months since 1970, as dates; at most nine."""
    step = max(1, int(np.ceil((high - low + 1) / 9)))
    ticks = np.arange(low, high + 1, step)
    axes.set_xticks(ticks, [f"{1970 + int(t) // 12}-{int(t) % 12 + 1:02d}" for t in ticks], rotation=35, ha="right",
                    rotation_mode="anchor")  # fmt: skip
