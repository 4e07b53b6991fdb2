"""Ends with 0 where a web address answers with success, with 1 where it does not; for health checks of images."""

import sys
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

TIMEOUT_S = 4.0


def main(address: str) -> int:
    """Whether `address` answers 2xx or 3xx within `TIMEOUT_S`."""
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=TIMEOUT_S) as answer:
            return 0 if answer.status < 400 else 1
    except (URLError, OSError) as error:
        print(f"{address}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
