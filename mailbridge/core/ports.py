"""What the rest of the program asks of its surroundings: the time, and bytes nobody can guess.

Real ones are in `mailbridge.clock`, fakes for tests in `tests.fakes`; both come by constructor.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time of day."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


class Ids(Protocol):
    """Makes identifiers that cannot be guessed."""

    def token(self, n_bytes: int) -> bytes:
        """`n_bytes` bytes, unpredictable and never seen before (with overwhelming probability from 16 up)."""
        ...
