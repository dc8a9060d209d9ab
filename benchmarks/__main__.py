"""`python -m benchmarks [NAME...] [--full]`: measure, and print plain tables. Nothing here passes or fails.

Absolute figures are of this machine at this hour; the ratios, each against a floor measured in the same run,
are what can be compared.
"""

from __future__ import annotations

import argparse
import importlib
import time

from benchmarks.harness import machine

NAMES = ("accept", "end_to_end", "growth", "footprint")
"""Modules of this package, each with `run(full)`."""


def main() -> None:
    """Run those that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--full", action="store_true", help="longer runs, and a million tickets")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    print(machine())
    began = time.monotonic()
    for name in options.names or NAMES:
        importlib.import_module(f"benchmarks.{name}").run(full=options.full)
    print(f"\n{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
