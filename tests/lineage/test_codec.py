"""Manifests: canonical bytes, the round-trip law, the golden file, and one clear refusal a rule."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heritage.errors import BadInput, LineageCycle
from heritage.lineage.codec import MAX_PARENTS, decode, encode
from heritage.records import (
    Architecture,
    MadeBy,
    Manifest,
    Moments,
    Origin,
    ParentEdge,
    Relation,
    TrainingData,
    Transformation,
    WeightsFile,
)

GOLDEN = Path(__file__).parent / "golden" / "manifest_1.json"

FULL = Manifest(
    digest="c" * 64,
    name="digits-site-b",
    files=(WeightsFile("model-00001.safetensors", "1" * 64, 4096),),
    dtype="float32",
    parameters=1018,
    made_by=MadeBy("0.1.0", "heritage_repair", "manual__2026-11-22T07:30:00+00:00"),
    created_at="2026-11-22T07:30:00+00:00",
    architecture=Architecture("heritage.demo.nets:mlp", {"hidden": [32, 16], "dropout": 0.1, "bias": True}),
    training_data=TrainingData("d" * 64, 899, {"pixel_0": Moments(899, 1, 0.5, 0.25, 0.0, math.nan, 0.0, 1.0)}),
    parents=(
        ParentEdge(
            "a" * 64,
            Relation.FINETUNE,
            Origin.ATTESTED,
            name="digits",
            version="1",
            transformation=Transformation("sgd", {"epochs": 4, "lr": 0.05}),
            metrics={"accuracy": 0.971},
            data_drift={"pixel_0": {"psi": 0.31, "ks": 0.2}},
        ),
        ParentEdge("b" * 64, Relation.UNKNOWN, Origin.RECOVERED, 0.97),
    ),
    metrics={"accuracy": 0.983},
)

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**63 - 1)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
words = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True).filter(lambda w: w not in {"nul", "con", "none", "null"})
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values, max_size=3)
numbers = st.dictionaries(texts, finite, max_size=3)
edges = st.builds(
    ParentEdge,
    digest=digests,
    relation=st.sampled_from(Relation),
    origin=st.sampled_from(Origin),
    confidence=st.floats(0, 1),
    name=st.just("") | words,
    version=st.just("") | st.integers(1, 10**9).map(str),
    transformation=st.builds(Transformation, texts, objects),
    metrics=numbers,
    data_drift=st.dictionaries(texts, numbers, max_size=2),
)
manifests = st.builds(
    Manifest,
    digest=digests,
    name=words,
    files=st.lists(
        st.builds(WeightsFile, words.map(lambda w: w + ".safetensors"), digests, counts),
        max_size=3,
        unique_by=lambda f: f.name,
    ).map(tuple),
    dtype=words,
    parameters=counts,
    made_by=st.builds(MadeBy, texts, texts, texts),
    created_at=st.datetimes().map(lambda t: t.isoformat() + "+00:00"),
    architecture=st.none() | st.builds(Architecture, words.map(lambda w: f"acme.nets:{w}"), objects),
    training_data=st.none()
    | st.builds(
        TrainingData,
        digests,
        counts,
        st.dictionaries(texts, st.builds(Moments, counts, counts, *[finite] * 6), max_size=2),
    ),
    parents=st.lists(edges, max_size=3, unique_by=lambda e: e.digest[:12]).map(tuple),
    metrics=numbers,
).filter(lambda m: m.digest not in {edge.digest for edge in m.parents})


@settings(max_examples=50)
@given(manifests)
def test_a_manifest_survives_the_round_trip(manifest: Manifest) -> None:
    data = encode(manifest)

    assert decode(data, "m.json") == manifest
    assert encode(decode(data, "m.json")) == data


def test_undefined_moments_become_null_and_come_back_as_nan() -> None:
    document = json.loads(encode(FULL))

    assert document["training_data"]["moments"]["pixel_0"]["kurtosis"] is None
    back = decode(encode(FULL), "m.json").training_data
    assert back is not None
    assert math.isnan(back.moments["pixel_0"].kurtosis)


def test_the_golden_manifest_of_schema_1_is_read_and_written_byte_for_byte() -> None:
    golden = GOLDEN.read_bytes()

    assert encode(FULL) == golden
    assert encode(decode(golden, GOLDEN.name)) == golden


def test_bytes_do_not_depend_on_the_order_of_keys_or_on_tuples() -> None:
    one = replace(FULL, architecture=Architecture("a.b:c", {"x": (1, 2), "y": 2}))
    other = replace(FULL, architecture=Architecture("a.b:c", {"y": 2, "x": [1, 2]}))

    assert encode(one) == encode(other)


def altered(path: str, value: object) -> bytes:
    """The golden manifest with the value at 'a.0.b' replaced; a dot-free new last part adds a field."""
    document = json.loads(GOLDEN.read_bytes())
    place = document
    *steps, last = path.split(".")
    for step in steps:
        place = place[int(step) if step.isdigit() else step]
    place[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("model.digest", "C" * 64, "model.digest"),
        ("model.digest", 7, "model.digest"),
        ("model.name", "../../etc/passwd", "model.name"),
        ("model.name", "a\nb", "model.name"),
        ("model.parameters", -1, "model.parameters"),
        ("model.parameters", True, "model.parameters"),
        ("model.parameters", 2**63, "model.parameters"),
        ("model.parameters", 1.0, "model.parameters"),
        ("model.files", {}, "model.files"),
        ("model.files.0.name", "../x.safetensors", "model.files[0].name"),
        ("model.files.0.name", ".hidden", "model.files[0].name"),
        ("model.architecture.builder", "os.system('x')", "model.architecture.builder"),
        ("model.architecture.kwargs", {"a": 10**30}, "model.architecture.kwargs"),
        ("model.licence", "MIT", "licence"),
        ("extra", 1, "extra"),
        ("training_data.signature", "short", "training_data.signature"),
        ("parents.0.confidence", 1.5, "parents[0].confidence"),
        ("parents.0.confidence", "1", "parents[0].confidence"),
        ("parents.0.relation", "clone", "parents[0].relation"),
        ("parents.0.origin", "guessed", "parents[0].origin"),
        ("parents.0.version", "0", "parents[0].version"),
        ("parents.0.metrics", {"a": 10**400}, "parents[0].metrics[a]"),
        ("parents.0.data_drift", {"c": 1}, "parents[0].data_drift[c]"),
        ("metrics", {"a": None}, "metrics[a]"),
        ("metrics", {"\x1b[31m": 1.0}, "metrics"),
        ("created_at", "2026-11-22T07:30:00", "created_at"),
        ("created_at", "2026-11-22T07:30:00+05:00", "created_at"),
        ("created_at", "yesterday", "created_at"),
        ("made_by.dag", "\ud800", "made_by.dag"),
    ],
)
def test_a_wrong_field_is_refused_with_file_and_path(path: str, value: object, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        decode(altered(path, value), "runs/7/manifest.json")

    assert "runs/7/manifest.json" in str(caught.value)
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a JSON document"),
        (b"\xff\xfe", "not a JSON document"),
        (b"[]", "schema"),
        (b"{}", "schema"),
        (b'{"schema":"heritage/manifest/2"}', "heritage/manifest/2"),
        (b'{"schema":["x"]}', "schema"),
        (b'{"schema":"heritage/manifest/1"}', "lacks"),
        (b'{"a":1,"a":1}', "stands twice"),
        (b'{"a":NaN}', "NaN"),
        (b"[" * 100_000, "not a JSON document"),
        (b" " * (16 * 2**20 + 1), "limit"),
        (b"1" * 5000, "not a JSON document"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        decode(data, "m.json")

    assert "m.json" in str(caught.value)


def test_a_missing_field_is_named() -> None:
    document = json.loads(GOLDEN.read_bytes())
    del document["parents"][1]["origin"]

    with pytest.raises(BadInput, match=r"parents\[1\].*lacks \['origin'\]"):
        decode(json.dumps(document).encode(), "m.json")


def test_infinity_spelt_as_a_large_number_is_refused() -> None:
    data = GOLDEN.read_bytes().replace(b'"accuracy":0.983', b'"accuracy":1e999')

    with pytest.raises(BadInput, match=r"metrics\[accuracy\].*finite"):
        decode(data, "m.json")


def nested(depth: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(depth):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    "kwargs",
    [{"x": {1, 2}}, {"x": math.nan}, {1: 2}, {"x": object()}, nested(40), nested(50_000), {"x": [0] * 100_001}],
    ids=["set", "nan", "integer key", "object", "deep", "very deep", "wide"],
)
def test_the_writer_refuses_what_is_no_bounded_json(kwargs: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"model\.architecture\.kwargs"):
        encode(replace(FULL, architecture=Architecture("a.b:c", kwargs)))


def test_a_version_cannot_be_written_as_its_own_parent() -> None:
    edge = ParentEdge(FULL.digest, Relation.COPY, Origin.DECLARED)

    with pytest.raises(LineageCycle, match="own parent"):
        encode(replace(FULL, parents=(edge,)))


def parent(number: int, origin: Origin = Origin.DECLARED) -> ParentEdge:
    return ParentEdge(f"{number:012x}" + "0" * 52, Relation.MERGE, origin)


def test_a_merge_of_64_parents_is_written_and_one_of_65_refused() -> None:
    edges = tuple(parent(i) for i in range(MAX_PARENTS + 1))

    assert len(decode(encode(replace(FULL, parents=edges[:-1])), "m.json").parents) == 64
    with pytest.raises(BadInput, match="names 65 parents; the limit is 64"):
        encode(replace(FULL, parents=edges))


def test_one_parent_may_be_declared_and_recovered_but_not_declared_twice() -> None:
    both = (parent(1), parent(1, Origin.RECOVERED))

    assert decode(encode(replace(FULL, parents=both)), "m.json").parents == both
    with pytest.raises(BadInput, match="one parent twice"):
        encode(replace(FULL, parents=(parent(1), parent(1))))


def test_two_parents_that_one_tag_cannot_tell_apart_are_refused() -> None:
    twin = replace(parent(1), digest=parent(1).digest[:-1] + "f")

    with pytest.raises(BadInput, match="same 12 characters"):
        encode(replace(FULL, parents=(parent(1), twin)))
