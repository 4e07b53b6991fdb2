"""Walks over a directed graph that is given as neighbours of each vertex. Iterative throughout: a chain of 50,000
versions is ordinary input, and Python's stack is not.

`Neighbours` maps a vertex to the vertices one step on; a vertex without an entry has none. Costs are in vertices V and
edges E reached.
"""

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping

Neighbours = Mapping[str, Collection[str]]


def distances(start: Iterable[str], neighbours: Neighbours) -> dict[str, int]:
    """Fewest steps from any of `start` to every vertex reached, nearest first; the starts have 0. O(V + E)."""
    found = dict.fromkeys(start, 0)
    waiting = deque(found)
    while waiting:
        here = waiting.popleft()
        for there in neighbours.get(here, ()):
            if there not in found:
                found[there] = found[here] + 1
                waiting.append(there)
    return found


def shortest_path(start: str, goal: str, neighbours: Neighbours) -> tuple[str, ...]:
    """Vertices of a shortest path from `start` to `goal`, both included; empty where there is none. O(V + E)."""
    came_from = {start: start}
    waiting = deque([start])
    while waiting and goal not in came_from:
        here = waiting.popleft()
        for there in neighbours.get(here, ()):
            if there not in came_from:
                came_from[there] = here
                waiting.append(there)
    return _traced(start, goal, came_from) if goal in came_from else ()


def _traced(start: str, goal: str, came_from: Mapping[str, str]) -> tuple[str, ...]:
    path = [goal]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return tuple(reversed(path))


def topological_order(vertices: Iterable[str], neighbours: Neighbours) -> list[str]:
    """`vertices` with every one before its neighbours, ties by name; those on or behind a cycle are left out.

    Kahn's algorithm with a heap: O(E + V log V). Neighbours outside `vertices` are not looked at.
    """
    waits_for = dict.fromkeys(vertices, 0)
    for here in waits_for:
        for there in neighbours.get(here, ()):
            if there in waits_for:
                waits_for[there] += 1
    ready = [vertex for vertex, count in waits_for.items() if not count]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        here = heapq.heappop(ready)
        order.append(here)
        for there in neighbours.get(here, ()):
            if there in waits_for:
                waits_for[there] -= 1
                if not waits_for[there]:
                    heapq.heappush(ready, there)
    return order


def cyclic_groups(neighbours: Neighbours) -> list[frozenset[str]]:
    """Strongly connected groups that hold a cycle, a vertex that is its own neighbour included. O(V + E).

    Tarjan, "Depth-first search and linear graph algorithms", 1972, with an explicit stack.
    """
    search = _Tarjan(neighbours)
    for vertex in neighbours:
        if vertex not in search.index:
            search.visit(vertex)
    return [g for g in search.groups if len(g) > 1 or any(v in neighbours.get(v, ()) for v in g)]


class _Tarjan:
    def __init__(self, neighbours: Neighbours) -> None:
        self.neighbours = neighbours
        self.index: dict[str, int] = {}
        self.low: dict[str, int] = {}
        self.open: dict[str, None] = {}  # visited, group not yet known; in order of visit
        self.groups: list[frozenset[str]] = []

    def visit(self, start: str) -> None:
        calls: list[tuple[str, Iterator[str]]] = [self._enter(start)]
        while calls:
            here, rest = calls[-1]
            there = next(rest, None)
            if there is None:
                calls.pop()
                self._leave(here, calls[-1][0] if calls else None)
            elif there not in self.index:
                calls.append(self._enter(there))
            elif there in self.open:
                self.low[here] = min(self.low[here], self.index[there])

    def _enter(self, vertex: str) -> tuple[str, Iterator[str]]:
        self.index[vertex] = self.low[vertex] = len(self.index)
        self.open[vertex] = None
        return vertex, iter(self.neighbours.get(vertex, ()))

    def _leave(self, vertex: str, caller: str | None) -> None:
        if caller is not None:
            self.low[caller] = min(self.low[caller], self.low[vertex])
        if self.low[vertex] == self.index[vertex]:
            group: list[str] = []
            while not group or group[-1] != vertex:
                group.append(self.open.popitem()[0])
            self.groups.append(frozenset(group))


def cycle_in(group: Collection[str], neighbours: Neighbours) -> tuple[str, ...]:
    """A shortest cycle through the first name of a cyclic group, that name at both ends. O(E log E) of the group."""
    start = min(group)
    inside = {v: dict.fromkeys(sorted(w for w in neighbours.get(v, ()) if w in group)) for v in group}
    steps = distances([start], inside)
    last = min((v for v in group if start in inside[v]), key=lambda v: (steps[v], v))
    return (*shortest_path(start, last, inside), start)


def components(vertices: Iterable[str], *neighbours: Neighbours) -> list[frozenset[str]]:
    """Vertices joined by steps of any of `neighbours`, largest group first, then by first name. O(V + E)."""
    left = dict.fromkeys(vertices)
    groups: list[frozenset[str]] = []
    while left:
        start, _ = left.popitem()
        group, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            near = {there for step in neighbours for there in step.get(here, ()) if there in left}
            for there in near:
                del left[there]
            group |= near
            waiting += near
        groups.append(frozenset(group))
    return sorted(groups, key=lambda g: (-len(g), min(g)))
