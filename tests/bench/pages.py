"""How the lineage page opens and moves over a large registry, in a real Chromium.

    python tests/bench/pages.py                      # 100,000 versions of one family, and a family of 2,000
    python tests/bench/pages.py --pictures folder

The application runs in a process of its own over an index that is filled beforehand. Frames are those of the browser
while the graph is dragged and zoomed; without a graphics card the processor draws them.
"""

import argparse
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

from heritage.api import counts
from heritage.api.catalogue import Catalogue
from heritage.api.follow import Follower
from heritage.api.refresh import REFRESHED_AT
from heritage.local.ports import free_ports
from heritage.records import MadeBy, Manifest, ModelVersion, Origin, ParentEdge, Relation
from heritage.registry import Entry

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SMALLER = 2_000
_FRAMES = """
() => { const times = []; let last = performance.now(); window.frames_ = times;
        const next = (now) => { times.push(now - last); last = now; window.going_ = requestAnimationFrame(next); };
        window.going_ = requestAnimationFrame(next); }
"""


def family(count: int, name: str, seed: int) -> list[Entry]:
    """One family: each version is made from an earlier one, younger ones rather than older; one in ten from two."""
    rng = random.Random(seed)
    digests = [rng.randbytes(32).hex() for _ in range(count)]
    found = []
    for i, digest in enumerate(digests):
        near = range(max(0, i - max(3, count // 8)), i)
        chosen = rng.sample(near, min(len(near), 2 if rng.random() < 0.1 else 1))
        edges = tuple(ParentEdge(digests[p], Relation.FINETUNE, Origin.DECLARED) for p in chosen)
        tags = {"heritage.family": name}
        if i % 7 == 0:
            tags["heritage.drift"] = f"{rng.choice(['ok', 'drift', 'warning'])}:2026-11-22T07"
        version = ModelVersion(name, str(i + 1), digest, "", "", tags, (), 1_700_000_000_000 + i)
        manifest = Manifest(digest, name, (), "float32", 9, MadeBy("0"), "2026-11-22T00:00:00+00:00", parents=edges)
        found.append(Entry(version, manifest))
    return found


@contextmanager
def serving(folder: Path, families: list[list[Entry]]) -> Iterator[str]:
    """Address of the application over an index of `families`."""
    import api  # beside this script, whose folder Python looks through first

    with Catalogue(Follower(lambda: api.context(folder)).path()) as catalogue:
        for entries in families:
            catalogue.put(entry.version for entry in entries)
            catalogue.confirm(entries)
        counts.keep(catalogue)
        catalogue.note(REFRESHED_AT, api.AT)
    port = free_ports(1)[0]
    # forked: a script that was loaded from its file has no name that a spawned process could import
    server = multiprocessing.get_context("fork").Process(target=api.serve, args=(str(folder), port), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            httpx.get(f"{url}/api/session", timeout=60, trust_env=False)
            break
        except httpx.HTTPError:
            time.sleep(0.1)
    try:
        yield url
    finally:
        server.terminate()
        server.join(10)


def opened(page: Any, url: str, address: str) -> dict[str, float]:
    """Open the lineage of `address`: seconds until the graph stands, what was fetched for it."""
    sizes: list[int] = []
    page.on(
        "requestfinished", lambda request: "/api/" in request.url and sizes.append(request.sizes()["responseBodySize"])
    )
    started = time.perf_counter()
    page.goto(f"{url}/lineage#/lineage/{address.replace('/', '%2F')}")
    page.wait_for_selector(".canvas[data-placed]", timeout=120_000)
    took = time.perf_counter() - started
    page.wait_for_timeout(300)
    shown = int(page.get_attribute(".canvas", "data-placed"))
    return {"seconds": took, "nodes": shown, "requests": len(sizes), "MB": sum(sizes) / 1e6}


def frames_ms(page: Any) -> list[float]:
    """Times between frames while the graph is dragged about and zoomed for some seconds."""
    box = page.locator(".canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.keyboard.press("0")
    page.mouse.move(x, y)
    page.evaluate(_FRAMES)
    for _ in range(2):
        page.mouse.down()
        for i in range(25):
            page.mouse.move(x + 8 * i, y + 3 * i)
        for i in range(25, -1, -1):
            page.mouse.move(x + 8 * i, y + 3 * i)
        page.mouse.up()
        for turn in (-1, 1):
            for _ in range(12):
                page.mouse.wheel(0, 60 * turn)
                page.wait_for_timeout(16)
    found: list[float] = page.evaluate("() => { cancelAnimationFrame(window.going_); return window.frames_; }")
    return found


def measured(page: Any, url: str, what: str, address: str, picture: Path | None) -> dict[str, float]:
    """Open, show one node's hidden relatives, move about; printed."""
    found = opened(page, url, address)
    if picture:
        page.screenshot(path=picture)
    page.focus(".canvas")
    for key in ("ArrowLeft", "Enter"):  # to the parent, if there is one; its hidden children
        page.keyboard.press(key)
    page.wait_for_timeout(1_500)
    found["after Enter"] = float(page.get_attribute(".canvas", "data-placed"))
    frames = frames_ms(page)
    if picture:
        page.screenshot(path=picture.with_stem(f"{picture.stem}-all"))
    found |= {"frame ms": statistics.median(frames), "p95 ms": statistics.quantiles(frames, n=20)[-1]}
    print(f"{what:44s} " + "  ".join(f"{name}: {value:,.1f}" for name, value in found.items()), flush=True)
    return found


def main() -> None:
    """Fill, serve, open, print."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--versions", type=int, default=100_000)
    told.add_argument("--pictures", type=Path)
    given = told.parse_args()
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
    families = [family(given.versions, "vast", 0), family(SMALLER, "wide", 1)]
    with (
        tempfile.TemporaryDirectory() as name,
        serving(Path(name), families) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for what, address in (
            ("the root of 100,000 versions", "vast/1"),
            ("the newest of 100,000 versions", f"vast/{given.versions}"),
            (f"a family of {SMALLER:,}", "wide/1"),
        ):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            picture = given.pictures / f"{address.replace('/', '-')}.png" if given.pictures else None
            measured(page, url, what, address, picture)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
