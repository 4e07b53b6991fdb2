"""The lineage graph: versions by content digest, and every edge with how it is known.

A parent that was never registered stays in the graph as an absent node, so that two children of a lost parent are
still siblings. The graph is acyclic at all times. Ancestors, descendants and relatives exclude the version itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from heritage.errors import LineageCycle, NotFound
from heritage.lineage import kinship, walks
from heritage.lineage.kinship import Relative
from heritage.lineage.nodes import Address, Edge, Node, Statistics, joined, node_of, node_of_version
from heritage.lineage.tags import strength
from heritage.names import printable
from heritage.records import Manifest, ModelVersion, Origin, ParentEdge

if TYPE_CHECKING:
    import networkx as nx

Health = bool | float | None


class LineageGraph:
    """Nodes and edges with the questions that repair, audit and people ask. Costs are O(nodes + edges) reached."""

    def __init__(self, nodes: Iterable[Node] = (), edges: Iterable[Edge] = ()) -> None:
        """Raises `LineageCycle` where `edges` close a cycle; `heritage.lineage.cycles.acyclic` drops such edges."""
        self._nodes: dict[str, Node] = {}
        self._parents: dict[str, dict[str, tuple[ParentEdge, ...]]] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._addresses: dict[Address, str] = {}
        for node in nodes:
            self.add_node(node)
        for edge in edges:
            self._link(edge)
        for group in walks.cyclic_groups(self._parents):
            raise self._cycle(walks.cycle_in(group, self._parents))

    @classmethod
    def of(cls, manifests: Iterable[Manifest], versions: Iterable[ModelVersion] = ()) -> "LineageGraph":
        """The graph that `manifests` tell, with the addresses of `versions`; versions without digest are left out."""
        known = list(manifests)
        nodes = [node_of(manifest) for manifest in known] + [node_of_version(v) for v in versions if v.digest]
        return cls(nodes, (Edge(manifest.digest, record) for manifest in known for record in manifest.parents))

    def add_node(self, node: Node) -> None:
        """Add `node`, or put together what is known of its content; the order of calls does not matter."""
        known = self._nodes.get(node.digest)
        self._nodes[node.digest] = joined(known, node) if known else node
        self._parents.setdefault(node.digest, {})
        self._children.setdefault(node.digest, {})
        self._addresses.update(dict.fromkeys(node.versions, node.digest))

    def add_edge(self, edge: Edge) -> None:
        """Add `edge`; unknown ends become absent nodes. Of equal origin for one pair, the surer edge is kept.

        Raises `LineageCycle` naming the path where the parent descends from the child; nothing is added then.
        """
        if edge.child == edge.parent:
            raise self._cycle((edge.child, edge.child))
        # a child without children, or a parent without parents, closes nothing: the usual case costs nothing
        if self._children.get(edge.child) and self._parents.get(edge.parent):
            back = walks.shortest_path(edge.parent, edge.child, self._parents)
            if back:
                raise self._cycle((edge.child, *back))
        self._link(edge)

    def _link(self, edge: Edge) -> None:
        for digest in (edge.child, edge.parent):
            if digest not in self._nodes:
                self.add_node(Node(digest, present=False))
        known = self._parents[edge.child].get(edge.parent, ())
        self._parents[edge.child][edge.parent] = _surest((*known, edge.record)) if known else (edge.record,)
        self._children[edge.parent][edge.child] = None

    def _cycle(self, path: tuple[str, ...]) -> LineageCycle:
        shown = [self._nodes[d].label if d in self._nodes else d[:12] for d in path]
        if len(shown) > 12:
            shown[6:-6] = [f"... {len(path) - 12} more ..."]
        return LineageCycle(
            f"lineage would run in a circle: {printable(' <- '.join(shown), 2000)} (child <- parent); "
            "leave out or correct one of these edges"
        )

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, digest: object) -> bool:
        return digest in self._nodes

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def node(self, digest: str) -> Node:
        """The node of `digest`, else `NotFound`."""
        self._known(digest)
        return self._nodes[digest]

    def at(self, name: str, version: str) -> Node:
        """The node registered as `name`/`version`, else `NotFound`."""
        if (name, version) not in self._addresses:
            raise NotFound(f"version '{printable(name)}/{printable(version)}' is not in the lineage graph; register it")
        return self._nodes[self._addresses[name, version]]

    def _known(self, digest: str) -> None:
        if digest not in self._nodes:
            raise NotFound(f"digest {printable(digest, 64)} is not in the lineage graph of {len(self)} contents")

    def edges(self) -> Iterator[Edge]:
        """Every edge of every origin, children in order of their entry."""
        return (Edge(child, r) for child, near in self._parents.items() for records in near.values() for r in records)

    def edges_between(self, child: str, parent: str) -> tuple[ParentEdge, ...]:
        """All that is known of this pair, most trusted first; empty where nothing is."""
        return self._parents.get(child, {}).get(parent, ())

    def parents(self, digest: str) -> tuple[str, ...]:
        """Digests of the parents, in order of entry."""
        self._known(digest)
        return tuple(self._parents[digest])

    def children(self, digest: str) -> tuple[str, ...]:
        """Digests of the children, in order of entry."""
        self._known(digest)
        return tuple(self._children[digest])

    def ancestors(self, digest: str) -> tuple[str, ...]:
        """All that `digest` descends from, nearest first."""
        self._known(digest)
        return tuple(walks.distances([digest], self._parents))[1:]

    def descendants(self, digest: str) -> tuple[str, ...]:
        """All that descends from `digest`, nearest first: what a fault in it may have reached."""
        self._known(digest)
        return tuple(walks.distances([digest], self._children))[1:]

    def siblings(self, digest: str) -> tuple[str, ...]:
        """All that share a parent with `digest`, sorted."""
        shared = {child for parent in self.parents(digest) for child in self._children[parent]}
        return tuple(sorted(shared - {digest}))

    def cousins(self, digest: str) -> tuple[str, ...]:
        """Children of the siblings of the parents, without `digest` and its siblings, sorted."""
        grandparents = {grandparent for parent in self.parents(digest) for grandparent in self._parents[parent]}
        uncles = {uncle for grandparent in grandparents for uncle in self._children[grandparent]}
        found = {child for uncle in uncles for child in self._children[uncle]}
        # children of the parents themselves are siblings and fall out here
        return tuple(sorted(found - {digest} - set(self.siblings(digest))))

    def relatives(self, digest: str, min_confidence: float = 0.0, max_distance: int | None = None) -> list[Relative]:
        """Relatives over edges of at least `min_confidence`, nearest and surest first: who may donate to a repair.

        Absent nodes lead on to further relatives and are not listed themselves.
        """
        self._known(digest)
        up: dict[str, dict[str, float]] = {}
        down: dict[str, dict[str, float]] = {}
        for edge in self._trusted(min_confidence):
            up.setdefault(edge.child, {})[edge.parent] = edge.record.confidence
            down.setdefault(edge.parent, {})[edge.child] = edge.record.confidence
        found = kinship.relatives(digest, up, down, max_distance)
        return [relative for relative in found if self._nodes[relative.digest].present]

    def nearest_healthy_ancestor(
        self, digest: str, healthy: Callable[[str], Health] | Mapping[str, Health]
    ) -> Node | None:
        """The healthiest of the nearest generation of ancestors that has a healthy one; None where none is healthy.

        `healthy` gives for a digest True or False, or a health above 0 (larger is better; 0, NaN, None: not healthy).
        Absent nodes are passed over. Ties go to the smaller digest.
        """
        self._known(digest)
        ask = healthy.get if isinstance(healthy, Mapping) else healthy
        best: tuple[int, float, str] | None = None
        for ancestor, steps in walks.distances([digest], self._parents).items():
            if best and steps > best[0]:
                break
            health = float(ask(ancestor) or 0) if steps and self._nodes[ancestor].present else 0.0
            if health > 0:
                found = (steps, -health, ancestor)
                best = min(best, found) if best else found
        return self._nodes[best[2]] if best else None

    def common_ancestors(self, one: str, other: str) -> tuple[str, ...]:
        """The nearest common ancestors, sorted: those with no other common ancestor below them.

        Where one descends from the other, the answer is that other; a merge may give several.
        """
        lines = [{digest, *self.ancestors(digest)} for digest in (one, other)]
        common = lines[0] & lines[1]
        return tuple(sorted(d for d in common if not any(child in common for child in self._children[d])))

    def path(self, ancestor: str, descendant: str) -> tuple[str, ...]:
        """A shortest way down from `ancestor` to `descendant`, both included; empty where there is none."""
        self._known(ancestor)
        self._known(descendant)
        return tuple(reversed(walks.shortest_path(descendant, ancestor, self._parents)))

    def roots(self, digest: str | None = None) -> tuple[str, ...]:
        """Nodes without parents, sorted: of the whole graph, or those that `digest` goes back to."""
        among = self._nodes if digest is None else (digest, *self.ancestors(digest))
        return tuple(sorted(d for d in among if not self._parents[d]))

    def topological_order(self) -> list[str]:
        """All digests, every parent before its children; the same for equal graphs."""
        return walks.topological_order(self._nodes, self._children)

    def depths(self) -> dict[str, int]:
        """For every digest the length of the longest chain of parents above it; roots have 0."""
        found: dict[str, int] = {}
        for digest in self.topological_order():
            found[digest] = max((found[parent] + 1 for parent in self._parents[digest]), default=0)
        return found

    def depth(self, digest: str) -> int:
        """Length of the longest chain of parents above `digest`."""
        above = walks.topological_order((digest, *self.ancestors(digest)), self._children)
        found: dict[str, int] = {}
        for here in above:
            found[here] = max((found[parent] + 1 for parent in self._parents[here]), default=0)
        return found[digest]

    def families(self) -> list[frozenset[str]]:
        """Nodes joined by any edges, largest family first."""
        return walks.components(self._nodes, self._parents, self._children)

    def trusted(self, min_confidence: float = 0.0) -> "LineageGraph":
        """The same nodes with at most one edge a pair: attested before declared before recovered.

        Edges of less than `min_confidence` are left out before the choice.
        """
        return LineageGraph(self, self._trusted(min_confidence))

    def _trusted(self, min_confidence: float) -> Iterator[Edge]:
        for child, near in self._parents.items():
            for records in near.values():
                best = next((record for record in records if record.confidence >= min_confidence), None)
                if best:
                    yield Edge(child, best)

    def statistics(self) -> Statistics:
        """Counts of nodes, edges, families, roots, merges."""
        edges = list(self.edges())
        return Statistics(
            contents=sum(node.present for node in self),
            versions=sum(len(node.versions) for node in self),
            absent=sum(not node.present for node in self),
            edges=len(edges),
            families=len(self.families()),
            roots=len(self.roots()),
            merges=sum(len(parents) > 1 for parents in self._parents.values()),
            depth=max(self.depths().values(), default=0),
            most_children=max(map(len, self._children.values()), default=0),
            relations=dict(sorted(Counter(edge.record.relation.value for edge in edges).items())),
            origins=dict(sorted(Counter(edge.record.origin.value for edge in edges).items())),
        )

    def to_networkx(self) -> "nx.MultiDiGraph[str]":
        """The graph as networkx knows it: parent -> child, one edge an origin, records as `node` and `record`."""
        import networkx as nx

        exported: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        exported.add_nodes_from((node.digest, {"node": node}) for node in self)
        for edge in self.edges():
            exported.add_edge(edge.parent, edge.child, key=edge.record.origin.value, record=edge.record)
        return exported


def _surest(records: tuple[ParentEdge, ...]) -> tuple[ParentEdge, ...]:
    """The surest record of each origin, most trusted first."""
    by_origin: dict[Origin, ParentEdge] = {}
    for record in records:
        by_origin[record.origin] = max(by_origin.get(record.origin, record), record, key=strength)
    return tuple(sorted(by_origin.values(), key=strength, reverse=True))
