"""`heritage configs`: the studies of a fleet's configurations."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heritage.cli.output import Exit, JsonFlag, console, notes, print_json, progress
from heritage.errors import BadInput, NotFound

if TYPE_CHECKING:
    import pandas as pd

    from heritage.configs.edges import Edges
    from heritage.configs.study import Study
    from heritage.configs.suite import Fleet
    from heritage.configs.table import ConfigTable

app = typer.Typer(name="configs", help="What the configurations of a fleet tell.", no_args_is_help=True)


# in place of a file: every version of the registry, or the table and edges that come with heritage
REGISTRY = "registry"
SAMPLE = "sample"


class Mode(StrEnum):
    """How numbers are compared."""

    SEED = "seed"
    RANGE = "range"


TableOption = Annotated[
    Path,
    typer.Option(
        "--table",
        metavar="TABLE",
        help="csv, parquet, a folder of config.json files, 'registry' for all versions, or "
        "'sample' for 290 public configurations to try it on.",
    ),
]
EdgesOption = Annotated[
    Path | None,
    typer.Option("--edges", metavar="EDGES", help="csv, parquet, GraphML or JSON: parent_id, child_id and optionally "
                 "relation; or a folder of model cards. Without it, the parent columns of the table."),
]  # fmt: skip
ModeOption = Annotated[Mode, typer.Option("--mode", help="seed: |x-y| / max; range: |x-y| / range of the field.")]
OutOption = Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for tables, figures and summary.")]
ScoresOption = Annotated[
    Path | None, typer.Option("--scores", help="csv or JSON of model names and scores, such as an arena's list.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of samples and intervals.")]
FoundFlag = Annotated[
    bool, typer.Option("--fail-on-contradiction", help="Leave with exit code 3 where a declared edge is contradicted.")
]


def _fleet(table: Path, edges: Path | None, scores: Path | None, mode: Mode, seed: int) -> "Fleet":
    from heritage.configs.edges import load_edges
    from heritage.configs.gower import Gower
    from heritage.configs.suite import Fleet

    loaded, recorded = _loaded(table)
    if not len(loaded):
        raise BadInput(f"{table}: no model is left of the table; {len(loaded.quarantine)} entries were set aside")
    return Fleet(loaded, recorded if edges is None else load_edges(edges), _scores(scores), Gower(mode.value), seed)


def _loaded(table: Path) -> "tuple[ConfigTable, Edges | None]":
    """The table, and the edges that come with it where it is the registry's or the sample."""
    from heritage.configs.edges import from_manifests, load_edges
    from heritage.configs.sources import SAMPLES
    from heritage.configs.sources import from_manifests as rows
    from heritage.configs.table import load_configs, table_of

    if str(table) == SAMPLE and not table.exists():
        return load_configs(SAMPLES / "configs.csv"), load_edges(SAMPLES / "edges.csv")
    if str(table) != REGISTRY:
        return load_configs(table), None
    from heritage.cli.connect import connect

    manifests = [manifest for _, manifest in connect().registry.manifests()]
    return table_of(rows(manifests), "registry"), from_manifests(manifests)


def _scores(path: Path | None) -> "pd.DataFrame | None":
    from heritage.configs.sources import read_scores

    return None if path is None else read_scores(path)


def _tell(study: "Study", out: Path, paths: list[Path], as_json: bool) -> None:
    from heritage.configs.study import plain

    if as_json:
        print_json({"study": study.name, "summary": plain(study.summary), "notes": list(study.notes),
                    "files": [str(p) for p in paths]})  # fmt: skip
        return
    console.print(study.title, style="bold")
    for key, value in plain(study.summary).items():
        _tell_value(key.replace("_", " "), value)
    for note in study.notes:
        notes.print(f"note: {note}", markup=False, style="yellow")
    console.print(f"{len(paths)} files in {out}", markup=False)


def _tell_value(name: str, value: Any) -> None:
    if isinstance(value, list):
        for line in value:
            console.print(f"  {line}", markup=False)
    elif value is not None and not isinstance(value, dict):
        console.print(f"  {name}: {f'{value:,.4g}' if isinstance(value, float) else value}", markup=False)


def _run(
    name: str, table: Path, out: Path, edges: Path | None = None, scores: Path | None = None, mode: Mode = Mode.SEED,
    seed: int = 42, as_json: bool = False,
) -> "Study":  # fmt: skip
    from heritage.configs.csv_file import write_csv
    from heritage.configs.study import write
    from heritage.configs.suite import run

    fleet = _fleet(table, edges, scores, mode, seed)
    study = run(name, fleet)
    paths = write(study, out)
    write_csv(fleet.table.quarantine, out / "quarantine.csv")
    if edges is not None:
        write_csv(fleet.lineage_edges().quarantine, out / "edges_quarantine.csv")
    _tell(study, out, paths, as_json)
    return study


