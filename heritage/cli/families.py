"""`heritage families`, `tree`, `recluster`, `fingerprint`: families of the registry, recovered from weights."""

from pathlib import Path
from typing import Annotated, Any

import typer

from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, JsonFlag, console, notes, print_json, tell


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (families, tree, recluster, fingerprint):
        app.command()(command)


def families(json: JsonFlag = False) -> None:
    """Families of the registry, largest first, and how far recovery got."""
    from heritage.flows import fleet

    found = fleet.statistics(connect())
    if json:
        print_json(found)
        return
    from rich.table import Table

    table = Table("family", "members", "roots", "depth", "tree")
    for family in found["families"]:
        told = "valid" if family["valid"] else "faults"
        table.add_row(*(str(family[key]) for key in ("id", "members", "roots", "depth")), told)
    console.print(table, markup=False)
    notes.print(_progress(found), markup=False, soft_wrap=True)


def tree(
    family: Annotated[str, typer.Argument(help="Family, as `heritage families` lists it.")],
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Recover its tree again first.")] = False,
    weights: Annotated[bool, typer.Option("--weights", help="With --rebuild: from weights, not fingerprints.")] = False,
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Draw the tree of a family: what was said about parents, and where nobody said anything, what was recovered."""
    from heritage.flows import fleet

    ctx = connect()
    if rebuild:
        told = fleet.rebuild_tree(ctx, family, weights, dry_run)
        notes.print(f"{_to_update(told, dry_run)} of {told['models']} models", markup=False)
    if json:
        print_json(fleet.genealogy(ctx, family))
        return
    from heritage.cli.trees import draw

    graph = fleet.family_graph(ctx, family)
    for root in sorted(graph.roots(), key=lambda d: graph.node(d).created_at):
        console.print(draw(graph, root))


def recluster(
    reset: Annotated[bool, typer.Option("--reset", help="Drop all families and recovered edges first.")] = False,
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Find all families and their trees again; what was declared or attested stays as it is."""
    from heritage.flows import fleet

    with notes.status("reclustering"):
        found = fleet.recluster_all(connect(), reset, dry_run)
    if json:
        print_json(found)
        return
    lines = [f"{family['id']}: {family['members']} models" for family in found["families"]]
    quality = found.get("quality") or {}
    told = [f"{name} {quality[name]:.2f}" for name in ("silhouette", "stability") if quality.get(name) is not None]
    lines += [", ".join(told)] if told else []
    lines += [f"outlier: {address}" for address in quality.get("outliers", ())]
    lines += [f"left out, no fingerprint: {address}" for address in found.get("left_out", ())]
    lines.append(f"{_to_update(found, dry_run)} of {found.get('contents', 0)} models")
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def fingerprint(
    file: Annotated[Path, typer.Argument(help="safetensors file, or folder with one or with a sharded index.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the fingerprint here (npz).")] = None,
    json: JsonFlag = False,
) -> None:
    """Read a model once and tell its fingerprint: digest, architecture, and what its tensors look like."""
    from heritage.weights.checkpoint import Checkpoint
    from heritage.weights.fingerprint_codec import to_bytes
    from heritage.weights.fingerprinting import take_fingerprint

    with Checkpoint.open(file) as checkpoint:
        taken = take_fingerprint(checkpoint)
        size = checkpoint.size_bytes
    data = to_bytes(taken)
    if output is not None:
        _write(output, data)
    found: dict[str, Any] = {
        "digest": taken.digest,
        "architecture": taken.architecture,
        "tensors": len(taken.names),
        "parameters": taken.parameters,
        "dtypes": sorted(set(taken.dtypes)),
        "zeros": int(taken.zeros.sum()),
        "non_finite": int(taken.non_finite.sum()),
        "weights_bytes": size,
        "fingerprint_bytes": len(data),
        "output": None if output is None else str(output),
    }
    tell(json, found, "\n".join(f"{key}: {value}" for key, value in found.items() if value is not None))


def _write(path: Path, data: bytes) -> None:
    from heritage.errors import BadInput

    try:
        path.write_bytes(data)
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}); name another file with -o") from error


def _progress(found: dict[str, Any]) -> str:
    told = f"{found['processed']} of {found['versions']} versions processed"
    if found["pending"]:
        told += f", {found['pending']} pending (heritage ingest)"
    if found["problems"]:
        told += f", {len(found['problems'])} with problems: " + ", ".join(p["address"] for p in found["problems"][:5])
    if found["mean_confidence"] is not None:
        told += f"; mean confidence of recovered edges {found['mean_confidence']:.2f}"
    return told


def _to_update(found: dict[str, Any], dry_run: bool) -> str:
    return f"would update {found['models_updated']}" if dry_run else f"updated {found['models_updated']}"
