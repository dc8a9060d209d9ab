"""What a service manager says to this process by its environment, and to no other.

Standards: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).
"""

from __future__ import annotations

from collections.abc import MutableMapping

VARIABLES = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
)


def take(environ: MutableMapping[str, str]) -> dict[str, str]:
    """The variables, taken out of `environ`: call it before the first child is started, which would inherit
    them and could speak for us."""
    return {name: environ.pop(name) for name in VARIABLES if name in environ}
