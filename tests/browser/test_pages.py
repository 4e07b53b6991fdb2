"""What people do on the pages, in a real browser on the real application and a real registry."""

import functools
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.browser.site import HOSTILE, LOST, SCRIPT

# the first test of a session waits for the family to be trained
pytestmark = pytest.mark.timeout(900)
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PLACED = ".canvas[data-placed]"


@pytest.fixture
def pages(opened, site):
    """Opens a path of the site."""
    return lambda path, **how: opened(site.url + path, **how)


def chosen(page):
    return page.locator(".panel h2").inner_text()


def test_a_model_is_found_and_its_ancestors_are_followed_by_keys(pages):
    page = pages("/lineage")
    page.keyboard.press("/")
    page.keyboard.type("digits-sit")
    page.wait_for_selector("#found [role=option] .name >> text=digits-site/1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".panel h2 >> text=digits-site/1")

    page.focus(PLACED)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".panel h2 >> text=digits-clean/1")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".panel h2 >> text=digits-root/1")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".panel h2 >> text=/digits-(clean|turned|noisy|lora)/")

    assert page.url.endswith(quote(chosen(page), safe=""))


def test_the_address_of_a_version_can_be_sent_to_others(pages):
    page = pages("/#/lineage/digits-lora%2F1")
    page.wait_for_selector(PLACED)
    assert chosen(page) == "digits-lora/1"
    assert page.locator(".relatives >> text=digits-root/1").count() == 1
    assert "lora, declared" in page.locator(".panel").inner_text()


def test_the_list_tells_the_tree_with_relation_and_origin(pages):
    page = pages("/#/lineage/digits-found%2F1")
    page.click("button >> text=List")
    told = page.locator(".listing").inner_text().replace("\n", " ")
    assert re.search(r"digits-found/1.*finetune, recovered 93 %", told)
    assert page.locator(".listing button[aria-current=true]").inner_text() == "digits-found/1"
    assert re.search(r"digits-merged/1.*merge, attested", told)


def test_a_parent_that_nobody_registered_is_shown_as_such(pages):
    page = pages("/#/lineage/digits-found%2F1")
    page.wait_for_selector(PLACED)
    page.click(f".relatives button >> text={LOST[:12]}")
    page.wait_for_selector("text=A parent that nobody registered")
    page.click(".relatives button >> text=digits-found/1")
    page.wait_for_selector(".panel h2 >> text=digits-found/1")


def test_the_fleet_leads_to_windows_and_columns_of_a_version(pages):
    page = pages("/drift")
    page.click("tbody >> text=digits-site/1")
    page.wait_for_selector("text=/moved in window hour-03/")
    assert page.locator(".timeline .bar").count() == 3
    page.wait_for_selector(".plots figure")
    assert page.locator(".plots figure").count() == 12
    page.click("section:last-of-type button.sort >> text=KL")
    assert page.locator("th[aria-sort=descending] >> text=KL").count() == 1


def test_a_repair_shows_gate_recipe_and_curves(pages, site):
    page = pages("/repairs")
    page.click(f"tbody a >> text={site.plan[:12]}")
    page.wait_for_selector("h1 >> text=Repair of digits-site/1")
    told = page.locator("main").inner_text()
    assert "Accuracy on guard rows" in told
    assert "digits-turned/1" in told
    assert page.locator("svg.curves .line").count() > 0
    assert page.locator(".matrix table").count() == 2


def test_rows_are_labelled_by_keys_and_work_is_resumed(pages, site):
    page = pages(f"/#/labels/{site.images}")
    page.wait_for_selector(".shown canvas")
    for key in "317":
        page.keyboard.press(key)
    page.wait_for_selector("text=/you answered 3$/")
    page.wait_for_selector("text=ana 3")

    page.reload()
    page.wait_for_selector("text=Row 4 of")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".choices [aria-pressed=true]").inner_text().split() == ["7", "7"]

    other = pages(f"/#/labels/{site.images}", user="ben")
    other.wait_for_selector("text=/Row 1 of .* you answered 0/")
    for key in "318":
        other.keyboard.press(key)
    other.wait_for_selector("text=/ana 3, ben 3; agreement/")


def test_answers_given_without_a_connection_are_sent_later(pages, site):
    page = pages(f"/#/labels/{site.texts}", user="carl")
    page.wait_for_selector(".text-row")
    page.context.set_offline(True)
    page.keyboard.press("1")
    page.wait_for_selector("text=/1 not sent yet/")
    page.context.set_offline(False)
    page.wait_for_selector("text=carl 1")
    assert page.locator(".problem").inner_text() == ""


def test_a_viewer_is_told_that_answers_are_not_taken(pages, site):
    page = pages(f"/#/labels/{site.texts}", user="viewer")
    page.wait_for_selector(".text-row")
    page.keyboard.press("1")
    page.wait_for_selector("text=/viewers start nothing/")


def test_findings_are_filtered_and_show_their_sides(pages):
    page = pages("/audit")
    page.wait_for_selector(".findings li")
    assert page.locator(".sides dt").count() > 0
    page.click("button >> text=error")
    page.wait_for_selector(".findings h2.drift")
    assert page.locator(".findings h2.warning").count() == 0


@pytest.mark.parametrize(
    "path", ["/#/lineage/" + quote(f"{HOSTILE}/1", safe=""), "/#/audit", "/#/labels/{texts}", "/#/" + quote(HOSTILE)]
)
def test_hostile_texts_are_shown_and_do_nothing(pages, site, path):
    page = pages(path.format(texts=site.texts))
    page.wait_for_load_state("networkidle")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert page.locator("main img, main script, main iframe").count() == 0
    if "labels" in path:
        assert SCRIPT in page.locator(".text-row").inner_text()
        assert HOSTILE in page.locator(".choices").inner_text()
    elif "%2F1" in path:
        page.wait_for_selector(".panel h2")
        assert chosen(page) == f"{HOSTILE}/1"


def test_the_theme_is_chosen_and_kept(pages):
    page = pages("/audit", theme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    while "dark." in page.get_attribute("#theme", "aria-label"):
        page.click("#theme")
    page.click("#theme")
    page.click("#theme")
    assert page.get_attribute("html", "data-theme") == "dark"
    assert page.evaluate(ground) != light
    page.reload()
    assert page.get_attribute("html", "data-theme") == "dark"


@functools.cache
def axe():
    return AXE.read_text()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_every_page_passes_axe(pages, site, theme, width):
    page = pages("/#/lineage/digits-site%2F1", theme=theme, width=width)
    page.wait_for_selector(PLACED)
    for path in ("", "list", "drift", "drift/digits-site%2F1", f"repairs/{site.plan}", "repairs", "labels",
                 f"labels/{site.images}", f"labels/{site.texts}", "audit"):  # fmt: skip
        if path == "list":
            page.click("button >> text=List")
        elif path:
            page.goto(f"{site.url}/#/{path}")
        page.wait_for_load_state("networkidle")
        page.wait_for_selector(".skeleton", state="detached")
        page.evaluate(axe())
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        told = [(v["id"], [n["html"] for n in v["nodes"][:3]]) for v in found["violations"]]
        assert told == [], path or "lineage"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_page_can_be_walked_by_tab_alone(pages):
    page = pages("/drift")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.innerText"))
    assert "digits-site/1" in reached
