"""Thousands of versions are read in pages, each once, with their aliases."""

import time
from typing import Any

import pytest

from heritage.registry import Registry
from heritage.storage import ObjectStore


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_5000_versions_are_read_in_pages(tracking: str, store: ObjectStore, raw: Any, name: str) -> None:
    run = raw.create_run("0").info.run_id
    names = [f"{name}-{i}" for i in range(50)]
    for i, model in enumerate(names):
        raw.create_registered_model(model)
        for j in range(100):
            tags = {"heritage.digest": f"{i * 100 + j:064x}", "heritage.family": name}
            raw.create_model_version(model, f"runs:/{run}/weights", run, tags=tags, await_creation_for=0)
        raw.set_registered_model_alias(model, "champion", "7")
    registry = Registry(tracking, store)

    started = time.monotonic()
    versions = list(registry.versions(family=name))
    seconds = time.monotonic() - started

    print(f"5,000 versions of 50 models read in {seconds:.1f} s")
    assert len({v.address for v in versions}) == 5000
    assert [v.version for v in versions if v.aliases == ("champion",)] == ["7"] * 50
    assert seconds < 60
    (one,) = registry.versions(digest=f"{4217:064x}")
    assert one.address == f"{names[42]}/18"
