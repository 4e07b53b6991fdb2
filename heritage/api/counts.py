"""Counts over the whole catalogue, made once a refresh: each of them looks at every version."""

from typing import Any

from pydantic import BaseModel

from heritage.api.answers import ClusteringStatistics
from heritage.api.catalogue import Catalogue

_NOTE = "counts"


class Counts(BaseModel):
    """Statistics as they are answered, champions by health, and how many versions wait for approval."""

    statistics: ClusteringStatistics
    deployed: dict[str, int]
    challengers: int


def keep(catalogue: Catalogue, quality: dict[str, Any] | None = None) -> None:
    """Count everything and keep the result, with the `quality` of the families that the last recluster found."""
    catalogue.note(_NOTE, _count(catalogue, quality).model_dump_json())


def kept(catalogue: Catalogue) -> Counts:
    """The counts of the last refresh."""
    told = catalogue.noted(_NOTE)
    return Counts.model_validate_json(told) if told else _count(catalogue)


def _count(catalogue: Catalogue, quality: dict[str, Any] | None = None) -> Counts:
    asked = (
        "SELECT count(*), count(DISTINCT content), count(DISTINCT nullif(family, '')), "
        "ifnull(sum(content IS NULL), 0), (SELECT count(*) FROM edge), "
        "(SELECT ifnull(max(n), 0) FROM (SELECT count(*) AS n FROM card WHERE family <> '' GROUP BY family)), "
        "(SELECT avg(confidence) FROM edge WHERE origin = 'recovered') FROM card"
    )
    versions, contents, families, pending, edges, largest, confidence = catalogue.ask(asked)[0]
    champions = "SELECT health, count(*) FROM card WHERE aliases LIKE '%\"champion\"%' GROUP BY health"
    return Counts(
        statistics=ClusteringStatistics(
            versions=versions,
            contents=contents,
            families=families,
            edges=edges,
            largest_family=largest,
            pending=pending,
            mean_confidence=confidence,
            relations=_by(catalogue, "SELECT relation, count(*) FROM edge GROUP BY relation"),
            origins=_by(catalogue, "SELECT origin, count(*) FROM edge GROUP BY origin"),
            health=_by(catalogue, "SELECT health, count(*) FROM card GROUP BY health"),
            quality=quality,
        ),
        deployed=_by(catalogue, champions),
        challengers=catalogue.ask("SELECT count(*) FROM card WHERE aliases LIKE '%\"challenger\"%'")[0][0],
    )


def _by(catalogue: Catalogue, asked: str) -> dict[str, Any]:
    return dict(catalogue.ask(asked))
