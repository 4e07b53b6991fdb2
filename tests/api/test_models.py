"""Lists, single versions and parts of the lineage, as the pages read them."""

from urllib.parse import quote

import pytest

from tests.api.small_fleet import HOSTILE, until


def names(answer) -> list[str]:
    return [model["address"] for model in answer.json()["models"]]


def test_the_list_tells_each_version_once_by_name(client, fleet):
    answer = client.get("/api/models").json()
    assert [m["address"] for m in answer["models"]] == [
        f"{HOSTILE}/1",
        "both/1",
        "hand/1",
        "left/1",
        "right/1",
        "root/1",
    ]
    left = answer["models"][3]
    assert left["digest"] == fleet.digest("left")
    assert (left["aliases"], left["health"], left["family"]) == (["champion"], "drift", "small")
    assert (left["window"], left["effect"], left["parents"], left["children"]) == ("2026-11-22T02", 0.4, 1, 1)
    assert (answer["total"], answer["next"], answer["complete"]) == (6, None, True)


def test_pages_of_any_size_tell_the_same(client):
    whole = names(client.get("/api/models"))
    for limit in (1, 2, 5):
        found, cursor = [], ""
        while cursor is not None:
            answer = client.get("/api/models", params={"limit": limit, "cursor": cursor})
            found += names(answer)
            cursor = answer.json()["next"]
        assert found == whole


def test_the_list_is_narrowed_by_text_health_and_family(client):
    assert names(client.get("/api/models?query=O")) == [f"{HOSTILE}/1", "both/1", "root/1"]
    assert names(client.get("/api/models?query=o%25")) == []
    assert names(client.get("/api/models?health=drift")) == ["left/1"]
    assert names(client.get("/api/models?family=small&health=ok")) == ["right/1"]
    assert names(client.get("/api/models", params={"family": HOSTILE})) == [f"{HOSTILE}/1"]


def test_a_version_is_found_by_address_alias_and_digest(client, fleet):
    digest = fleet.digest("left")
    for address in ("left/1", "left@champion", digest, digest[:12]):
        assert client.get(f"/api/models/{address}").json()["model"]["address"] == "left/1"
    assert client.get(f"/api/models/{digest[:11]}").status_code == 400
    for address in ("left/2", "left@challenger", "0" * 12, "nobody/1"):
        assert client.get(f"/api/models/{address}").status_code == 404


def test_one_version_shows_its_manifest_its_neighbours_and_where_to_look(client, fleet):
    found = client.get("/api/models/left/1").json()
    assert found["manifest"]["model"]["digest"] == fleet.digest("left")
    assert [p["address"] for p in found["parents"]] == ["root/1"]
    assert [(c["address"], c["relation"]) for c in found["children"]] == [("both/1", "merge")]
    assert found["verdict"]["columns"] == ["x0"]
    assert found["links"]["mlflow"].endswith("/#/models/left/versions/1")
    assert found["problem"] == ""


def test_a_version_without_manifest_says_so(client):
    found = client.get("/api/models/hand/1").json()
    assert found["manifest"] is None
    assert "heritage_ingest" in found["problem"]
    assert client.get("/api/models/hand/1/lineage").status_code == 404


def test_a_hostile_name_is_data(client):
    address = quote(f"{HOSTILE}/1", safe="/")
    answer = client.get(f"/api/models/{address}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["model"]["name"] == HOSTILE
    assert HOSTILE not in answer.json()["links"]["mlflow"]


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("ancestors", {"left": 0, "root": -1}),
        ("descendants", {"left": 0, "both": 1}),
        ("both", {"left": 0, "root": -1, "both": 1}),
    ],
)
def test_lineage_walks_the_way_it_is_asked(client, direction, expected):
    found = client.get(f"/api/models/left/1/lineage?direction={direction}").json()
    assert {n["address"].split("/")[0]: n["distance"] for n in found["nodes"]} == expected
    assert not found["truncated"]


def test_lineage_tells_edges_and_the_counts_of_what_is_not_shown(client, fleet):
    found = client.get("/api/models/root/1/lineage?depth=1").json()
    assert {n["label"]: (n["parents"], n["children"]) for n in found["nodes"]} == {
        "root/1": (0, 2),
        "left/1": (1, 1),
        "right/1": (1, 1),
    }
    assert {(e["parent"], e["child"], e["origin"]) for e in found["edges"]} == {
        (fleet.digest("root"), fleet.digest(child), "declared") for child in ("left", "right")
    }
    assert found["truncated"]


def test_lineage_is_cut_at_the_limit(client):
    found = client.get("/api/models/root/1/lineage?limit=3").json()
    assert [n["distance"] for n in found["nodes"]] == [0, 1, 1]
    assert found["truncated"]
    assert client.get("/api/models/root/1/lineage?limit=100000").status_code == 422


def test_a_family_is_told_with_its_tree(client, fleet):
    found = client.get("/api/families/small/genealogy").json()
    assert found["roots"] == [fleet.digest("root")]
    assert {n["label"]: n["distance"] for n in found["nodes"]} == {"root/1": 0, "left/1": 1, "right/1": 1, "both/1": 2}
    assert found["statistics"]["relations"] == {"finetune": 2, "merge": 2}
    assert client.get("/api/families/nobody/genealogy").status_code == 404
    families = client.get("/api/families").json()["families"]
    assert {f["family"]: f["versions"] for f in families} == {"small": 4, HOSTILE: 1}


def test_statistics_count_everything(client):
    found = client.get("/api/clustering/statistics").json()
    assert (found["versions"], found["contents"], found["families"], found["edges"]) == (6, 4, 2, 4)
    assert (found["pending"], found["largest_family"]) == (2, 4)
    assert found["health"] == {"drift": 1, "ok": 1, "unknown": 4}


def test_what_changes_in_the_registry_is_seen_soon(client, fleet):
    from mlflow.tracking import MlflowClient

    mlflow, digest = MlflowClient(fleet.ctx.settings.mlflow.tracking_uri), fleet.digest("root")
    assert client.get(f"/api/models/{digest}").json()["model"]["aliases"] == []
    mlflow.set_registered_model_alias("root", "blue", "1")
    try:
        until(lambda: client.get("/api/models/root@blue").status_code == 200)
        assert client.get(f"/api/models/{digest}/lineage").json()["nodes"][0]["aliases"] == ["blue"]
    finally:
        mlflow.delete_registered_model_alias("root", "blue")
    until(lambda: client.get("/api/models/root@blue").status_code == 404)
