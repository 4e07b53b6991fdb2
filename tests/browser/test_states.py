"""What the pages show while there is nothing, and when something failed; and what their files hold."""

import json
import re
from pathlib import Path

import pytest

import heritage.api
from heritage.flows.context import Context
from heritage.registry import Registry
from heritage.settings import ApiSettings, MlflowSettings, Settings
from tests.browser.site import serving

STATIC = Path(heritage.api.__file__).parent / "static"
OWN = [file for file in STATIC.rglob("*") if file.suffix in (".js", ".html", ".css") and "vendor" not in file.parts]


@pytest.fixture
def bare(tracking, store, tmp_path):
    """The application over storage in which nothing was done yet."""
    settings = Settings(mlflow=MlflowSettings(tracking_uri=tracking), api=ApiSettings(refresh_s=0.2), work_dir=tmp_path)
    ctx = Context(Registry.connect(settings, store), store, settings)
    with serving(lambda: ctx) as url:
        yield url


def test_empty_pages_say_how_to_fill_them(opened, bare):
    page = opened(bare + "/audit")
    for name, says in {
        "Drift": "heritage observe",
        "Repairs": "heritage repair plan",
        "Labelling": "heritage label request",
        "Audit": "heritage audit",
    }.items():
        page.click(f"nav >> text={name}")
        page.wait_for_selector(f"h1 >> text={name}")
        page.wait_for_selector(".state h2")
        assert says in page.locator(".state").inner_text()


@pytest.mark.parametrize(("complete", "says"), [(True, "heritage register"), (False, "being filled")])
def test_an_empty_registry_is_told_from_one_that_is_being_read(opened, bare, complete, says):
    page = opened(bare + "/audit")
    empty = {"models": [], "next": None, "complete": complete}
    page.route(re.compile(r"/api/(drift|models)[?]"), lambda route: route.fulfill(json=empty))
    page.click("nav >> text=Lineage")
    page.wait_for_selector(".state h2")
    assert says in page.locator(".state").inner_text()


@pytest.mark.parametrize(
    ("status", "says"), [(503, "heritage doctor"), (401, "Log in"), (404, "mistyped"), (403, "Your role")]
)
def test_a_failure_says_what_to_do_and_can_be_tried_again(opened, bare, status, says):
    page = opened(bare + "/audit")
    answer = json.dumps({"error": "x", "detail": "<b>no answer</b>"})
    page.route("**/api/drift?*", lambda route: route.fulfill(status=status, body=answer))
    page.click("nav >> text=Drift")
    page.wait_for_selector(".state.error")
    assert says in page.locator(".state.error").inner_text()
    assert "<b>no answer</b>" in page.locator(".state.error").inner_text()
    page.unroute("**/api/drift?*")
    if status != 401:
        page.click("button >> text=Try again")
        page.wait_for_selector("text=No window has been judged yet")


def test_addresses_lead_to_web_pages_or_stay_here(opened, bare):
    page = opened(bare + "/audit")
    given = {
        "https://mlflow.example/#/models/a": True, "#/drift": True, "../auth/login": True, "static/icon.svg": True,
        "javascript:alert(1)": False, " JavaScript:alert(1)": False, "data:text/html,x": False, "//evil.example": False,
        "/\\evil.example": False, "vbscript:x": False, "": False,
    }  # fmt: skip
    script = """async (urls) => {
        const { safeUrl } = await import(new URL("static/js/dom.js", document.baseURI));
        return urls.map((url) => safeUrl(url) !== "#" || url === "#");
    }"""
    assert page.evaluate(script, list(given)) == list(given.values())


def test_a_hundred_thousand_versions_are_laid_out_in_seconds(opened, bare):
    page = opened(bare + "/audit")
    told = page.evaluate("""async () => {
        const { tidyTree } = await import(new URL("static/js/lineage/tidy.js", document.baseURI));
        const nodes = Array.from({ length: 100_000 }, (_, i) => ({ id: `n${i}`, width: 100, height: 26 }));
        const edges = nodes.slice(1).map((node, i) => [`n${i < 50_000 ? i : (i * 7919) % 50_000}`, node.id]);
        const began = performance.now();
        const { positions } = tidyTree(nodes, edges);
        const places = new Set(positions.map(([, x, y]) => `${x}|${y}`));
        return { ms: performance.now() - began, places: places.size };
    }""")
    assert told["places"] == 100_000
    assert told["ms"] < 20_000


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.relative_to(STATIC).as_posix())
def test_no_file_makes_html_of_text_or_names_another_host(file):
    text = file.read_text()
    for risk in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc",
                 '.setAttribute("style"', "<style", " style="):  # fmt: skip
        assert risk not in text, risk
    hosts = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
    assert not [host for host in hosts if not host.startswith("https?:")]


def test_what_is_vendored_carries_its_licences():
    notice = (STATIC / "vendor" / "NOTICE").read_text()
    for name in ("cytoscape 3.34.4 (MIT)", "@dagrejs/dagre 3.1.3 (MIT)", "inter 5.3.0 (OFL-1.1)"):
        assert name in notice
