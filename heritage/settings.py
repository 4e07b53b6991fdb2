"""Settings: the only reader of the environment.

Order, strongest first: arguments, environment (`HERITAGE_S3__BUCKET=...`), the TOML file named by `HERITAGE_CONFIG`
(default: `heritage.toml` in the working folder, if there), the defaults below. `heritage config show` tells where
each value came from.
"""

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
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


class ColumnSettings(_Section):
    """Exceptions for one column; what is left out is as for all."""

    warning_effect: float | None = Field(default=None, ge=0)
    drift_effect: float | None = Field(default=None, ge=0)
    judged: bool | None = None  # false: shown, never an alarm; true: judged although its kind is not by default


class DriftSettings(_Section):
    """How windows are judged; see docs/drift.md. `alpha` is per window over all columns.

    `[drift.models.NAME]` holds exceptions for one registered model: any of these settings but `models`.
    """

    rule: Literal["guarded", "psi", "ks", "kl"] = "guarded"
    min_rows: int = Field(default=100, ge=1)
    alpha: float = Field(default=0.01, gt=0, lt=1)
    warning_effect: float = Field(default=0.05, gt=0)
    drift_effect: float = Field(default=0.1, gt=0)
    trigger_effect: float = Field(default=0.2, gt=0)
    windows_needed: int = Field(default=2, ge=1)
    windows_looked_at: int = Field(default=3, ge=1)
    # of the plain rules
    psi_above: float = Field(default=0.1, gt=0)
    ks_p_below: float = Field(default=0.05, gt=0, lt=1)
    kl_above: float = Field(default=0.1, gt=0)
    mute: tuple[str, ...] = ()  # columns that raise no alarm
    mute_windows: tuple[tuple[str, str], ...] = ()  # first and last window id of each span that raises none
    columns: dict[str, ColumnSettings] = Field(default_factory=dict)
    performance_windows: int = Field(default=1, ge=1)  # labels of so many windows are judged together
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        for name in self.models:
            self.for_model(name)
        return self

    def for_model(self, name: str) -> "DriftSettings":
        """The settings that hold for the registered model `name`; columns of its own are added to those of all."""
        own = self.models.get(name, {})
        if "models" in own:
            raise ValueError(f"drift.models.{name}: exceptions have no exceptions of their own")
        general = self.model_dump(exclude={"models"})
        columns = {"columns": general["columns"] | own["columns"]} if "columns" in own else {}
        return DriftSettings.model_validate(general | own | columns)


