"""Who registers a content under a name: one claim a (name, digest), and one spelling a name.

registrations/<name>/<digest>.json   the claim; `done` tells the canonical version
spellings/<name in lower case>/name.json   the first spelling of a name; its case twins are refused
"""

from collections.abc import Iterator
from dataclasses import dataclass

from heritage.errors import UnsafeName
from heritage.names import check_digest, check_name
from heritage.registry.connect import Connection
from heritage.registry.lease import Found, Owned, encode, find

CLAIMED = "claimed"
DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Owned):
    """How far the registration of `digest` as `name` came.

    `plan` is the SHA-256 of everything that will be written but the time, which is `created_at`; a run is continued
    only under the same plan. `run_id` is '' until the run exists, `version` until the state is `done`.
    """

    name: str
    digest: str
    plan: str
    created_at: str
    run_id: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spelling(Owned):
    name: str


def claim_key(name: str, digest: str) -> str:
    """Key of the claim on `digest` under `name`."""
    return f"registrations/{check_name(name)}/{check_digest(digest)}.json"


def find_claim(connection: Connection, name: str, digest: str) -> Found[Claim] | None:
    """The claim as it is now, or None."""
    return find(connection.store, claim_key(name, digest), Claim)


def is_expired(connection: Connection, claim: Claim) -> bool:
    """Whether the owner gave no sign of life for the time of its lease."""
    return claim.expires_at_s < connection.now().timestamp()


def check_spelling(connection: Connection, name: str) -> None:
    """Take `name` for its first spelling, or raise `UnsafeName` where it differs from it, or from a registered name,
    only in case: the two could not be told apart on some file systems, in some databases, and by people.
    """
    # '_' stands for any character in LIKE, so the answer is compared again
    for known in registered_names(connection, f"name ILIKE '{check_name(name)}'"):
        if known != name and known.lower() == name.lower():
            raise _twin(name, known)
    key = f"spellings/{name.lower()}/name.json"
    if not connection.store.create(key, encode(_Spelling(name=name, state=DONE))):
        first = find(connection.store, key, _Spelling)
        if first and first.record.name != name:
            raise _twin(name, first.record.name)


def registered_names(connection: Connection, clause: str) -> Iterator[str]:
    """Names of the registered models that fit MLflow's filter `clause`, read in pages."""
    token = None
    while True:
        page = connection.mlflow.search_registered_models(clause, 1000, ["name ASC"], token)
        yield from (str(model.name) for model in page)
        token = page.token
        if not token:
            return


def _twin(name: str, known: str) -> UnsafeName:
    return UnsafeName(f"model name '{name}' differs from '{known}' only in case; use '{known}', or another name")
