"""Manifests as canonical JSON bytes and back, schema 'heritage/manifest/1'.

Equal manifests give equal bytes: UTF-8, keys sorted, no space, no NaN (an undefined moment is null). The writer
passes what it writes through the reader first, so `decode(encode(m), ...) == m` or `encode` raises.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from heritage.errors import BadInput, LineageCycle
from heritage.lineage.fields import MAX_DEPTH, Field, parse_json
from heritage.names import check_digest, check_file_name, check_name, check_version, printable
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

SCHEMA = "heritage/manifest/1"
MANIFEST_PATH = "heritage/manifest.json"  # artifact path inside the run that made the version
MAX_BYTES = 16 * 2**20
MAX_FILES = 10_000
MAX_PARENTS = 64  # with the other tags of a version this stays under MLflow's 100 tags a batch

_MOMENTS = ("mean", "variance", "skewness", "kurtosis", "minimum", "maximum")
_BUILDER = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_Word = TypeVar("_Word", bound=StrEnum)


def encode(manifest: Manifest) -> bytes:
    """Canonical bytes of `manifest`.

    Tuples inside kwargs and parameters become lists. Raises `BadInput` for what `decode` would refuse, and
    `LineageCycle` for a version that names itself as parent.
    """
    where = f"manifest of {printable(manifest.name)}"
    if any(edge.digest == manifest.digest for edge in manifest.parents):
        raise LineageCycle(f"{where}: {manifest.digest[:12]} is named as its own parent; leave that edge out")
    document = _plain(manifest)
    _read(Field(document, "", where))
    data = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    if len(data) > MAX_BYTES:
        raise BadInput(f"{where}: has {len(data)} bytes; the limit is {MAX_BYTES}; leave out moments of some columns")
    return data


def decode(data: bytes, where: str) -> Manifest:
    """The manifest in `data`; `where` names its file or version in errors.

    Raises `BadInput` naming file and field for another schema version, unknown or missing fields, wrong types and
    whatever breaks a limit.
    """
    return _read(parse_json(data, where, MAX_BYTES))


def _plain(manifest: Manifest) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model": {
            "name": manifest.name,
            "digest": manifest.digest,
            "files": [{"name": f.name, "sha256": f.sha256, "size_bytes": f.size_bytes} for f in manifest.files],
            "dtype": manifest.dtype,
            "parameters": manifest.parameters,
            "architecture": _plain_architecture(manifest.architecture),
        },
        "training_data": _plain_data(manifest.training_data),
        "parents": [_plain_edge(edge) for edge in manifest.parents],
        "metrics": _floats(manifest.metrics),
        "made_by": {
            "tool_version": manifest.made_by.tool_version,
            "dag": manifest.made_by.dag,
            "run": manifest.made_by.run,
        },
        "created_at": manifest.created_at,
    }


def _plain_architecture(architecture: Architecture | None) -> dict[str, Any] | None:
    if architecture is None:
        return None
    return {"builder": architecture.builder, "kwargs": _lists(architecture.kwargs)}


def _plain_data(data: TrainingData | None) -> dict[str, Any] | None:
    if data is None:
        return None
    return {
        "signature": data.signature,
        "rows": data.rows,
        "moments": {column: _plain_moments(moments) for column, moments in data.moments.items()},
    }


def _plain_moments(moments: Moments) -> dict[str, Any]:
    values = {key: float(getattr(moments, key)) for key in _MOMENTS}
    undefined_as_null = {key: None if math.isnan(value) else value for key, value in values.items()}
    return {"count": moments.count, "missing": moments.missing} | undefined_as_null


def _plain_edge(edge: ParentEdge) -> dict[str, Any]:
    return {
        "digest": edge.digest,
        "name": edge.name,
        "version": edge.version,
        "relation": edge.relation.value,
        "origin": edge.origin.value,
        "confidence": float(edge.confidence),
        "transformation": {
            "type": edge.transformation.type,
            "parameters": _lists(edge.transformation.parameters),
        },
        "metrics": _floats(edge.metrics),
        "data_drift": {column: _floats(drift) for column, drift in edge.data_drift.items()},
    }


def _floats(values: Mapping[str, float]) -> dict[str, Any]:
    # one spelling for 1 and 1.0; what is no number stays as it is, for the reader to refuse by name
    return {key: float(v) if type(v) is int else v for key, v in values.items()}


def _lists(value: Any, depth: int = 0) -> Any:
    """`value` with mappings as dicts and tuples as lists, down to the depth at which the reader refuses it."""
    if depth > MAX_DEPTH:
        return value
    match value:
        case Mapping():
            return {key: _lists(inner, depth + 1) for key, inner in value.items()}
        case list() | tuple():
            return [_lists(inner, depth + 1) for inner in value]
        case _:
            return value


def _read(document: Field) -> Manifest:
    _check_schema(document)
    top = document.record(("schema", "model", "training_data", "parents", "metrics", "made_by", "created_at"))
    model = top["model"].record(("name", "digest", "files", "dtype", "parameters", "architecture"))
    return Manifest(
        digest=model["digest"].name(check_digest),
        name=model["name"].name(check_name),
        files=_files(model["files"]),
        dtype=model["dtype"].text(64, empty=False),
        parameters=model["parameters"].integer(),
        made_by=_made_by(top["made_by"]),
        created_at=_utc(top["created_at"]),
        architecture=_architecture(model["architecture"]),
        training_data=_training_data(top["training_data"]),
        parents=_parents(top["parents"]),
        metrics=top["metrics"].numbers(),
    )


def _check_schema(document: Field) -> None:
    found = document.value.get("schema") if isinstance(document.value, dict) else None
    if found != SCHEMA:
        raise BadInput(
            f"{document.where}: schema is '{printable(str(found), 60)}'; this heritage reads '{SCHEMA}'. "
            "Upgrade heritage if the manifest is newer; register the version again if it is no manifest"
        )


def _files(field: Field) -> tuple[WeightsFile, ...]:
    files = tuple(_file(item) for item in field.items(MAX_FILES))
    if len({file.name for file in files}) != len(files):
        raise field.wrong("names a file twice")
    return files


def _file(field: Field) -> WeightsFile:
    parts = field.record(("name", "sha256", "size_bytes"))
    return WeightsFile(
        parts["name"].name(lambda name: check_file_name(name, field.where)),
        parts["sha256"].name(check_digest),
        parts["size_bytes"].integer(),
    )


def _made_by(field: Field) -> MadeBy:
    parts = field.record(("tool_version", "dag", "run"))
    return MadeBy(parts["tool_version"].text(64), parts["dag"].text(256), parts["run"].text(256))


def _utc(field: Field) -> str:
    text = field.text(40)
    try:
        offset = datetime.fromisoformat(text).utcoffset()
    except ValueError:
        offset = None
    if offset != timedelta(0):
        raise field.wrong(f"is '{printable(text)}'; expected ISO 8601 in UTC such as 2026-11-22T07:30:00+00:00")
    return text


def _architecture(field: Field) -> Architecture | None:
    if field.value is None:
        return None
    parts = field.record(("builder", "kwargs"))
    builder = parts["builder"].text(256, empty=False)
    if not _BUILDER.fullmatch(builder):
        raise parts["builder"].wrong(f"is '{printable(builder)}'; expected 'package.module:callable'")
    return Architecture(builder, parts["kwargs"].json_object())


def _training_data(field: Field) -> TrainingData | None:
    if field.value is None:
        return None
    parts = field.record(("signature", "rows", "moments"))
    return TrainingData(
        parts["signature"].name(check_digest),
        parts["rows"].integer(),
        {column: _moments(member) for column, member in parts["moments"].table().items()},
    )


def _moments(field: Field) -> Moments:
    parts = field.record(("count", "missing", *_MOMENTS))
    values = {key: math.nan if parts[key].value is None else parts[key].number() for key in _MOMENTS}
    return Moments(count=parts["count"].integer(), missing=parts["missing"].integer(), **values)


def _parents(field: Field) -> tuple[ParentEdge, ...]:
    edges = tuple(_edge(item) for item in field.items(3 * MAX_PARENTS))
    if len({(edge.digest, edge.origin) for edge in edges}) != len(edges):
        raise field.wrong("names one parent twice with the same origin")
    if len({edge.digest for edge in edges}) > MAX_PARENTS:
        raise field.wrong(f"names {len({edge.digest for edge in edges})} parents; the limit is {MAX_PARENTS}")
    if len({edge.digest[:12] for edge in edges}) != len({edge.digest for edge in edges}):
        raise field.wrong("names two parents whose digests begin with the same 12 characters")
    return edges


def _edge(field: Field) -> ParentEdge:
    keys = ("digest", "name", "version", "relation", "origin", "confidence", "transformation", "metrics", "data_drift")
    parts = field.record(keys)
    done = parts["transformation"].record(("type", "parameters"))
    confidence = parts["confidence"].number()
    if not 0 <= confidence <= 1:
        raise parts["confidence"].wrong(f"is {confidence}; it must lie in [0, 1]")
    return ParentEdge(
        digest=parts["digest"].name(check_digest),
        relation=_word(parts["relation"], Relation),
        origin=_word(parts["origin"], Origin),
        confidence=confidence,
        name=parts["name"].name(check_name, empty=True),
        version=parts["version"].name(check_version, empty=True),
        transformation=Transformation(done["type"].text(128), done["parameters"].json_object()),
        metrics=parts["metrics"].numbers(),
        data_drift={column: member.numbers() for column, member in parts["data_drift"].table().items()},
    )


def _word(field: Field, words: type[_Word]) -> _Word:
    text = field.text()
    if text not in {word.value for word in words}:
        raise field.wrong(f"is '{printable(text)}'; known are {', '.join(word.value for word in words)}")
    return words(text)
