"""heritage: ancestry as a working part of model operations."""

__version__ = "0.1.0"
