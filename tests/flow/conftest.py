"""One daemon for all tests of a module: they do not disturb each other, since each writes about its own ticket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flow.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The daemon on SQLite, with a real SMTP server as its smarthost."""
    with World(tmp_path_factory.mktemp("world")) as made:
        yield made
