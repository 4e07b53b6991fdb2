"""Makes the buckets of the stack that are not there yet; run by the one-shot service `storage-init`."""

import os

from heritage.settings import settings
from heritage.storage import ObjectStore


def main() -> None:
    """A bucket for each word of BUCKETS, with the operator's key, and for each of LOCKING_BUCKETS one with locks."""
    s3 = settings().s3
    for variable, locking in (("BUCKETS", False), ("LOCKING_BUCKETS", True)):
        for name in os.environ[variable].split():
            ObjectStore.connect(s3.model_copy(update={"bucket": name})).make_bucket(object_lock=locking)
            print(f"bucket {name} is there")


if __name__ == "__main__":
    main()
