"""Reading the registry: versions, manifests, the lineage graph. Names and tags found there are text from outside."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from heritage.errors import BadInput, Conflict, NotFound
from heritage.lineage.codec import MANIFEST_PATH, MAX_BYTES, decode
from heritage.lineage.cycles import acyclic
from heritage.lineage.graph import LineageGraph
from heritage.lineage.nodes import Edge, node_of, node_of_version
from heritage.lineage.tags import DIGEST, parent_key, read_tags
from heritage.names import check_digest, check_name, check_version, printable, split_version
from heritage.records import Manifest, ModelVersion, Origin, ParentEdge
from heritage.registry.artifacts import RunArtifacts, look_up
from heritage.registry.connect import Connection

FAMILY = "heritage.family"
DUPLICATE_OF = "heritage.duplicate_of"
PAGE = 500
READERS = 6  # manifests read at once; the HTTP client keeps 10 connections
MAX_ANCESTORS = 100_000
_LOCATED = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """A version with its manifest, or with the reason why there is none (`problem`, printable)."""

    version: ModelVersion
    manifest: Manifest | None
    problem: str = ""


class Reader:
    """Questions to the registry. Nothing is changed, nothing that is read is executed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._mlflow = connection.mlflow

    def version(self, address: str) -> ModelVersion:
        """The version at 'name/3', 'name@champion' or 'name' (the newest); `NotFound` where there is none."""
        name, part = split_version(address)
        if part.startswith("@"):
            number = self.aliases(name).get(part[1:])
            if number is None:
                raise NotFound(f"model '{name}' has no alias '{part[1:]}'; set it, or name a version such as {name}/1")
            return self.numbered(name, number)
        if part:
            return self.numbered(name, part)
        newest = self._mlflow.search_model_versions(f"name = '{name}'", 1, ["version_number DESC"])
        if not newest:
            raise NotFound(f"model '{name}' has no version; register one, or look at `heritage lineage list`")
        return self.numbered(name, str(newest[0].version))

    def numbered(self, name: str, number: str) -> ModelVersion:
        """Version `number` of `name`, with its aliases; any name that MLflow took may be asked for."""
        found = self._mlflow.get_model_version(name, check_version(number))
        return _record(found, tuple(sorted(map(str, found.aliases))))

    def aliases(self, name: str) -> dict[str, str]:
        """Alias to version number of a registered model; `NotFound` where it is not registered."""
        return {str(k): str(v) for k, v in self._mlflow.get_registered_model(name).aliases.items()}

    def versions(
        self, name: str | None = None, family: str | None = None, digest: str | None = None, parent: str | None = None
    ) -> Iterator[ModelVersion]:
        """All versions that fit every argument given, oldest first, read in pages.

        `digest` and `parent` are content digests (the parent's tag tells 12 characters of it). What is registered
        while this runs comes last; what is deleted meanwhile may hide another version at a page's edge.
        """
        clauses = []
        if name is not None:
            clauses.append(f"name = '{check_name(name)}'")
        if family is not None:
            clauses.append(f"tags.`{FAMILY}` = '{check_name(family, 'family')}'")
        if digest is not None:
            clauses.append(f"tags.`{DIGEST}` = '{check_digest(digest)}'")
        if parent is not None:
            clauses.append(f"tags.`{parent_key(parent)}` LIKE '%'")
        known = {} if clauses else self._all_aliases()
        for found in self._found(" AND ".join(clauses)):
            if found.name not in known:
                known[found.name] = self._aliases_if_any(found.name)
            own = sorted(alias for alias, number in known[found.name].items() if number == str(found.version))
            yield _record(found, tuple(own))

    def of_run(self, run_id: str) -> list[ModelVersion]:
        """Versions that were made from a run, lowest number first, without aliases."""
        found = [_record(v, ()) for v in self._found(f"run_id = '{check_name(run_id, 'run id')}'")]
        return sorted(found, key=lambda v: int(v.version))

    def models(self) -> Iterator[str]:
        """Names of all registered models as MLflow has them; show them through `names.printable`."""
        yield from self._all_aliases()

    def artifacts(self, version: ModelVersion) -> RunArtifacts:
        """The files of the run that made `version`; `NotFound` for a version without a run."""
        if not version.run_id:
            raise NotFound(f"version {printable(version.address)} was made by no run, so it has no files of its own")
        return RunArtifacts(self._connection, version.run_id)

    def manifest(self, version: ModelVersion) -> Manifest | None:
        """The version's manifest, whose digest is the one that its tag tells; None if registered without heritage.

        Raises `Conflict` where manifest and tag differ and `NotFound` where the manifest is gone; neither is mended.
        """
        shown = printable(version.address)
        if not version.digest and not self._has_manifest(version):
            return None
        where = f"manifest of {shown} (run {version.run_id})"
        found = decode(self.artifacts(version).read(MANIFEST_PATH, MAX_BYTES), where)
        if found.digest != version.digest:
            told = printable(version.tags.get(DIGEST, ""))
            raise Conflict(
                f"{where}: its digest is {found.digest}, but the tag {DIGEST} says '{told}'; "
                "somebody edited one of them: run `heritage audit`, then register the weights again"
            )
        return found

    def entries(self, versions: Iterable[ModelVersion] | None = None) -> Iterator[Entry]:
        """Each of `versions` (default: all) with its manifest or with what is wrong with it.

        An outage is raised, not told as a fault of the version.
        """
        with ThreadPoolExecutor(READERS, "heritage-manifests") as pool:
            yield from pool.map(self._entry, self.located(self.versions() if versions is None else versions))

    def located(self, versions: Iterable[ModelVersion]) -> Iterator[ModelVersion]:
        """`versions`, for whoever will read files of all of them: where those lie is asked for many at a time."""
        rest = iter(versions)
        while part := list(islice(rest, _LOCATED)):
            look_up(self._connection, (version.run_id for version in part))
            yield from part

    def _entry(self, version: ModelVersion) -> Entry:
        try:
            return Entry(version, self.manifest(version))
        except (BadInput, Conflict, NotFound) as error:
            return Entry(version, None, printable(str(error), 1000))

    def manifests(self) -> Iterator[tuple[ModelVersion, Manifest]]:
        """Every version whose manifest is sound, with it; see `entries` for the others."""
        yield from ((e.version, e.manifest) for e in self.entries() if e.manifest)

    def graph(self) -> LineageGraph:
        """The lineage of everything in the registry; edges that run in a circle are left out, the audit tells them."""
        known = list(self.manifests())
        return _graph([m for _, m in known], [v for v, _ in known])

    def ancestry(self, digests: Iterable[str], recovered: bool = True) -> LineageGraph:
        """The part of the graph that `digests` descend from, read step by step; unregistered ones stay absent.

        Without `recovered`, by what people and processes said alone.
        """
        manifests: list[Manifest] = []
        seen: set[str] = set()
        waiting = list(digests)
        while waiting and len(seen) < MAX_ANCESTORS:
            digest = waiting.pop()
            if digest not in seen:
                seen.add(digest)
                found = [e.manifest for e in self.entries(self.versions(digest=digest)) if e.manifest]
                if not recovered:
                    found = [replace(m, parents=_said(m.parents)) for m in found]
                manifests += found
                waiting += [edge.digest for manifest in found for edge in manifest.parents]
        return _graph(manifests, [])

    def check_acyclic(self, digest: str, parents: Iterable[ParentEdge]) -> None:
        """Raise `LineageCycle` where one of `parents` descends from `digest`, by what people and processes said.

        What is recovered from weights may contradict that: then both sides stand, and the audit shows them.
        """
        edges = _said(parents)
        graph = self.ancestry((edge.digest for edge in edges), recovered=False)
        for edge in edges:
            graph.add_edge(Edge(digest, edge))

    def _found(self, clause: str) -> Iterator[Any]:
        token, seen = None, set()
        order = ["creation_timestamp ASC", "name ASC", "version_number ASC"]
        while True:
            page = self._mlflow.search_model_versions(clause, PAGE, order, token)
            for found in page:
                # a page may repeat what moved while it was read
                if (found.name, found.version) not in seen:
                    seen.add((found.name, found.version))
                    yield found
            token = page.token
            if not token:
                return

    def _all_aliases(self) -> dict[str, dict[str, str]]:
        known: dict[str, dict[str, str]] = {}
        token = None
        while True:
            page = self._mlflow.search_registered_models(None, PAGE, ["name ASC"], token)
            known |= {m.name: {str(k): str(v) for k, v in m.aliases.items()} for m in page}
            token = page.token
            if not token:
                return known

    def _aliases_if_any(self, name: str) -> dict[str, str]:
        try:
            return self.aliases(name)
        except NotFound:  # deleted since it was found
            return {}

    def _has_manifest(self, version: ModelVersion) -> bool:
        folder = MANIFEST_PATH.rpartition("/")[0]
        return bool(version.run_id) and MANIFEST_PATH in self.artifacts(version).sizes(folder)


def _said(parents: Iterable[ParentEdge]) -> tuple[ParentEdge, ...]:
    return tuple(edge for edge in parents if edge.origin is not Origin.RECOVERED)


def _graph(manifests: list[Manifest], versions: list[ModelVersion]) -> LineageGraph:
    nodes = [*map(node_of, manifests), *map(node_of_version, versions)]
    edges, _ = acyclic(Edge(manifest.digest, record) for manifest in manifests for record in manifest.parents)
    return LineageGraph(nodes, edges)


def _record(found: Any, aliases: tuple[str, ...]) -> ModelVersion:
    tags = {str(k): str(v) for k, v in (found.tags or {}).items()}
    return ModelVersion(
        name=str(found.name),
        version=str(found.version),
        digest=read_tags(tags).digest,
        run_id=str(found.run_id or ""),
        source=str(found.source or ""),
        tags=tags,
        aliases=aliases,
        created_at_ms=int(found.creation_timestamp or 0),
    )
