"""`heritage register`, `ingest`, `lineage ...`: versions and what descends from what."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, Exit, JsonFlag, console, fail, print_json, progress, tell

if TYPE_CHECKING:
    from heritage.flows.context import Context
    from heritage.lineage.graph import LineageGraph
    from heritage.records import ModelVersion, ParentEdge

app = typer.Typer(name="lineage", help="What descends from what.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="name, name/3 or name@champion")]


def register(main: typer.Typer) -> None:
    """Add these commands to the main one."""
    main.command("register")(register_version)
    main.command()(ingest)
    main.add_typer(app)


def register_version(
    name: Annotated[str, typer.Argument(help="Registered model name.")],
    weights: Annotated[Path, typer.Argument(help="safetensors file, or folder with one or with a sharded index.")],
    architecture: Annotated[str, typer.Option(help="package.module:callable that builds the network.")] = "",
    kwargs: Annotated[str, typer.Option(help="Its keyword arguments, as JSON.")] = "{}",
    reference: Annotated[Path | None, typer.Option(help="npz with held-out rows: x, and y.")] = None,
    parent: Annotated[list[str] | None, typer.Option(help="name/version[:relation]; may be repeated.")] = None,
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Register a version with its lineage; the same content twice is one version."""
    from heritage.cli.files import read_rows
    from heritage.flows import register as flow

    ctx = connect()
    wanted = flow.Registration(
        name,
        weights,
        _architecture(architecture, kwargs),
        None if reference is None else read_rows(reference),
        parents=tuple(_parent(ctx, text) for text in parent or ()),
    )
    digest = flow.check(ctx, wanted)
    if dry_run:
        tell(json, {"name": name, "digest": digest, "registered": False}, f"would register {name}, digest {digest}")
        return
    version = flow.run(ctx, wanted)
    tell(json, {"address": version.address, "digest": version.digest, "registered": True}, version.address)


