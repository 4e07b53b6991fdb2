"""Repair of a drifted version from its lineage: vectors, donors, search, gate, and writing the result."""
