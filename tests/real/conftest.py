"""Real servers and tools: in CI they must be there; elsewhere their tests say what is missing."""

from __future__ import annotations

import os
import shutil

import pytest

NEEDED = ("systemd-analyze", "systemd-socket-activate")


@pytest.fixture(autouse=True)
def tools() -> None:
    """Skip, with the reason, where the tools cannot be had; never in CI."""
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(
            f"not on this machine: {', '.join(missing)} (as root on Debian: sh ./setup-test-servers.sh)"
        )
