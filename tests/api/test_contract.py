"""The application against its own description: no server error, no answer that the description does not tell."""

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode, checks

from heritage.api import Guard, create_app
from tests.api.small_fleet import Started, login, may_start

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture(scope="session")
def described(fleet):
    app = create_app(Guard(login, may_start), Started(), lambda: fleet.ctx)
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers={"x-user": "ana"})


def test_every_answer_is_as_described(described):
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        _try(operation)


def _try(operation) -> None:
    """Ask for random arguments that fit the description, and for some that do not."""

    @hypothesis.given(
        case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    )
    @hypothesis.settings(
        max_examples=12, phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck)
    )
    def ask(case):
        case.call_and_validate(headers={"x-user": "ana"}, checks=CHECKS)

    ask()
