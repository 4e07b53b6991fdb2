"""Forests of small trained networks with known history, for tests and measurements."""
