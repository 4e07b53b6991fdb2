"""Versions by address, and pages of them, from the catalogue."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from heritage.api.answers import FleetRow, ModelCard, VerdictCard
from heritage.api.catalogue import Catalogue
from heritage.api.counts import kept
from heritage.api.cursor import decode, encode
from heritage.errors import BadInput, NotFound
from heritage.names import printable

MIN_PREFIX = 12
_NAMES = 500
_HEX = re.compile(r"[0-9a-f]{12,64}")
_COLUMNS = """
card.name, card.number, ifnull((SELECT digest FROM content WHERE id = card.content), ''), card.family, card.health,
card.window, card.effect, card.aliases, card.created_at_ms,
(SELECT count(DISTINCT parent) FROM edge WHERE edge.child = card.content),
(SELECT count(*) FROM reverse_edge WHERE reverse_edge.parent = card.content), card.verdict, card.run_id
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A version of the catalogue: its card as answered, its newest verdict and the run that made it."""

    card: ModelCard
    verdict: VerdictCard | None
    run_id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which versions a list is about; '' for any."""

    query: str = ""
    health: str = ""
    family: str = ""

    def clause(self, names: Sequence[str] | None = None) -> tuple[str, list[Any]]:
        """The condition in SQL and its values; `names` are all that contain the query, where that is known."""
        parts: list[str] = ["1"]
        values: list[Any] = []
        if self.query and names is not None:
            parts.append(f"name IN ({','.join('?' * len(names))})")
            values += names
        elif self.query:
            part, value = contains(self.query)
            parts.append(part)
            values.append(value)
        for column, value in (("health", self.health), ("family", self.family)):
            if value:
                parts.append(f"{column} = ?")
                values.append(value)
        return " AND ".join(parts), values


def contains(text: str) -> tuple[str, str]:
    """The condition in SQL that `name` contains `text`, whatever the case of ASCII letters, and its value.

    LIKE compares so by itself, in a third of the time of `instr` over `lower`; it ends at a NUL, also at one in a name.
    """
    if "\0" in text:
        return "instr(lower(name), lower(?)) > 0", text
    return "name LIKE ? ESCAPE '\\'", "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def version(catalogue: Catalogue, address: str) -> Found:
    """The version at 'name/3', 'name@alias' or a digest of at least 12 characters.

    `NotFound` where there is none, `BadInput` for other texts and a prefix of several digests.
    """
    if _HEX.fullmatch(address):
        return _by_digest(catalogue, address)
    name, slash, number = address.rpartition("/")
    if slash and number.isascii() and number.isdecimal() and len(number) <= 10:
        return _one(catalogue, "name = ? AND number = ?", [name, int(number)], address)
    name, at, alias = address.rpartition("@")
    if at and alias:
        return _one(
            catalogue, "name = ? AND EXISTS (SELECT 1 FROM json_each(aliases) WHERE value = ?)", [name, alias], address
        )
    raise BadInput(
        f"'{printable(address)}' is no address; give name/version, name@alias or {MIN_PREFIX} characters of a digest"
    )


def digest_of(catalogue: Catalogue, address: str) -> str:
    """The content at `address`, which may also be a parent that nobody registered; `NotFound`, `BadInput`."""
    if _HEX.fullmatch(address):
        return _whole_digest(catalogue, address)
    found = version(catalogue, address).card
    if not found.digest:
        raise NotFound(f"{printable(address)} has no digest yet, so no lineage; heritage_ingest gives it one")
    return found.digest


