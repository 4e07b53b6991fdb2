"""What the trigger forms of several DAGs ask for, as JSON schema. No DAG in this file."""

from airflow.sdk import Param

_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?"
_NAME = rf"^$|^{_WORD}$"
_RUNGS = ["none", "rollback", "one", "hull", "layers", "finetune-20", "finetune-60", "finetune-200"]


def model(description: str) -> Param:
    """The name of a registered model; '' where the events that start the run name it."""
    return Param("", type="string", title="Model", description=description, pattern=_NAME, maxLength=128)


def address(description: str, required: bool = True) -> Param:
    """A version as name/3; with `required` False '' too, where the events that start the run name it."""
    pattern = rf"{'' if required else '^$|'}^{_WORD}/[1-9][0-9]*$"
    empty = {} if required else {"default": ""}
    return Param(**empty, type="string", title="Version", description=description, pattern=pattern, maxLength=140)


def plan(description: str) -> Param:
    """The hash of a plan; '' where the events that start the run name it."""
    return Param("", type="string", title="Plan", description=description, pattern=r"^$|^[0-9a-f]{64}$")


def window(description: str) -> Param:
    """The id of a window; '' for the newest."""
    return Param("", type="string", title="Window", description=description, pattern=_NAME, maxLength=128)


def dry_run(description: str) -> Param:
    """Whether to write nothing."""
    return Param(False, type="boolean", title="Dry run", description=description)


def search() -> dict[str, Param]:
    """What a search may do otherwise than the settings say."""
    return {
        "rungs": Param(
            [],
            type="array",
            title="Rungs",
            items={"type": "string", "enum": _RUNGS},
            uniqueItems=True,
            examples=_RUNGS,
            description="Steps that may be tried, from the simplest; none chosen: as the settings say.",
        ),
        "donors": Param(
            "",
            type="string",
            title="Donors",
            maxLength=2000,
            pattern=r"^[A-Za-z0-9._/, -]*$",
            description="'auto', 'nearest', or addresses separated by commas; empty: as the settings say.",
        ),
        "seed": Param(
            None,
            type=["null", "integer"],
            title="Seed",
            minimum=0,
            maximum=2**31 - 1,
            description="Of splits and steps.",
        ),
    }
