"""The machine's clock and randomness, behind the ports of `mailbridge.core.ports`."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


class SystemClock:
    """The wall clock. It may jump, in both directions: durations are measured with `time.monotonic`."""

    __slots__ = ()

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)


class SystemIds:
    """Bytes from the operating system's generator, fit for secrets."""

    __slots__ = ()

    def token(self, n_bytes: int) -> bytes:
        """`n_bytes` unpredictable bytes."""
        return secrets.token_bytes(n_bytes)
