"""The caps on automatic mail: how much of it was written in the last hour, and whether more may be.

Counted in a few statements for a whole batch of mails; each mail that is let through counts for those after
it. The indexes that serve them are partial: only capped mail is in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import Column, Connection, Select, and_, bindparam, func, literal, select

from mailbridge.core.address import domain_of, split_tag
from mailbridge.store.tables import outbox, outbox_recipient

_PERIOD = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CapLimits:
    """The most automatic mails in one hour."""

    per_recipient: int
    per_mailbox: int
    per_ticket: int
    per_domain: int
    total: int


def folded(address: str) -> str:
    """The mailbox behind an address: case folded, without plus-tag."""
    tagged = split_tag(address)
    return tagged.mailbox if tagged else address.casefold()


_RECENT = and_(outbox_recipient.c.capped, outbox_recipient.c.created_at > bindparam("since"))


def _by(column: Column[str]) -> Select[str, int]:
    return (
        select(column, func.count())
        .where(column.in_(bindparam("values", expanding=True)), _RECENT)
        .group_by(column)
    )


_BY_ADDRESS = _by(outbox_recipient.c.address)
_BY_FOLDED = _by(outbox_recipient.c.folded)
_BY_DOMAIN = _by(outbox_recipient.c.domain)
_BY_TICKET = (
    select(outbox.c.ticket_id, func.count())
    .select_from(outbox.join(outbox_recipient))
    .where(outbox.c.ticket_id.in_(bindparam("values", expanding=True)), _RECENT)
    .group_by(outbox.c.ticket_id)
)
# Held mails count too and are without bound: no more is counted than matters.
_IN_ALL = select(func.count()).select_from(
    select(literal(1)).select_from(outbox_recipient).where(_RECENT).limit(bindparam("most")).subquery()
)


class Counted:
    """Automatic mails of the last hour, as far as they concern the recipients and tickets asked about."""

    def __init__(self, limits: CapLimits) -> None:
        self._limits = limits
        self._addresses: Counter[str] = Counter()
        self._mailboxes: Counter[str] = Counter()
        self._domains: Counter[str] = Counter()
        self._tickets: Counter[int] = Counter()
        self._total = 0

    @classmethod
    def of(
        cls,
        conn: Connection,
        limits: CapLimits,
        mails: Sequence[tuple[Iterable[str], int | None]],
        now: datetime,
    ) -> Self:
        """What has been written, for mails given by their recipients and ticket."""
        found = cls(limits)
        addresses = sorted({address for recipients, _ in mails for address in recipients})
        if not addresses:
            return found
        since = now - _PERIOD

        def count(query: Select[str, int], values: Iterable[str]) -> Counter[str]:
            asked = {"values": sorted(set(values)), "since": since}
            return Counter({row[0]: row[1] for row in conn.execute(query, asked)})

        found._addresses = count(_BY_ADDRESS, addresses)
        found._mailboxes = count(_BY_FOLDED, map(folded, addresses))
        found._domains = count(_BY_DOMAIN, map(domain_of, addresses))
        if tickets := sorted({ticket for _, ticket in mails if ticket is not None}):
            rows = conn.execute(_BY_TICKET, {"values": tickets, "since": since})
            found._tickets = Counter({int(ticket): number for ticket, number in rows})
        found._total = conn.execute(_IN_ALL, {"since": since, "most": limits.total}).scalar_one()
        return found

    def over(self, recipients: Sequence[str], ticket_id: int | None) -> str:
        """Why one more mail is over a cap: 'withheld: ...', 'held: ...', or '' when it is not.

        One that is not withheld counts from here on.
        """
        limits = self._limits
        for address in recipients:
            mailbox, domain = folded(address), domain_of(address)
            if self._addresses[address] >= limits.per_recipient:
                return f"withheld: {limits.per_recipient} automatic mails an hour to {address}"
            if self._mailboxes[mailbox] >= limits.per_mailbox:
                return f"withheld: {limits.per_mailbox} automatic mails an hour to the mailbox {mailbox}"
            if self._domains[domain] >= limits.per_domain:
                return f"withheld: {limits.per_domain} automatic mails an hour to {domain}"
        if ticket_id is not None and self._tickets[ticket_id] >= limits.per_ticket:
            return f"withheld: {limits.per_ticket} automatic mails an hour on one ticket"
        held = self._total >= limits.total
        for address in dict.fromkeys(recipients):
            self._addresses[address] += 1
            self._mailboxes[folded(address)] += 1
            self._domains[domain_of(address)] += 1
            self._total += 1
            if ticket_id is not None:
                self._tickets[ticket_id] += 1
        return f"held: {limits.total} automatic mails an hour in all" if held else ""
