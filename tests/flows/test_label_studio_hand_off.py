"""A request goes to Label Studio once and its annotations come back as answers; over HTTP, faults included."""

import os
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest

from heritage.errors import BadInput, Conflict, Misconfigured, NotFound, Unavailable
from heritage.flows import label, label_studio
from heritage.flows.answers import key_of
from heritage.flows.context import Context
from heritage.flows.label_studio_api import LabelStudio
from heritage.labelling.pool import Selection
from heritage.labelling.request import RequestOptions, make_request
from heritage.rows import Rows, to_npz
from heritage.settings import LabelStudioSettings, Settings
from heritage.storage import ObjectStore
from tests.flows import label_studio_server as fake

pytestmark = pytest.mark.services

NOW = datetime(2026, 11, 22, 7, tzinfo=UTC)
CLASSES = ("cat", 'a "dog" & <b>', "owl")


def ask(ctx: Context, shape: tuple[int, ...] = (4,), rows: int = 6) -> str:
    x = np.random.default_rng(0).random((rows, *shape)).astype(np.float32)
    options = RequestOptions("vision/3", "a" * 64, "w1", CLASSES, "mixed", min_labels=2)
    made = make_request(
        Rows(x), Selection(np.arange(rows), ("random", "margin") * (rows // 2)), options, np.full((rows, 3), 1 / 3)
    )
    for name, data in (("rows.npz", to_npz(made.rows)), ("tasks.jsonl", made.tasks), ("manifest.json", made.manifest)):
        ctx.store.create(key_of(made.request_id, name), data)
    return made.request_id


def at(store: ObjectStore, url: str, token: str = fake.LEGACY) -> Context:
    settings = Settings(label_studio=LabelStudioSettings(url=url, token=token, deadline_s=5.0))
    return Context(None, store, settings, lambda: NOW)


@pytest.fixture
def server():
    with fake.running() as (state, url):
        yield state, url


def test_tasks_go_out_once_and_answers_come_back(store, server):
    state, url = server
    ctx = at(store, url)
    request = ask(ctx)
    told = [label_studio.push(ctx, request) for _ in range(2)]
    assert told[0] == told[1] == {"request": request, "project": 1, "url": f"{url}/projects/1", "tasks": 6}
    assert len(state.projects) == 1
    assert len(state.tasks[1]) == 6
    state.annotate(1, ["owl", None, CLASSES[1], "cat"])
    status = label_studio.pull(ctx, request)
    assert status["answered"] == 3
    assert label.progress(ctx, request)["annotators"] == {"label-studio:7": 3}
    assert label.progress(ctx, request)["labels"] == {"owl": 1, CLASSES[1]: 1, "cat": 1}
    before = sorted(store.list("labels/"))
    assert label_studio.pull(ctx, request) == status
    assert sorted(store.list("labels/")) == before


def test_images_are_shown_as_pictures_and_random_rows_without_a_guess(store, server):
    state, url = server
    ctx = at(store, url)
    label_studio.push(ctx, ask(ctx, shape=(8, 8)))
    assert all(t["data"]["image"].startswith("data:image/png;base64,") for t in state.tasks[1])
    assert ["predictions" in t for t in state.tasks[1]] == [False, True] * 3
    assert "<Image" in state.projects[1]["label_config"]


def test_people_here_and_there_answer_the_same_request(store, server):
    state, url = server
    ctx = at(store, url)
    request = ask(ctx)
    label_studio.push(ctx, request)
    first = label.tasks(ctx, request)[0]
    label.submit(ctx, request, [{**first, "label": "cat"}], "ana")
    state.annotate(1, ["owl"])
    label_studio.pull(ctx, request)
    assert label.progress(ctx, request)["annotators"] == {"ana": 1, "label-studio:7": 1}
    assert label.progress(ctx, request)["conflicts"] == 1


def test_a_run_that_was_killed_after_making_the_project_is_taken_up(store, server):
    state, url = server
    ctx = at(store, url)
    request = ask(ctx)
    for i in range(120):  # more than one page of somebody else's projects
        state.answer("POST", "/api/projects", {}, {"title": f"other {i}"})
    state.answer("POST", "/api/projects", {}, {"title": request})
    assert label_studio.push(ctx, request)["project"] == 121
    assert len(state.tasks[121]) == 6


def test_tasks_that_somebody_added_or_removed_are_noticed(store, server):
    state, url = server
    ctx = at(store, url)
    request = ask(ctx)
    label_studio.push(ctx, request)
    state.tasks[1].pop()
    with pytest.raises(Conflict, match="holds 5 tasks, the request 6"):
        label_studio.push(ctx, request)


def test_a_personal_token_is_changed_for_one_that_expires(store, server):
    state, url = server
    ctx = at(store, url, fake.PERSONAL)
    request = ask(ctx)
    label_studio.push(ctx, request)
    with LabelStudio(ctx.settings.label_studio) as client:
        assert client.project(1)["task_number"] == 6
        state.expired = True
        assert client.project(1)["task_number"] == 6
    assert state.requests.count(("POST", "/api/token/refresh")) == 3


@pytest.mark.parametrize("fault", [429, 500, 503, "hang up", "no json"])
def test_reading_is_tried_again(store, server, fault):
    state, url = server
    ctx = at(store, url)
    request = ask(ctx)
    label_studio.push(ctx, request)
    state.annotate(1, ["cat"])
    if fault == "no json":
        state.faults = [fault]
        with pytest.raises((Unavailable, BadInput)):
            label_studio.pull(ctx, request)
    else:
        state.faults = [fault, fault]
    assert label_studio.pull(ctx, request)["answered"] == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_push_that_failed_half_way_is_finished_by_the_next(store, server, count):
    state, url = server
    ctx = at(store, url)
    request = ask(ctx)
    state.faults = [None] * count + [502] * 9
    with pytest.raises(Unavailable):
        label_studio.push(ctx, request)
    state.faults = []
    label_studio.push(ctx, request)
    assert [len(tasks) for tasks in state.tasks.values()] == [6]


def test_what_is_wrong_is_said_and_the_token_is_not(store, server):
    _, url = server
    with pytest.raises(Misconfigured, match="HERITAGE_LABEL_STUDIO__TOKEN") as refused:
        label_studio.push(at(store, url, "secret-word"), ask(at(store, url)))
    assert "secret-word" not in str(refused.value)
    with pytest.raises(Misconfigured, match="401"):
        label_studio.push(at(store, url, "a.wrong.token"), ask(at(store, url)))
    with pytest.raises(Misconfigured, match="is not set up"):
        label_studio.push(Context(None, store, Settings()), ask(at(store, url)))
    with pytest.raises(NotFound, match="was not handed to Label Studio"):
        label_studio.pull(at(store, url), ask(at(store, url), shape=(5,)))
    with pytest.raises(Unavailable, match="is the server up"):
        label_studio.push(at(store, "http://127.0.0.1:9"), ask(at(store, url)))
    assert "secret-word" not in repr(at(store, url, "secret-word").settings)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_label_studio_takes_and_gives_the_same(store, tmp_path):
    program = os.environ.get("HERITAGE_TEST_LABEL_STUDIO", "") or shutil.which("label-studio")
    if not program:
        pytest.skip("no Label Studio: install label-studio in an environment of its own and name its program in "
                    "HERITAGE_TEST_LABEL_STUDIO")  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    token = "0123456789abcdef0123456789abcdef01234567"
    user = {"USERNAME": "ana@example.org", "PASSWORD": "a-long-password-1", "USER_TOKEN": token}
    environment = {
        "PATH": f"{Path(program).parent}:/usr/bin:/bin", "HOME": str(tmp_path),
        "LABEL_STUDIO_BASE_DATA_DIR": str(tmp_path),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true", "COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false",
        **{f"LABEL_STUDIO_{key}": value for key, value in user.items()},
    }  # fmt: skip
    command = [program, "start", "--no-browser", "--port", str(port), "--internal-host", "127.0.0.1"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, tmp_path / "log")
        ctx = at(store, url, token)
        ctx = replace(ctx, settings=Settings(label_studio=LabelStudioSettings(url=url, token=token)))
        request = ask(ctx)
        told = label_studio.push(ctx, request)
        assert label_studio.push(ctx, request) == told
        headers = {"Authorization": f"Token {token}"}
        tasks = httpx.get(f"{url}/api/tasks", params={"project": told["project"]}, headers=headers).json()["tasks"]
        assert len(tasks) == 6
        choice = {"from_name": "label", "to_name": "data", "type": "choices", "value": {"choices": [CLASSES[1]]}}
        for task in tasks[:4]:
            made = httpx.post(f"{url}/api/tasks/{task['id']}/annotations/", json={"result": [choice]}, headers=headers)
            assert made.status_code == 201, made.text
        assert label_studio.pull(ctx, request)["answered"] == 4
        assert label.progress(ctx, request)["labels"] == {CLASSES[1]: 4}
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _wait(url: str, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(1)
    raise AssertionError(log.read_text()[-3000:])
