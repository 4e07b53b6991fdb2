"""Repair of a small registered family: what is searched, what bars a donor, and what goes wrong on the way."""

import dataclasses
import json
import uuid
import zlib

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from heritage.cli import app, repairs
from heritage.drift.verdict import Verdict
from heritage.errors import BadInput, Conflict, Misconfigured, NotFound, Refused, Unavailable
from heritage.flows import check_drift, decisions, donors, material, register, repair, windows
from heritage.records import Architecture, Origin, ParentEdge, Relation
from heritage.registry import INITIAL
from heritage.repair.plan import Recipe, RepairPlan, Rung
from heritage.rows import Rows
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.write import write_safetensors
from tests.deployed import connection, network_of_seed, reference, weights

__all__ = ["connection"]

pytestmark = pytest.mark.services

LINEAR = Architecture("torch.nn:Linear", {"in_features": 4, "out_features": 3})


@dataclasses.dataclass(frozen=True)
class Family:
    """Root (knows what comes in now), its champion child (does not), and a sibling (does not either)."""

    ctx: object
    root: object
    champion: object
    sibling: object

    @property
    def name(self) -> str:
        return self.champion.name

    def label(self, rows: Rows, window: str = "w1") -> None:
        windows.keep_rows(self.ctx, self.champion, window, rows)


@pytest.fixture
def family(request, connection, tmp_path):
    tag = uuid.uuid4().hex[:8]

    def put(name: str, seed: int, parent: object = None, share: float = 0.0, watched: bool = True):
        edges = () if parent is None else (
            ParentEdge(parent.digest, Relation.FINETUNE, Origin.DECLARED, 1.0, parent.name, parent.version),
        )  # fmt: skip
        path = weights(tmp_path, seed)
        if share:  # a child keeps a part of its parent, and is larger than what leads back to it
            own, its = network_of_seed(seed).state_dict(), network_of_seed(first).state_dict()
            write_safetensors(path, {n: 3 * (own[n] + share * its[n]) for n in own})
        return register.run(
            connection,
            register.Registration(f"{name}-{tag}", path, LINEAR, reference(seed) if watched else None, None, edges),
        )

    # digests would be those of other tests' models, with their relatives: so each test has seeds of its own
    first = zlib.crc32(request.node.name.encode()) % 2**24
    while not is_repairable(first):
        first += 3
    root = put("root", first, watched=False)  # no reference rows, so no profile that it could drift from
    champion, sibling = put("site", first + 1, root, 0.5), put("sibling", first + 2, root, 0.1)
    connection.registry.promote(champion.name, "1", None, INITIAL)
    own = connection.settings.repair.model_copy(
        update={"original_margin": 1.0, "rungs": "none,rollback,one", "rehearsal": 0}
    )
    settings = connection.settings.model_copy(update={"repair": own})
    return Family(dataclasses.replace(connection, settings=settings), root, champion, sibling)


def is_repairable(first: int, share: float = 0.5) -> bool:
    """Whether a champion made of these seeds errs often, and is not too far from the root for the gate."""
    root, own = network_of_seed(first), network_of_seed(first + 1)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(1000, 4)).astype(np.float32))
    with torch.no_grad():
        agree = float((root(x).argmax(1) == (own(x) + share * root(x)).argmax(1)).float().mean())
        whole = [torch.cat([network.weight.ravel(), network.bias]) for network in (root, own)]
        champion = 3 * (whole[1] + share * whole[0])
        way = float((whole[0] - champion).norm() / champion.norm())
    return agree < 0.7 and way < 0.95


@pytest.fixture
def drifted(family):
    family.label(now(family, 400))
    return family


def now(family: Family, rows: int, seed: int = 7) -> Rows:
    """Rows that the root gets right nine times in ten."""
    x = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    path = family.ctx.registry.fetch_weights(family.root, family.ctx.settings.work_dir / "weights")
    with Checkpoint.open(path) as checkpoint:
        state = {n: checkpoint.read_f32(n) for n in checkpoint.tensors}
    said = (x @ state["weight"].T + state["bias"]).argmax(axis=1)
    return Rows(x, np.where(np.random.default_rng(seed + 1).random(rows) < 0.1, (said + 1) % 3, said))


def test_the_root_brings_the_champion_back_and_the_edge_holds_the_coefficients(drifted):
    ctx = drifted.ctx
    found = repair.search(ctx, drifted.name, "w1")
    assert found["decision"] == "accept", found["reason"]
    assert list(found["coefficients"]) == [drifted.root.address]
    wish = repair.Wish(rungs="one", seed=5)
    mixed = repair.search(ctx, drifted.name, "w1", wish=wish)
    assert (mixed["rung"], mixed["seed"]) == ("one", 5)
    made = repair.register_challenger(ctx, mixed["plan"])
    version = ctx.registry.version(made["address"])
    share = mixed["coefficients"][drifted.root.address]
    if share == 1.0:
        assert version.digest == drifted.root.digest
        return
    for edge in ctx.registry.manifest(version).parents:
        assert edge.relation is Relation.REPAIR
        assert edge.transformation.parameters["coefficients"] == mixed["coefficients"]
        assert edge.transformation.parameters["plan"] == mixed["plan"]


