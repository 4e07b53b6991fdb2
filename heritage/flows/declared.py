"""Parents that a version's model card names and that are registered here.

The card is README.md among the run's files, else the tags `base_model` and `base_model_relation`, which say the same
in the same words.
"""

from heritage.errors import HeritageError, NotFound
from heritage.flows.context import Context
from heritage.lineage.hub import HubEdge, parent_edges, read_card
from heritage.names import printable
from heritage.records import ModelVersion, ParentEdge

CARD, CARD_LIMIT = "README.md", 2**20


def declared_parents(ctx: Context, version: ModelVersion, digest: str) -> tuple[ParentEdge, ...]:
    """Edges to the named parents that are registered; `digest` is the content of `version`.

    Raises `BadInput` for a card that cannot be read.
    """
    try:
        card = ctx.registry.artifact(version, CARD, CARD_LIMIT).decode("utf-8", "replace")
    except NotFound:
        card = _card_of_tags(version)
    edges = read_card(card, version.name, f"model card of {printable(version.address)}").edges
    digest_of = {version.name: digest}
    for edge in edges:
        if parent := _registered(ctx, edge):
            digest_of[edge.parent] = parent.digest
    return tuple(e for e in parent_edges(edges, digest_of).get(digest, []) if e.digest != digest)


def _card_of_tags(version: ModelVersion) -> str:
    import yaml

    said = {k: version.tags[k] for k in ("base_model", "base_model_relation") if k in version.tags}
    if "base_model" in said:
        bases = [part.strip() for part in said["base_model"].split(",") if part.strip()]
        return f"---\n{yaml.safe_dump({**said, 'base_model': bases})}---\n"
    return ""


def _registered(ctx: Context, edge: HubEdge) -> ModelVersion | None:
    """The registered version that a hub id means: 'name', or 'name/3', or the last part of 'Organisation/name'."""
    for address in (edge.parent, edge.parent.rpartition("/")[2]):
        try:
            found = ctx.registry.version(address)
        except HeritageError:
            continue
        if found.digest:
            return found
    return None
