"""Weights files as untrusted input: read, checked, digested, fingerprinted, written and converted; never executed."""
