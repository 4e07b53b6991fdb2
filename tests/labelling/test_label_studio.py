"""Label Studio's formats there and back; what it writes is judged like any other answer."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from heritage.errors import BadInput
from heritage.labelling.answers import check_answers
from heritage.labelling.label_studio import from_label_studio, labelling_config, to_label_studio
from heritage.labelling.pool import Selection
from heritage.labelling.request import RequestOptions, make_request
from heritage.rows import Rows

CLASSES = ("cat", 'a "dog" & <b>', "owl")
WINDOW = Rows(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
PICKED = Selection(np.arange(4), ("random", "margin", "random", "margin"))


def make(**changes):
    options = RequestOptions("vision/3", "a" * 64, "2026-11-22T07", CLASSES, "mixed")
    return make_request(WINDOW, PICKED, options, np.tile([0.1, 0.7, 0.2], (6, 1)), **changes)


def annotated(tasks: list[dict], labels: list[str | None], person: object = 7) -> bytes:
    """What Label Studio exports after somebody chose `labels`; None: skipped."""
    exported = []
    for number, (task, label) in enumerate(zip(tasks, labels, strict=True)):
        result = [{"from_name": "label", "to_name": "data", "type": "choices", "value": {"choices": [label]}}]
        annotation = {
            "id": number,
            "completed_by": person,
            "result": result if label else [],
            "was_cancelled": not label,
        }
        exported.append(
            {"id": number, "data": task["data"], "annotations": [annotation | {"updated_at": "2026-11-22"}]}
        )
    return json.dumps(exported).encode()


def test_the_config_is_xml_whatever_the_classes_are_called():
    root = ElementTree.fromstring(labelling_config(CLASSES, "text"))
    assert [c.get("value") for c in root.iter("Choice")] == list(CLASSES)
    assert ElementTree.fromstring(labelling_config(CLASSES, "image")).find("Image").get("value") == "$image"
    with pytest.raises(BadInput, match="no Label Studio view"):
        labelling_config(CLASSES, "sound")


def test_answers_come_back_to_their_rows():
    made = make()
    export = annotated(to_label_studio(made.tasks, CLASSES, "vision/3"), ["owl", None, CLASSES[1], "cat"])
    checked = check_answers(from_label_studio(export), made.tasks, made.rows, CLASSES)
    assert checked.rows.y.tolist() == [2, 1, 0]
    assert checked.annotators == {"7": 3}


def test_only_uncertain_rows_carry_a_prediction():
    tasks = to_label_studio(make().tasks, CLASSES, "vision/3")
    assert ["predictions" in t for t in tasks] == [False, True, False, True]
    assert tasks[1]["predictions"][0]["result"][0]["value"] == {"choices": [CLASSES[1]]}
    assert tasks[1]["predictions"][0]["score"] == 0.7


def test_texts_are_shown_and_images_need_an_address():
    made = make(texts=[f"text {i}" for i in range(6)])
    assert to_label_studio(made.tasks, CLASSES, "m")[2]["data"]["text"] == "text 2"
    image = make_request(
        Rows(np.random.default_rng(1).random((6, 4, 4)).astype(np.float32)),
        PICKED,
        RequestOptions("vision/3", "a" * 64, "w1", CLASSES, "mixed"),
    )
    with pytest.raises(BadInput, match="no image address"):
        to_label_studio(image.tasks, CLASSES, "m")
    addresses = {str(i): f"data:image/png;base64,{n}" for n, i in enumerate(image.rows.ids)}
    assert to_label_studio(image.tasks, CLASSES, "m", addresses)[3]["data"]["image"].endswith("3")


def test_records_of_people_are_understood():
    made = make()
    export = annotated(to_label_studio(made.tasks, CLASSES, "m"), ["cat"] * 4, {"id": 3, "email": "x@example.org"})
    assert check_answers(from_label_studio(export), made.tasks, made.rows, CLASSES).annotators == {"3": 4}


@pytest.mark.parametrize(
    "data", [b"", b"{}x", b"[1]", b'[{"data": {}}]', b'[{"data": {}, "annotations": [{}]}]', b"[" * 99999]
)
def test_what_is_no_export_is_refused(data):
    with pytest.raises(BadInput, match="no JSON export"):
        from_label_studio(data)
