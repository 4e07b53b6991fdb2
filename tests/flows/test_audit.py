"""The audit on a real registry: every way to tamper with lineage is told, with both sides, and nothing else is.

MLflow runs embedded on SQLite with artifacts in a folder, which the tests tamper with; S3 is a server.
"""

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from heritage.cli import app
from heritage.errors import Conflict
from heritage.flows import attest, audit, audit_masks, copies, register, story, story_facts
from heritage.flows.context import Context
from heritage.lineage.codec import MANIFEST_PATH, decode, encode
from heritage.lineage.index import LineageIndex
from heritage.local.environment import client_environment
from heritage.records import Architecture, Manifest, ModelVersion, Origin, ParentEdge, Relation
from heritage.registry import Description, Registry
from heritage.registry.signing import SIGNATURE_PATH
from heritage.settings import AuditSettings, MlflowSettings, S3Settings, Settings, settings
from heritage.storage import ObjectStore
from heritage.weights.write import write_safetensors

pytestmark = pytest.mark.services

# contents of equal seeds are equal, and every fault has a model of its own
MODELS = ("sound", "tag-edited", "tag-forged", "tag-deleted", "digest-edited", "manifest-changed", "parent-forged",
          "weights-swapped", "weights-gone", "contradicted", "other-shape", "untouched")  # fmt: skip


