"""Repair without a registry: weights, rows and a builder in, a repaired file and the gate's verdict out."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from heritage.errors import BadInput, NotFound
from heritage.names import printable
from heritage.repair.apply import Applied, apply_plan
from heritage.repair.choose import choose_candidate
from heritage.repair.evaluate import labels_of, predict
from heritage.repair.gate import GateDecision, GateOptions, Trial
from heritage.repair.options import SearchOptions
from heritage.repair.plan import Recipe, RepairPlan
from heritage.repair.search import SearchResult, realise, search
from heritage.repair.tensors import State, pruned_names
from heritage.repair.vector import difference, norm, state_norm
from heritage.rows import Rows, from_npz
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.limits import Limits

_MIN_GUARD = 8


@dataclass(frozen=True, slots=True)
class FilesRequest:
    """What to repair and with what: weights files, and rows as npz files with x and y (`unlabelled`: x alone).

    Donors are named by their file names without the ending. `original` rows guard the domain that the drifted model
    was made for.
    """

    drifted: Path
    donors: Sequence[Path]
    validation: Path
    guard: Path
    unlabelled: Path | None = None
    original: Path | None = None


@dataclass(frozen=True)
class FilesResult:
    """The plan that would ship, the decision on it, and figures on guard rows; `state` is what the plan gives."""

    plan: RepairPlan
    decision: GateDecision
    nll_before: float
    nll_after: float
    search: SearchResult
    state: Mapping[str, Tensor]
    paths: Mapping[str, Path]
    notes: tuple[str, ...] = field(default=())


def read_rows(path: Path) -> Rows:
    """The rows of an npz file; `NotFound` where there is none, `BadInput` where it is something else."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"{printable(str(path), 300)}: there is no such file; check the path") from error
    except OSError as error:
        raise BadInput(f"{printable(str(path), 300)}: cannot be read ({error.strerror}); give an npz file") from error
    return from_npz(data, printable(str(path), 300))


