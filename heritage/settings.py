"""Settings: the only reader of the environment.

Order, strongest first: arguments, environment (`HERITAGE_S3__BUCKET=...`), the TOML file named by `HERITAGE_CONFIG`
(default: `heritage.toml` in the working folder, if there), the defaults below. `heritage config show` tells where
each value came from.
"""

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MlflowSettings(_Section):
    """The registry. `tracking_uri` may be http(s)://, sqlite:/// or postgresql://; never a file store."""

    tracking_uri: str = "http://127.0.0.1:5000"
    experiment: str = "heritage"


class S3Settings(_Section):
    """S3-compatible storage. Keys left empty are found the way boto3 finds them (environment, profile, role)."""

    endpoint_url: str | None = None
    bucket: str = "heritage"
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: SecretStr | None = None
    deadline_s: float = Field(default=60.0, gt=0)


class WeightsSettings(_Section):
    """Limits that are checked before anything is allocated."""

    max_header_bytes: int = Field(default=16 * 2**20, gt=0)
    max_tensors: int = Field(default=50_000, gt=0)


class DriftSettings(_Section):
    """The guarded rule; see docs/concepts.md. `alpha` is per window over all columns."""

    min_rows: int = Field(default=100, ge=1)
    alpha: float = Field(default=0.01, gt=0, lt=1)
    warning_effect: float = Field(default=0.05, gt=0)
    drift_effect: float = Field(default=0.1, gt=0)
    trigger_effect: float = Field(default=0.2, gt=0)
    windows_needed: int = Field(default=2, ge=1)
    windows_looked_at: int = Field(default=3, ge=1)


class RepairSettings(_Section):
    """What the search may do, the share of labelled rows kept for the gate, and the gate's levels."""

    rungs: str = "all"  # or some of none,rollback,one,hull,layers,finetune-20,finetune-60
    donors: str = "auto"  # or nearest, or names separated by commas
    guard_share: float = Field(default=0.5, gt=0, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    original_margin: float = Field(default=0.05, ge=0)
    # rows of the original domain that the search is tuned on too, as a share of the current ones
    rehearsal: float = Field(default=0.5, ge=0)
    min_confidence: float = Field(default=0.9, ge=0, le=1)
    seed: int = 0


class LabelSettings(_Section):
    """How many labels are asked for, how long people have, and what is enough to go on."""

    budget: int = Field(default=128, ge=2)
    min_labels: int = Field(default=32, ge=1)
    timeout_hours: float = Field(default=72.0, gt=0)


class PromoteSettings(_Section):
    """Who may approve (user names; empty: anyone with the permission) and how long an approval waits."""

    approvers: tuple[str, ...] = ()
    timeout_hours: float = Field(default=24.0, gt=0)
    approval: Literal["required", "off"] = "required"


class Settings(BaseSettings):
    """All settings of heritage; frozen."""

    model_config = SettingsConfigDict(
        env_prefix="HERITAGE_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    mlflow: MlflowSettings = MlflowSettings()
    s3: S3Settings = S3Settings()
    weights: WeightsSettings = WeightsSettings()
    drift: DriftSettings = DriftSettings()
    repair: RepairSettings = RepairSettings()
    labels: LabelSettings = LabelSettings()
    promote: PromoteSettings = PromoteSettings()
    # packages whose code may build a network, separated by commas: 'acme.nets,acme.vision'
    allowed_builders: Annotated[tuple[str, ...], NoDecode] = ("heritage.demo",)
    work_dir: Path = Path(".heritage")

    @field_validator("allowed_builders", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, TOML file; no .env files and no secrets folder."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_file())


def config_file() -> Path:
    """The TOML file that settings are read from (it need not exist)."""
    return Path(os.environ.get("HERITAGE_CONFIG", "heritage.toml"))


@cache
def settings() -> Settings:
    """The process's settings, read once; `settings.cache_clear()` reads them again."""
    return Settings()