def test_donors_looked_at_by_tasks_are_those_that_the_search_finds(drifted):
    ctx = drifted.ctx
    parts = repair.parts(ctx, drifted.name, "w1")
    assert {d for part in parts for d in part["digests"]} == {
        drifted.champion.digest, drifted.root.digest, drifted.sibling.digest,
    }  # fmt: skip
    assert all(len(part["digests"]) == 1 for part in parts)
    told = {k: v for part in parts for k, v in repair.assess(ctx, **part).items()}
    assert all("accuracy" in words for words in told.values())
    keys = [k for k in ctx.store.list("health/") if f"/{drifted.name}/" in k]
    assert len(keys) == 3
    found = repair.search(ctx, drifted.name, "w1", dry_run=True)
    assert [k for k in ctx.store.list("health/") if f"/{drifted.name}/" in k] == keys
    again = repair.search(ctx, drifted.name, "w1", dry_run=True)
    assert found["plan"] == again["plan"]


def test_many_donors_share_a_bounded_number_of_tasks(drifted, monkeypatch):
    monkeypatch.setattr(repair, "MAX_PARTS", 2)
    parts = repair.parts(drifted.ctx, drifted.name, "w1")
    assert [len(p["digests"]) for p in parts] == [2, 1]


def test_what_the_champion_sees_now_is_told_by_its_newest_verdicts_alone(family, monkeypatch):
    ctx, champion, read = family.ctx, family.champion, []
    for i in range(9):
        verdict = Verdict("ok" if i == 6 else "drift", 300, {}, window=f"v{i}")
        ctx.store.put(check_drift.verdict_key(champion, f"v{i}"), json.dumps({"verdict": verdict.record()}).encode())
    real = type(ctx.store).read
    monkeypatch.setattr(type(ctx.store), "read", lambda store, key: read.append(key) or real(store, key))
    assert repair.current_windows(ctx, champion, "v9") == ["v7", "v8", "v9"]
    assert len(read) == 2
    assert repair.current_windows(ctx, champion, "v8") == ["v7", "v8"]


def test_validation_rows_take_the_place_of_a_window(family):
    ctx, rows = family.ctx, now(family, 300, seed=11)
    found = repair.search(ctx, family.name, rows=rows)
    assert found["decision"] == "accept"
    assert found["windows"] == []
    assert len(decisions.rows_of(ctx, found["plan"], "labelled")) + found["gate"]["rows"] == 300
    assert windows.listed(ctx, family.champion, "rows") == []
    with pytest.raises(BadInput, match="have no labels"):
        repair.search(ctx, family.name, rows=Rows(rows.x))


def test_a_person_is_told_of_windows_that_are_not_there(drifted, monkeypatch):
    # a name that sorts after drifted windows was taken for one more of them
    monkeypatch.setattr(repairs, "connect", lambda: drifted.ctx)
    done = CliRunner().invoke(app, ["repair", "plan", drifted.name, "--window", "w2", "--dry-run"])
    assert done.exit_code == 1
    assert "nothing is known of window 'w2'; the newest are w1" in " ".join(done.stderr.split())
    windows.check_known(drifted.ctx, drifted.champion, "w1")


def test_undoing_can_be_tried_without_moving_anything(family, monkeypatch):
    monkeypatch.setattr(repairs, "connect", lambda: family.ctx)
    first = CliRunner().invoke(app, ["repair", "undo", family.name, "--dry-run"])
    assert (first.exit_code, "'previous'" in first.stderr) == (1, True)
    assert family.ctx.registry.version(f"{family.name}@champion").version == "1"


def test_without_labels_and_with_one_class_people_are_asked(family):
    ctx = family.ctx
    rows = now(family, 300)
    family.label(Rows(rows.x), "w0")
    none = repair.search(ctx, family.name, "w0")
    assert (none["decision"], none["plan"]) == ("ask_labels", "")
    assert "0 labelled rows" in none["reason"]
    assert repair.parts(ctx, family.name, "w0") == []
    family.label(Rows(rows.x, np.zeros(300, np.int64)), "w0")
    one = repair.search(ctx, family.name, "w0")
    assert one["decision"] == "ask_labels"
    assert "one class" in one["reason"]


def test_a_donor_that_is_deleted_before_its_weights_are_read_is_left_out(drifted, monkeypatch):
    ctx = drifted.ctx
    for part in repair.parts(ctx, drifted.name, "w1"):
        repair.assess(ctx, **part)
    real = donors.state_of

    def gone(context, version):
        if version.digest == drifted.root.digest:
            raise NotFound(f"run of {version.address}: there is no such artifact")
        return real(context, version)

    monkeypatch.setattr(donors, "state_of", gone)
    found = repair.search(ctx, drifted.name, "w1", dry_run=True)
    assert "there is no such artifact" in found["rejected"][drifted.root.address]
    assert drifted.root.address not in found["donors"]


