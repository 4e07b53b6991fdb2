"""Every metric and tree method by name, those of this package registered.

A new one is a function, registered once, and then known to `Options` by its name:

    def biases_only(family):                       # a metric: costs (n, n), infinite on the diagonal
        vectors = np.array([not s.is_matrix for s in family.distances.slots])
        cost = np.nansum(family.distances.squared[vectors], axis=0)
        np.fill_diagonal(cost, np.inf)
        return cost

    register_metric("biases", biases_only)
    recover(models, Options(metric="biases"))

`register_tree_method` takes a function of a family and its costs that gives a `Tree`; `register_family_method` (in
`families`) one of a `Similarity` and a z-score that gives labels. tests/recovery/test_methods.py runs this example.
"""

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
