"""Zero masks of pruned weights: Hamming search, clusters with honest metrics, pruning, evidence of descent."""