class RepairSettings(_Section):
    """What the search may do, the share of labelled rows kept for the gate, and the gate's levels."""

    rungs: str = "all"  # or some of none,rollback,one,hull,layers,finetune-20,finetune-60,finetune-200
    donors: str = "auto"  # or nearest, or names separated by commas
    guard_share: float = Field(default=0.5, gt=0, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    metric: Literal["accuracy", "balanced-accuracy", "macro-f1"] = "accuracy"
    trim: float = Field(default=1.0, gt=0, le=1)  # share of a repair vector's entries to keep, largest first (TIES)
    device: str = "cpu"  # of the search: cpu, cuda, or auto; another device gives other last bits
    original_margin: float = Field(default=0.05, ge=0)
    # rows of the original domain that the search is tuned on too, as a share of the current ones
    rehearsal: float = Field(default=0.5, ge=0)
    min_confidence: float = Field(default=0.9, ge=0, le=1)
    seed: int = 0


class RecoverySettings(_Section):
    """How families and parents are recovered from weights; methods by the names they are registered under."""

    families: str = "threshold"
    tree: str = "heritage"
    metric: str = "auto"
    z_score: float = Field(default=12.0, gt=0)  # similarity, in deviations of unrelated models, that makes a family
    # whether a new version is compared with its three nearest relatives' weights, or by fingerprints alone
    weights: bool = True
    chunk: int = Field(default=25, ge=1)  # versions of one mapped task
    # a family of at most so many models is looked at as a whole when a version joins it
    together: int = Field(default=24, ge=0)
    # modules that register further methods when they are imported, separated by commas
    plugins: Annotated[tuple[str, ...], NoDecode] = ()

    @field_validator("plugins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value


class LabelSettings(_Section):
    """How many labels are asked for, how long people have, and what is enough to go on."""

    budget: int = Field(default=128, ge=2)
    min_labels: int = Field(default=32, ge=1)
    timeout_hours: float = Field(default=72.0, gt=0)
    # whether a person signs answers off before a repair uses them, and below which agreement that is asked for
    sign_off: Literal["never", "disagreement", "always"] = "disagreement"
    min_agreement: float = Field(default=0.6, ge=-1, le=1)
    reviewers: tuple[str, ...] = ()
    hand_off: Literal["files", "label-studio"] = "files"  # what heritage_label does beside writing the request


class AuditSettings(_Section):
    """Locked copies of manifests, and the keys that sign them.

    `bucket` '' is the S3 bucket's name with '-audit' behind it. `lock`: 'auto' copies without a lock where the server
    knows none, 'required' refuses that, 'off' copies nothing. Keys are PEM files with elliptic curve keys.
    """

    bucket: str = ""
    lock: Literal["auto", "required", "off"] = "auto"
    retention_days: int = Field(default=365, ge=1)
    signing_key: Path | None = None
    trusted_keys: tuple[Path, ...] = ()
    require_signatures: bool = False


class LabelStudioSettings(_Section):
    """A Label Studio server for label requests. `token` is a legacy token or a personal access token."""

    url: str = ""
    token: SecretStr | None = None
    deadline_s: float = Field(default=60.0, gt=0)


class PromoteSettings(_Section):
    """Who may approve (user names; empty: anyone with the permission) and how long an approval waits."""

    approvers: tuple[str, ...] = ()
    timeout_hours: float = Field(default=24.0, gt=0)
    approval: Literal["required", "off"] = "required"
    served_at: str = ""  # address of the `heritage serve` that the smoke test asks; empty: it loads the model itself
    served_wait_s: float = Field(default=60.0, gt=0)  # until that server has followed the alias


class ApiSettings(_Section):
    """The HTTP interface: secrets, how soon it sees a change, and the addresses that people open in their browser."""

    # for an application that stands outside Airflow; what a monitoring server sends to read /metrics
    token: SecretStr = SecretStr("")
    metrics_token: SecretStr = SecretStr("")
    # with which MLflow signs its webhooks; empty: the file that `heritage webhook register` wrote
    webhook_secret: SecretStr = SecretStr("")
    refresh_s: float = Field(default=15.0, gt=0)
    mlflow_url: str = ""  # empty: the tracking server's own address
    airflow_url: str = ""  # empty: Airflow's own [api] base_url


class ServeSettings(_Section):
    """`heritage serve`. Only `host` opens it beyond this machine; it has no authentication of its own."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)  # 0: any free one
    poll_s: float = Field(default=5.0, gt=0)  # how often the alias is looked up
    max_rows: int = Field(default=1024, ge=1)  # of one request
    max_body_bytes: int = Field(default=16 * 2**20, ge=1)
    max_requests: int = Field(default=64, ge=1)  # at work at the same time; further ones are told to come back
    body_s: float = Field(default=30.0, gt=0)  # within which a request's body must have come
    flush_s: float = Field(default=60.0, gt=0)  # how often the drift agent writes
    flush_deadline_s: float = Field(default=10.0, gt=0)  # for one object; then it is kept and tried again
    close_s: float = Field(default=10.0, ge=0)  # how long an agent that is closed goes on trying
    keep_rows: bool = False  # store the rows too: counters show drift, but a repair needs rows


class EventsSettings(_Section):
    """OpenLineage events. Where they go is said as OpenLineage's own client reads it (OPENLINEAGE_URL and so on)."""

    openlineage: bool = False
    namespace: str = "heritage"  # of the jobs; model versions have the registry's address as theirs
    deadline_s: float = Field(default=2.0, gt=0)  # work waits for an event no longer than this


class NotifySettings(_Section):
    """Who is told that an approval waits or a DAG failed: any notifier of Airflow, by its class; docs/events.md.

    In `arguments`, {subject}, {message}, {link} and {html} stand for what is told.
    """

    notifier: str = ""
    arguments: dict[str, str] = Field(default_factory=dict)
    deadline_s: float = Field(default=10.0, gt=0)


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
    recovery: RecoverySettings = RecoverySettings()
    labels: LabelSettings = LabelSettings()
    label_studio: LabelStudioSettings = LabelStudioSettings()
    promote: PromoteSettings = PromoteSettings()
    audit: AuditSettings = AuditSettings()
    api: ApiSettings = ApiSettings()
    events: EventsSettings = EventsSettings()
    notify: NotifySettings = NotifySettings()
    serve: ServeSettings = ServeSettings()
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
