"""`heritage drift`: fit a profile, check a file against it, write the report."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heritage.cli.output import Exit, JsonFlag, console, fail, notes, print_json
from heritage.errors import BadInput, NotFound

if TYPE_CHECKING:
    from heritage.drift.performance import PerformanceVerdict
    from heritage.drift.profile import DriftProfile
    from heritage.drift.rules import Rules
    from heritage.drift.verdict import Verdict
    from heritage.drift.window import Window

app = typer.Typer(name="drift", help="Profiles of reference data, and what drifted since.", no_args_is_help=True)

ProfileFile = Annotated[Path, typer.Argument(metavar="PROFILE", help="A profile written by `drift profile`.")]
CurrentFile = Annotated[Path, typer.Argument(metavar="CURRENT", help="Current rows, parquet or CSV.")]
LabelOption = Annotated[str | None, typer.Option("--label", help="Column with the true class.")]
ProbabilityOption = Annotated[
    str | None,
    typer.Option(
        "--probability",
        help="Column with the probability of the second of two classes, or one column a class, separated by commas.",
    ),
]
RuleOption = Annotated[str | None, typer.Option("--rule", help="guarded (default), psi, ks or kl.")]
ThresholdOption = Annotated[
    float | None, typer.Option("--threshold", help="Effect (guarded), PSI, p-value (ks) or KL from which it is drift.")
]
LIMIT = {"guarded": "drift_effect", "psi": "psi_above", "ks": "ks_p_below", "kl": "kl_above"}


@app.command()
def profile(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="Reference rows, parquet or CSV.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the profile is written.")],
    categorical: Annotated[str, typer.Option(help="Columns whose numbers are codes, separated by commas.")] = "",
    exclude: Annotated[str, typer.Option(help="Columns to leave out, separated by commas.")] = "",
    label: LabelOption = None,
    probability: ProbabilityOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Fit a drift profile to REFERENCE: rows that the model was not trained on."""
    from heritage.drift.labelled import classes_of, take_apart
    from heritage.drift.performance import PerformanceReference
    from heritage.drift.profile import DriftProfile
    from heritage.drift.tables import read_table

    names = _names(probability)
    _check_pair(label, names)
    codes = _names(categorical)
    parts = take_apart(read_table(reference, codes), label, names)
    performance = None
    if parts.labels is not None:
        classes = classes_of(parts.labels, len(names))
        performance = PerformanceReference.fit(*parts.scored(classes), classes)
    fitted = DriftProfile.fit(
        parts.inputs, categorical=codes, exclude=_names(exclude), outputs=parts.outputs, performance=performance
    )
    _write(output, fitted.to_bytes())
    if as_json:
        print_json({"signature": fitted.signature, "rows": fitted.rows, "schema": fitted.schema})
    else:
        console.print(f"profile of {fitted.rows} rows and {len(fitted.columns)} columns: {output}", markup=False)


