"""Every version's page in MLflow tells its story: a Markdown description and an offline page among its files.

The story stands between two invisible lines of the description, so that what people write around it stays. Equal facts
give an equal story, and one that is there already is not written again.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import structlog

from heritage.errors import BadInput, Conflict, HeritageError, NotFound
from heritage.flows.context import Context
from heritage.flows.story_facts import Facts, Family, facts_of, family_of
from heritage.flows.story_markdown import markdown
from heritage.names import printable
from heritage.records import Manifest, ModelVersion
from heritage.registry import FAMILY, Entry
from heritage.reports.html import render

_log = structlog.get_logger()

PAGE_PATH = "heritage/lineage.html"
STORY_TAG = "heritage.story"  # beginning of the SHA-256 of the story that was written last
BEGIN, END = "[heritage-begin]: # (story)", "[heritage-end]: # (story)"


def write(ctx: Context, address: str) -> bool:
    """Write the story of the version at `address`; True where something changed. Nothing for one without manifest.

    A handful of requests, and one a relative that is drawn.
    """
    version = ctx.registry.version(address)
    manifest = ctx.registry.manifest(version)
    return manifest is not None and _write(ctx, facts_of(ctx, version, manifest, family_of(ctx, version, manifest)))


def tell(ctx: Context, *addresses: str) -> None:
    """`write` for each of them, after something happened to it.

    What goes wrong is logged and stops nobody: the weekly audit writes it again.
    """
    for address in addresses:
        try:
            write(ctx, address)
        except HeritageError as error:
            _log.warning("story not written", address=address, reason=printable(str(error), 500))


def refresh(ctx: Context, entries: Iterable[Entry]) -> int:
    """Write the stories of all `entries` that changed since they were written; how many did."""
    known = [(e.version, e.manifest) for e in entries if e.manifest]
    families: dict[str, list[ModelVersion]] = {}
    for version, _ in known:
        families.setdefault(version.tags.get(FAMILY, ""), []).append(version)
    built = {name: Family.of(versions) for name, versions in families.items() if name}
    return sum(_refreshed(ctx, version, manifest, built) for version, manifest in known)


def _refreshed(ctx: Context, version: ModelVersion, manifest: Manifest, built: dict[str, Family]) -> bool:
    family = built.get(version.tags.get(FAMILY, "")) or Family.of([version])
    try:
        return _write(ctx, facts_of(ctx, version, manifest, family))
    except (BadInput, Conflict, NotFound):  # deleted meanwhile, or a name that MLflow's own calls refuse
        return False


def _write(ctx: Context, facts: Facts) -> bool:
    version, text, html = facts.version, markdown(facts), page(facts)
    seal = hashlib.sha256(f"{text}\n{html}".encode()).hexdigest()[:16]
    if version.tags.get(STORY_TAG) == seal:
        return False
    ctx.registry.put_artifact(version, PAGE_PATH, html.encode())
    ctx.registry.describe(version, lambda known: placed(known, text))
    ctx.registry.set_tag(version, STORY_TAG, seal)
    return True


def placed(known: str, text: str) -> str:
    """`text` in the place of the story in the description `known`, or below what somebody wrote there."""
    before, begin, rest = known.partition(BEGIN)
    after = rest.partition(END)[2] if begin else ""
    above = f"{before.rstrip()}\n\n" if before.strip() else ""
    below = f"\n\n{after.strip()}\n" if after.strip() else "\n"
    return f"{above}{BEGIN}\n\n{text.strip()}\n\n{END}{below}"


def page(facts: Facts) -> str:
    """The story as an HTML page that needs nothing but itself."""
    verdict = None
    if facts.verdict:
        css = facts.verdict["status"] if facts.verdict["status"] in ("ok", "warning", "drift", "schema") else ""
        verdict = {**facts.verdict, "record": facts.verdict["verdict"], "css": css}
    return render(
        "lineage.html", address=facts.version.address, family=facts.family, manifest=facts.manifest,
        aliases=facts.version.aliases, tree=facts.tree, parents=facts.parents, children=facts.children,
        more_children=facts.more_children, verdict=verdict, repair=_repair_rows(facts.repair),
        signed_by=facts.signed_by,
    )  # fmt: skip


def _repair_rows(repair: Any) -> list[tuple[str, str]]:
    """What a decision tells, in words."""
    rows = [(key.capitalize(), str(repair[key])) for key in ("plan", "decision", "rung", "champion") if repair.get(key)]
    gate = repair.get("gate")
    if isinstance(gate, dict):
        for key in ("before", "after"):
            if isinstance(gate.get(key), int | float):
                rows.append((f"Accuracy {key}, on rows nobody tuned on", f"{100 * gate[key]:.1f} %"))
    shares = repair.get("coefficients")
    if isinstance(shares, dict):
        rows += [(f"Share of {name}", f"{s:+.3f}") for name, s in shares.items() if isinstance(s, int | float)]
    rows += [("Reason", str(repair["reason"]))] if repair.get("reason") else []
    return [(name, printable(value, 1000)) for name, value in rows]
