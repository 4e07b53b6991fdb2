"""The whole suite: every study by name, run on one table, written to one folder with one page."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from heritage.configs.csv_file import write_csv
from heritage.configs.edges import Edges, edges_of, from_columns
from heritage.configs.gower import Gower
from heritage.configs.study import Study, write
from heritage.configs.table import ConfigTable
from heritage.errors import NotFound

# number of each study in the published suite; the check of declared lineage comes first, as it matters most
NAMES = ("lineage", "contributors", "parameters", "families", "moe", "attention", "adoption", "fitness", "similarity",
         "drift", "subgraphs", "behaviour")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fleet:
    """What the studies read: table, lineage edges (those of the table's parent columns where None), scores, rule."""

    table: ConfigTable
    edges: Edges | None = None
    scores: pd.DataFrame | None = None
    rule: Gower = field(default_factory=Gower)
    seed: int = 42

    def lineage_edges(self) -> Edges:
        """The given edges, else those that the table's own parent columns state (possibly none)."""
        return from_columns(self.table) if self.edges is None else self.edges


def run(name: str, fleet: Fleet) -> Study:
    """The study called `name`; raises `NotFound` for a name the suite does not have."""
    if name not in NAMES:
        raise NotFound(f"no study '{name}'; the suite has {', '.join(NAMES)}")
    return _studies()[name](fleet)


def _studies() -> Mapping[str, Callable[[Fleet], Study]]:
    """Every study as a function of the fleet; imported here, as each pulls in its own libraries."""
    from heritage.configs.adoption import adoption
    from heritage.configs.attention import attention
    from heritage.configs.contributors import contributors
    from heritage.configs.families import families
    from heritage.configs.fitness import fitness
    from heritage.configs.landscape import drift
    from heritage.configs.lineage_check import lineage
    from heritage.configs.moe import moe
    from heritage.configs.parameters import parameters
    from heritage.configs.similarity import similarity
    from heritage.configs.subgraphs import subgraphs

    return {
        "lineage": lambda f: lineage(f.table, f.lineage_edges()),
        "contributors": lambda f: contributors(f.table), "parameters": lambda f: parameters(f.table),
        "families": lambda f: families(f.table), "moe": lambda f: moe(f.table),
        "attention": lambda f: attention(f.table),
        "adoption": lambda f: adoption(f.table), "fitness": lambda f: fitness(f.table, f.lineage_edges()),
        "similarity": lambda f: similarity(f.table, f.rule, f.seed),
        "drift": lambda f: drift(f.table, f.lineage_edges(), f.rule, seed=f.seed),
        "subgraphs": lambda f: subgraphs(f.table, f.lineage_edges(), f.rule, f.seed),
        "behaviour": _behaviour,
    }  # fmt: skip


def _behaviour(fleet: Fleet) -> Study:
    from heritage.configs.behaviour import behaviour

    if fleet.scores is None:
        return Study("behaviour", "Configuration and behaviour", {}, {"scored_models": 0}, {},
                     ("the study is left out: no list of scores was given",))  # fmt: skip
    return behaviour(fleet.table, fleet.scores, fleet.lineage_edges(), fleet.rule)


def run_all(
    fleet: Fleet, folder: Path, names: Iterable[str] = NAMES, told: Callable[[str], None] = lambda _: None
) -> list[Study]:
    """Run and write the studies `names` into subfolders of `folder`, then report.html and quarantine.csv.

    `told` hears the name of each study before it starts. A table too bare for a study gives a study with a note.
    """
    from heritage.configs.report import write_report

    done = []
    for name in names:
        told(name)
        done.append(run(name, fleet))
        write(done[-1], folder / name)
    write_csv(fleet.table.quarantine, folder / "quarantine.csv")
    write_csv(fleet.lineage_edges().quarantine, folder / "edges_quarantine.csv")
    write_report(done, fleet.table, folder)
    return done


def no_edges() -> Edges:
    """A lineage without edges."""
    return edges_of(pd.DataFrame({"parent_id": pd.Series(dtype=object), "child_id": pd.Series(dtype=object)}))
