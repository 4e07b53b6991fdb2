"""The JSON that the application answers with; docs/api.md says what each field means. NaN is written as null."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """An answer or a part of one."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


class SessionLinks(Answer):
    """The servers' pages; '' where people cannot open them."""

    mlflow: str
    airflow: str


class Session(Answer):
    """Who is logged in."""

    user: str
    links: SessionLinks


class ModelCard(Answer):
    """One model version in lists."""

    address: str
    name: str
    version: str
    digest: str
    family: str
    aliases: tuple[str, ...]
    health: str
    window: str
    effect: float | None
    parents: int
    children: int
    created_at: str


class ModelList(Answer):
    """A page of versions."""

    models: tuple[ModelCard, ...]
    next: str | None
    total: int
    indexed_at: str
    complete: bool


class VerdictCard(Answer):
    """The verdict on one window in short."""

    window: str
    status: str
    rows: int
    effect: float
    moved: tuple[str, ...]
    muted: bool
    columns: tuple[str, ...]
    accuracy: float | None


class Relative(Answer):
    """A parent or child of a version, and how that is known."""

    digest: str
    address: str
    relation: str
    origin: str
    confidence: float


class ModelLinks(Answer):
    """Pages about a version: in MLflow, and of the DAG run that made it."""

    mlflow: str
    run: str


class ModelDetail(Answer):
    """All about one version."""

    model: ModelCard
    tags: dict[str, str]
    manifest: dict[str, Any] | None
    problem: str
    verdict: VerdictCard | None
    parents: tuple[Relative, ...]
    children: tuple[Relative, ...]
    links: ModelLinks


class LineageNode(Answer):
    """A content in a graph."""

    id: str
    address: str
    addresses: tuple[str, ...]
    label: str
    health: str
    aliases: tuple[str, ...]
    family: str
    present: bool
    parents: int
    children: int
    distance: int
    created_at: str


class LineageEdge(Answer):
    """An edge in a graph, by the digests of its ends."""

    parent: str
    child: str
    relation: str
    origin: str
    confidence: float


class Lineage(Answer):
    """A part of the lineage graph around `root`."""

    root: str
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    truncated: bool


class FamilyCard(Answer):
    """A family in lists."""

    family: str
    versions: int
    health: dict[str, int]


class FamilyList(Answer):
    """A page of families."""

    families: tuple[FamilyCard, ...]
    next: str | None


class FamilyStatistics(Answer):
    """Counts over a family."""

    versions: int
    contents: int
    edges: int
    relations: dict[str, int]
    origins: dict[str, int]
    health: dict[str, int]


class Genealogy(Answer):
    """A family with its tree."""

    family: str
    versions: int
    roots: tuple[str, ...]
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    truncated: bool
    statistics: FamilyStatistics


class ClusteringStatistics(Answer):
    """Counts over the whole registry."""

    versions: int
    contents: int
    families: int
    edges: int
    largest_family: int
    pending: int
    mean_confidence: float | None
    quality: dict[str, Any] | None
    relations: dict[str, int]
    origins: dict[str, int]
    health: dict[str, int]


class StartedRun(Answer):
    """A DAG run that was started."""

    dag: str
    run: str
    state: str
    url: str


class FleetRow(ModelCard):
    """A version with its newest verdict."""

    verdict: VerdictCard


class FleetDrift(Answer):
    """A page of judged versions, worst first."""

    models: tuple[FleetRow, ...]
    next: str | None


class ColumnFigures(Answer):
    """The figures of one column in the newest window."""

    name: str
    family: str
    level: str
    drifted: bool
    effect: float | None
    psi: float | None
    psi_debiased: float | None
    kl: float | None
    js: float | None
    ks: float | None


class DriftHistory(Answer):
    """The windows of one version."""

    address: str
    timeline: tuple[VerdictCard, ...]
    columns: tuple[ColumnFigures, ...]
    series: dict[str, dict[str, tuple[float | None, ...]]]
    performance: dict[str, Any] | None
    report: str


class ColumnPlot(Answer):
    """Shares of a window's rows and the reference's: between `edges` (one more), or of levels with `labels`."""

    name: str
    level: str
    effect: float
    edges: tuple[float, ...] | None
    labels: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


class ColumnPlots(Answer):
    """The worst columns of a window."""

    address: str
    window: str
    plots: tuple[ColumnPlot, ...]


class RepairCard(Answer):
    """A repair, or a validation, in lists; accuracies on rows that nothing was tuned on."""

    plan: str
    kind: str
    model: str
    window: str
    champion: str
    decision: str
    rung: str
    reason: str
    before: float | None
    after: float | None
    gain: float | None


class RepairList(Answer):
    """A page of repairs."""

    repairs: tuple[RepairCard, ...]
    next: str | None


class RepairLinks(Answer):
    """Pages about a repair: the challenger in MLflow, and where it waits for approval."""

    mlflow: str
    approval: str


class RepairDetail(Answer):
    """All about one repair."""

    repair: RepairCard
    decision: dict[str, Any]
    plan: dict[str, Any] | None
    evidence: dict[str, Any] | None
    challenger: str
    links: RepairLinks


class Finding(Answer):
    """One finding of the audit: `sides` is what each record says, by its name."""

    id: str
    kind: str
    severity: str
    subject: str
    message: str
    sides: dict[str, Any]
    remedy: str


class Audit(Answer):
    """A page of what the last audit stored."""

    findings: tuple[Finding, ...]
    counts: dict[str, int]
    total: int
    audited_at: str
    next: str | None


class LabelRequests(Answer):
    """The requests that take answers now."""

    requests: tuple[dict[str, Any], ...]


class LabelTasks(Answer):
    """A page of a request's tasks."""

    request: str
    classes: tuple[str, ...]
    total: int
    tasks: tuple[dict[str, Any], ...]


class JournalMove(Answer):
    """A move of a champion; `kind` is initial, promote, rollback or manual."""

    sequence: int
    kind: str
    state: str
    version: str
    replaced: str
    previous: str
    reason: str
    plan_hash: str
    at: str


class AliasMove(Answer):
    """An alias that somebody moved by hand; `version` is '' where it was taken away."""

    name: str
    alias: str
    version: str
    at: str
    delivery: str


class Moves(Answer):
    """The moves of one model's aliases, oldest first."""

    model: str
    moves: tuple[JournalMove, ...]
    by_hand: tuple[AliasMove, ...]