@app.command()
def check(
    profile_file: ProfileFile,
    current: CurrentFile,
    label: LabelOption = None,
    probability: ProbabilityOption = None,
    rule: RuleOption = None,
    threshold: ThresholdOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Judge CURRENT against PROFILE. Exit code 3 for drift, 1 where columns are missing or of another type."""
    _, _, verdict = _judge(profile_file, current, label, _names(probability), _rules(rule, threshold))
    if as_json:
        print_json(verdict.to_json())
    else:
        _print(verdict)
    raise typer.Exit({"drift": Exit.FOUND, "schema": Exit.ERROR}.get(verdict.status, Exit.OK))


@app.command()
def report(
    profile_file: ProfileFile,
    current: Annotated[
        list[Path],
        typer.Argument(metavar="CURRENT...", help="Current rows, parquet or CSV; of several, oldest first, the last."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the HTML page is written.")],
    reference: Annotated[
        Path | None, typer.Option("--reference", help="Reference rows: writes Evidently's report instead of ours.")
    ] = None,
    label: LabelOption = None,
    probability: ProbabilityOption = None,
    rule: RuleOption = None,
    threshold: ThresholdOption = None,
) -> None:
    """Write an HTML report that needs no network: the verdict on the last CURRENT, a plot a column, and a timeline of
    the verdicts on all of them; or Evidently's with the reference rows.
    """
    if reference is not None:
        _write(output, _evidently(profile_file, reference, current[-1]))
    else:
        from heritage.reports.verdict_report import verdict_report

        rules, names = _rules(rule, threshold), _names(probability)
        judged = [_judge(profile_file, path, label, names, rules) for path in current]
        # a file's name is the only name that its window has
        history = [replace(verdict, window=path.stem) for (_, _, verdict), path in zip(judged, current, strict=True)]
        shown = history if len(history) > 1 else ()
        _write(output, verdict_report(*judged[-1], title=current[-1].name, history=shown).encode())
    console.print(f"report: {output}", markup=False)


def _evidently(profile_file: Path, reference: Path, current: Path) -> bytes:
    from heritage.drift.tables import read_table
    from heritage.reports.evidently_report import drift_report_html

    fitted = _read_profile(profile_file)
    codes = [name for name, kind in fitted.schema.items() if kind == "categorical"]
    return drift_report_html(read_table(reference, codes), read_table(current, codes), fitted)


def _judge(
    profile_file: Path, current: Path, label: str | None, names: list[str], rules: "Rules"
) -> "tuple[DriftProfile, Window, Verdict]":
    import numpy as np

    from heritage.drift.labelled import take_apart
    from heritage.drift.performance import check_performance
    from heritage.drift.tables import stream_table
    from heritage.drift.verdict import check
    from heritage.drift.window import Window

    _check_pair(label, names)
    fitted = _read_profile(profile_file)
    if not names:
        fitted = _of_inputs(fitted)
    window, scored = Window.empty(fitted), []
    codes = {c.name: "code" for c in fitted.columns if c.record().get("accepts") == "any"}
    schema = fitted.schema | codes | dict.fromkeys(names, "numeric")
    for frame in stream_table(current, schema):
        parts = take_apart(frame, label, names)
        window.update(parts.inputs, parts.outputs)
        if label is not None:
            scored.append(parts.scored(_reference_of(fitted, profile_file).classes))
    performance: PerformanceVerdict | None = None
    if scored:
        p, y = (np.concatenate(part) for part in zip(*scored, strict=True))
        performance = check_performance(_reference_of(fitted, profile_file), p, y)
    return fitted, window, check(fitted, window, rules, performance)


def _of_inputs(fitted: "DriftProfile") -> "DriftProfile":
    """`fitted` without the model's outputs, which cannot be compared where nobody says which columns hold them."""
    from heritage.drift.parts import Family

    inputs = tuple(c for c in fitted.columns if c.family is Family.INPUT)
    if len(inputs) < len(fitted.columns):
        notes.print("the model's outputs are not compared: --probability names no columns", soft_wrap=True)
    return replace(fitted, columns=inputs)


def _reference_of(fitted: "DriftProfile", path: Path) -> Any:
    if fitted.performance is None:
        raise BadInput(f"{path}: the profile was fitted without labels; fit it again with --label and --probability")
    return fitted.performance


def _rules(rule: str | None, threshold: float | None) -> "Rules":
    from heritage.flows.drift_rules import rules_of
    from heritage.settings import settings

    rules = rules_of(settings().drift)
    if rule is not None:
        rules = replace(rules, rule=rule)  # type: ignore[arg-type]  # its own check names the choices
    if threshold is None:
        return rules
    below = {"warning_effect": min(rules.warning_effect, threshold)} if rules.rule == "guarded" else {}
    return replace(rules, **{LIMIT[rules.rule]: threshold, **below})  # type: ignore[arg-type]


def _read_profile(path: Path) -> "DriftProfile":
    from heritage.drift.profile import DriftProfile

    if not path.is_file():
        raise NotFound(f"{path}: no such file; write a profile with `heritage drift profile`")
    return DriftProfile.from_bytes(path.read_bytes(), str(path))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    if not path.parent.is_dir():
        raise NotFound(f"{path.parent}: no such folder; make it first")
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _check_pair(label: str | None, names: list[str]) -> None:
    if label is not None and not names:
        fail("--label needs --probability: the model's probabilities are compared with the labels", Exit.USAGE)


def _print(verdict: "Verdict") -> None:
    from rich.table import Table
    from rich.text import Text

    from heritage.names import printable

    moved = f" ({', '.join(verdict.moved)} moved)" if verdict.moved else ""
    console.print(Text(f"{verdict.status}{moved}, {verdict.rows} rows"))
    table = Table("column", "PSI", "debiased", "KL", "KS", "p", "", box=None)
    for name, c in verdict.columns.items():
        figures = [f"{v:.4f}" if v == v else "-" for v in (c.psi, c.psi_debiased, c.kl, c.ks.low)]
        table.add_row(Text(printable(name, 40)), *figures, f"{c.p:.2g}", "" if c.level == "ok" else c.level)
    console.print(table)
    for name, reason in verdict.schema.items():
        console.print(Text(f"schema: column '{printable(name)}' is {reason}"))
    for name, found in verdict.quality.get("columns", {}).items():
        console.print(Text(f"quality: column '{printable(name)}': {', '.join(found)}"))
    for name, rows in verdict.quality.get("unknown_columns", {}).items():
        console.print(Text(f"quality: unknown column '{printable(name)}' in {rows} rows"))
    if "lost_rows" in verdict.quality:
        console.print(Text(f"quality: {verdict.quality['lost_rows']} rows were dropped before they were counted"))
    if "repeated_rows" in verdict.quality:
        console.print(Text("quality: most rows are repeated; repeated rows are no evidence"))
    if verdict.performance is not None and verdict.performance.current is not None:
        then, now = verdict.performance.reference, verdict.performance.current
        console.print(Text(f"accuracy {then.accuracy:.3f} -> {now.accuracy:.3f} on {now.rows} labels"))
