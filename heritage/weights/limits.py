"""What a weights file may claim before anything is allocated for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest header (also of a shard index) in bytes, and largest number of tensors of one model over all shards."""

    max_header_bytes: int = 16 * 2**20
    max_tensors: int = 50_000
