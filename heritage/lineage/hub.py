"""Declared parents from Hub-style metadata: front matter of model cards, and edge lists as CSV.

Ids are canonicalised before anything is counted: real tables hold most edges twice, once under the id and once under
its URL. Outside text is parsed, never constructed or evaluated.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

from heritage.errors import BadInput, UnsafeName
from heritage.names import hub_id, printable
from heritage.records import Origin, ParentEdge, Relation, Transformation

MAX_CARD_BYTES = 4 * 2**20
MAX_FRONT_MATTER_BYTES = 256 * 2**10
MAX_YAML_DEPTH = 32
MAX_PROBLEMS = 1000

# `base_model_relation` of the Hub, and words of published edge lists
RELATIONS: Mapping[str, Relation] = {
    "finetune": Relation.FINETUNE,
    "adapter": Relation.LORA,
    "merge": Relation.MERGE,
    "quantized": Relation.QUANTIZE,
    "mirror": Relation.COPY,
}
# libyaml's parser where PyYAML was built with it: ten times faster
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NO_MODELS = ("datasets", "spaces", "collections", "papers")
_HEADERS = {"parent": ("parent", "parent_id"), "child": ("child", "child_id"), "relation": ("relation",)}


@dataclass(frozen=True, slots=True)
class HubEdge:
    """A declared edge between two canonical hub ids."""

    child: str
    parent: str
    relation: Relation


@dataclass(frozen=True, slots=True)
class HubImport:
    """`edges` in order of first mention, one a pair; `raw` entries were read; `problems` were left out, each with why.

    At most 1,000 problems are kept, `problem_count` tells all.
    """

    edges: tuple[HubEdge, ...]
    raw: int
    problems: tuple[str, ...]
    problem_count: int


class _Collector:
    """Canonical edges and what was wrong, while reading."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.raw = 0
        self.problem_count = 0
        self.problems: list[str] = []
        self.relations: dict[tuple[str, str], Relation] = {}

    def add(self, child: str, parent: str, relation: Relation, place: str) -> None:
        self.raw += 1
        try:
            pair = model_id(child), model_id(parent)
        except UnsafeName as error:
            return self.problem(place, str(error))
        if pair[0] == pair[1]:
            return self.problem(place, f"'{pair[0]}' is named as its own parent")
        known = self.relations.setdefault(pair, relation)
        if known is Relation.UNKNOWN:
            self.relations[pair] = relation
        elif relation not in (known, Relation.UNKNOWN):
            self.problem(place, f"'{pair[0]}' from '{pair[1]}' is called {relation.value}, before {known.value}")
        return None

    def problem(self, place: str, text: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{self.where}, {place}: {text}")

    def result(self) -> HubImport:
        edges = tuple(HubEdge(child, parent, relation) for (child, parent), relation in self.relations.items())
        return HubImport(edges, self.raw, tuple(self.problems), self.problem_count)


def model_id(text: str) -> str:
    """Canonical id of a model: the one spelling of 'Org/Name', its URL, a revision of it.

    Raises `UnsafeName` for what is no model id, addresses of datasets and spaces included.

    >>> model_id("https://hf.co/Org/Name/tree/main")
    'Org/Name'
    """
    bare = text.strip()
    for host in ("huggingface.co/", "www.huggingface.co/", "hf.co/"):
        if bare.lower().startswith(host):
            bare = f"https://{bare}"
    found = hub_id(bare.split("#")[0])
    if found.split("/")[0] in _NO_MODELS:
        raise UnsafeName(f"'{printable(text)}' is the address of no model; give 'organisation/name'")
    return found


def read_card(text: str, child: str, where: str) -> HubImport:
    """Declared parents of the model `child` from the front matter of its card; `where` names the card in errors.

    `base_model` is an id or a list of ids. Without a readable `base_model_relation` the relation is `merge` for
    several parents and `unknown` for one: more is not guessed. A card without front matter declares nothing. Raises
    `BadInput` for a front matter that is too large, nested too deep, uses aliases, or is no YAML mapping.
    """
    found = _Collector(where)
    fields = _front_matter(text, where)
    parents = _texts(fields.get("base_model"), "base_model", found)
    words = _texts(fields.get("base_model_relation"), "base_model_relation", found)
    stated = _relation(words[0], "base_model_relation", found) if words else None
    for parent in parents:
        found.add(child, parent, stated or Relation.UNKNOWN, "base_model")
    if not stated and len(found.relations) > 1:
        found.relations = dict.fromkeys(found.relations, Relation.MERGE)
    return found.result()


def read_edges(lines: Iterable[str], where: str) -> HubImport:
    """Declared edges of a CSV file with the columns parent (or parent_id), child (or child_id), relation.

    `lines` is an open text file or any lines; `where` names it in errors. Other columns are not looked at. A row that
    does not fit is a problem, not the end. Raises `BadInput` where a column is missing or the file is no CSV.
    """
    rows = csv.reader(lines, strict=True)
    found = _Collector(where)
    try:
        parent, child, relation = _columns(next(rows, []), where)
        for row in rows:
            place = f"line {rows.line_num}"
            if len(row) <= max(parent, child, relation):
                found.raw += 1
                found.problem(place, f"has {len(row)} columns; expected {max(parent, child, relation) + 1} or more")
            else:
                word = _relation(row[relation], place, found) or Relation.UNKNOWN
                found.add(row[child], row[parent], word, place)
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"{where}, line {rows.line_num}: not readable as CSV in UTF-8 ({error})") from error
    return found.result()


