"""Copies all buckets of the stack to a folder, or back: `copy_buckets.py out FOLDER`, `copy_buckets.py in FOLDER`.

Uses the operator's key. Objects are streamed by several threads, in the memory of some of their parts. What lies in a
bucket with locks comes back with a lock of its own, from then on.
"""

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyarrow import fs

from heritage.settings import Settings, settings
from heritage.storage import ObjectStore

CONTENTS = "contents.json"
THREADS, PART_BYTES = 8, 8 * 2**20


def main(way: str, folder: Path) -> None:
    """Carry out one of the two, and check that as many objects and bytes arrived as left."""
    chosen = settings()
    remote, local = _storage(chosen), fs.LocalFileSystem()
    plain, locking = os.environ["BUCKETS"].split(), os.environ["LOCKING_BUCKETS"].split()
    if way == "out":
        _copy(remote, "", local, f"{folder}/", [*plain, *locking])
        (folder / CONTENTS).write_text(json.dumps(_contents(local, f"{folder}/", [*plain, *locking]), indent=2))
    else:
        expected = json.loads((folder / CONTENTS).read_text())
        _copy(local, f"{folder}/", remote, "", plain)
        for bucket in locking:
            _copy_locked(chosen, folder / bucket, bucket)
        found = _contents(remote, "", [*plain, *locking])
        if found != expected:
            sys.exit(f"the buckets now hold {found}, the backup {expected}; empty the buckets, then restore again")
    print(f"copied {'to' if way == 'out' else 'from'} {folder}")


def _storage(chosen: Settings) -> fs.S3FileSystem:
    scheme, _, address = str(chosen.s3.endpoint_url).partition("://")
    secret = chosen.s3.secret_key.get_secret_value() if chosen.s3.secret_key else None
    return fs.S3FileSystem(
        access_key=chosen.s3.access_key,
        secret_key=secret,
        endpoint_override=address,
        scheme=scheme,
        region=chosen.s3.region,
        allow_bucket_creation=False,
    )


def _copy(source: fs.FileSystem, base: str, target: fs.FileSystem, where: str, buckets: list[str]) -> None:
    """Every object, and nothing else: pyarrow's own copying of folders would leave markers of folders in a bucket."""
    with ThreadPoolExecutor(THREADS) as pool:
        for bucket in buckets:
            files = source.get_file_info(fs.FileSelector(f"{base}{bucket}", recursive=True))
            paths = [info.path for info in files if info.type == fs.FileType.File]
            if where:
                for folder in sorted({f"{where}{bucket}", *(f"{where}{path.rpartition('/')[0]}" for path in paths)}):
                    target.create_dir(folder)
            moves = [(path, f"{where}{path.removeprefix(base)}") for path in paths]
            for done in [pool.submit(_copy_one, source, path, target, to) for path, to in moves]:
                done.result()


def _copy_one(source: fs.FileSystem, path: str, target: fs.FileSystem, to: str) -> None:
    with source.open_input_stream(path) as given, target.open_output_stream(to) as taken:
        shutil.copyfileobj(given, taken, PART_BYTES)


def _copy_locked(chosen: Settings, folder: Path, bucket: str) -> None:
    store = ObjectStore.connect(chosen.s3.model_copy(update={"bucket": bucket}))
    until = datetime.now(UTC) + timedelta(days=chosen.audit.retention_days)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.create(str(file.relative_to(folder)), file.read_bytes(), until)


def _contents(system: fs.FileSystem, base: str, buckets: list[str]) -> dict[str, list[int]]:
    """Number and bytes of the objects of each bucket."""
    found = {}
    for bucket in buckets:
        files = system.get_file_info(fs.FileSelector(f"{base}{bucket}", recursive=True))
        sizes = [info.size for info in files if info.type == fs.FileType.File]
        found[bucket] = [len(sizes), sum(sizes)]
    return found


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
