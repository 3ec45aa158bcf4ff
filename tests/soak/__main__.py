"""``make soak``: minutes of load and faults, with each store in turn."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from .run import soak


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=2, help="with each store")
    minutes = parser.parse_args().minutes
    for store in ("sqlite", "redis"):
        with tempfile.TemporaryDirectory() as folder:
            record = soak(Path(folder), store=store, seconds=60 * minutes, pause=2)
        print(f"{store}: nothing twice, nothing unsealed, nothing cut, every failure a clear one")
        for outcome, count in sorted(record.outcomes.items()):
            print(f"    {count:8}  {outcome}")
        print(f"    slowest transfer, all its attempts together: {record.slowest:.1f} s")


if __name__ == "__main__":
    main()