def parent_edges(edges: Iterable[HubEdge], digest_of: Mapping[str, str]) -> dict[str, list[ParentEdge]]:
    """Declared lineage edges by the child's digest, for edges whose two ids `digest_of` knows.

    Two ids of one content give no edge.
    """
    found: dict[str, list[ParentEdge]] = {}
    for edge in edges:
        child, parent = digest_of.get(edge.child), digest_of.get(edge.parent)
        if child and parent and child != parent:
            declared = Transformation("hub", {"base_model": edge.parent})
            record = ParentEdge(parent, edge.relation, Origin.DECLARED, transformation=declared)
            found.setdefault(child, []).append(record)
    return found


def _relation(word: str, place: str, found: _Collector) -> Relation | None:
    known = RELATIONS.get(word.strip().lower())
    if known is None and word.strip():
        found.problem(place, f"relation '{printable(word)}' is not known ({', '.join(RELATIONS)}); taken as unknown")
    return known


def _columns(header: list[str], where: str) -> tuple[int, int, int]:
    names = [name.strip().lstrip("\ufeff").lower() for name in header]
    places = []
    for wanted, spellings in _HEADERS.items():
        place = next((names.index(s) for s in spellings if s in names), None)
        if place is None:
            shown = printable(", ".join(header))
            raise BadInput(f"{where}: has no column '{wanted}' among '{shown}'; name the columns in the first line")
        places.append(place)
    return places[0], places[1], places[2]


def _front_matter(text: str, where: str) -> dict[str, yaml.Node]:
    """Top-level fields between the two '---' lines as YAML nodes; nothing is constructed from them."""
    block = _block(text, where)
    try:
        _check_events(block, where)
        document = yaml.compose(block, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise BadInput(f"{where}: front matter is not YAML ({printable(str(error), 200)})") from error
    if document is None:
        return {}
    if not isinstance(document, yaml.MappingNode):
        raise BadInput(f"{where}: front matter is no mapping; write 'base_model: organisation/name'")
    fields: dict[str, yaml.Node] = {}
    for key, value in document.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in fields:
                raise BadInput(f"{where}: front matter holds '{printable(key.value)}' twice; keep one")
            fields[key.value] = value
    return fields


def _block(text: str, where: str) -> str:
    if len(text) > MAX_CARD_BYTES:
        raise BadInput(f"{where}: card has {len(text)} characters; the limit is {MAX_CARD_BYTES}")
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return ""
    end = next((i for i, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
    if end is None:
        raise BadInput(f"{where}: front matter is not closed; end it with a line '---'")
    block = "\n".join(lines[1:end])
    if len(block) > MAX_FRONT_MATTER_BYTES:
        raise BadInput(f"{where}: front matter has {len(block)} characters; the limit is {MAX_FRONT_MATTER_BYTES}")
    return block


def _check_events(block: str, where: str) -> None:
    """Refuse aliases, which can stand for exponentially much, and depth, which composing would recurse into."""
    depth = 0
    for event in yaml.parse(block, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise BadInput(f"{where}: front matter uses the YAML alias '*{printable(str(event.anchor))}'; write it out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_YAML_DEPTH:
            raise BadInput(f"{where}: front matter is nested deeper than {MAX_YAML_DEPTH} levels")


def _texts(node: yaml.Node | None, field: str, found: _Collector) -> list[str]:
    """The texts of a scalar or of a list of scalars; what is neither is a problem."""
    plain_list = isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq"
    entries = node.value if node is not None and plain_list else [node] if node is not None else []
    texts = []
    for entry in entries:
        kind = entry.tag.removeprefix("tag:yaml.org,2002:")
        if isinstance(entry, yaml.ScalarNode) and kind == "str":
            texts += [entry.value] if entry.value.strip() else []
        elif kind != "null":
            found.raw += 1
            found.problem(field, f"holds a {printable(kind, 40)}; expected an id such as 'organisation/name'")
    return texts
