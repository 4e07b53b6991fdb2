"""The methods of recovery that the settings name, those of the operator's own modules among them."""

import importlib
import re
from typing import TYPE_CHECKING

from heritage.errors import Misconfigured
from heritage.names import printable
from heritage.recovery.recover import Options

if TYPE_CHECKING:
    from heritage.flows.context import Context

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def options_of(ctx: "Context") -> Options:
    """What to recover with; modules that register further methods are imported first.

    Raises `Misconfigured` for a module that cannot be imported and `BadInput` for a method that nobody registered.
    """
    own = ctx.settings.recovery
    load(own.plugins)
    return Options(own.tree, own.metric, own.families, own.z_score)


def load(modules: tuple[str, ...]) -> None:
    """Import `modules`, which call the `register_...` functions of `heritage.recovery`; each runs once a process."""
    for module in modules:
        if not _MODULE.fullmatch(module):
            raise Misconfigured(
                f"HERITAGE_RECOVERY__PLUGINS: '{printable(module)}' is no module name such as acme.trees"
            )
        try:
            importlib.import_module(module)
        except Exception as error:
            # whatever foreign code raises means that its methods are not there
            raise Misconfigured(
                f"HERITAGE_RECOVERY__PLUGINS: module '{module}' cannot be imported ({type(error).__name__}: "
                f"{printable(str(error), 300)}); install it, or leave it out"
            ) from error
