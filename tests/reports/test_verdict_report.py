"""The verdict's page: complete without rows, closed to the outside, escaped."""

import base64
import hashlib
import html
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from heritage.drift.columns import output_frame
from heritage.drift.performance import PerformanceReference, check_performance
from heritage.drift.profile import DriftProfile
from heritage.drift.verdict import Rules, check
from heritage.drift.window import Window
from heritage.reports.html import figure, render
from heritage.reports.verdict_report import verdict_report

EVIL = '"><script>alert(1)</script>{{ 7*7 }}'
VOID = {"meta", "img", "br", "link", "input"}


class Structure(HTMLParser):
    """Elements and attributes of a page; fails on elements that are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.addresses, self.text = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "srcset")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def rows(seed, n, shift=0.0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(shift, size=(n, 3)), columns=["a", EVIL, "c"])
    frame["level"] = rng.choice(["x", EVIL], n)
    p = rng.beta(4, 2, n)
    return frame, np.stack([1 - p, p], axis=1), (rng.random(n) < p).astype(int)


def page_of(shift=1.0, history=True, **changes):
    frame, p, y = rows(0, 1_500)
    profile = DriftProfile.fit(frame, outputs=output_frame(p))
    now, q, z = rows(1, 900, shift)
    window = Window.empty(profile).update(now.assign(**changes), output_frame(q))
    performance = check_performance(PerformanceReference.fit(p, y), q, 1 - z)
    verdict = check(profile, window, Rules(), performance, "2026-11-22T07")
    return verdict_report(profile, window, verdict, title=EVIL, history=[verdict] if history else ())


@pytest.fixture(scope="module")
def page():
    return page_of(**{"extra" + EVIL: 1, "c": np.nan})


def test_names_from_outside_are_text_and_nothing_else(page):
    found = Structure(page)
    assert "script" not in found.tags
    assert any(EVIL[:20] in text for text in found.text)
    assert "49" not in "".join(found.text).split("alert(1)")[1][:20]


def test_the_page_loads_nothing(page):
    found = Structure(page)
    assert found.addresses
    assert all(address.startswith("data:image/png;base64,") for address in found.addresses)
    assert not re.search(r"https?://|@import|url\(", page)


def test_the_policy_allows_the_pages_own_style_only(page):
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1))
    style = re.search(r"<style>(.*?)</style>", page, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy


def test_everything_that_was_found_is_told(page):
    text = " ".join("".join(Structure(page).text).split())
    for words in (
        "drift",
        "input, performance moved",
        "missing values 0.0 % -> 100.0 %",
        "not a column of the reference",
    ):
        assert words in text
    assert "Worse than on the reference, by 900 labels" in text
    assert "Accuracy, estimated without labels" in text
    assert "2026-11-22T07" in text
    assert "nan" not in text.lower()


def test_a_calm_window_and_broken_columns_have_pages_too():
    calm = "".join(Structure(page_of(shift=0.0, history=False)).text)
    assert "Verdicts so far" not in calm
    broken = "".join(Structure(page_of(shift=0.0, a="text")).text)
    assert "Columns that do not fit the reference" in broken


def test_wide_profiles_show_the_columns_that_moved_most():
    reference = pd.DataFrame(np.random.default_rng(2).normal(size=(500, 45))).add_prefix("column")
    profile = DriftProfile.fit(reference)
    current = reference.assign(column44=9.0)
    window = Window.empty(profile).update(current)
    page = verdict_report(profile, window, check(profile, window), title="wide")
    found = Structure(page)
    assert found.tags.count("img") == 40
    assert "5 more are in the table" in "".join(found.text)
    assert page.index("<figcaption>column44") < page.index("<figcaption>column0")


def test_a_missing_value_in_a_template_is_an_error():
    with pytest.raises(UndefinedError):
        render("verdict.html", title="x")


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (float("nan"), "–"), (0.12345678, "0.1235"), (1e-300, "1e-300")]
)
def test_figures(value, text):
    assert figure(value) == text
