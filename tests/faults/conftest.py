"""Registries that cost little, for tests that break them."""

import uuid
from pathlib import Path

import pytest

from heritage.registry import Registry
from heritage.storage import ObjectStore
from tests.faults.tiny import copy_tables, make_tables


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture
def embedded(tmp_path: Path, tables: Path) -> str:
    return copy_tables(tables, tmp_path / "database")


@pytest.fixture
def registry(embedded: str, store: ObjectStore) -> Registry:
    return Registry(embedded, store)


@pytest.fixture
def name() -> str:
    return f"m-{uuid.uuid4().hex[:12]}"
