"""Which relatives may lend weights to a repair: related over trusted edges, of one architecture, healthy now.

'Nearest' is the wrong rule (+4 points where the best relative gains +8 in our measurements): ancestors, siblings and
cousins all count, and validation NLL ranks them. Descendants never do: they inherited what is to be repaired.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from heritage.errors import NotFound
from heritage.lineage.graph import LineageGraph
from heritage.lineage.kinship import Kinship, Relative
from heritage.names import printable
from heritage.repair.evaluate import Budget, Judge, Runner
from heritage.repair.tensors import State
from heritage.rows import Rows

NEAREST = "nearest"
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Health:
    """How a version stands on the current window.

    `drift`: effect of the window against the version's own drift profile (the measure that its verdict uses);
    `accuracy`: on the labelled rows of the window, None where there are none.
    """

    drift: float
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class DonorOptions:
    """`which`: 'auto', 'nearest', or digests and 'name/version' labels separated by commas.

    `drift_limit`: effect below which a version counts as healthy where no labels speak; `slack`: accuracy by which a
    healthy version may lie under the drifted one; `min_confidence` of every edge on the way; `most` donors are used.
    """

    which: str = AUTO
    drift_limit: float = 0.2
    slack: float = 0.02
    min_confidence: float = 0.9
    most: int = 8


@dataclass(frozen=True, slots=True)
class Donor:
    """A relative that may be used; `confidence` is that of the whole way to it."""

    digest: str
    label: str
    kinship: Kinship
    distance: int
    confidence: float
    health: Health | None


@dataclass(frozen=True, slots=True)
class DonorChoice:
    """Donors to use, nearest and healthiest first, and every other relative (label) with the reason against it."""

    donors: tuple[Donor, ...]
    rejected: Mapping[str, str] = field(default_factory=dict)


def choose_donors(
    graph: LineageGraph,
    digest: str,
    health: Mapping[str, Health],
    options: DonorOptions | None = None,
    barred: Mapping[str, str] | None = None,
) -> DonorChoice:
    """The relatives of `digest` that may lend weights.

    `health` by digest, that of `digest` itself included where known; `barred`: digest -> reason (a licence, a deleted
    artifact). Named donors need no health and no trusted edge, but the same architecture. Raises `NotFound` for a
    name that is no relative.
    """
    options = options or DonorOptions()
    relatives = graph.relatives(digest)
    trusted = {r.digest for r in graph.relatives(digest, options.min_confidence)}
    named = _named(graph, relatives, options.which)
    donors: list[Donor] = []
    rejected: dict[str, str] = {}
    for relative in relatives:
        reason = (barred or {}).get(relative.digest) or _unfit(graph, digest, relative)
        if reason is None and named is not None:
            reason = None if relative.digest in named else "not among the named donors"
        elif reason is None:
            reason = _distrusted(relative, trusted, options) or _unhealthy(health, digest, relative, options)
        label = graph.node(relative.digest).label
        if reason is None:
            donors.append(_donor(relative, label, health))
        else:
            rejected[label] = reason
    return _limited(sorted(donors, key=_nearest_first), rejected, options)


def rank(network: nn.Module, donors: Mapping[str, State], rows: Rows, device: str = "auto") -> list[tuple[str, float]]:
    """Donors with the NLL (nats) of their own weights on labelled `rows`, best first. One forward pass a donor."""
    judge = Judge(Runner(network, device), rows, Budget(len(donors)))
    return sorted(((d, judge.nll(state)) for d, state in donors.items()), key=lambda pair: (pair[1], pair[0]))


def _named(graph: LineageGraph, relatives: Sequence[Relative], which: str) -> frozenset[str] | None:
    if which in (AUTO, NEAREST):
        return None
    by_name = {graph.node(r.digest).label: r.digest for r in relatives}
    for r in relatives:
        by_name[r.digest] = r.digest
        by_name |= {"/".join(address): r.digest for address in graph.node(r.digest).versions}
    wanted = [name.strip() for name in which.split(",") if name.strip()]
    for name in wanted:
        if name not in by_name:
            known = ", ".join(graph.node(r.digest).label for r in relatives[:5]) or "none"
            raise NotFound(f"donor '{printable(name)}' is no relative of this version; relatives: {known}")
    return frozenset(by_name[name] for name in wanted)


def _unfit(graph: LineageGraph, digest: str, relative: Relative) -> str | None:
    mine, its = graph.node(digest).architecture, graph.node(relative.digest).architecture
    if relative.kinship is Kinship.DESCENDANT:
        return "a descendant: it inherited what is to be repaired"
    if not mine or not its:
        return "the architecture of one of the two is not recorded"
    return None if mine == its else f"another architecture ({printable(its, 60)})"


def _distrusted(relative: Relative, trusted: set[str], options: DonorOptions) -> str | None:
    if relative.digest in trusted:
        return None
    return f"an edge on the way has a confidence below {options.min_confidence}; name it as donor to use it"


def _unhealthy(health: Mapping[str, Health], digest: str, relative: Relative, options: DonorOptions) -> str | None:
    its, mine = health.get(relative.digest), health.get(digest)
    if options.which == NEAREST and relative.kinship is not Kinship.ANCESTOR:
        return "no ancestor"
    if its is None:
        return "its health on the current window is not known"
    if its.accuracy is not None and mine is not None and mine.accuracy is not None:
        if its.accuracy >= mine.accuracy - options.slack:
            return None
        return f"its accuracy on current rows is {its.accuracy:.3f}, that of the drifted version {mine.accuracy:.3f}"
    if its.drift < options.drift_limit:  # NaN is not healthy
        return None
    return f"the current window drifts from its own data too (effect {its.drift:.2f}, limit {options.drift_limit})"


def _donor(relative: Relative, label: str, health: Mapping[str, Health]) -> Donor:
    return Donor(
        relative.digest, label, relative.kinship, relative.distance, relative.confidence, health.get(relative.digest)
    )


def _nearest_first(donor: Donor) -> tuple[int, float, str]:
    drift = donor.health.drift if donor.health and math.isfinite(donor.health.drift) else math.inf
    return donor.distance, drift, donor.digest


def _limited(donors: list[Donor], rejected: dict[str, str], options: DonorOptions) -> DonorChoice:
    most = 1 if options.which == NEAREST else options.most
    for donor in donors[most:]:
        rejected[donor.label] = "a nearer ancestor is healthy" if most == 1 else f"further away than {most} donors"
    return DonorChoice(tuple(donors[:most]), rejected)
