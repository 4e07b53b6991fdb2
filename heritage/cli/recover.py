"""`heritage recover`: families and trees of a folder of weights, without a registry."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.tree import Tree as Drawing

from heritage.cli.output import console, notes
from heritage.names import printable

if TYPE_CHECKING:
    from heritage.recovery.recover import Options
    from heritage.recovery.results import RecoveredEdge, RecoveredFamily, Recovery


class Device(StrEnum):
    """Where distances are computed."""

    CPU = "cpu"
    CUDA = "cuda"


class Layers(StrEnum):
    """Which layers are compared."""

    ALL = "all"
    ATTENTION = "attention"
    DENSE = "dense"
    LINEAR = "linear"


class Distances(StrEnum):
    """How distances of models that are too large for memory are measured."""

    AUTO = "auto"
    EXACT = "exact"
    SKETCH = "sketch"


def register(app: typer.Typer) -> None:
    """Add `recover` to `app`."""
    app.command("recover")(recover_folder)


def recover_folder(
    folder: Annotated[Path, typer.Argument(help="Folder of *.safetensors, one model a file.")],
    tree: Annotated[
        str, typer.Option(metavar="heritage|mother|distance|kurtosis|...", help="How trees are built.")
    ] = "heritage",
    metric: Annotated[str, typer.Option(metavar="auto|l2|cosine|rank|...", help="What an edge costs.")] = "auto",
    families: Annotated[
        str, typer.Option(metavar="threshold|dbscan|kmeans|auto|...", help="How families are found.")
    ] = "threshold",
    kurtosis_weight: Annotated[
        float, typer.Option("--lambda", min=0, help="MoTHer's weight of kurtosis against distance, for --tree mother.")
    ] = 0.3,
    z_score: Annotated[
        float, typer.Option("--z-score", min=0, help="Likeness that makes a family, in deviations of unrelated models.")
    ] = 12.0,
    device: Annotated[Device, typer.Option(help="Where distances are computed.")] = Device.CPU,
    layers: Annotated[Layers, typer.Option(help="Which layers are compared.")] = Layers.ALL,
    distances: Annotated[
        Distances, typer.Option(help="Of models too large for memory: all products, or a sketch of each.")
    ] = Distances.AUTO,
    output: Annotated[Path | None, typer.Option("--json", help="Write the result here instead of drawing it.")] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Leave out files that cannot be read.")] = False,
) -> None:
    """Recover families and model trees from weights alone; the modules of HERITAGE_RECOVERY__PLUGINS add methods."""
    from heritage.recovery.models import open_folder
    from heritage.recovery.recover import recover

    options = _options(
        tree, metric, families, device=device, layers=layers, distances=distances,
        kurtosis_weight=kurtosis_weight, z_score=z_score,
    )  # fmt: skip
    with open_folder(folder, keep_going) as (models, skipped):
        found = recover(models, options, keep_going)
    for file in (*skipped, *found.skipped):
        notes.print(f"left out {printable(file.name)}: {file.reason}", markup=False, soft_wrap=True)
    for warning in found.warnings:
        notes.print(f"warning: {warning}", markup=False, soft_wrap=True)
    if output is None:
        _draw(found)
    else:
        output.write_text(json.dumps(found.document(), indent=1) + "\n", encoding="utf-8")


def _options(tree: str, metric: str, families: str, **others: Any) -> "Options":
    """The options of these names; an unknown method is a wrong use of the command."""
    from heritage.errors import BadInput
    from heritage.flows.methods import load
    from heritage.recovery.recover import Options
    from heritage.settings import settings

    load(settings().recovery.plugins)
    try:
        return Options(tree, metric, families, **others)
    except BadInput as error:
        raise typer.BadParameter(str(error)) from error


def _draw(found: "Recovery") -> None:
    for family in found.families:
        console.print(_drawing(family))


def _drawing(family: "RecoveredFamily") -> Drawing:
    """One family as a tree: each model under its first parent, further parents named beside it."""
    first: dict[str, RecoveredEdge] = {}
    others: dict[str, list[str]] = {}
    for edge in family.edges:
        if first.setdefault(edge.child, edge) is not edge:
            others.setdefault(edge.child, []).append(edge.parent)
    drawing = Drawing(f"family {family.id} ({len(family.members)} models)")
    branches: dict[str, Drawing] = {}
    for name in _parents_first(family, {c: e.parent for c, e in first.items()}):
        label = printable(name)
        if name in first:
            edge = first[name]
            also = f", also from {', '.join(map(printable, others[name]))}" if name in others else ""
            label += f"  {edge.relation} {edge.confidence:.2f}{also}"
        elif name not in family.roots:
            label += "  parent not among these models"
        above = branches[first[name].parent] if name in first else drawing
        branches[name] = above.add(label.replace("[", "\\["))
    return drawing


def _parents_first(family: "RecoveredFamily", parent: dict[str, str]) -> list[str]:
    children: dict[str, list[str]] = {}
    for child in sorted(parent):
        children.setdefault(parent[child], []).append(child)
    order = sorted(m for m in family.members if m not in parent)
    for name in order:
        order += children.get(name, ())
    return order