def repair_files(
    network: nn.Module,
    request: FilesRequest,
    options: SearchOptions | None = None,
    gate: GateOptions | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> FilesResult:
    """Search the ladder and ask the gate; nothing is written.

    Rows that the drifted model gives no finite answer to are left out, and guard rows that are among the validation
    rows, for they were tuned on. Raises `BadInput` where fewer than 8 guard rows remain.
    """
    options = options or SearchOptions()
    paths = _named(request.donors)
    with ExitStack() as stack:
        opened = {n: stack.enter_context(Checkpoint.open(p, limits)) for n, p in {"": request.drifted, **paths}.items()}
        states = {n: c.torch_state() for n, c in opened.items()}
        digests = {n: c.digest for n, c in opened.items()}
    drifted = states.pop("")
    answered = _Answered(network, drifted, options.device)
    rows = answered.read(request.validation)
    guard, notes = _unseen(answered.read(request.guard), rows)
    unlabelled = None if request.unlabelled is None else answered.read(request.unlabelled)
    found = search(network, drifted, states, rows, unlabelled, options)
    made = _Candidates(network, drifted, states, rows, unlabelled, options)
    original = None if request.original is None else answered.read(request.original)
    name, decision = made.judged(found.recipes, guard, original, gate or GateOptions())
    recipe = next(r for r in found.recipes if r.rung == name)
    plan = _plan(drifted, digests, recipe, rows, unlabelled, guard, options, found)
    before, after = (_nll(predict(network, s, guard, options.device), guard) for s in (drifted, made.states[name]))
    return FilesResult(plan, decision, before, after, found, made.states[name], paths, (*answered.notes, *notes))


def write_result(result: FilesResult, drifted: Path, out: Path) -> Applied:
    """Write the repaired model to `out`: streamed where the recipe is a mix of files, else from its state."""
    replaced = None if result.plan.recipe.streams else dict(result.state)
    return apply_plan(result.plan, drifted, result.paths, out, replaced)


@dataclass
class _Answered:
    """Reads rows, without those that the drifted model gives no finite answer to; `notes` tell how many a file."""

    network: nn.Module
    drifted: State
    device: str
    notes: list[str] = field(default_factory=list)

    def read(self, path: Path) -> Rows:
        rows = read_rows(path)
        finite = np.isfinite(predict(self.network, self.drifted, rows, self.device)).all(axis=1)
        if finite.all():
            return rows
        left_out = f"{int((~finite).sum())} rows that get no finite answer were left out"
        self.notes.append(f"{printable(path.name, 100)}: {left_out}")
        return rows.take(np.flatnonzero(finite))


@dataclass
class _Candidates:
    """The models that the search offers, made when first asked for."""

    network: nn.Module
    drifted: State
    donors: Mapping[str, State]
    rows: Rows
    unlabelled: Rows | None
    options: SearchOptions
    states: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def judged(
        self, recipes: Sequence[Recipe], guard: Rows, original: Rows | None, gate: GateOptions
    ) -> tuple[str, GateDecision]:
        """Name of the rung that the verdict is about, and the verdict."""
        for recipe in recipes:
            self.states[recipe.rung] = realise(
                self.network, self.drifted, self.donors, recipe, self.rows, self.unlabelled, self.options
            )
        length = state_norm(self.drifted)
        return choose_candidate(
            self._classes(self.drifted, guard),
            {n: self._classes(s, guard) for n, s in self.states.items()},
            labels_of(guard),
            {n: self._trial(s, original) for n, s in self.states.items()} if original is not None else None,
            {n: norm(difference(s, self.drifted)) / length for n, s in self.states.items()},
            gate,
        )

    def _trial(self, state: State, original: Rows) -> Trial:
        return Trial(self._classes(self.drifted, original), self._classes(state, original), labels_of(original))

    def _classes(self, state: State, rows: Rows) -> NDArray[np.int64]:
        classes: NDArray[np.int64] = predict(self.network, state, rows, self.options.device).argmax(axis=1)
        return classes


def _named(donors: Sequence[Path]) -> dict[str, Path]:
    named = {path.name.removesuffix(".safetensors"): path for path in donors}
    if len(named) < len(donors) or "" in named:
        raise BadInput(f"donors {', '.join(printable(p.name) for p in donors)}: two share a name; rename one file")
    return named


def _unseen(guard: Rows, tuned_on: Rows) -> tuple[Rows, tuple[str, ...]]:
    labels_of(guard)
    seen = set(tuned_on.row_digests())
    fresh = np.array([d not in seen for d in guard.row_digests()], dtype=bool)
    kept = guard.take(fresh)
    if len(kept) < _MIN_GUARD:
        raise BadInput(
            f"{len(kept)} guard rows are not among the validation rows; give at least {_MIN_GUARD} rows that nothing "
            "was tuned on"
        )
    left_out = len(guard) - len(kept)
    return kept, (f"{left_out} guard rows are validation rows too and were left out",) if left_out else ()


def _plan(
    drifted: State,
    digests: Mapping[str, str],
    recipe: Recipe,
    rows: Rows,
    unlabelled: Rows | None,
    guard: Rows,
    options: SearchOptions,
    found: SearchResult,
) -> RepairPlan:
    return RepairPlan(
        drifted=digests[""],
        donors={n: d for n, d in digests.items() if n},
        recipe=recipe,
        labelled=rows.digest,
        unlabelled="" if unlabelled is None else unlabelled.digest,
        guard=guard.digest,
        seed=options.seed,
        masked=pruned_names(drifted),
        left={part.name: part.reason for part in found.left},
        threads=options.threads,
    )


def _nll(probabilities: NDArray[np.float64], rows: Rows) -> float:
    of_label = probabilities[np.arange(len(rows)), labels_of(rows)]
    return float(-np.log(np.maximum(of_label, 1e-300)).mean())
