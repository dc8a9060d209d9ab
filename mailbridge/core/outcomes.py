"""What the use-cases answer: plain values, so that every door can turn them into its own words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """One mail is durably ours. `duplicate` says that we had it before and stored nothing new."""

    id: str
    """The inbound id, as `mailbridge explain` takes it."""
    duplicate: bool