@pytest.fixture(scope="module")
def ctx(seaweed: S3Settings, tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("audit")
    store = ObjectStore.connect(seaweed.model_copy(update={"bucket": f"audit-{uuid.uuid4().hex[:12]}"}))
    store.make_bucket()
    own = Settings(
        mlflow=MlflowSettings(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}"),
        s3=seaweed.model_copy(update={"bucket": store.bucket}),
        audit=AuditSettings(retention_days=1),
        work_dir=folder / "work",
    )
    MlflowClient(own.mlflow.tracking_uri).create_experiment("heritage", str(folder / "artifacts"))
    return Context(Registry.connect(own, store), store, own)


@pytest.fixture(scope="module")
def add(ctx: Context, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ModelVersion]:
    """Registers random weights as a version of a model, as a child of `parents`."""

    def make(name: str, *parents: ParentEdge, width: int = 3) -> ModelVersion:
        folder = tmp_path_factory.mktemp("weights")
        rng = np.random.default_rng()
        write_safetensors(folder / "model.safetensors", {"w": rng.normal(size=(4, width)).astype(np.float32)})
        shape = Architecture("acme.nets:mlp", {"hidden_size": 64 * width})
        found = ctx.registry.register(name, folder / "model.safetensors", Description(parents, shape))
        copies.keep(ctx, found.version)
        return found.version

    return make


def edge(parent: ModelVersion, origin: Origin = Origin.DECLARED, confidence: float = 1.0) -> ParentEdge:
    return ParentEdge(parent.digest, Relation.FINETUNE, origin, confidence, parent.name, parent.version)


def raw(ctx: Context) -> MlflowClient:
    return MlflowClient(ctx.settings.mlflow.tracking_uri)


def file(ctx: Context, version: ModelVersion, path: str) -> Path:
    """Where an artifact of the version lies on disk."""
    return Path(raw(ctx).get_run(version.run_id).info.artifact_uri) / path


def manifest(ctx: Context, version: ModelVersion) -> Manifest:
    return decode(ctx.registry.artifact(version, MANIFEST_PATH), "manifest")


def told(found: list[dict[str, Any]], model: str) -> set[str]:
    return {f["kind"] for f in found if f["subject"] == f"{model}/1"}


@pytest.fixture(scope="module")
def root(add: Callable[..., ModelVersion]) -> ModelVersion:
    return add("root")


@pytest.fixture(scope="module")
def fleet(ctx: Context, add: Callable[..., ModelVersion], root: ModelVersion) -> dict[str, ModelVersion]:
    made = {name: add(name, edge(root)) for name in MODELS if name != "other-shape"}
    made["other-shape"] = add("other-shape", edge(root), width=5)
    made["lost-parent"] = add("lost-parent")
    made["lost-child"] = add("lost-child", edge(made["lost-parent"]))
    return made


def test_a_sound_registry_is_told_sound_then_every_fault_by_its_name(
    ctx: Context, fleet: dict[str, ModelVersion], root: ModelVersion, tmp_path: Path
) -> None:
    before = audit.run(ctx, weights=True)

    of_fleet = {(f["subject"], f["kind"]) for f in before["findings"] if f["subject"].removesuffix("/1") in fleet}
    assert of_fleet == {("other-shape/1", "config_contradicted"), ("other-shape/1", "architecture_changed")}
    assert audit.stored(ctx) == before

    tamper(ctx, fleet, root)
    after = audit.run(ctx, weights=True)
    found = after["findings"]

    assert json.loads(json.dumps(found)) == found
    assert told(found, "tag-edited") == {"edge_mismatch"}
    assert told(found, "tag-forged") == {"tag_without_edge"}
    assert told(found, "tag-deleted") == {"edge_without_tag"}
    assert told(found, "digest-edited") == {"digest_mismatch", "ambiguous_tag"}
    assert told(found, "manifest-changed") == {"manifest_changed"}
    assert told(found, "parent-forged") == {"manifest_changed"}
    assert told(found, "weights-swapped") == {"weights_changed"}
    assert told(found, "weights-gone") == {"missing_artifact"}
    assert told(found, "contradicted") == {"parent_contradicted"}
    assert told(found, "other-shape") == {"config_contradicted", "architecture_changed"}
    assert told(found, "lost-parent") == {"version_deleted"}
    assert told(found, "lost-child") == {"parent_deleted"}
    assert told(found, "untouched") == told(found, "sound") == set()
    for each in found:
        assert set(each) == {"id", "kind", "severity", "subject", "message", "sides", "remedy"}
        assert each["remedy"]
        assert each["sides"]
    sides = next(f["sides"] for f in found if f["kind"] == "edge_mismatch")
    assert sides == {"manifest": "finetune:declared:1.0", "tag": "finetune:declared:0.5"}
    assert after["counts"]["error"] == sum(f["severity"] == "error" for f in found)

    with pytest.raises(Conflict, match="changed after it was locked"):
        attest.sign(ctx, "manifest-changed/1", private_key(tmp_path / "key.pem"))
    assert not copies.keep(ctx, fleet["manifest-changed"])  # registering again locks nothing that was forged
    accepted = copies.accept(ctx, "manifest-changed/1")
    assert accepted["locked"]
    assert told(audit.findings(ctx), "manifest-changed") == set()


def tamper(ctx: Context, fleet: dict[str, ModelVersion], root: ModelVersion) -> None:
    client, key = raw(ctx), f"heritage.parent.{root.digest[:12]}"
    client.set_model_version_tag("tag-edited", "1", key, "finetune:declared:0.5")
    client.set_model_version_tag("tag-forged", "1", f"heritage.parent.{'ab' * 6}", "finetune:attested:1.0")
    client.delete_model_version_tag("tag-deleted", "1", key)
    client.set_model_version_tag("digest-edited", "1", "heritage.digest", root.digest)

    changed = replace(manifest(ctx, fleet["manifest-changed"]), metrics={"accuracy": 0.99})
    file(ctx, fleet["manifest-changed"], MANIFEST_PATH).write_bytes(encode(changed))
    forged = replace(manifest(ctx, fleet["parent-forged"]), parents=(edge(fleet["sound"]),))
    ctx.registry.amend(fleet["parent-forged"], forged)  # tags and manifest together
    recovered = edge(fleet["sound"], Origin.RECOVERED, 0.99)
    known = manifest(ctx, fleet["contradicted"])
    ctx.registry.amend(fleet["contradicted"], replace(known, parents=(*known.parents, recovered)))

    swapped = file(ctx, fleet["weights-swapped"], "weights/model.safetensors")
    good = swapped.read_bytes()
    swapped.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    file(ctx, fleet["weights-gone"], "weights/model.safetensors").unlink()
    client.delete_model_version("lost-parent", "1")


def private_key(path: Path) -> Path:
    key, plain = ec.generate_private_key(ec.SECP256R1()), serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(pem)
    return path


def test_signatures_make_edges_attested_and_each_fault_has_a_verdict(
    ctx: Context, add: Callable[..., ModelVersion], root: ModelVersion, tmp_path: Path
) -> None:
    team, stranger = (private_key(tmp_path / f"{name}.pem") for name in ("team", "stranger"))
    names = ("signed", "signed-changed", "signed-by-stranger", "unsigned", "signature-gone")
    made = {name: add(name, edge(root)) for name in names}
    for name in names:
        if name != "unsigned":
            attest.sign(ctx, f"{name}/1", stranger if name == "signed-by-stranger" else team)
    signed = ctx.registry.version("signed/1")
    before = ctx.registry.artifact(signed, SIGNATURE_PATH)
    assert attest.sign(ctx, "signed/1", team)["verdict"] == "verified"
    assert ctx.registry.artifact(signed, SIGNATURE_PATH) == before  # signing again changes nothing
    assert [e.origin for e in manifest(ctx, signed).parents] == [Origin.ATTESTED]
    assert signed.tags[f"heritage.parent.{root.digest[:12]}"] == "finetune:attested:1.0"
    # recovered edges that come later do not break a signature
    known = manifest(ctx, signed)
    ctx.registry.amend(signed, replace(known, parents=(*known.parents, edge(root, Origin.RECOVERED, 0.98))))
    changed = replace(manifest(ctx, made["signed-changed"]), metrics={"accuracy": 1.0})
    file(ctx, made["signed-changed"], MANIFEST_PATH).write_bytes(encode(changed))
    file(ctx, made["signature-gone"], SIGNATURE_PATH).unlink()

    trusting = AuditSettings(retention_days=1, trusted_keys=(team.with_suffix(".pub"),), require_signatures=True)
    strict = replace(ctx, settings=ctx.settings.model_copy(update={"audit": trusting}))
    found = audit.findings(strict)

    assert told(found, "signed") == set()
    assert told(found, "signed-changed") == {"manifest_changed", "signature_invalid"}
    assert told(found, "signed-by-stranger") == {"signer_unknown"}
    assert told(found, "unsigned") == {"unsigned"}
    assert told(found, "signature-gone") == {"missing_artifact"}
    assert {f["severity"] for f in found if f["kind"].startswith("sign")} == {"error"}


def test_a_champion_that_is_not_the_journals_is_told(ctx: Context, add: Callable[..., ModelVersion]) -> None:
    add("deployed")
    ctx.registry.promote("deployed", "1", None, "initial")
    assert told(audit.findings(ctx), "deployed") == set()
    raw(ctx).delete_registered_model_alias("deployed", "champion")
    (found,) = [f for f in audit.findings(ctx) if f["kind"] == "alias_moved"]
    assert (found["subject"], found["severity"]) == ("deployed/1", "warning")
    assert "the journal says 1, it points at none" in found["message"]
    assert found["sides"] == {"journal": "journal/deployed/"}


def test_an_index_that_tells_something_else_is_told(ctx: Context, root: ModelVersion, tmp_path: Path) -> None:
    known = list(audit.entries(ctx))
    with LineageIndex(tmp_path / "index.sqlite") as index:
        index.rebuild(known)
    same = [f for f in audit.findings(ctx, index=tmp_path / "index.sqlite") if f["kind"] == "index_mismatch"]
    assert {f["subject"] for f in same} <= {"digest-edited/1"}  # an index is found by tags, also by an edited one

    with LineageIndex(tmp_path / "index.sqlite") as index:
        index.rebuild([e for e in known if e.version.name != "root"])
        forged = replace(root, name="forged", version="7")
        index.update([replace(known[0], version=forged, manifest=None)])

    found = [f for f in audit.findings(ctx, index=tmp_path / "index.sqlite") if f["kind"] == "index_mismatch"]
    told = {(f["subject"], f["severity"]) for f in found if f["subject"] != "digest-edited/1"}
    assert told == {("root/1", "note"), ("forged/7", "error")}


def test_what_tasks_hand_on_stays_small_however_much_was_found() -> None:
    found = [{"severity": "error", "subject": "digits/3", "message": "x" * 1_000}] * 1_000
    result = {"at": "2026-11-22T00:00:00", "versions": 5_000, "locked": 0, "counts": {"error": 1_000}}

    told = audit.counted({**result, "findings": found})

    assert len(told["worst"]) == 5
    assert len(json.dumps(told)) < 10_000


def test_an_index_of_tags_is_compared_by_its_contents_alone(
    ctx: Context, command: Callable[..., tuple[int, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "index.sqlite"
    code, written = command("lineage", "index", str(file))
    assert code == 0
    # versions without a digest have no place in it
    assert written["versions"] == len(list(ctx.registry.versions()))

    found = [f for f in audit.findings(ctx, index=file) if f["kind"] == "index_mismatch"]

    # their tags tell another content, or they have no manifest any more
    assert {f["subject"] for f in found} <= {f["subject"] for f in audit.findings(ctx) if f["severity"] == "error"}
    assert not [f for f in found if "parents" in f["message"]]

    code, _ = command("lineage", "index", str(file), "--manifests")
    with LineageIndex(file) as index:
        assert code == 0
        entries = [e for e in ctx.registry.entries() if e.version.digest]
        sound = {e.version.digest for e in entries if e.manifest}
        assert index.claimed() == {e.version.digest for e in entries} - sound


@pytest.fixture
def command(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, Any]]]:
    """Runs `heritage ... --json` on this registry: exit code and document."""
    own = ctx.settings
    for key, value in {
        **client_environment(own.s3, own.mlflow.tracking_uri),
        "HERITAGE_AUDIT__RETENTION_DAYS": "1",
    }.items():
        monkeypatch.setenv(key, value)
    settings.cache_clear()

    def run(*arguments: str) -> tuple[int, Any]:
        done = CliRunner().invoke(app, [*arguments, "--json"])
        return done.exit_code, json.loads(done.stdout) if done.stdout else None

    yield run
    settings.cache_clear()


def test_the_commands_tell_errors_by_their_exit_code(
    ctx: Context, add: Callable[..., ModelVersion], root: ModelVersion, command: Callable[..., Any], tmp_path: Path
) -> None:
    key = private_key(tmp_path / "cli.pem")
    add("by-command", edge(root))
    assert command("verify", "by-command/1", "--key", str(key))[0] == 3
    assert command("sign", "by-command/1", "--key", str(key))[1]["verdict"] == "verified"
    code, found = command("verify", "by-command/1", "--key", str(key.with_suffix(".pub")))
    assert (code, found["verdict"]) == (0, "verified")
    assert command("sign", "by-command/1")[0] == 1  # no key

    raw(ctx).set_model_version_tag("by-command", "1", "heritage.data", "0" * 64)
    code, found = command("audit", "--dry-run")
    assert code == 3
    assert told(found["findings"], "by-command") == {"data_mismatch"}
    raw(ctx).delete_model_version_tag("by-command", "1", "heritage.data")
    code, found = command("audit", "--accept", "by-command/1")
    assert (code, found["locked"]) == (0, False)


def test_the_story_of_a_member_of_a_large_family_is_told_from_its_near_relatives(
    ctx: Context, add: Callable[..., ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story_facts, "_FAMILY", 4)
    line = [add("line-0")]
    for number in range(1, 4):
        line.append(add(f"line-{number}", edge(line[-1])))

    assert story.write(ctx, "line-2/1")

    told = description(ctx, "line-2")
    assert all(f"line-{number}/1" in told for number in range(4))
    assert "finetune declared  ◀" in told


def test_a_version_is_signed_when_it_is_registered_where_the_settings_name_a_key(
    ctx: Context, root: ModelVersion, tmp_path: Path
) -> None:
    key = private_key(tmp_path / "own.pem")
    signing = ctx.settings.model_copy(update={"audit": AuditSettings(retention_days=1, signing_key=key)})
    write_safetensors(tmp_path / "model.safetensors", {"w": np.ones((4, 3), np.float32)})
    wanted = register.Registration("born-signed", tmp_path / "model.safetensors", parents=(edge(root),))

    version = register.run(replace(ctx, settings=signing), wanted)

    assert attest.verdict(ctx, version.address, [key])["verdict"] == "verified"
    assert [e.origin for e in manifest(ctx, version).parents] == [Origin.ATTESTED]
    assert "signed" in description(ctx, "born-signed")
    assert register.run(replace(ctx, settings=signing), wanted).address == version.address


def test_masks_of_pruned_versions_are_computed_once_and_compared_with_their_parents(
    ctx: Context, tmp_path: Path
) -> None:
    weights = np.random.default_rng(3).normal(size=(48, 40)).astype(np.float32)
    pruned = np.where(np.abs(weights) > np.median(np.abs(weights)), weights, 0)
    tuned = np.where(pruned != 0, pruned + np.float32(0.01), 0).astype(np.float32)
    made: list[ModelVersion] = []
    for name, tensor in (("dense", weights), ("pruned", pruned), ("tuned", tuned)):
        write_safetensors(tmp_path / f"{name}.safetensors", {"w": tensor})
        parents = tuple(replace(edge(p), relation=Relation.PRUNE) for p in made[-1:])
        made.append(register.run(ctx, register.Registration(name, tmp_path / f"{name}.safetensors", parents=parents)))

    found = {r["address"]: r for r in audit_masks.run(ctx, audit.entries(ctx))}

    assert found.keys() == {"pruned/1", "tuned/1"}
    assert found["pruned/1"]["sparsity"] == 0.5
    assert found["pruned/1"]["parents"] == {}
    assert found["tuned/1"]["parents"][made[1].digest]["containment"] == 1.0
    assert found["tuned/1"]["parents"][made[1].digest]["repruned_phi"] > 0.95
    assert found["pruned/1"]["clusters"]["corrected"]["separation_ratio"] > 0

    # what was found once is not computed again: the weights are not needed any more
    shutil.rmtree(ctx.settings.work_dir / "weights")
    for version in made:
        file(ctx, version, f"weights/{version.name}.safetensors").rename(tmp_path / f"{version.name}.kept")
    assert {r["address"]: r for r in audit_masks.run(ctx, audit.entries(ctx))} == found


def test_the_report_is_one_run_a_key_and_escapes_what_it_shows(ctx: Context, add: Callable[..., ModelVersion]) -> None:
    add("reported")
    raw(ctx).set_model_version_tag("reported", "1", "heritage.data", "<script>alert(1)</script>")
    audit.run(ctx)

    run_id = audit.keep_report(ctx, "weekly")

    assert audit.keep_report(ctx, "weekly") == run_id
    kept = Path(raw(ctx).get_run(run_id).info.artifact_uri)
    page = (kept / "audit.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert (kept / "fleet" / "drift" / "config_drift_pairs.csv").exists()


def test_configs_and_masks_read_a_live_registry(
    ctx: Context, add: Callable[..., ModelVersion], command: Callable[..., Any], tmp_path: Path
) -> None:
    parent = add("live")
    add("live-child", edge(parent), width=7)
    sparse = np.random.default_rng(4).normal(size=(32, 24)).astype(np.float32)
    write_safetensors(tmp_path / "model.safetensors", {"up": np.where(np.abs(sparse) > 0.6, sparse, 0), "b": sparse})
    ctx.registry.register("live-pruned", tmp_path / "model.safetensors")

    code, found = command("configs", "lineage", "--table", "registry", "-o", str(tmp_path / "out"))
    assert code == 0
    assert any("live-child" in line and "width" in line for line in found["summary"]["worst"])
    code, found = command("masks", "analyze", "models:/live-pruned/1", "--tensor", "up", "--n-features", "10",
                          "--n-clusters", "3")  # fmt: skip
    assert code == 0
    assert len(found["similar"]) == 10
    assert command("masks", "analyze", "models:/live-pruned/1")[0] == 1  # two tensors: which?
    assert command("masks", "analyze", "models:/live-pruned/9", "--tensor", "up")[0] == 1


def description(ctx: Context, name: str) -> str:
    return raw(ctx).get_model_version(name, "1").description


def test_registering_through_the_flow_locks_a_copy_and_tells_the_story(
    ctx: Context, add: Callable[..., ModelVersion], root: ModelVersion, tmp_path: Path
) -> None:
    write_safetensors(
        tmp_path / "model.safetensors", {"w": np.random.default_rng(5).normal(size=(4, 3)).astype(np.float32)}
    )
    wanted = register.Registration("by-flow", tmp_path / "model.safetensors", parents=(edge(root),))

    version = register.run(ctx, wanted)

    assert told(audit.findings(ctx), "by-flow") == set()
    assert "was fine-tuned from [root/1](#/models/root/versions/1)" in description(ctx, "by-flow")
    assert b"by-flow/1" in ctx.registry.artifact(version, story.PAGE_PATH)
    assert not story.write(ctx, version.address)

    # registering content whose tag was edited since gives the version, as before; the audit tells the rest
    raw(ctx).set_model_version_tag("by-flow", "1", "heritage.digest", root.digest)
    assert register.run(ctx, wanted).address == version.address
    raw(ctx).set_model_version_tag("by-flow", "1", "heritage.digest", version.digest)

    # what people write stays, and a version that got a child tells it
    raw(ctx).update_model_version("by-flow", "1", "Ask Ana.\n\n" + description(ctx, "by-flow"))
    add("child-of-flow", edge(version))
    changed = story.refresh(ctx, audit.entries(ctx))
    assert changed >= 2
    assert description(ctx, "by-flow").startswith("Ask Ana.")
    assert "child-of-flow/1" in description(ctx, "by-flow")
    assert story.refresh(ctx, audit.entries(ctx)) == 0
