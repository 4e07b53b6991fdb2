"""Hand-off to Label Studio: tasks in its import format, its export as answers. Files only; its API is called elsewhere.

Rows picked at random carry no prediction: a filled-in answer biases people (Label Studio 1.23 shows a non-empty
`result`). Uncertain rows carry one, whose score Label Studio can sort by.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from heritage.errors import BadInput
from heritage.labelling.answers import json_lines
from heritage.names import printable

_FIELD = {"text": "text", "row": "text", "image": "image"}


def labelling_config(classes: Sequence[str], kind: str) -> str:
    """The project's XML: one choice of `classes` for a 'text', 'row' or 'image'; everything from outside is quoted."""
    if kind not in _FIELD:
        raise BadInput(f"rows of kind '{printable(kind)}' have no Label Studio view; known: {', '.join(_FIELD)}")
    shown = '<Image name="data" value="$image"/>' if kind == "image" else '<Text name="data" value="$text"/>'
    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in classes)
    return (
        f'<View>{shown}<Choices name="label" toName="data" choice="single" required="true">{choices}</Choices></View>'
    )


def to_label_studio(
    tasks: bytes, classes: Sequence[str], model: str, images: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The tasks of a request (`tasks.jsonl`) as Label Studio imports them (`POST /api/projects/ID/import`).

    `model` is written beside predictions. `images`: sample id -> address or data URI of what an annotator sees; image
    rows need one each, else `BadInput`.
    """
    return [_exported(task, classes, model, images or {}) for task in json_lines(tasks, "tasks.jsonl")]


def from_label_studio(export: bytes, where: str = "Label Studio export") -> bytes:
    """The answers of an export (`exportType=JSON`) as `labels.jsonl`; `check_answers` then judges each of them.

    Cancelled annotations and those without a choice are left out. Raises `BadInput` for what is no such export.
    """
    try:
        tasks = json.loads(export)
        lines = [line for task in tasks for line in _answers(task)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"{where}: is no JSON export with annotations ({printable(repr(error))}); export it again with "
            "exportType=JSON"
        ) from error
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines).encode()


def _exported(task: dict[str, Any], classes: Sequence[str], model: str, images: Mapping[str, str]) -> dict[str, Any]:
    data = {key: task[key] for key in ("sample_id", "row_sha256", "pick", "strategy")}
    shown = task["data"]
    if shown["kind"] == "image":
        if task["sample_id"] not in images:
            raise BadInput(f"row '{printable(task['sample_id'])}' has no image address; Label Studio needs one")
        data["image"] = images[task["sample_id"]]
    else:
        data["text"] = shown.get("text") or json.dumps(shown.get("values", []))
    if "prediction" not in task:
        return {"data": data}
    guess = task["prediction"]
    choice = {
        "from_name": "label",
        "to_name": "data",
        "type": "choices",
        "value": {"choices": [classes[guess["class"]]]},
    }
    return {"data": data, "predictions": [{"model_version": model, "score": guess["score"], "result": [choice]}]}


def _answers(task: dict[str, Any]) -> list[dict[str, str]]:
    data = task["data"]
    found = []
    for annotation in task["annotations"]:
        choices = [r["value"]["choices"] for r in annotation["result"] if r["type"] == "choices"]
        if annotation.get("was_cancelled") or not choices or not choices[0]:
            continue
        found.append(
            {
                "sample_id": data["sample_id"],
                "row_sha256": data["row_sha256"],
                "label": choices[0][0],
                "annotator": _person(annotation.get("completed_by", "")),
                "time": str(annotation.get("updated_at") or annotation.get("created_at") or ""),
            }
        )
    return found


def _person(completed_by: object) -> str:
    """Label Studio writes a number, or a record with one, depending on the export."""
    if isinstance(completed_by, dict):
        return str(completed_by.get("id", ""))
    return str(completed_by)
