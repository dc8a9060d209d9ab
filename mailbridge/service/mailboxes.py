"""Our mailboxes: which address belongs to which, under what name and with what policy. From the settings."""

from __future__ import annotations

from collections.abc import Mapping

from mailbridge.config import Settings
from mailbridge.core.address import split_tag
from mailbridge.core.case import IntakePolicy, PriorityRule
from mailbridge.core.ticket import Priority


class Mailboxes:
    """Looks up addresses of ours. Built once from the settings."""

    def __init__(self, settings: Settings) -> None:
        rules = tuple(
            PriorityRule(
                Priority(rule.priority),
                tuple(rule.subject_tag),
                tuple(s.casefold() for s in rule.from_),
                tuple(rule.organisation),
                tuple(m.casefold() for m in rule.mailbox),
                f"{number}",
            )
            for number, rule in enumerate(settings.rules, start=1)
        )
        self._by_address: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._policies: dict[str, IntakePolicy] = {}
        for box in settings.mailbox:
            key = box.address.casefold()
            for address in (box.address, *box.aliases):
                self._by_address[address.casefold()] = key
            self._names[key] = box.name or box.address
        own = frozenset(self._by_address)
        window = settings.tickets.reopen_within
        for box in settings.mailbox:
            self._policies[box.address.casefold()] = IntakePolicy(
                own=own,
                default_priority=Priority(box.default_priority),
                acknowledge=box.acknowledge,
                notify=frozenset(settings.tickets.notify_agents),
                rules=rules,
                reopen_within=None if window == "forever" else window,
            )
        self._first = next(iter(self._policies))

    def mailbox_for(self, address: str) -> str | None:
        """The mailbox (case folded) that an address belongs to, exactly, whatever its plus-tag; else None."""
        tagged = split_tag(address)
        return self._by_address.get(tagged.mailbox) if tagged else None

    def name(self, mailbox: str) -> str:
        """Its display name."""
        return self._names.get(mailbox, mailbox)

    def policy(self, mailbox: str) -> IntakePolicy:
        """Its policy; that of the first mailbox for one which the settings no longer name."""
        return self._policies.get(mailbox) or self._policies[self._first]

    @property
    def names(self) -> Mapping[str, str]:
        """Every mailbox with its name."""
        return self._names
