"""What docker/ says: the commands of the services and their environment, for a start without containers.

Both starts read the same compose.yaml and the same env files; only the values of `${NAME:-value}` differ.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from heritage.errors import BadInput, Misconfigured, NotFound

COMPOSE = "docker/compose.yaml"
_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?(:\?[^}]*)?\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Unit:
    """One service as compose.yaml has it: `command` with its entrypoint, and the env files, strongest last."""

    name: str
    command: tuple[str, ...]
    env_files: tuple[Path, ...]


def expand(text: str, values: Mapping[str, str]) -> str:
    """`text` with `${NAME}` and `${NAME:-value}` replaced as Compose does it; `Misconfigured` for one without value."""

    def value(found: re.Match[str]) -> str:
        if given := values.get(found[1]):
            return given
        if found[2] is None:
            raise Misconfigured(f"'{text}' needs a value for {found[1]}")
        return str(found[2])

    return _VARIABLE.sub(value, text).replace("$$", "$")


def read_env(file: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Variables of an env file of plain NAME=value lines, expanded; `BadInput` for a line that is none."""
    found: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, text = line.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise BadInput(f"{file}, line {number}: '{name}' is no NAME=value")
        found[name] = expand(text, values)
    return found


def read_units(project: Path, values: Mapping[str, str]) -> dict[str, Unit]:
    """Every service of the compose file of `project` that has a command of ours."""
    file = project / COMPOSE
    if not file.exists():
        raise NotFound(f"{file} does not exist; run from the project folder")
    services: dict[str, Any] = yaml.safe_load(file.read_text())["services"]
    return {name: _unit(name, service, file.parent, values) for name, service in services.items()}


def _unit(name: str, service: Mapping[str, Any], folder: Path, values: Mapping[str, str]) -> Unit:
    # the image `heritage` has this entrypoint
    own = ["sh", "${PROJECT:-/opt/heritage}/docker/entrypoint.sh"] if _is_heritage(service) else []
    words = [*service.get("entrypoint", own), *service.get("command", [])]
    files = tuple(folder / file for file in service.get("env_file", []))
    return Unit(name, tuple(expand(word, values) for word in words), files)


def _is_heritage(service: Mapping[str, Any]) -> bool:
    return str(service.get("image", "")).startswith("heritage:")
