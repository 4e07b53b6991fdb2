"""Parts of the lineage graph, nearest nodes first and never more than asked for, whatever the graph's size."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from heritage.api.answers import Lineage, LineageEdge, LineageNode
from heritage.api.catalogue import UNKNOWN, Catalogue
from heritage.api.find import iso

ANCESTORS, DESCENDANTS, BOTH = "ancestors", "descendants", "both"
_CHUNK = 500
_STEP = {
    ANCESTORS: "SELECT DISTINCT parent FROM edge WHERE child IN ({}) ORDER BY parent",
    DESCENDANTS: "SELECT child FROM reverse_edge WHERE parent IN ({}) ORDER BY child",
}
_SIGN = {ANCESTORS: -1, DESCENDANTS: 1}
Number = int  # that stands for a content in the catalogue


def lineage(catalogue: Catalogue, root: str, direction: str, depth: int | None, limit: int) -> Lineage:
    """What `root` descends from and what descends from it, up to `depth` steps and `limit` nodes.

    Of `both`, ancestors get at most half of the nodes, so that a deep history hides no children.
    """
    start = numbers(catalogue, [root])[0]
    found = {start: 0}
    truncated = False
    for way in (ANCESTORS, DESCENDANTS) if direction == BOTH else (direction,):
        room = limit - len(found)
        allowed = room // 2 if direction == BOTH and way == ANCESTORS else room
        cut = _walk(catalogue, found, way, start, (depth or limit, allowed))
        truncated = truncated or cut
    told = nodes(catalogue, found)
    return Lineage(root=root, nodes=told, edges=edges(catalogue, named(found, told)), truncated=truncated)


def numbers(catalogue: Catalogue, digests: Sequence[str]) -> list[Number]:
    """The numbers of known contents."""
    return [catalogue.ask("SELECT id FROM content WHERE digest = ?", [digest])[0][0] for digest in digests]


def named(found: Iterable[Number], told: Iterable[LineageNode]) -> dict[Number, str]:
    """Digest by number of nodes that were made in the order of `found`."""
    return {number: node.id for number, node in zip(found, told, strict=True)}


def _walk(catalogue: Catalogue, found: dict[Number, int], way: str, start: Number, most: tuple[int, int]) -> bool:
    """Add what is reached from `start` to `found`; whether there was more than the `most` steps and nodes allow."""
    depth, room = most
    frontier = [start]
    for distance in range(1, depth + 1):
        reached: dict[Number, None] = {}
        for near in _near(catalogue, way, frontier, room + len(found) + 1):
            if near not in found and near not in reached:
                if room == len(reached):
                    found.update(dict.fromkeys(reached, _SIGN[way] * distance))
                    return True
                reached[near] = None
        if not reached:
            return False
        found.update(dict.fromkeys(reached, _SIGN[way] * distance))
        room -= len(reached)
        frontier = list(reached)
    return any(near not in found for near in _near(catalogue, way, frontier, len(found) + 1))


def _near(catalogue: Catalogue, way: str, contents: Sequence[Number], limit: int) -> Iterator[Number]:
    for chunk in _chunks(contents):
        asked = f"{_STEP[way].format(_marks(chunk))} LIMIT ?"
        yield from (row[0] for row in catalogue.ask(asked, [*chunk, limit]))


def edges(catalogue: Catalogue, inside: Mapping[Number, str]) -> tuple[LineageEdge, ...]:
    """Every edge with both of its ends among the contents `inside`, which maps their numbers to digests."""
    told: list[tuple[Any, ...]] = []
    for chunk in _chunks(sorted(inside)):
        asked = f"SELECT parent, child, relation, origin, confidence FROM edge WHERE child IN ({_marks(chunk)})"  # noqa: S608
        told += [row for row in catalogue.ask(asked, chunk) if row[0] in inside]
    return tuple(
        LineageEdge(parent=inside[p], child=inside[c], relation=relation, origin=origin, confidence=confidence)
        for p, c, relation, origin, confidence in told
    )


def nodes(catalogue: Catalogue, found: Mapping[Number, int]) -> tuple[LineageNode, ...]:
    """A node for each content in `found`, which maps their numbers to distances; in its order."""
    cards: dict[Number, list[Any]] = {number: [] for number in found}
    digests: dict[Number, str] = {}
    counts = {number: [0, 0] for number in found}
    for chunk in _chunks(list(found)):
        marks = _marks(chunk)
        digests.update(catalogue.ask(f"SELECT id, digest FROM content WHERE id IN ({marks})", chunk))  # noqa: S608
        asked = (
            "SELECT content, name, number, health, severity, aliases, family, created_at_ms FROM card "  # noqa: S608
            f"WHERE content IN ({marks}) ORDER BY created_at_ms, name, number"
        )
        for number, *card in catalogue.ask(asked, chunk):
            cards[number].append(card)
        for place, asked in enumerate(
            (
                f"SELECT child, count(DISTINCT parent) FROM edge WHERE child IN ({marks}) GROUP BY child",  # noqa: S608
                f"SELECT parent, count(*) FROM reverse_edge WHERE parent IN ({marks}) GROUP BY parent",  # noqa: S608
            )
        ):
            for number, count in catalogue.ask(asked, chunk):
                counts[number][place] = count
    return tuple(_node(digests[number], far, cards[number], counts[number]) for number, far in found.items())


def _node(digest: str, distance: int, cards: Sequence[Any], counts: Sequence[int]) -> LineageNode:
    """One content; of several versions the oldest names it, and the worst health counts."""
    addresses = tuple(f"{name}/{number}" for name, number, *_ in cards)
    worst = min(cards, key=lambda card: card[3], default=None)
    return LineageNode(
        id=digest,
        address=addresses[0] if addresses else "",
        addresses=addresses,
        label=addresses[0] if addresses else digest[:12],
        health=worst[2] if worst else UNKNOWN,
        aliases=tuple(alias for card in cards for alias in json.loads(card[4])),
        family=next((card[5] for card in cards if card[5]), ""),
        present=bool(cards),
        parents=counts[0],
        children=counts[1],
        distance=distance,
        created_at=iso(cards[0][6]) if cards else "",
    )


def _chunks(contents: Sequence[Number]) -> Iterator[Sequence[Number]]:
    for i in range(0, len(contents), _CHUNK):
        yield contents[i : i + _CHUNK]


def _marks(chunk: Sequence[Number]) -> str:
    return ",".join("?" * len(chunk))
