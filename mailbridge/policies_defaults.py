"""The policies of a desk that has no file of its own: those of config/policies.toml, which says why they are so."""

from __future__ import annotations

from mailbridge.core.spans import parse
from mailbridge.policies_config import CalendarSection, PoliciesFile, PolicySection, StepSection


def _remind(after: str, gap: str = "") -> StepSection:
    return StepSection(
        kind="remind", after=parse(after), template="reminder", gap=parse(gap) if gap else None
    )


def _resolve(after: str, gap: str) -> StepSection:
    return StepSection(kind="resolve", after=parse(after), template="unresponsive", gap=parse(gap))


def defaults() -> PoliciesFile:
    """Urgent tickets by the hour, day and night; all others by business days."""
    return PoliciesFile(
        calendar={
            "always": CalendarSection(zone="UTC", hours={"mon-sun": ("00:00-24:00",)}),
            "office": CalendarSection(zone="UTC", hours={"mon-fri": ("09:00-17:00",)}),
        },
        policy=(
            PolicySection(
                name="urgent",
                priorities=("S1",),
                calendar="always",
                first_response=parse("1h"),
                next_response=parse("2h"),
                nudge=parse("8h"),
                step=(
                    _remind("4h"),
                    _remind("12h", "4h"),
                    _remind("24h", "6h"),
                    _resolve("48h", "12h"),
                ),
            ),
            PolicySection(
                name="high",
                priorities=("S2",),
                calendar="office",
                quiet_hours="20:00-08:00",
                first_response=parse("4 business hours"),
                next_response=parse("8 business hours"),
                nudge=parse("1 business day"),
                step=(
                    _remind("1 business day"),
                    _remind("2 business days", "4 business hours"),
                    _resolve("4 business days", "1 business day"),
                ),
            ),
            PolicySection(
                name="tolerable",
                priorities=("S3",),
                calendar="office",
                quiet_hours="20:00-08:00",
                first_response=parse("1 business day"),
                next_response=parse("2 business days"),
                nudge=parse("5 business days"),
                step=(
                    _remind("2 business days"),
                    _remind("4 business days", "1 business day"),
                    _resolve("7 business days", "2 business days"),
                ),
            ),
            PolicySection(
                name="question",
                calendar="office",
                quiet_hours="20:00-08:00",
                first_response=parse("2 business days"),
                next_response=parse("3 business days"),
                nudge=parse("10 business days"),
                step=(
                    _remind("3 business days"),
                    _remind("6 business days", "2 business days"),
                    _resolve("10 business days", "3 business days"),
                ),
            ),
        ),
    )
