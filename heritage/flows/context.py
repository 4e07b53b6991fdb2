"""What every flow is given: the registry, the storage, the settings and a clock."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from heritage.registry import Registry
from heritage.settings import Settings, settings
from heritage.storage import ObjectStore


@dataclass(frozen=True, slots=True)
class Context:
    """Connections of one process; `now` returns an aware UTC time."""

    registry: Registry
    store: ObjectStore
    settings: Settings
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def connect(cls) -> "Context":
        """Connections as the settings say; a service that is away raises `Unavailable` at first use."""
        chosen = settings()
        store = ObjectStore.connect(chosen.s3)
        return cls(Registry.connect(chosen, store), store, chosen)
