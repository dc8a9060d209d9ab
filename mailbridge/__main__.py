"""`mailbridge` and `python -m mailbridge`: the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; its exit codes are sysexits."""
    from mailbridge.cli.app import run_main

    sys.exit(run_main(sys.argv[1:]))


if __name__ == "__main__":
    main()
