"""Sets the demo's stage: the family trained and registered, and a site whose camera begins to see other things."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from heritage.demo import data
from heritage.demo.family import ARCHITECTURE, CHAMPION, Member, train_family
from heritage.flows import register
from heritage.flows.context import Context
from heritage.flows.observe import observe
from heritage.records import ModelVersion, Origin, ParentEdge, Relation, Transformation
from heritage.registry import INITIAL
from heritage.rows import Rows, from_npz, to_npz
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.write import write_safetensors

WINDOWS = ("hour-01", "hour-02", "hour-03")
LABELLED_SHARE = 0.75


def model_name(name: str, seed: int) -> str:
    """Registered name of a member of the family that `seed` made; the first family keeps the plain names."""
    return name if seed == 0 else name.replace("digits-", f"digits{seed}-")


def members(seed: int, folder: Path, told: Callable[[str], None]) -> Sequence[Member]:
    """The family under `seed`: read from `folder` where it was trained before, else trained and kept there."""
    done = folder / "done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for member in train_family(seed, told):
            write_safetensors(folder / f"{member.name}.safetensors", member.state, _notes(member))
            (folder / f"{member.name}.npz").write_bytes(to_npz(member.reference))
        done.touch()
    return [_read(folder, name) for name in _ORDER]


_ORDER = ("digits-root", "digits-clean", CHAMPION, "digits-turned", "digits-pruned", "digits-noisy", "digits-lora")


def _notes(member: Member) -> dict[str, str]:
    return {"parent": member.parent, "relation": member.relation.value}


def _read(folder: Path, name: str) -> Member:
    path = folder / f"{name}.safetensors"
    with Checkpoint.open(path) as checkpoint:
        state, notes = checkpoint.torch_state(), checkpoint.metadata
    reference = from_npz((folder / f"{name}.npz").read_bytes(), f"{name}.npz")
    return Member(name, state, reference, notes["parent"], Relation(notes["relation"]))


def register_family(ctx: Context, seed: int, folder: Path, told: Callable[[str], None]) -> dict[str, ModelVersion]:
    """Versions of the family by name, parents first; the champion's alias is set where there is none yet."""
    versions: dict[str, ModelVersion] = {}
    for member in members(seed, folder, told):
        parents: tuple[ParentEdge, ...] = ()
        if member.parent:
            parent = versions[member.parent]
            how = Transformation(member.relation.value, member.parameters)
            parents = (
                ParentEdge(parent.digest, member.relation, Origin.DECLARED, 1.0, parent.name, parent.version, how),
            )
        wanted = register.Registration(
            model_name(member.name, seed),
            folder / f"{member.name}.safetensors",
            ARCHITECTURE,
            member.reference,
            parents=parents,
        )
        versions[member.name] = register.run(ctx, wanted)
        told(f"registered {versions[member.name].address}")
    site = versions[CHAMPION]
    if "champion" not in ctx.registry.aliases(site.name):
        ctx.registry.promote(site.name, site.version, None, INITIAL)
    return versions


def hours(seed: int) -> dict[str, Rows]:
    """What the site sees, with labels, by window: one calm hour, then two drifted ones."""
    digits, rng = data.Digits.load(seed), np.random.default_rng([seed, 2])
    drift = next(d for d in data.DRIFTS if d.name == "all three")
    return {
        WINDOWS[0]: data.narrow(digits["calm"], rng),
        WINDOWS[1]: drift.of(digits["early"], rng),
        WINDOWS[2]: drift.of(digits["late"], rng),
    }


def stream(ctx: Context, champion: ModelVersion, seed: int) -> None:
    """Store `hours` as what the champion saw: counters and rows, with labels for three rows of four."""
    for window, rows in hours(seed).items():
        labelled = np.arange(len(rows)) < LABELLED_SHARE * len(rows)
        observe(ctx, champion, window, rows.take(labelled))
        observe(ctx, champion, window, Rows(rows.x[~labelled]))


def fresh_rows(seed: int) -> dict[str, Rows]:
    """Rows that nothing was trained or tuned on, under each kind of drift and on the original domain."""
    digits, rng = data.Digits.load(seed), np.random.default_rng([seed, 3])
    original = {"original domain": data.narrow(digits["fresh"], rng)}
    return original | {drift.name: drift.of(digits["fresh"], rng) for drift in data.DRIFTS}
