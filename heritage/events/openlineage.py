"""One piece of work as an OpenLineage run: model versions are its datasets, with facets of heritage's own.

    dataset facet heritage_model    digest, family, parents (digest, address, relation, origin, confidence)
    run facet     heritage_result   what the work found, such as a verdict's status or a gate's decision

A version's namespace is the registry's address, its name 'name/version'. The run's id follows from the work, so work
that is done twice is one run.
"""

import math
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attr
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import DatasetFacet, RunFacet

from heritage import __version__
from heritage.events.event import Event, Version

PRODUCER = f"urn:heritage:{__version__}"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:heritage:run")


@attr.define
class ModelFacet(DatasetFacet):
    """Content and ancestry of a model version."""

    digest: str = ""
    family: str = ""
    parents: list[dict[str, Any]] = attr.field(factory=list)

    @staticmethod
    def _get_schema() -> str:
        return "urn:heritage:facet:model:1"


@attr.define
class ResultFacet(RunFacet):
    """What a piece of work found."""

    result: dict[str, Any] = attr.field(factory=dict)

    @staticmethod
    def _get_schema() -> str:
        return "urn:heritage:facet:result:1"


def run_events(event: Event, namespace: str, registry: str, at: datetime) -> tuple[RunEvent, RunEvent]:
    """Begin and end of the run that `event` tells; the standard wants both."""
    facets: dict[str, RunFacet] = {"heritage_result": ResultFacet(result=_plain(event.result), producer=PRODUCER)}
    run = Run(runId=str(uuid.uuid5(_NAMESPACE, f"{registry}\n{event.job}\n{event.key}")), facets=facets)
    job = Job(namespace=namespace, name=event.job)
    time = at.isoformat()
    return (
        RunEvent(eventType=RunState.START, eventTime=time, run=Run(run.runId), job=job, producer=PRODUCER),
        RunEvent(
            eventType=RunState.COMPLETE,
            eventTime=time,
            run=run,
            job=job,
            producer=PRODUCER,
            inputs=[InputDataset(registry, v.address, facets=_facets(v)) for v in event.inputs],
            outputs=[OutputDataset(registry, v.address, facets=_facets(v)) for v in event.outputs],
        ),
    )


def _plain(result: Mapping[str, Any]) -> dict[str, Any]:
    """Without figures that JSON has no word for."""
    return {key: value for key, value in result.items() if not isinstance(value, float) or math.isfinite(value)}


def _facets(version: Version) -> dict[str, DatasetFacet]:
    parents = [
        {
            "digest": edge.digest,
            "address": f"{edge.name}/{edge.version}" if edge.name else "",
            "relation": edge.relation.value,
            "origin": edge.origin.value,
            "confidence": edge.confidence,
        }
        for edge in version.parents
    ]
    return {
        "heritage_model": ModelFacet(digest=version.digest, family=version.family, parents=parents, producer=PRODUCER)
    }
