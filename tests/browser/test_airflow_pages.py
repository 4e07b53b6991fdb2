"""The pages inside Airflow, behind its login: from the menu to a repair, to its approval, to the new champion."""

import time
from pathlib import Path

import pytest

from heritage.demo import stage as demo
from heritage.demo.family import CHAMPION
from heritage.demo.story import PROMOTE
from heritage.flows import repair
from heritage.flows.context import Context
from heritage.local.airflow_rest import AirflowApi
from heritage.local.stack import Plan, Stack
from heritage.registry import Registry
from heritage.settings import MlflowSettings, RepairSettings, Settings
from heritage.storage import ObjectStore

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.airflow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    plan = Plan(airflow=True, dags=ROOT / "dags", plugins=ROOT / "plugins")
    with Stack.running(tmp_path_factory.mktemp("stack"), plan=plan) as running:
        yield running


@pytest.fixture(scope="module")
def ctx(stack, trained):
    """The family, its windows, and a repair that waits for approval as version 2 of the champion."""
    settings = Settings(
        mlflow=MlflowSettings(tracking_uri=stack.tracking_uri),
        s3=stack.s3,
        repair=RepairSettings(rungs="none,rollback,one"),
        work_dir=stack.work_dir,
    )
    store = ObjectStore.connect(stack.s3)
    found = Context(Registry.connect(settings, store), store, settings)
    family = demo.register_family(found, 0, trained, lambda _: None)
    demo.stream(found, family[CHAMPION], 0)
    challenger = repair.register_challenger(found, repair.search(found, CHAMPION)["plan"])
    airflow = AirflowApi(stack.airflow_url, "approver", stack.passwords()["approver"])
    until = time.monotonic() + 120
    while not airflow.knows(PROMOTE) and time.monotonic() < until:
        time.sleep(1)
    run = airflow.start(PROMOTE, {"address": challenger["address"], "plan": challenger["plan"]})
    airflow.approval(PROMOTE, run, "approve", 180)
    time.sleep(5)  # what `heritage.local.airflow_rest` says of answers that come at once
    airflow.close()
    return found


@pytest.fixture
def page(chromium, stack, ctx):
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(120_000)
    yield context.new_page()
    context.close()


def log_in(page, stack, user):
    page.goto(stack.airflow_url)
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", stack.passwords()[user])
    page.click("button[type=submit]")
    page.wait_for_selector("text=Welcome")


def test_a_repair_is_found_in_the_menu_and_approved(page, stack, ctx):
    for path in ("lineage", "static/js/main.js", "api/models"):
        assert page.request.get(f"{stack.airflow_url}/heritage/{path}").status == 401

    log_in(page, stack, "approver")
    page.goto(f"{stack.airflow_url}/plugin/heritage")
    pages = page.frame_locator("iframe")
    pages.locator(".panel h2 >> text=digits-").wait_for()
    assert pages.locator("#user").inner_text() == "approver"

    with page.context.expect_page() as opened:  # the frame forbids it; see throughParent in static/js/dom.js
        pages.locator("text=Version in MLflow").click()
    assert opened.value.url.startswith(f"{stack.tracking_uri}/#/models/digits-")
    opened.value.close()

    page.click("text=User")
    page.hover("text=Appearance")
    page.click("text=Dark Mode")
    pages.locator("html[data-theme=dark]").wait_for()

    pages.locator("nav >> text=Repairs").click()
    pages.locator("tbody a").first.click()
    pages.locator("text=Go to the approval").click()
    page.wait_for_url("**/required_actions**")
    page.get_by_text(f"Promote {CHAMPION}/2?").wait_for()
    page.get_by_role("button", name="Approve", exact=True).click()

    until = time.monotonic() + 240
    while ctx.registry.version(f"{CHAMPION}@champion").version != "2" and time.monotonic() < until:
        time.sleep(2)
    assert ctx.registry.version(f"{CHAMPION}@champion").version == "2"
    page.goto(f"{stack.airflow_url}/heritage/lineage#/lineage/{CHAMPION}%2F2")
    page.wait_for_selector(".panel h2")
    while not page.locator(".panel .badge.champion").count() and time.monotonic() < until + 60:
        page.wait_for_timeout(5000)  # the index behind the pages follows the registry some seconds later
        page.reload()
        page.wait_for_selector(".panel h2")
    assert page.locator(".panel .badge.champion").count() == 1
    assert "repair, attested" in page.locator(".panel").inner_text()
