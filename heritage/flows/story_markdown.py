"""A version's story as Markdown for its page in MLflow; all outside text escaped, links inside MLflow only."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from heritage.flows.story_facts import Facts, Kin
from heritage.names import printable
from heritage.records import Relation

# what may mean something inside a line, in Markdown, HTML, or as an address that renderers turn into a link
_MARK = re.compile(r"[&<>*_`\[\]~|\\:@#$^\"'{}]|(?<=www)\.", re.IGNORECASE)
_GAP = "&emsp;"  # MLflow's tables have no space between columns
_TICKS = re.compile(r"`+")
_SAYS = {
    "ok": "healthy", "warning": "small drift", "drift": "**drifted**", "schema": "**other columns**",
    "insufficient": "too few rows to tell",
}  # fmt: skip


def markdown(facts: Facts) -> str:
    """The story; equal facts give equal text."""
    parts = [
        _headline(facts), _tree(facts), _kin("Parents", facts.parents, 0),
        _kin("Children", facts.children, facts.more_children), _verdict(facts), _repair(facts), _identity(facts),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str, limit: int = 120) -> str:
    """Outside text as plain text inside a line of Markdown: no link, no HTML, no emphasis, no table cell.

    Written as character references, which every renderer shows as the character; backslashes some of them show too.
    """
    return _MARK.sub(lambda found: f"&#{ord(found[0])};", printable(text, limit))


def fenced(lines: Iterable[str]) -> str:
    """`lines` as a block that is shown as it is, whatever it holds."""
    body = "\n".join(printable(line, 300) for line in lines)
    longest = max((len(run) for run in _TICKS.findall(body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{body}\n{fence}"


def link(address: str) -> str:
    """A link to a version's page in MLflow; plain text for what is no 'name/number'."""
    name, slash, number = address.rpartition("/")
    if not (slash and name and number.isascii() and number.isdigit()):
        return escaped(address) or "?"
    return f"[{escaped(address)}](#/models/{quote(name, safe='')}/versions/{number})"


def _headline(facts: Facts) -> str:
    version = facts.version
    said = [k for k in facts.parents if k.origin != "recovered"] or list(facts.parents)
    what = f"**{escaped(version.address)}**"
    if said:
        how = _HOW.get(said[0].relation, "made from")
        names = ", ".join(link(k.address or k.digest[:12]) for k in said[:4])
        what += f" was {how} {names}"
        what += f" and {len(said) - 4} more" if len(said) > 4 else ""
    else:
        what += " has no known parent"
    family = f", of the family *{escaped(facts.family)}*" if facts.family else ""
    aliases = ", ".join(escaped(a) for a in version.aliases)
    return f"{what}{family}." + (f" It is **{aliases}**." if aliases else "")


_HOW: dict[str, str] = {
    Relation.FINETUNE: "fine-tuned from", Relation.LORA: "adapted (LoRA) from", Relation.PRUNE: "pruned from",
    Relation.QUANTIZE: "quantised from", Relation.DISTILL: "distilled from", Relation.MERGE: "merged from",
    Relation.REPAIR: "repaired from", Relation.COPY: "copied from", Relation.UNKNOWN: "made from",
}  # fmt: skip


def _tree(facts: Facts) -> str:
    return f"### Lineage\n\n{fenced(facts.tree)}" if len(facts.tree) > 1 else ""


def _kin(title: str, kin: tuple[Kin, ...], more: int) -> str:
    if not kin:
        return ""
    cells = [(link(k.address) if k.address else k.digest[:12], k.relation, k.origin, _sure(k)) for k in kin]
    head = [_row(("version", "relation", "how it is known", "confidence")), "|---|---|---|---|"]
    left = [f"\nand {more} more"] if more else []
    return "\n".join([f"### {title}\n", *head, *map(_row, cells), *left])


def _row(cells: Iterable[str]) -> str:
    return f"| {f'{_GAP} | '.join(cells)} |"


def _sure(kin: Kin) -> str:
    return f"{kin.confidence:.2f}" if kin.origin == "recovered" else ""


def _verdict(facts: Facts) -> str:
    told = facts.verdict
    if not told:
        return ""
    line = f"{_SAYS.get(told['status'], escaped(told['status']))} in window {escaped(told['window'])}"
    verdict = told["verdict"]
    if verdict is not None:
        columns = ", ".join(escaped(c, 60) for c in verdict.drifted_columns[:8])
        line += f", {verdict.rows:,} rows, largest effect {verdict.effect:.2f}"
        line += f"; moved: {', '.join(verdict.moved)}" if verdict.moved else ""
        line += f"; drifted columns: {columns}" if columns else ""
    return f"### Last drift check\n\n{line}."


def _repair(facts: Facts) -> str:
    told = facts.repair
    if not told:
        return ""
    lines = [
        f"Plan {escaped(str(told.get('plan', ''))[:12])}, decision {escaped(str(told.get('decision', 'unknown')))}"
    ]
    gate: Any = told.get("gate")
    if isinstance(gate, dict) and _numbers(gate, "before", "after"):
        lines.append(f"on rows nobody tuned on: {_percent(gate['before'])} before, {_percent(gate['after'])} after")
    shares: Any = told.get("coefficients")
    if isinstance(shares, dict) and shares:
        parts = [f"{link(str(name))} {value:+.2f}" for name, value in shares.items() if isinstance(value, int | float)]
        lines.append(f"from {', '.join(parts[:8])}")
    reason = f"\n\nThe gate: {escaped(str(told['reason']), 500)}" if told.get("reason") else ""
    return f"### Last repair\n\n{'; '.join(lines)}.{reason}"


def _numbers(values: dict[str, Any], *keys: str) -> bool:
    return all(isinstance(values.get(key), int | float) for key in keys)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _files(n: int) -> str:
    return "1 file" if n == 1 else f"{n} files"


def _identity(facts: Facts) -> str:
    m = facts.manifest
    size = sum(file.size_bytes for file in m.files)
    rows = [
        ("content", f"`{m.digest}`"),
        ("weights", f"{m.parameters:,} parameters, {escaped(m.dtype)}, {size:,} bytes in {_files(len(m.files))}"),
        ("network", f"`{m.architecture.builder}`" if m.architecture else ""),
        ("training data", f"{m.training_data.rows:,} rows, profile {m.training_data.signature[:12]}"
         if m.training_data else ""),
        ("made", m.created_at + (f" by {escaped(m.made_by.dag)} {escaped(m.made_by.run)}"
                                          if m.made_by.dag else " by hand")),
        ("signed", f"by key {escaped(facts.signed_by)}" if facts.signed_by else ""),
    ]  # fmt: skip
    lines = "\n".join(_row(row) for row in rows if row[1])
    return f"### Record\n\n| | |\n|---|---|\n{lines}\n\nThe whole story is the artifact `heritage/lineage.html`."
