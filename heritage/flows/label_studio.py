"""Hand a label request to Label Studio and take its annotations back as answers.

Label Studio runs as a process of its own; see docs/labelling.md. Both directions may be killed and run again: a
request is one project, whose id lies in `labels/<request>/label_studio.json`.
"""

import base64
import json
from typing import Any

from heritage.errors import BadInput, Conflict, NotFound
from heritage.flows import label
from heritage.flows.answers import key_of
from heritage.flows.context import Context
from heritage.flows.label_studio_api import LabelStudio
from heritage.labelling.answers import json_lines
from heritage.labelling.label_studio import from_label_studio, labelling_config, to_label_studio
from heritage.labelling.picture import png
from heritage.rows import Rows


def push(ctx: Context, request_id: str) -> dict[str, Any]:
    """Make a project of the request's tasks, once however often this is called; request, project, url, tasks."""
    manifest = json.loads(ctx.store.get(key_of(request_id, "manifest.json")))
    tasks = ctx.store.get(key_of(request_id, "tasks.jsonl"))
    lines = json_lines(tasks, "tasks.jsonl")
    kinds = {line["data"]["kind"] for line in lines}
    if len(kinds) != 1:
        raise BadInput(
            f"label request {request_id}: holds rows of {len(kinds)} kinds; Label Studio shows one a project"
        )
    (kind,) = kinds
    pictures = _pictures(label.rows_of(ctx, request_id)) if kind == "image" else {}
    wanted = to_label_studio(tasks, manifest["classes"], manifest["model"], pictures)
    with LabelStudio(ctx.settings.label_studio) as server:
        project = _project(ctx, server, request_id, labelling_config(manifest["classes"], kind), manifest["model"])
        _import_once(server, project, wanted)
        return {
            "request": request_id,
            "project": project,
            "url": f"{server.url}/projects/{project}",
            "tasks": len(wanted),
        }


def pull(ctx: Context, request_id: str) -> dict[str, Any]:
    """Take what was annotated so far and return the request's `status`; nothing new changes nothing."""
    key = key_of(request_id, "label_studio.json")
    try:
        project = int(json.loads(ctx.store.get(key))["project"])
    except NotFound as error:
        raise NotFound(
            f"label request {request_id} was not handed to Label Studio; run `heritage label push`"
        ) from error
    with LabelStudio(ctx.settings.label_studio) as server:
        lines = from_label_studio(server.export(project), f"project {project} of {server.url}")
    return label.answer(ctx, request_id, _named(lines))


def _named(lines: bytes) -> bytes:
    """Label Studio's people are numbers; said so, they are not mistaken for people who answer elsewhere."""
    found = [line | {"annotator": f"label-studio:{line['annotator']}"} for line in json_lines(lines, "Label Studio")]
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in found).encode()


def _project(ctx: Context, server: LabelStudio, request_id: str, config: str, model: str) -> int:
    """The request's project: that in storage, else one that a killed run left under this title, else a new one."""
    key = key_of(request_id, "label_studio.json")
    try:
        return int(json.loads(ctx.store.get(key))["project"])
    except NotFound:
        left = sorted(int(p["id"]) for p in server.projects() if p["title"] == request_id[:50])
    made = left[0] if left else server.create_project(request_id[:50], config, f"Rows that {model} sees now")
    if ctx.store.create(key, json.dumps({"project": made, "url": server.url}).encode()):
        return made
    winner = int(json.loads(ctx.store.get(key))["project"])
    if winner != made:
        server.delete_project(made)
    return winner


def _import_once(server: LabelStudio, project: int, tasks: list[dict[str, Any]]) -> None:
    """An import adds all tasks or none, so their number tells whether it took place."""
    there = int(server.project(project).get("task_number") or 0)
    if there == 0:
        there = server.import_tasks(project, tasks)
    if there != len(tasks):
        raise Conflict(
            f"project {project} of {server.url} holds {there} tasks, the request {len(tasks)}; "
            "delete the project there and push again"
        )


def _pictures(rows: Rows) -> dict[str, str]:
    """Sample id -> data URI."""
    assert rows.ids is not None
    return {
        str(name): "data:image/png;base64," + base64.b64encode(png(row)).decode()
        for name, row in zip(rows.ids, rows.x, strict=True)
    }
