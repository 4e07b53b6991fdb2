"""The MLflow registry: versions registered once, manifests verified, champions moved under a journal.

The only importer of mlflow. Its names are imported from here.
"""

from heritage.registry.connect import Timing
from heritage.registry.journal import INITIAL, UNDONE, Move
from heritage.registry.moves import CHALLENGER, CHAMPION, GATE, PREVIOUS, gate_tag
from heritage.registry.plan import Description
from heritage.registry.read import DUPLICATE_OF, FAMILY, Entry
from heritage.registry.register import Registered
from heritage.registry.registry import Registry
from heritage.registry.runs import RunRecord

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "DUPLICATE_OF",
    "FAMILY",
    "GATE",
    "INITIAL",
    "PREVIOUS",
    "UNDONE",
    "Description",
    "Entry",
    "Move",
    "Registered",
    "Registry",
    "RunRecord",
    "Timing",
    "gate_tag",
]
