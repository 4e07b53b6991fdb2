"""Every metric and tree method by name, those of this package registered."""

from heritage.recovery.metrics import METRICS, register_metric
from heritage.recovery.mother import distance_tree, kurtosis_tree, mother_tree
from heritage.recovery.rooted import heritage_tree
from heritage.recovery.trees import TREE_METHODS, register_tree_method

__all__ = ["METRICS", "TREE_METHODS", "register_metric", "register_tree_method"]

for _name, _method in {
    "heritage": heritage_tree,
    "mother": mother_tree,
    "distance": distance_tree,
    "kurtosis": kurtosis_tree,
}.items():
    register_tree_method(_name, _method)
