"""A real Chromium that reaches this machine only, over the application on servers of its own."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from heritage.settings import ApiSettings
from tests.browser import site as making

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark a test that uses the browser."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there; install it with: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(stage: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[making.Site]:
    settings = stage.ctx.settings.model_copy(update={"api": ApiSettings(refresh_s=0.2)})
    ctx = dataclasses.replace(stage.ctx, settings=settings)
    found = making.furnish(ctx, stage.family, tmp_path_factory.mktemp("tiny"))
    with making.serving(lambda: ctx) as url:
        yield making.Site(url, ctx, **found)


@dataclasses.dataclass
class Watched:
    """What must not happen while a page is open."""

    dialogs: list[str] = dataclasses.field(default_factory=list)
    errors: list[str] = dataclasses.field(default_factory=list)
    outside: list[str] = dataclasses.field(default_factory=list)

    def watch(self, page: Any) -> None:
        """Note dialogs, errors of scripts and of the content security policy, and requests that leave this machine."""
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self._heard(message))
        page.route("**/*", self._pass)

    def _heard(self, message: Any) -> None:
        expected = "Failed to load resource"  # answers of 4xx and 5xx, which some tests want
        if message.type == "error" and expected not in message.text and not message.text.startswith("ApiError"):
            self.errors.append(message.text)

    def _pass(self, route: Any) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.fallback()
        else:
            self.outside.append(route.request.url)
            route.abort()


Opened = Callable[..., Any]


@pytest.fixture
def opened(chromium: Any) -> Iterator[Opened]:
    """Opens an address as a person, by default `ana`, and gives the page once it is quiet.

    Afterwards: nothing left this machine, no dialog came up, no script failed.
    """
    contexts, watched = [], Watched()

    def open_page(url: str, user: str = "ana", width: int = 1280, theme: str = "light") -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            reduced_motion="reduce",
            extra_http_headers={"x-user": user},
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        watched.watch(page)
        page.goto(url)
        page.wait_for_load_state("networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert watched == Watched()