def _plain_study(name: str, title: str) -> None:
    """Add the command of a study that reads the table alone."""

    def command(table: TableOption, out: OutOption, as_json: JsonFlag = False) -> None:
        _run(name, table, out, as_json=as_json)

    app.command(name, help=title)(command)


def _edge_study(name: str, title: str) -> None:
    """Add the command of a study that reads table and edges."""

    def command(
        table: TableOption, out: OutOption, edges: EdgesOption = None, mode: ModeOption = Mode.SEED,
        seed: SeedOption = 42, as_json: JsonFlag = False,
    ) -> None:  # fmt: skip
        _run(name, table, out, edges, mode=mode, seed=seed, as_json=as_json)

    app.command(name, help=title)(command)


for _name, _title in {
    "contributors": "Who contributes configurations, and what they use.",
    "parameters": "How sizes are distributed and how they go together.",
    "families": "Model families compared, and over time.",
    "moe": "Mixtures of experts.",
    "attention": "Attention heads, grouped queries, context length.",
    "adoption": "How features spread over time, with fitted curves.",
}.items():
    _plain_study(_name, _title)
for _name, _title in {
    "fitness": "Which configurations have more descendants.",
    "similarity": "Which models are configured alike.",
    "drift": "Drift along parent-child edges and the mutational landscape.",
    "subgraphs": "How alike the members of a model tree are; drift by depth.",
}.items():
    _edge_study(_name, _title)


@app.command()
def lineage(
    table: TableOption, out: OutOption, edges: EdgesOption = None, found: FoundFlag = False, as_json: JsonFlag = False
) -> None:
    """Declared edges that the configurations contradict, ranked and explained."""
    study = _run("lineage", table, out, edges, as_json=as_json)
    if found and study.summary["edges_contradicted"]:
        raise typer.Exit(Exit.FOUND)


@app.command()
def behaviour(
    table: TableOption, out: OutOption,
    scores: Annotated[Path, typer.Option("--scores", help="csv or JSON of names and scores.")],
    edges: EdgesOption = None, mode: ModeOption = Mode.SEED, as_json: JsonFlag = False,
) -> None:  # fmt: skip
    """Whether the configuration tells how a model behaves."""
    _run("behaviour", table, out, edges, scores, mode, as_json=as_json)


@app.command("all")
def all_studies(
    table: TableOption, out: OutOption, edges: EdgesOption = None, scores: ScoresOption = None,
    mode: ModeOption = Mode.SEED, seed: SeedOption = 42, as_json: JsonFlag = False,
) -> None:  # fmt: skip
    """Every study, each into a folder of its own, and one page over all of them."""
    from heritage.configs.study import plain
    from heritage.configs.suite import NAMES, run_all

    fleet = _fleet(table, edges, scores, mode, seed)
    with progress() as bar:
        task = bar.add_task("studies", total=len(NAMES))
        studies = run_all(fleet, out, told=partial(_advance, bar, task))
    if as_json:
        print_json({s.name: {"summary": plain(s.summary), "notes": list(s.notes)} for s in studies})
    else:
        console.print(f"{len(studies)} studies of {len(fleet.table):,} models: {out / 'report.html'}", markup=False)


def _advance(bar: Any, task: Any, name: str) -> None:
    bar.update(task, advance=1, description=name)


@app.command()
def summary(table: TableOption) -> None:
    """The fleet on one screen of text."""
    from heritage.configs.summary import quick_summary

    console.print(quick_summary(_loaded(table)[0]), markup=False, end="")


@app.command()
def explain(
    first: Annotated[str, typer.Argument(help="Model id.")], second: Annotated[str, typer.Argument(help="Model id.")],
    table: TableOption, mode: ModeOption = Mode.SEED, as_json: JsonFlag = False,
) -> None:  # fmt: skip
    """Field by field why two models are apart."""
    from heritage.configs.gower import Gower, encode
    from heritage.configs.gower import explain as explained
    from heritage.configs.study import plain

    loaded, _ = _loaded(table)
    i, j = (_position(loaded, model) for model in (first, second))
    frame = explained(encode(loaded, Gower(mode.value)), i, j)
    if as_json:
        print_json([plain(row) for row in frame.to_dict("records")])
        return
    console.print(f"distance {frame['contribution'].sum():.4f} over {frame['delta'].notna().sum()} shared fields")
    console.print(frame[frame["delta"].notna()].to_string(index=False, float_format="%.4f"), markup=False)


def _position(table: "ConfigTable", model: str) -> int:
    if model not in table.positions:
        raise NotFound(f"the table has no model '{model}'; ids look like {next(iter(table.positions), 'org/name')!r}")
    return table.positions[model]
