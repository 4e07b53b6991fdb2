"""How two versions are related, and how sure that is: the words of a family for donors of a repair."""

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

# confidence of each step: links[child][parent] upwards, or links[parent][child] downwards
Links = Mapping[str, Mapping[str, float]]


class Kinship(StrEnum):
    """What a relative is to the version asked about."""

    ANCESTOR = "ancestor"
    DESCENDANT = "descendant"
    SIBLING = "sibling"  # shares a parent
    COLLATERAL = "collateral"  # shares an ancestor further up: uncles, cousins, nephews


@dataclass(frozen=True, slots=True)
class Relative:
    """A relative: `up` steps to the nearest shared ancestor and `down` steps from it.

    `confidence` is the product over the edges of that way (of several shortest ways, the surest): the chance that all
    of them are right if they err independently.
    """

    digest: str
    kinship: Kinship
    up: int
    down: int
    confidence: float

    @property
    def distance(self) -> int:
        """Edges between the two."""
        return self.up + self.down


@dataclass(frozen=True, slots=True, order=True)
class _Way:
    up: int
    down: int
    confidence: float


def relatives(digest: str, parents: Links, children: Links, max_distance: int | None = None) -> list[Relative]:
    """All relatives of `digest` within `max_distance` edges, nearest first, then surest, then by digest.

    An ancestor or descendant is called so even where a shorter way leads over another ancestor.
    Cost O(E log E) of what is reached.
    """
    limit = max_distance if max_distance is not None else 2**62
    start = {digest: _Way(0, 0, 1.0)}
    above = _spread(start, parents, limit, upwards=True)
    below = _spread(start, children, limit, upwards=False)
    # whatever lies below the version itself is a descendant; the walk down from the ancestors need not go there
    aside = _spread(above, children, limit, upwards=False, closed=below.keys())
    found = [_relative(d, Kinship.ANCESTOR, way) for d, way in above.items() if d != digest]
    found += [_relative(d, Kinship.DESCENDANT, way) for d, way in below.items() if d != digest]
    found += [_relative(d, _aside(way), way) for d, way in aside.items() if d not in above and d not in below]
    return sorted(found, key=lambda r: (r.distance, -r.confidence, r.digest))


def _aside(way: _Way) -> Kinship:
    return Kinship.SIBLING if way.up == way.down == 1 else Kinship.COLLATERAL


def _relative(digest: str, kinship: Kinship, way: _Way) -> Relative:
    return Relative(digest, kinship, way.up, way.down, way.confidence)


def _spread(
    sources: Mapping[str, _Way], links: Links, limit: int, *, upwards: bool, closed: Collection[str] = ()
) -> dict[str, _Way]:
    """Best way to every vertex but `closed` ones: fewest edges, then highest confidence (Dijkstra on that pair)."""
    found: dict[str, _Way] = {}
    waiting = [(way.up + way.down, -way.confidence, vertex, way) for vertex, way in sources.items()]
    heapq.heapify(waiting)
    while waiting:
        distance, _, here, way = heapq.heappop(waiting)
        if here in found:
            continue
        found[here] = way
        if distance == limit:
            continue
        for there, confidence in links.get(here, {}).items():
            if there not in found and there not in closed:
                sure = way.confidence * confidence
                step = _Way(way.up + 1, way.down, sure) if upwards else _Way(way.up, way.down + 1, sure)
                heapq.heappush(waiting, (distance + 1, -sure, there, step))
    return found
