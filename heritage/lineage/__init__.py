"""Lineage: who descends from whom, how that is known, and where the records contradict one another."""
