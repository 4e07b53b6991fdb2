"""The demo's main job through Airflow: drift seen, repair found and gated, approval given, champion moved."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heritage.demo import stage
from heritage.demo.family import CHAMPION
from heritage.errors import Conflict, Unavailable
from heritage.flows import check_drift, promote, repair
from heritage.flows.context import Context
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.local.airflow_rest import AirflowApi
from heritage.records import ModelVersion
from heritage.rows import Rows

CHECK, REPAIR, PROMOTE = "heritage_drift_check", "heritage_repair", "heritage_promote"
_LIMIT_S = 900.0  # for one run of a DAG; half a minute on an idle machine, ten times as long on one that is overloaded

Told = Callable[[str], None]
Job = Callable[[str, Told], None]  # the main job for a registered model


@dataclass(frozen=True, slots=True)
class Story:
    """What happened. `accuracy` maps a kind of rows that nobody tuned on to accuracy by model: drifted, parent,
    rollback (the donor that the search would roll back to), repaired. `promoted` is '' where nothing moved.
    """

    seed: int
    family: tuple[str, ...]
    drifted: str
    verdicts: Mapping[str, str]
    search: Mapping[str, Any]
    promoted: str
    replayed: bool
    accuracy: Mapping[str, Mapping[str, float]]
    rows: Mapping[str, int]
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def harmful(self) -> bool:
        """Whether a version was promoted that is worse than the drifted one on fresh drifted rows."""
        now = self.accuracy["all three"]
        return bool(self.promoted) and now["repaired"] < now["drifted"]


def play(ctx: Context, run: Job, seed: int, folder: Path, told: Told) -> Story:
    """Tell the story of the family under `seed`, whose main job is done by `run` (`through_airflow`, `in_process`).

    Parts that were done before are read, not done again.
    """
    clock = _Clock()
    told("training and registering the family")
    family = stage.register_family(ctx, seed, folder / f"seed-{seed}", told)
    first = family[CHAMPION]
    clock.lap("family")
    champion = ctx.registry.version(f"{first.name}@champion")
    replayed = champion.version != first.version
    if replayed:
        told(f"{champion.address} is champion already: the story was played before, its records are read")
    else:
        told("streaming one calm hour and two drifted ones")
        stage.stream(ctx, first, seed)
        clock.lap("stream")
        run(first.name, told)
        clock.lap("check, repair, approval")
        champion = ctx.registry.version(f"{first.name}@champion")
    search = _search(ctx, first)
    told("measuring on rows that nobody tuned on")
    accuracy, rows = _measure(ctx, seed, family, champion, search)
    clock.lap("measure")
    return Story(
        seed=seed,
        family=tuple(v.address for v in family.values()),
        drifted=first.address,
        verdicts={v.window: v.status for v in check_drift.verdicts(ctx, first)},
        search=search,
        promoted="" if champion.version == first.version else champion.address,
        replayed=replayed,
        accuracy=accuracy,
        rows=rows,
        seconds=clock.laps,
    )


def in_process(ctx: Context) -> Job:
    """The same flows as the DAGs run them, without Airflow and without asking anybody."""

    def run(model: str, told: Told) -> None:
        found = check_drift.run(ctx, f"{model}@champion")
        told(f"drift check: {found['status']}")
        if not found["triggered"]:
            return
        repaired = repair.search(ctx, model, found["window"])
        told(f"gate: {repaired['decision']}")
        if repaired["decision"] == "accept":
            challenger = repair.register_challenger(ctx, repaired["plan"])
            promote.promote(ctx, challenger["address"], challenger["plan"])
            promote.smoke_test(ctx, model)

    return run


def through_airflow(airflow: AirflowApi) -> Job:
    """The DAGs, started by REST and by one another's assets; the approval is given as `airflow.user`."""
    return lambda model, told: _through_airflow(airflow, model, told)


def _through_airflow(airflow: AirflowApi, model: str, told: Told) -> None:
    _wait_for_dags(airflow)
    known = {dag: {run["dag_run_id"] for run in airflow.runs(dag)} for dag in (REPAIR, PROMOTE)}
    told(f"{CHECK}: started")
    _finish(airflow, CHECK, airflow.start(CHECK, {"model": model}), told)
    told("the verdict's asset starts heritage_repair")
    run = airflow.run_after(REPAIR, known[REPAIR], 60.0)
    _finish(airflow, REPAIR, run, told)
    if airflow.result(REPAIR, run, "search", 0)["decision"] != "accept":
        return
    told("the challenger's asset starts heritage_promote")
    run = airflow.run_after(PROMOTE, known[PROMOTE], 60.0)
    asked = airflow.approval(PROMOTE, run, "approve", _LIMIT_S)
    told(f"approval asked: {asked['subject']}")
    airflow.answer(PROMOTE, run, "approve", "Approve", _LIMIT_S)
    told(f"approved by {airflow.user}")
    _finish(airflow, PROMOTE, run, told)


def _wait_for_dags(airflow: AirflowApi) -> None:
    deadline = time.monotonic() + 120.0
    for dag in (CHECK, REPAIR, PROMOTE):
        while not airflow.knows(dag):
            if time.monotonic() > deadline:
                raise Unavailable(f"Airflow at {airflow.url} has not read {dag} after 120 s; see its log")
            time.sleep(0.5)


def _finish(airflow: AirflowApi, dag: str, run: str, told: Told) -> None:
    state = airflow.wait(dag, run, _LIMIT_S, lambda line: told(f"{dag}: {line}"))
    if state != "success":
        why = "; ".join(airflow.failures(dag, run))
        raise Conflict(f"run {run} of {dag} ended as {state}: {why}; see airflow/logs in HERITAGE_WORK_DIR")


def _search(ctx: Context, first: ModelVersion) -> dict[str, Any]:
    """What the repair of `first` found: of the plan under which its successor was registered, else the last stored."""
    plans = {key.split("/")[1] for key in ctx.store.list("repairs/") if key.endswith("/decision.json")}
    found = [json.loads(ctx.store.get(f"repairs/{plan}/decision.json")) for plan in sorted(plans)]
    return next((d for d in found if d["champion"] == first.address and "rung" in d), {})


def _measure(
    ctx: Context, seed: int, family: Mapping[str, ModelVersion], champion: ModelVersion, search: Mapping[str, Any]
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    first = family[CHAMPION]
    compared = {"drifted": first, "parent": family["digits-clean"]}
    if rollback := search.get("rollback"):
        compared["rollback"] = ctx.registry.version(rollback["donor"][0])
    if champion.version != first.version:
        compared["repaired"] = champion
    fresh = stage.fresh_rows(seed)
    by_model = {name: {kind: _accuracy(ctx, v, rows) for kind, rows in fresh.items()} for name, v in compared.items()}
    table = {kind: {name: figures[kind] for name, figures in by_model.items()} for kind in fresh}
    return table, {kind: len(rows) for kind, rows in fresh.items()}


def _accuracy(ctx: Context, version: ModelVersion, rows: Rows) -> float:
    from heritage.weights.network import logits

    network = network_of(ctx, manifest_of(ctx, version), state_of(ctx, version))
    return float((logits(network, rows.x).argmax(axis=1) == rows.y).mean())


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """Note the seconds since the last lap."""
        now = time.monotonic()
        self.laps[name], self._last = now - self._last, now
