"""Parts of the lineage graph, nearest nodes first and never more than asked for, whatever the graph's size."""

import json
from collections.abc import Iterable, Iterator, Sequence
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


def lineage(catalogue: Catalogue, root: str, direction: str, depth: int | None, limit: int) -> Lineage:
    """What `root` descends from and what descends from it, up to `depth` steps and `limit` nodes.

    Of `both`, ancestors get at most half of the nodes, so that a deep history hides no children.
    """
    found = {bytes.fromhex(root): 0}
    truncated = False
    for way in (ANCESTORS, DESCENDANTS) if direction == BOTH else (direction,):
        room = limit - len(found)
        allowed = room // 2 if direction == BOTH and way == ANCESTORS else room
        cut = _walk(catalogue, found, way, bytes.fromhex(root), (depth or limit, allowed))
        truncated = truncated or cut
    return Lineage(root=root, nodes=nodes(catalogue, found), edges=edges(catalogue, found), truncated=truncated)


def _walk(catalogue: Catalogue, found: dict[bytes, int], way: str, start: bytes, most: tuple[int, int]) -> bool:
    """Add what is reached from `start` to `found`; whether there was more than the `most` steps and nodes allow."""
    depth, room = most
    frontier = [start]
    for distance in range(1, depth + 1):
        reached: dict[bytes, None] = {}
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


def _near(catalogue: Catalogue, way: str, digests: Sequence[bytes], limit: int) -> Iterator[bytes]:
    for chunk in _chunks(digests):
        asked = f"{_STEP[way].format(_marks(chunk))} LIMIT ?"
        yield from (row[0] for row in catalogue.ask(asked, [*chunk, limit]))


def edges(catalogue: Catalogue, found: Iterable[bytes]) -> tuple[LineageEdge, ...]:
    """Every edge with both of its ends in `found`."""
    inside = set(found)
    told = []
    for chunk in _chunks(sorted(inside)):
        asked = f"SELECT parent, child, relation, origin, confidence FROM edge WHERE child IN ({_marks(chunk)})"  # noqa: S608
        told += [row for row in catalogue.ask(asked, chunk) if row[0] in inside]
    return tuple(
        LineageEdge(parent=p.hex(), child=c.hex(), relation=relation, origin=origin, confidence=confidence)
        for p, c, relation, origin, confidence in told
    )


def nodes(catalogue: Catalogue, found: dict[bytes, int]) -> tuple[LineageNode, ...]:
    """A node for each digest in `found`, which maps them to distances; in its order."""
    cards: dict[bytes, list[Any]] = {digest: [] for digest in found}
    counts = {digest: [0, 0] for digest in found}
    for chunk in _chunks(list(found)):
        marks = _marks(chunk)
        asked = (
            "SELECT digest, name, number, health, severity, aliases, family, created_at_ms FROM card "  # noqa: S608
            f"WHERE digest IN ({marks}) ORDER BY created_at_ms, name, number"
        )
        for digest, *card in catalogue.ask(asked, chunk):
            cards[digest].append(card)
        for place, asked in enumerate(
            (
                f"SELECT child, count(DISTINCT parent) FROM edge WHERE child IN ({marks}) GROUP BY child",  # noqa: S608
                f"SELECT parent, count(*) FROM reverse_edge WHERE parent IN ({marks}) GROUP BY parent",  # noqa: S608
            )
        ):
            for digest, count in catalogue.ask(asked, chunk):
                counts[digest][place] = count
    return tuple(_node(digest, distance, cards[digest], counts[digest]) for digest, distance in found.items())


def _node(digest: bytes, distance: int, cards: Sequence[Any], counts: Sequence[int]) -> LineageNode:
    """One content; of several versions the oldest names it, and the worst health counts."""
    addresses = tuple(f"{name}/{number}" for name, number, *_ in cards)
    worst = min(cards, key=lambda card: card[3], default=None)
    return LineageNode(
        id=digest.hex(),
        address=addresses[0] if addresses else "",
        addresses=addresses,
        label=addresses[0] if addresses else digest.hex()[:12],
        health=worst[2] if worst else UNKNOWN,
        aliases=tuple(alias for card in cards for alias in json.loads(card[4])),
        family=next((card[5] for card in cards if card[5]), ""),
        present=bool(cards),
        parents=counts[0],
        children=counts[1],
        distance=distance,
        created_at=iso(cards[0][6]) if cards else "",
    )


def _chunks(digests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for i in range(0, len(digests), _CHUNK):
        yield digests[i : i + _CHUNK]


def _marks(chunk: Sequence[bytes]) -> str:
    return ",".join("?" * len(chunk))
