"""`heritage repair`: bring a drifted model back with the weights of its relatives."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heritage.cli.output import DryRunFlag, Exit, JsonFlag, console, notes, print_json
from heritage.errors import BadInput
from heritage.settings import settings

if TYPE_CHECKING:
    from heritage.records import Architecture
    from heritage.repair.files import FilesResult

app = typer.Typer(name="repair", help="Repair a drifted model from its lineage.", no_args_is_help=True)

Weights = Annotated[Path, typer.Option("--drifted", help="Weights of the drifted model: safetensors file or folder.")]
Donors = Annotated[str, typer.Option("--donors", help="Weights of its relatives, separated by commas, nearest first.")]
Builder = Annotated[str, typer.Option("--model", help="Who builds the network, 'package.module:callable'.")]
Kwargs = Annotated[str, typer.Option("--kwargs", help="Keyword arguments of the builder, as JSON.")]
Validation = Annotated[Path, typer.Option(help="Labelled current rows to tune on: npz with x and y.")]
Guard = Annotated[Path, typer.Option(help="Labelled current rows to judge on, others than those: npz with x and y.")]
Unlabelled = Annotated[Path | None, typer.Option(help="Current rows for BatchNorm statistics: npz with x.")]
Original = Annotated[Path | None, typer.Option(help="Labelled rows of the domain that must not suffer: npz.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="Where the repaired weights are written.")]
Rungs = Annotated[str, typer.Option(help="none, rollback, one, hull, layers, finetune-20, -60, -200; 'all'.")]


@app.callback()
def _repair() -> None:
    """Repair a drifted model from its lineage."""


@app.command()
def files(
    drifted: Weights,
    donors: Donors,
    model: Builder,
    validation: Validation,
    guard: Guard,
    output: Output,
    unlabelled: Unlabelled = None,
    original: Original = None,
    kwargs: Kwargs = "{}",
    rungs: Rungs = "all",
    trim: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the repair vectors' entries to keep, largest first (TIES).")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of splits and steps.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or a torch device.")] = "auto",
    plan: Annotated[Path | None, typer.Option(help="Where the plan is written as JSON, for `repair write`.")] = None,
    as_json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Repair weights files without a registry; OUTPUT is written only where the gate accepts (else exit code 3)."""
    from heritage.repair.files import FilesRequest, repair_files, write_result
    from heritage.repair.gate import GateOptions
    from heritage.repair.options import SearchOptions, parse_rungs
    from heritage.weights.limits import Limits
    from heritage.weights.network import build

    own = settings()
    seed = own.repair.seed if seed is None else seed
    options = SearchOptions(parse_rungs(rungs), seed, trim=trim, device=device)
    network = build(_architecture(model, kwargs), own.allowed_builders)
    paths = [Path(part.strip()) for part in donors.split(",") if part.strip()]
    request = FilesRequest(drifted, paths, validation, guard, unlabelled, original)
    limits = Limits(own.weights.max_header_bytes, own.weights.max_tensors)
    gate = GateOptions(alpha=own.repair.alpha, margin=own.repair.original_margin, metric=own.repair.metric)
    result = repair_files(network, request, options, gate, limits)
    written = result.decision.accepted and not dry_run
    digest = write_result(result, drifted, output).digest if written else ""
    if written and plan is not None:
        plan.write_text(result.plan.to_json())
    document = _document(result, str(output) if written else "", digest)
    print_json(document) if as_json else _tell(result, document)
    if not result.decision.accepted:
        raise typer.Exit(Exit.FOUND)


def _architecture(model: str, kwargs: str) -> "Architecture":
    from heritage.records import Architecture

    try:
        arguments = json.loads(kwargs)
    except ValueError as error:
        raise BadInput(f"--kwargs is not JSON ({error}); give an object such as '{{\"classes\": 10}}'") from error
    if not isinstance(arguments, dict):
        raise BadInput("--kwargs must be a JSON object such as '{\"classes\": 10}'")
    return Architecture(model, arguments)


def _document(result: "FilesResult", output: str, digest: str) -> dict[str, Any]:
    decision, recipe = result.decision, result.plan.recipe
    return {
        "verdict": decision.verdict.value,
        "rung": recipe.rung.value,
        "coefficients": {name: recipe.coefficients.get(name, 0.0) for name in result.plan.donors},
        "statistics": recipe.statistics.value,
        "steps": recipe.steps,
        "share": recipe.share,
        "guard_rows": decision.rows,
        "nll_before": result.nll_before,
        "nll_after": result.nll_after,
        "accuracy_before": decision.before,
        "accuracy_after": decision.after,
        "gain": decision.gain,
        "fixed": decision.fixed,
        "broken": decision.broken,
        "p": decision.p,
        "detectable_gain": decision.detectable,
        "original_gain": decision.original_gain,
        "reasons": [*decision.reasons, *result.notes],
        "held_out_nll": {rung.value: nll for rung, nll in result.search.held_out.items()},
        "searched": result.search.rung.value,
        "passes": result.search.passes,
        "left": dict(result.plan.left),
        "skipped": dict(result.search.skipped),
        "plan": result.plan.hash,
        "output": output,
        "digest": digest,
    }


def _tell(result: "FilesResult", document: dict[str, Any]) -> None:
    mix = ", ".join(f"{name} {a:.2f}" for name, a in document["coefficients"].items() if a)
    console.print(
        f"{document['verdict']}: rung {document['rung']}" + (f" ({mix})" if mix else ""), markup=False, soft_wrap=True
    )
    console.print(
        f"accuracy {document['accuracy_before']:.3f} -> {document['accuracy_after']:.3f}, "
        f"NLL {document['nll_before']:.3f} -> {document['nll_after']:.3f} on {document['guard_rows']} guard rows",
        markup=False,
        soft_wrap=True,
    )
    for reason in document["reasons"]:
        console.print(f"  {reason}", markup=False, soft_wrap=True)
    for name, reason in result.search.skipped.items():
        notes.print(f"left out: {name} ({reason})", markup=False, soft_wrap=True)
    if document["output"]:
        console.print(f"written: {document['output']}", markup=False, soft_wrap=True)
