"""What a fleet's configurations tell: distances, drift along lineage edges, the eleven studies, contradictions."""
