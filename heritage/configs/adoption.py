"""Study 06: how features of configurations spread: monthly shares with intervals, and fitted adoption curves."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from heritage.configs.figures import COLOURS, legend_below, month_ticks, nothing, panels, percents
from heritage.configs.intervals import wilson
from heritage.configs.scurve import Curve, fit_scurve
from heritage.configs.study import Study, missing_note, month_name, months
from heritage.configs.table import ConfigTable
from heritage.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

_DTYPES = {"bf16": "bfloat16|bf16", "fp16": "float16|fp16", "fp32": "float32|fp32", "4-bit": "4bit|int4|uint4|nf4",
           "8-bit": "8bit|int8|uint8|fp8|float8"}  # fmt: skip
_CONTEXTS = {"context >= 8k": 8_192, "context >= 32k": 32_768, "context >= 128k": 131_072}
_VERSIONS = 10
_TAGS = 4


def adoption(table: ConfigTable) -> Study:
    """Monthly share of new models by dtype, context, grouped attention, library version, and by pipeline tag."""
    month = months(table)
    if not month.notna().any():
        notes = missing_note(table, ["createdAt"], "the whole study") or ("no model has a readable date of creation",)
        return Study("adoption", "Adoption over time", {}, {"dated_models": 0}, {}, notes)
    flags = features(table)
    monthly = pd.concat([monthly_share(flag, month).assign(feature=name) for name, flag in flags.items()])
    curves, notes = _curves(monthly)
    fits = pd.DataFrame([_row(name, curve) for name, curve in curves.items()], columns=_FIT_COLUMNS)
    by_tag = _by_tag(table, flags, month)
    figures: dict[str, Callable[[], Figure]] = {
        "scurve_dtype": partial(_shares, monthly, list(_DTYPES), "Number format", curves),
        "scurve_context": partial(_shares, monthly, list(_CONTEXTS), "Context length", curves),
        "scurve_gqa": partial(_shares, monthly, ["GQA"], "Grouped-query attention", curves),
        "scurve_transformers_version": partial(_versions, table, month),
        "scurve_pipeline_tag": partial(_tags, by_tag),
        "scurve_overview": partial(_shares, monthly, ["bf16", "context >= 32k", "GQA", "MoE"], "Four features", curves),
    }
    ordered = ["feature", "month", "n_true", "n_known", "n_unknown", "share", "low", "high", "share_of_all"]
    tables = {"adoption_monthly": monthly.assign(month=monthly["month"].map(month_name))[ordered],
              "adoption_fits": fits, "adoption_by_pipeline_tag": by_tag}  # fmt: skip
    summary = {"dated_models": int(month.notna().sum()), "months": int(month.max() - month.min() + 1),
               "fits": {r["feature"]: r for r in fits.to_dict("records")}}  # fmt: skip
    return Study("adoption", "Adoption over time", tables, summary, figures, notes)


def features(table: ConfigTable) -> Mapping[str, pd.Series]:
    """1 / 0 / NaN of each feature for each model: a model that does not tell is neither."""
    dtype = table.column("config_torch_dtype").astype(object)
    text, known = dtype.fillna("").astype(str).str.lower(), dtype.notna()
    found = {}
    for name, pattern in _DTYPES.items():
        hit = text.str.contains(pattern) & ~(text.str.contains("bfloat16|bf16") & (name == "fp16"))
        found[name] = hit.astype(float).where(known)
    context = table.column("config_max_position_embeddings")
    found |= {name: (context >= least).astype(float).where(context.notna()) for name, least in _CONTEXTS.items()}
    return found | {"GQA": table.column("uses_gqa"), "MoE": table.column("uses_moe")}


def monthly_share(flag: pd.Series, month: pd.Series) -> pd.DataFrame:
    """month, n_true, n_known, n_unknown, share (of the known) with Wilson limits, share_of_all.

    `share_of_all` has every model of the month below the line, as published; a feature that fewer models mention
    then seems to spread less.
    """
    groups = flag[month.notna()].groupby(month[month.notna()])
    frame = pd.DataFrame({"n_true": groups.sum(), "n_known": groups.count(), "n_all": groups.size()})
    frame = frame.rename_axis("month").reset_index()
    frame["n_unknown"] = frame["n_all"] - frame["n_known"]
    frame["share"] = frame["n_true"] / frame["n_known"].where(frame["n_known"] > 0)
    frame["low"], frame["high"] = wilson(frame["n_true"], frame["n_known"])
    return frame.assign(share_of_all=frame["n_true"] / frame["n_all"])


_FIT_COLUMNS = ["feature", "ceiling", "ceiling_low", "ceiling_high", "growth", "growth_low", "growth_high", "midpoint",
                "midpoint_low", "midpoint_high", "n_months", "dispersion", "identified", "warnings"]  # fmt: skip


def _curves(monthly: pd.DataFrame) -> tuple[dict[str, Curve], tuple[str, ...]]:
    curves, notes = {}, []
    for name, part in monthly.groupby("feature", sort=False):
        columns = (part[c].to_numpy(dtype=np.float64) for c in ("month", "n_true", "n_known"))
        try:
            curves[str(name)] = fit_scurve(*columns)
        except BadInput as error:
            notes.append(f"{name}: no curve fitted ({error})")
        else:
            notes += [f"{name}: {'; '.join(curves[str(name)].warnings)}"] if curves[str(name)].warnings else []
    return curves, tuple(notes)


def _row(name: str, curve: Curve) -> tuple[Any, ...]:
    spans = [v for s in (curve.ceiling, curve.growth) for v in (s.value, s.low, s.high)]
    middle = [_month(v) for v in (curve.midpoint.value, curve.midpoint.low, curve.midpoint.high)]
    identified = not any("midpoint" in w for w in curve.warnings)
    return (name, *spans, *middle, curve.n_months, curve.dispersion, identified, "; ".join(curve.warnings))


def _month(value: float) -> str | None:
    """Name of a month between 1990 and 2100; limits beyond say nothing."""
    return month_name(value) if 240 <= value <= 1_560 else None


def _by_tag(table: ConfigTable, flags: Mapping[str, pd.Series], month: pd.Series) -> pd.DataFrame:
    tag = table.column("pipeline_tag")
    parts = [
        monthly_share(flags[name][tag == t], month[tag == t]).assign(pipeline_tag=t, feature=name)
        for t in tag[month.notna()].value_counts().head(_TAGS).index
        for name in ("bf16", "context >= 32k", "GQA", "MoE")
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _shares(monthly: pd.DataFrame, names: list[str], title: str, curves: Mapping[str, Curve]) -> "Figure":
    figure, (axes,) = panels(height=3.8)
    drawn = False
    for colour, name in zip(COLOURS, names, strict=False):
        part = monthly[(monthly["feature"] == name) & (monthly["n_known"] > 0)]
        if not len(part):
            continue
        drawn = True
        t = part["month"].to_numpy(dtype=np.float64)
        axes.fill_between(t, part["low"], part["high"], color=colour, alpha=0.13, linewidth=0)
        axes.scatter(t, part["share"], s=14, color=colour, label=f"{name} (n = {int(part['n_known'].sum()):,})")
        if name in curves:
            fine = np.linspace(t.min(), t.max(), 200)
            axes.plot(fine, curves[name].share(fine), color=colour, linestyle="--" if curves[name].warnings else "-")
    if not drawn:
        nothing(axes, title)
        return figure
    axes.set(title=f"{title}: share of new models that tell", ylabel="share", ylim=(-0.03, 1.03))
    percents(axes, "y")
    month_ticks(axes, monthly["month"].min(), monthly["month"].max())
    axes.set_xlabel("bands: 95 %; lines: fitted curves, dashed where not fully identified")
    legend_below(figure, axes, 3)
    return figure


def _versions(table: ConfigTable, month: pd.Series) -> "Figure":
    version = table.column("config_transformers_version").astype(object)
    minor = version.where(version.isna(), version.astype(str).str.extract(r"^(\d+\.\d+)", expand=False))
    top = minor[month.notna()].value_counts().head(_VERSIONS).index
    figure, (axes,) = panels(height=3.8)
    if not len(top):
        nothing(axes, "library versions")
        return figure
    known = minor.notna() & month.notna()
    share = pd.crosstab(month[known], minor[known], normalize="index")
    ordered = sorted(top, key=lambda v: tuple(int(p) for p in str(v).split(".")))
    axes.stackplot(share.index, *(share[v] for v in ordered), labels=ordered, colors=_shades(len(ordered)))
    axes.set(
        title=f"transformers versions: the {len(top)} most common", ylabel="share of models that tell", ylim=(0, 1)
    )
    percents(axes, "y")
    month_ticks(axes, float(share.index.min()), float(share.index.max()))
    legend_below(figure, axes, 5)
    return figure


def _shades(n: int) -> Any:
    from matplotlib import colormaps

    return colormaps["cividis"](np.linspace(0.05, 0.95, n))


def _tags(by_tag: pd.DataFrame) -> "Figure":
    figure, axes = panels(2, 2, height=2.9)
    names = list(dict.fromkeys(by_tag["pipeline_tag"])) if len(by_tag) else []
    for each, name in zip(axes, names + [None] * (4 - len(names)), strict=False):
        part = by_tag[by_tag["pipeline_tag"] == name] if name is not None else by_tag
        if name is None or not (part["n_known"] > 0).any():
            nothing(each, str(name or "pipeline tag"))
            continue
        for colour, (feature, values) in zip(COLOURS, part.groupby("feature", sort=False), strict=False):
            known = values[values["n_known"] > 0]
            each.plot(known["month"], known["share"], color=colour, label=str(feature), linewidth=1.4)
        each.set(title=str(name), ylim=(-0.03, 1.03))
        percents(each, "y")
        month_ticks(each, by_tag["month"].min(), by_tag["month"].max())
    figure.suptitle("Share of new models that tell, by pipeline tag", fontsize=11.5, fontweight="bold")
    legend_below(figure, axes[0])
    return figure
