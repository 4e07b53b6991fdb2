"""Families and model trees, recovered from weights alone."""