def ingest(
    address: Annotated[str, typer.Argument(help="name/version; without it, every pending version.")] = "",
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Find the place of new versions: fingerprint, family, parents by their weights beside the declared ones."""
    from heritage.flows import ingest as flow

    ctx = connect()
    addresses = flow.pending(ctx, address)
    results = []
    with progress() as bar:
        task = bar.add_task("fingerprints", total=2 * len(addresses))
        for found in [] if dry_run else addresses:
            flow.fingerprint_all(ctx, [found])
            bar.advance(task)
        for found in addresses:
            bar.update(task, description=found)
            results.append(flow.run(ctx, found, dry_run))
            bar.advance(task)
    if json:
        print_json(results)
    for result in [] if json else results:
        console.print(_ingested(result), markup=False, soft_wrap=True)
    if any(result["problem"] for result in results):
        raise typer.Exit(Exit.ERROR)


def _ingested(result: dict[str, Any]) -> str:
    """One line for a processed version, and one for each contradiction."""
    if result["problem"]:
        return f"{result['address']}: {result['problem']}"
    parents = [
        f"{e['parent']} ({e['relation']} {e['origin']} {e['confidence']:.2f}{_confirmed(e)})" for e in result["parents"]
    ]
    lines = [f"{result['address']}: family {result['family_id']}, parent {', '.join(parents) or 'none'}"]
    return "\n".join([*lines, *(f"  {finding['message']}: {finding['remedy']}" for finding in result["findings"])])


def _confirmed(edge: dict[str, Any]) -> str:
    sure = [e["confidence"] for e in edge["evidence"] if e["origin"] == "recovered" and e["confidence"]]
    return f", weights agree {max(sure):.2f}" if sure else ""


@app.command()
def show(address: Address, json: JsonFlag = False) -> None:
    """Draw the tree that a version belongs to."""
    _, version, graph = _known(address)
    node = graph.node(version.digest)
    if json:
        print_json({**asdict(node), "parents": [asdict(e) for e in _edges(graph, version.digest)]})
        return
    from heritage.cli.trees import draw

    for root in graph.roots(version.digest):
        console.print(draw(graph, root, {version.digest: "[green]<[/green]"}))


@app.command()
def ancestors(address: Address, json: JsonFlag = False) -> None:
    """All that a version descends from, nearest first."""
    _, version, graph = _known(address)
    _list(graph, graph.ancestors(version.digest), json)


@app.command()
def impact(address: Address, json: JsonFlag = False) -> None:
    """All that descends from a version: what a fault in it may have reached."""
    _, version, graph = _known(address)
    _list(graph, graph.descendants(version.digest), json)


@app.command("list")
def list_versions(family: Annotated[str, typer.Option(help="Only this family.")] = "", json: JsonFlag = False) -> None:
    """Every registered version, with family, aliases and digest."""
    ctx = connect()
    found = [_record(v) for v in ctx.registry.versions(family=family or None)]
    if json:
        print_json(found)
        return
    from rich.table import Table

    table = Table("version", "family", "aliases", "digest", "drift")
    for v in found:
        table.add_row(*(str(v[key]) for key in ("address", "family", "aliases", "digest", "drift")))
    console.print(table, markup=False)


@app.command("index")
def write_index(
    file: Annotated[Path, typer.Argument(help="SQLite file; one that is there must be an index.")],
    manifests: Annotated[bool, typer.Option("--manifests", help="Read every manifest, not the tags alone.")] = False,
    json: JsonFlag = False,
) -> None:
    """Write what descends from what into an index, for questions to many versions and for `audit --index`."""
    from heritage.lineage.index import LineageIndex

    registry = connect().registry
    with LineageIndex(file) as opened:
        count = opened.rebuild(registry.entries()) if manifests else registry.index(opened)
        found = {"file": str(file), "versions": count, "edges": opened.counts()["edge"]}
    tell(json, found, f"{file}: {count} versions, {found['edges']} edges")


def _known(address: str) -> "tuple[Context, ModelVersion, LineageGraph]":
    ctx = connect()
    version = ctx.registry.version(address)
    if not version.digest:
        fail(f"{version.address} was registered without heritage; run: heritage ingest {version.address}")
    return ctx, version, ctx.registry.graph()


def _edges(graph: "LineageGraph", digest: str) -> "list[ParentEdge]":
    return [edge for parent in graph.parents(digest) for edge in graph.edges_between(digest, parent)]


def _list(graph: "LineageGraph", digests: tuple[str, ...], json: bool) -> None:
    nodes = [graph.node(digest) for digest in digests]
    if json:
        print_json([{"digest": n.digest, "label": n.label, "present": n.present} for n in nodes])
        return
    for node in nodes:
        console.print(node.label, markup=False)


def _record(version: "ModelVersion") -> dict[str, Any]:
    from heritage.names import printable

    return {
        "address": printable(version.address),
        "family": printable(version.tags.get("heritage.family", "")),
        "aliases": ", ".join(version.aliases),
        "digest": version.digest[:12],
        "drift": printable(version.tags.get("heritage.drift", "")),
    }


def _architecture(builder: str, kwargs: str) -> Any:
    import json

    from heritage.records import Architecture

    if not builder:
        return None
    try:
        arguments = json.loads(kwargs)
    except ValueError as error:
        fail(f"--kwargs is no JSON ({error}); write for example '{{\"width\": 16}}'", Exit.USAGE)
    if not isinstance(arguments, dict):
        fail("--kwargs must be a JSON object such as '{\"width\": 16}'", Exit.USAGE)
    return Architecture(builder, arguments)


def _parent(ctx: "Context", text: str) -> "ParentEdge":
    from heritage.records import Origin, ParentEdge, Relation

    address, _, word = text.partition(":")
    if (word or "finetune") not in list(Relation):
        fail(f"relation '{word}' is unknown; known: {', '.join(Relation)}", Exit.USAGE)
    version = ctx.registry.version(address)
    if not version.digest:
        fail(f"parent {version.address} was registered without heritage; run: heritage ingest {version.address}")
    relation = Relation(word or "finetune")
    return ParentEdge(version.digest, relation, Origin.DECLARED, 1.0, version.name, version.version)
