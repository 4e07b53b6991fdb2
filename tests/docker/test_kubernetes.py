"""The values for the Helm chart, as far as they can be checked without helm."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from heritage.settings import Settings

VALUES = Path(__file__).parents[2] / "docker/kubernetes/values.yaml"
PAGE = Path(__file__).parents[2] / "docs/kubernetes.md"


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return yaml.safe_load(VALUES.read_text())


def test_names_of_settings_exist(values):
    known = Settings.model_fields
    for name in [*(e["name"] for e in values["env"]), *(e["envName"] for e in values["secret"])]:
        if name.startswith("HERITAGE_"):
            section, _, rest = name.removeprefix("HERITAGE_").lower().partition("__")
            assert section in known, name
            assert not rest or rest in known[section].annotation.model_fields, name


def test_sections_and_options_of_airflow_exist(values, airflow_db):
    from airflow.configuration import conf

    for section, options in values["config"].items():
        for option, value in options.items():
            assert conf.has_option(section, option), f"{section}.{option}"
            assert isinstance(value, str), f"{section}.{option}: the chart writes text"


def test_versions_are_pinned(values):
    assert values["airflowVersion"] == "3.3.2"
    assert re.fullmatch(r"\d+\.\d+\.\d+", values["images"]["airflow"]["tag"])


def test_secrets_are_named_explained_and_not_written(values):
    named = {entry["secretName"] for entry in values["secret"]}
    named |= set(re.findall(r"\w+SecretName: (\S+)", VALUES.read_text()))

    assert len(named) == 9
    assert [name for name in named if f"`{name}`" not in PAGE.read_text()] == []
    assert not [e["name"] for e in values["env"] if re.search("PASSWORD|SECRET|TOKEN", e["name"])]