def page(catalogue: Catalogue, wanted: Wanted, limit: int, cursor: str) -> tuple[list[ModelCard], str | None, int]:
    """Versions by name and number, the cursor of the next page, and how many there are in all."""
    names = catalogue.names_with(wanted.query, _NAMES) if wanted.query else None
    clause, values = wanted.clause(names)
    # a text that many names contain is looked for in their own index, which is a tenth of the table; the indices of
    # health and family hold the names of fewer versions
    alone = wanted.query and names is None and not (wanted.health or wanted.family)
    source = "card INDEXED BY card_name" if alone else "card"
    place = decode(cursor, [str, int])
    after = "(name, number) > (?, ?)" if place is not None else "1"
    keys = f"SELECT name, number FROM {source} WHERE {clause} AND {after} ORDER BY name, number LIMIT ?"  # noqa: S608 our own clauses
    found = _select(
        catalogue, f"(name, number) IN ({keys}) ORDER BY name, number", [*values, *(place or ()), limit + 1]
    )
    cards, more = [f.card for f in found[:limit]], len(found) > limit
    if wanted == Wanted():
        total = kept(catalogue).statistics.versions
    elif place is None and not more:
        total = len(cards)  # counting would read all names once more
    else:
        total = catalogue.ask(f"SELECT count(*) FROM {source} WHERE {clause}", values)[0][0]  # noqa: S608 as above
    return cards, encode([cards[-1].name, int(cards[-1].version)]) if more else None, total


def worst(catalogue: Catalogue, limit: int, offset: int) -> tuple[list[FleetRow], bool]:
    """Judged versions, worst first, and whether there are more."""
    order = "window <> '' ORDER BY severity, effect DESC, name, number LIMIT ? OFFSET ?"
    found = _select(catalogue, order, [limit + 1, offset])
    rows = [FleetRow(**f.card.model_dump(), verdict=f.verdict or _empty(f.card)) for f in found[:limit]]
    return rows, len(found) > limit


def _by_digest(catalogue: Catalogue, prefix: str) -> Found:
    named = "content = (SELECT id FROM content WHERE digest = ?) ORDER BY created_at_ms, name, number LIMIT 1"
    return _one(catalogue, named, [_whole_digest(catalogue, prefix)], prefix)


def _whole_digest(catalogue: Catalogue, prefix: str) -> str:
    # a content that was forgotten may have left its number behind
    asked = (
        "SELECT digest FROM content WHERE digest BETWEEN ? AND ? AND (EXISTS (SELECT 1 FROM card WHERE content = id) "
        "OR EXISTS (SELECT 1 FROM reverse_edge WHERE parent = id)) LIMIT 2"
    )
    found = catalogue.ask(asked, [prefix, prefix.ljust(64, "f")])
    if len(found) > 1:
        raise BadInput(f"digest {prefix}... stands for several contents; give more characters")
    if not found:
        raise NotFound(f"no version has a digest that begins with {prefix}")
    return str(found[0][0])


def _one(catalogue: Catalogue, clause: str, values: list[Any], address: str) -> Found:
    found = _select(catalogue, clause, values)
    if not found:
        raise NotFound(f"there is no version {printable(address)} in the registry")
    return found[0]


def _select(catalogue: Catalogue, clause: str, values: list[Any]) -> list[Found]:
    return [_found(row) for row in catalogue.ask(f"SELECT {_COLUMNS} FROM card WHERE {clause}", values)]  # noqa: S608


def _found(row: tuple[Any, ...]) -> Found:
    name, number, digest, family, health, window, effect, aliases, created_at_ms, parents, children, verdict, run_id = (
        row
    )
    card = ModelCard(
        address=f"{name}/{number}", name=name, version=str(number), digest=digest, family=family,
        aliases=tuple(json.loads(aliases)), health=health, window=window, effect=effect, parents=parents,
        children=children, created_at=iso(created_at_ms),
    )  # fmt: skip
    told = json.loads(verdict)
    return Found(card, VerdictCard(**told) if told else None, run_id)


def _empty(card: ModelCard) -> VerdictCard:
    """What the tag alone tells, where the verdict itself is gone."""
    return VerdictCard(
        window=card.window, status=card.health, rows=0, effect=0.0, moved=(), muted=False, columns=(), accuracy=None
    )


def iso(at_ms: int) -> str:
    """Unix milliseconds as ISO 8601 in UTC; '' for 0."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat() if at_ms else ""
