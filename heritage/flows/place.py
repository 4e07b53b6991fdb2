"""Where one version belongs among those that are registered: family, parents, children, told from weights."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from heritage.errors import HeritageError, Unavailable
from heritage.flows import prints
from heritage.flows.context import Context
from heritage.flows.methods import options_of
from heritage.flows.prints import FINGERPRINT_TAG
from heritage.flows.reconcile import WITHOUT_WEIGHTS, recovered_edge, unrelated
from heritage.flows.trees import PLACED_TAG, canonical, family_of, tagged_edges
from heritage.lineage.contradictions import is_proved
from heritage.lineage.cycles import acyclic
from heritage.lineage.graph import LineageGraph
from heritage.lineage.nodes import Edge
from heritage.names import printable
from heritage.records import ModelVersion, Origin, ParentEdge
from heritage.recovery.architecture import group
from heritage.recovery.families import similarity
from heritage.recovery.incremental import Placement, place
from heritage.recovery.recover import recover_fingerprints
from heritage.recovery.results import RecoveredEdge
from heritage.recovery.sketched import PrintedModel, sketch_stack, whole_sample
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.fingerprint import Fingerprint


@dataclass(frozen=True, eq=False)
class Subject:
    """The version to be placed: its content, its fingerprint, and where its weights lie on this machine."""

    version: ModelVersion
    digest: str
    taken: Fingerprint
    weights: Callable[[], Path]


@dataclass(frozen=True, eq=False)
class Found:
    """What weights tell of a version.

    `parents` are recovered edges to it, and records of confidence 0 for named parents that it is unlike. `children`
    are recovered edges from it, by the child's digest. `evidence` is 'weights' or 'fingerprints'; `note` says why not
    weights where they were wanted.
    """

    family: str
    parents: tuple[ParentEdge, ...]
    children: Mapping[str, ParentEdge]
    nearest: tuple[ModelVersion, ...]
    evidence: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class _Known:
    """The other contents of the registry, and the fingerprints of those that can be compared."""

    versions: Mapping[str, ModelVersion]
    prints: Mapping[str, Fingerprint]

    def families(self, placed: bool = False) -> dict[str, dict[str, Fingerprint]]:
        """Comparable members of each family; of those only that were `placed`, whose family the weights confirm."""
        found: dict[str, dict[str, Fingerprint]] = {}
        for digest, taken in self.prints.items():
            if not placed or PLACED_TAG in self.versions[digest].tags:
                found.setdefault(family_of(self.versions[digest]), {})[digest] = taken
        return found


def find_place(ctx: Context, subject: Subject, said: Sequence[ParentEdge], folder: Path) -> Found:
    """The place of `subject`; `said` are parents that somebody named. Weights are fetched below `folder`.

    Reads every comparable fingerprint, and the weights of three relatives at most. Where these cannot be had or hold
    NaN, fingerprints decide; only an outage is raised.
    """
    own = replace(subject.version, digest=subject.digest)
    versions = canonical(v for v in ctx.registry.versions() if v.address != own.address)
    twin = versions.pop(subject.digest, None)
    versions = {digest: v for digest, v in versions.items() if family_of(v)}
    near = prints.read(ctx, prints.comparable(ctx, subject.taken, versions))
    # weights with NaN are told their place, but tell nothing about others
    known = _Known(versions, {digest: taken for digest, taken in near.items() if prints.is_finite(taken)})
    placement, evidence, note = _placed(ctx, subject, known, folder)
    edges = _edges(ctx, subject, known, placement, evidence)
    attested = _attested(own, said, versions)
    parents = [
        recovered_edge(e, versions[e.parent], how)
        for e, how in edges
        if e.child == subject.digest and subject.digest not in attested.above(e.parent)
    ]
    children = {
        e.child: recovered_edge(e, own, how)
        for e, how in edges
        if e.parent == subject.digest and e.child not in attested.above(subject.digest)
    }
    z_score = ctx.settings.recovery.z_score
    confirmed = {edge.digest for edge in parents}
    others = [e for e in said if e.digest not in confirmed and e.digest in known.prints]
    denied = [e for e in others if is_unlike(subject.taken, known.prints[e.digest], e, z_score)]
    return Found(
        family_of(twin) if twin and family_of(twin) else _family(ctx, subject, placement, said, known),
        (*parents, *(unrelated(e, evidence) for e in denied)),
        children if prints.is_finite(subject.taken) else {},
        tuple(versions[digest] for digest in placement.nearest),
        evidence,
        note,
    )


def _edges(
    ctx: Context, subject: Subject, known: _Known, placement: Placement, evidence: str
) -> list[tuple[RecoveredEdge, str]]:
    """Edges to and from `subject`, each with what told it.

    What the weights of the nearest relatives prove counts first. Where the family is small enough, the rest is told
    from its tree as a whole: four models alone often hide which of two near ones is the parent.
    """
    local = [(e, evidence) for e in (*placement.parents, *placement.children)]
    proved = [(e, how) for e, how in local if is_proved(recovered_edge(e, subject.version, how))]
    if not placement.nearest or len(known.prints) > ctx.settings.recovery.together:
        return local
    whole = recover_fingerprints({subject.digest: subject.taken, **known.prints}, options_of(ctx))
    found = [e for family in whole.families for e in family.edges if subject.digest in (e.parent, e.child)]
    has_parent = any(e.child == subject.digest for e, _ in proved)
    seen = {(e.parent, e.child): e for e, _ in local}
    told = [e for e in found if not (has_parent and e.child == subject.digest) and e.child not in _children(proved)]
    # the weights know better how one was made from the other
    return proved + [
        (replace(e, relation=seen[e.parent, e.child].relation), evidence)
        if (e.parent, e.child) in seen
        else (e, "fingerprints")
        for e in told
    ]


def _children(edges: Sequence[tuple[RecoveredEdge, str]]) -> set[str]:
    return {edge.child for edge, _ in edges}


@dataclass(frozen=True, eq=False)
class _Attested:
    """What the processes that made versions say: no weights tell that better."""

    graph: LineageGraph

    def above(self, digest: str) -> set[str]:
        """All that `digest` descends from."""
        return set(self.graph.ancestors(digest)) if digest in self.graph else set()


def _attested(own: ModelVersion, said: Sequence[ParentEdge], versions: Mapping[str, ModelVersion]) -> _Attested:
    told = [*tagged_edges({**versions, own.digest: own}), *(Edge(own.digest, e) for e in said)]
    edges, _ = acyclic(e for e in told if e.record.origin is Origin.ATTESTED)
    return _Attested(LineageGraph((), edges))


def _placed(ctx: Context, subject: Subject, known: _Known, folder: Path) -> tuple[Placement, str, str]:
    """The placement, what it was told from, and why not from weights where they were wanted."""
    z_score = ctx.settings.recovery.z_score
    limits = prints.limits_of(ctx)

    def weights(digest: str) -> Checkpoint:
        path = subject.weights() if digest == subject.digest else fetched(ctx, known.versions[digest], folder)
        return Checkpoint.open(path, limits)

    note = ""
    if ctx.settings.recovery.weights:
        try:
            return place(subject.digest, subject.taken, known.families(), weights, z_score), "weights", ""
        except Unavailable:
            raise
        except HeritageError as error:
            note = printable(str(error), 500)
    return place(subject.digest, subject.taken, known.families(), None, z_score), "fingerprints", note


def fetched(ctx: Context, version: ModelVersion, folder: Path) -> Path:
    """Folder with the verified weights of `version`: kept ones where there are, else below `folder`."""
    kept = ctx.settings.work_dir / "weights"
    return ctx.registry.fetch_weights(version, kept if (kept / version.digest).is_dir() else folder)


def is_unlike(child: Fingerprint, parent: Fingerprint, edge: ParentEdge, z_score: float) -> bool:
    """Whether the weights speak against `edge`: they can be compared, and are no more alike than unrelated models."""
    if edge.relation in WITHOUT_WEIGHTS:
        return False
    models = [PrintedModel("child", child), PrintedModel("parent", parent)]
    if len(group([m.signature for m in models])) > 1:
        return False
    stack = sketch_stack(models)
    if not any(slot.is_matrix for slot in stack.slots):
        return False
    return bool(similarity(stack, whole_sample(stack)).z[0, 1] <= z_score)


def _family(ctx: Context, subject: Subject, placement: Placement, said: Sequence[ParentEdge], known: _Known) -> str:
    """That of its relatives by weights; else of a named parent that weights say nothing about; else one of its own.

    Relatives that wait for their own place follow it later, so they do not count where the version has a family.
    """
    current = family_of(subject.version)
    placed = known.families(placed=True)
    nearest = next((f for d in placement.nearest for f, members in placed.items() if d in members), "")
    if placement.family and not nearest and placed:
        nearest = place(subject.digest, subject.taken, placed, None, ctx.settings.recovery.z_score).family or ""
    if placement.family:
        return nearest or current or placement.family
    for edge in said:
        parent = known.versions.get(edge.digest)
        if parent and (edge.relation in WITHOUT_WEIGHTS or FINGERPRINT_TAG not in parent.tags):
            return family_of(parent)
    others = [v for v in known.versions.values() if family_of(v) == current]
    if current and not any(FINGERPRINT_TAG in v.tags for v in others):
        return current  # nobody in it is known to be another family's
    return unused(subject.version.name, {family_of(v) for v in known.versions.values()})


def unused(name: str, taken: Container[str]) -> str:
    """`name`, made longer by a number where it is taken."""
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate
