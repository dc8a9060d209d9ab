"""The small server process that parse workers are forked from: what it loads, and its early start.

Standards: none.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver

PRELOAD = ("mailbridge.edge.parse_worker", "pebble")
"""Modules that every worker then has without loading them."""


def start_early() -> None:
    """Start it now, so that it loads its modules while this process loads its own. Harmless if it runs."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(PRELOAD))
    forkserver.ensure_running()
