"""Who was champion when: the journal of a model, and aliases that people moved by hand."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from heritage.api.answers import AliasMove, JournalMove, Moves
from heritage.api.faults import documented
from heritage.api.services import Services
from heritage.flows import notices
from heritage.names import check_name


def routes(services: Services) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/api/moves", tags=["moves"])

    @router.get("", responses=documented())
    def moves(
        model: Annotated[str, Query(min_length=1, max_length=500, description="name of the registered model")],
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Moves:
        """The newest moves of the champion, and of any alias by hand, oldest first."""
        entries = services.context.registry.history(check_name(model))[-limit:]
        return Moves(
            model=model,
            moves=tuple(JournalMove.model_validate(asdict(entry)) for entry in entries),
            by_hand=tuple(AliasMove(**asdict(move)) for move in notices.by_hand(services.context, model, limit)),
        )

    return router
