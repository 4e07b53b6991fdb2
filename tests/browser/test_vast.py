"""A family that is too large to be shown: what is opened is a part of it, the rest comes when it is asked for."""

import pytest

from heritage.api import counts
from heritage.api.catalogue import Catalogue
from heritage.api.follow import Follower
from heritage.api.refresh import REFRESHED_AT
from heritage.flows.context import Context
from heritage.registry import Registry
from heritage.settings import ApiSettings, MlflowSettings, Settings
from heritage.storage import ObjectStore
from tests.bench.pages import family
from tests.browser.site import serving

VERSIONS, AT_FIRST = 5_000, 2_000


@pytest.fixture(scope="module")
def vast(tmp_path_factory):
    """The application over an index that was filled beforehand; nobody answers behind it."""
    own = MlflowSettings(tracking_uri="http://127.0.0.1:9")
    settings = Settings(mlflow=own, api=ApiSettings(refresh_s=1e9), work_dir=tmp_path_factory.mktemp("work"))
    store = ObjectStore.connect(settings.s3.model_copy(update={"deadline_s": 0.2}))
    ctx = Context(Registry.connect(settings, store), store, settings)
    entries = family(VERSIONS, "vast", 0)
    with Catalogue(Follower(lambda: ctx).path()) as catalogue:
        catalogue.put(entry.version for entry in entries)
        catalogue.confirm(entries)
        counts.keep(catalogue)
        catalogue.note(REFRESHED_AT, "2026-11-22T00:00:00+00:00")
    with serving(lambda: ctx) as url:
        yield url


def test_a_part_is_opened_and_hidden_relatives_come_when_they_are_asked_for(opened, vast):
    fetched: list[int] = []
    page = opened(f"{vast}/lineage#/lineage/vast%2F{VERSIONS}")
    page.wait_for_selector(".canvas[data-placed]")
    shown = int(page.get_attribute(".canvas", "data-placed"))
    assert AT_FIRST / 2 < shown <= AT_FIRST + 100
    assert "more exist" in page.locator(".told").inner_text()

    page.on("request", lambda request: "/lineage?" in request.url and fetched.append(1))
    page.focus(".canvas")
    page.keyboard.press("ArrowLeft")  # its parent; of the parent's children only this one was loaded
    page.keyboard.press("Enter")
    page.wait_for_selector(f".canvas:not([data-placed='{shown}'])")

    more = int(page.get_attribute(".canvas", "data-placed"))
    assert shown < more < shown + 500
    assert len(fetched) == 1
