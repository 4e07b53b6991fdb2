"""A version's story as Markdown and HTML: what outsiders named can neither link, nor style, nor run."""

import html
import html.parser
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heritage.flows.story import BEGIN, END, page, placed
from heritage.flows.story_facts import Facts, Kin
from heritage.flows.story_markdown import escaped, fenced, link, markdown
from heritage.names import printable
from heritage.records import MadeBy, Manifest, ModelVersion, WeightsFile

DIGEST = "ab" * 32
MANIFEST = Manifest(
    DIGEST, "churn", (WeightsFile("model.safetensors", "cd" * 32, 12_345),), "float32", 1_234, MadeBy("0.1.0"),
    "2026-11-22T07:30:00+00:00", metrics={"accuracy": 0.9},
)  # fmt: skip
FACTS = Facts(
    ModelVersion("churn", "3", DIGEST, "run", "runs:/run/weights", aliases=("champion",)), MANIFEST, "churn",
    (Kin("churn/2", "ef" * 32, "finetune", "declared", 1.0), Kin("other/1", "01" * 32, "prune", "recovered", 0.97)),
    (), 0, ("churn/2", "└── churn/3  finetune declared  ◀"),
)  # fmt: skip
EVIL = "<img src=x onerror=alert(1)>|[a](http://evil.example)*`\n## www.evil.example"


def test_the_story_links_parents_and_draws_the_tree() -> None:
    text = markdown(FACTS)

    assert text.startswith("**churn/3** was fine-tuned from [churn/2](#/models/churn/versions/2)")
    assert "It is **champion**." in text
    row = next(line for line in text.splitlines() if "other/1" in line)
    assert row.replace("&emsp;", "") == "| [other/1](#/models/other/versions/1) | prune | recovered | 0.97 |"
    assert "```\nchurn/2\n└── churn/3" in text
    assert DIGEST in text


def test_outside_text_is_only_text() -> None:
    evil = replace(
        FACTS, family=EVIL, version=replace(FACTS.version, name=EVIL), tree=("```", EVIL, "x"),
        parents=(Kin(EVIL + "/1", "ef" * 32, "finetune", "declared", 1.0),),
        verdict={"status": EVIL, "window": EVIL, "verdict": None}, signed_by=EVIL,
        repair={"plan": EVIL, "reason": EVIL, "decision": EVIL},
    )  # fmt: skip

    text = markdown(evil)
    outside_fence = text.replace(fenced(evil.tree), "")
    targets = re.findall(r"\]\(([^)]*)\)", outside_fence)
    shown = outside_fence
    for target in targets:
        shown = shown.replace(target, "")

    assert "<" not in shown
    assert "http:" not in shown
    assert "www.evil" not in shown
    assert text.count("````") == 2  # a fence longer than the ticks inside
    assert "## www" not in shown
    assert targets
    assert all(target.startswith("#/models/") and " " not in target for target in targets)


@given(st.text(max_size=60))
def test_no_text_breaks_out_of_a_line_a_cell_or_a_fence(text: str) -> None:
    shown = escaped(text)
    assert "\n" not in shown
    assert not re.search(r"[<>|`\[\]*_~@:\\]", shown)
    assert html.unescape(shown) == printable(text)
    assert "\n" not in link(f"{text}/1")
    block = fenced([text])
    first, *body, last = block.split("\n")
    assert first == last
    assert all(first not in line for line in body)


class Elements(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_page_is_self_contained_and_escapes_what_it_shows() -> None:
    evil = replace(
        FACTS, family=EVIL, version=replace(FACTS.version, name=EVIL), tree=(EVIL, EVIL),
        verdict={"status": EVIL, "window": EVIL, "verdict": None}, repair={"reason": EVIL, "coefficients": {EVIL: 1.0}},
    )  # fmt: skip

    elements = Elements()
    elements.feed(page(evil))

    tags = {tag for tag, _ in elements.seen}
    assert not tags & {"script", "img", "iframe", "a", "link", "form", "object"}
    assert not any(name.startswith("on") or name in ("href", "src") for _, attrs in elements.seen for name in attrs)
    policy = next(attrs["content"] for _, attrs in elements.seen if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'")


def test_what_people_write_around_the_story_stays() -> None:
    first = placed("", "one")
    assert first == f"{BEGIN}\n\none\n\n{END}\n"
    assert placed(first, "one") == first

    by_hand = f"Ask Ana first.\n\n{first}\nand Ben."
    second = placed(by_hand, "two")

    assert "one" not in second
    assert second.startswith("Ask Ana first.\n\n")
    assert second.rstrip().endswith("and Ben.")
    assert placed(second, "two") == second


@pytest.mark.parametrize("address", ["", "x", "x/", "/1", "x/one", "a/b/1"])
def test_what_is_no_address_is_no_link_elsewhere(address: str) -> None:
    shown = link(address)
    assert "](" not in shown or shown.endswith("](#/models/a%2Fb/versions/1)")
