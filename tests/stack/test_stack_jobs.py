"""The main job and the mapped jobs on PostgreSQL, Redis and two Celery workers, with accounts everywhere."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
import pytest

from heritage.demo import story
from heritage.errors import Misconfigured
from heritage.flows.context import Context
from heritage.local import processes
from heritage.local.airflow_rest import AirflowApi
from heritage.local.production import Production
from heritage.records import ModelVersion
from heritage.storage import ObjectStore
from tests import planted
from tests.stack import worked

RECLUSTER = "heritage_recluster"
T = TypeVar("T")
DAGS = (story.CHECK, story.REPAIR, story.PROMOTE)


def test_the_main_job_runs_on_the_workers(
    production: Production, ctx: Context, airflow: AirflowApi, tmp_path: Path
) -> None:
    told: list[str] = []
    found = story.play(ctx, story.through_airflow(airflow), 0, tmp_path, told.append)

    tasks = worked.tasks_of(airflow, DAGS)
    print("\nready after, s:", {name: round(s, 1) for name, s in production.ready_s.items()})
    print(worked.table(tasks))
    print("tasks by worker:", dict(worked.by_worker(tasks)))
    print("wall times, s:", {name: round(s, 1) for name, s in found.seconds.items()})
    assert found.promoted.endswith("/2")
    assert set(worked.by_worker(tasks)) <= set(worked.WORKERS)
    assert ctx.registry.promotion_findings(found.drifted.split("/")[0]) == ()


def test_a_mapped_recluster_is_shared_by_the_workers(
    production: Production, ctx: Context, airflow: AirflowApi, tmp_path: Path
) -> None:
    planter = planted.Planter(7)
    for family in range(3):
        root = planter.root()
        for i, state in enumerate([root, planter.finetuned(root), planter.finetuned(root)]):
            planted.registered(ctx, tmp_path, f"planted-{family}-{i}", state)
    run = airflow.start(RECLUSTER, {"reset": True})

    assert airflow.wait(RECLUSTER, run, 600.0) == "success"

    tasks = [t for t in airflow.tasks(RECLUSTER, run) if t["hostname"]]
    print("\n" + worked.table(tasks))
    print("tasks by worker:", dict(worked.by_worker(tasks)))
    assert {"prepare", "tree"} <= {t["task_id"] for t in tasks if t["map_index"] >= 0}
    assert set(worked.by_worker(tasks)) == set(worked.WORKERS)
    families = [{v.tags["heritage.family"] for v in versions_of(ctx, family)} for family in range(3)]
    assert [len(found) for found in families] == [1, 1, 1]
    assert len(set.union(*families)) == 3


def versions_of(ctx: Context, family: int) -> list[ModelVersion]:
    return [ctx.registry.version(f"planted-{family}-{i}") for i in range(3)]


def asked(members: Iterable[psutil.Process], question: Callable[[psutil.Process], T]) -> list[T]:
    """The answers of `members`, without those that end meanwhile, as a worker's tasks do."""
    answers = []
    for member in members:
        with suppress(psutil.NoSuchProcess):
            answers.append(question(member))
    return answers


def test_workers_have_no_key_of_the_database(production: Production) -> None:
    worker = production.running["airflow-worker-1"]
    environments = asked(processes.members(worker), psutil.Process.environ)

    assert len(environments) > 1
    for found in environments:
        assert "PGPASSWORD" not in found
        assert "postgresql" not in "".join(found.values())


def test_every_listener_is_on_loopback(production: Production) -> None:
    addresses = {
        (name, socket.laddr.ip)
        for name, process in production.running.items()
        for sockets in asked(processes.members(process), psutil.Process.net_connections)
        for socket in sockets
        if socket.status == psutil.CONN_LISTEN
    }

    assert {ip for _, ip in addresses} == {"127.0.0.1"}, addresses


def test_no_secret_is_an_argument_or_in_a_log(production: Production) -> None:
    secrets = [file.read_text().strip() for file in (production.work_dir / "secrets").iterdir()]
    members = [member for process in production.running.values() for member in processes.members(process)]
    arguments = [word for words in asked(members, psutil.Process.cmdline) for word in words]
    logs = [Path(process.log).read_text(errors="replace") for process in production.running.values()]

    assert [s for s in secrets if any(s in text for text in [*arguments, *logs])] == []


def test_the_tracking_server_asks_who_is_there(production: Production) -> None:
    asked = f"{production.url('mlflow')}/api/2.0/mlflow/experiments/get?experiment_id=0"
    with httpx.Client(trust_env=False) as client:
        assert client.get(asked).status_code == 401
        assert client.get(asked, auth=("admin", "password1234")).status_code == 401
        assert client.get(asked, auth=("admin", production.secret("mlflow_admin_password"))).status_code == 200
        assert client.get(asked, headers={"Host": "evil.example"}).status_code == 403


def test_an_account_of_the_storage_reaches_its_own_bucket_only(ctx: Context) -> None:
    ctx.store.put("probe/own", b"x")
    for bucket in ("mlflow", "airflow-logs"):
        foreign = ObjectStore.connect(ctx.settings.s3.model_copy(update={"bucket": bucket, "deadline_s": 5.0}))
        with pytest.raises(Misconfigured, match="403"):
            list(foreign.list())
        with pytest.raises(Misconfigured, match="403"):
            foreign.put("probe/foreign", b"x")
    ctx.store.delete("probe/own")