def test_an_outage_is_no_reason_against_a_donor(drifted, monkeypatch):
    def away(context, version):
        raise Unavailable("storage does not answer")

    monkeypatch.setattr(donors, "state_of", away)
    with pytest.raises(Unavailable):
        repair.search(drifted.ctx, drifted.name, "w1")


def test_a_donor_deleted_after_the_decision_is_named_when_the_repair_is_made(drifted):
    from mlflow.tracking import MlflowClient

    ctx = drifted.ctx
    found = repair.search(ctx, drifted.name, "w1")
    uri = ctx.settings.mlflow.tracking_uri
    MlflowClient(uri, uri).delete_registered_model(drifted.root.name)
    with pytest.raises(NotFound, match=f"donor {drifted.root.address} was deleted since"):
        repair.register_challenger(ctx, found["plan"])
    assert len(list(ctx.registry.versions(name=drifted.name))) == 1


@pytest.mark.parametrize(("tags", "reason"), [
    ({"root": {"license": "cc-by-nc-4.0"}, "champion": {"license": "apache-2.0"}}, "another licence"),
    ({"root": {"heritage.no_donor": "trained on withdrawn data"}}, "withdrawn data"),
])  # fmt: skip
def test_people_may_bar_a_donor(drifted, tags, reason):
    ctx = drifted.ctx
    for which, given in tags.items():
        for key, value in given.items():
            ctx.registry.set_tag(getattr(drifted, which), key, value)
    found = repair.search(ctx, drifted.name, "w1", dry_run=True)
    assert reason in found["rejected"][drifted.root.address]
    assert drifted.root.digest not in {d for part in repair.parts(ctx, drifted.name, "w1") for d in part["digests"]}


def test_a_refused_plan_registers_nothing(family):
    rows = now(family, 300)
    family.label(Rows(rows.x, np.random.default_rng(0).integers(0, 3, 300)))
    found = repair.search(family.ctx, family.name, "w1")
    assert found["decision"] != "accept"
    if found["plan"]:
        with pytest.raises(Refused):
            repair.register_challenger(family.ctx, found["plan"])
    with pytest.raises(NotFound):
        repair.register_challenger(family.ctx, "0" * 64)
    assert len(list(family.ctx.registry.versions(name=family.name))) == 1


def test_what_strict_levels_refused_may_be_accepted_under_others(drifted):
    ctx = drifted.ctx
    strict = ctx.settings.repair.model_copy(update={"alpha": 1e-300})
    refused = repair.search(
        dataclasses.replace(ctx, settings=ctx.settings.model_copy(update={"repair": strict})), drifted.name, "w1"
    )
    assert refused["decision"] != "accept"
    accepted = repair.search(ctx, drifted.name, "w1")
    assert accepted["decision"] == "accept"
    made = repair.register_challenger(ctx, accepted["plan"])
    assert ctx.registry.aliases(drifted.name)["challenger"] == ctx.registry.version(made["address"]).version


def test_a_plan_that_somebody_changed_is_not_carried_out(drifted):
    ctx = drifted.ctx
    found = repair.search(ctx, drifted.name, "w1")
    key = f"repairs/{found['plan']}/plan.json"
    plan = RepairPlan.from_json(ctx.store.get(key).decode())
    ctx.store.put(key, dataclasses.replace(plan, seed=99).to_json().encode())
    with pytest.raises(Conflict, match="somebody changed it"):
        repair.register_challenger(ctx, found["plan"])
    assert len(list(ctx.registry.versions(name=drifted.name))) == 1


def test_weights_that_come_out_otherwise_are_not_registered(drifted, monkeypatch):
    ctx = drifted.ctx
    found = repair.search(ctx, drifted.name, "w1")
    real = material.state_of
    monkeypatch.setattr(
        material, "state_of", lambda context, version: {n: t + 1 for n, t in real(context, version).items()}
    )
    with pytest.raises(Conflict, match="its weights came out as"):
        repair.register_challenger(ctx, found["plan"])
    assert len(list(ctx.registry.versions(name=drifted.name))) == 1


def test_a_plan_of_another_device_is_not_made_here(drifted, monkeypatch):
    import torch

    ctx = drifted.ctx
    found = repair.search(ctx, drifted.name, "w1", dry_run=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plan = RepairPlan(drifted.champion.digest, {}, Recipe(Rung.NONE), "f" * 64, seed=0, device="cuda")
    with pytest.raises(Misconfigured, match="made on 'cuda'"):
        material.restore(ctx, drifted.champion, plan, now(drifted, 20), None)
    assert found["plan"]
