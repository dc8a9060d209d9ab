"""Contacts, organisations and agents: queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from mailbridge.core.address import domain_of
from mailbridge.core.facts import AgentFacts, Person
from mailbridge.core.mail import Address
from mailbridge.store.rows import AnyRow, new_id
from mailbridge.store.tables import agent, contact, organisation, organisation_domain, participant

_PEOPLE = (
    select(
        contact.c.id,
        contact.c.key,
        contact.c.address,
        contact.c.name,
        organisation.c.name.label("organisation"),
    )
    .select_from(contact.outerjoin(organisation))
    .where(contact.c.key.in_(bindparam("keys", expanding=True)))
)
_DOMAINS = (
    select(organisation_domain.c.domain, organisation.c.id, organisation.c.name)
    .select_from(organisation_domain.join(organisation))
    .where(organisation_domain.c.domain.in_(bindparam("domains", expanding=True)))
)
_AGENTS = (
    select(agent.c.id, agent.c.address, agent.c.name, agent.c.mailboxes)
    .where(agent.c.active)
    .order_by(agent.c.id)
)
# Another node may be faster: then its contact stands, and nothing has failed.
_NEW_CONTACT = {
    "sqlite": sqlite.insert(contact).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(contact).on_conflict_do_nothing(),
}
_LEARN_NAME = update(contact).where(contact.c.id == bindparam("b_id")).values(name=bindparam("b_name"))


def persons(conn: Connection, keys: Iterable[str]) -> dict[str, Person]:
    """The contacts with these case-folded addresses, by address."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    return {
        row.key: Person(row.id, Address(row.name, row.address), row.organisation or "")
        for row in conn.execute(_PEOPLE, {"keys": wanted})
    }


def organisations_by_domain(conn: Connection, domains: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Id and name of the organisations that have these mail domains, by domain."""
    wanted = sorted(set(domains))
    if not wanted:
        return {}
    return {row.domain: (row.id, row.name) for row in conn.execute(_DOMAINS, {"domains": wanted})}


def ensure_contacts(conn: Connection, people: Iterable[Address], now: datetime) -> dict[str, int]:
    """The ids of the contacts with these addresses, by case-folded address; made if need be.

    A name is learned once, never overwritten.
    """
    wanted: dict[str, Address] = {}
    for who in people:
        known = wanted.get(who.key)
        if known is None or (who.name and not known.name):
            wanted[who.key] = who
    found = persons(conn, wanted)
    learned = [
        {"b_id": person.id, "b_name": wanted[key].name[:200]}
        for key, person in found.items()
        if wanted[key].name and not person.address.name
    ]
    if learned:
        conn.execute(_LEARN_NAME, learned)
    # In one order everywhere, so that two nodes that add the same people cannot wait for each other.
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        belongs = organisations_by_domain(conn, (domain_of(key) for key in missing))
        conn.execute(
            _NEW_CONTACT[conn.dialect.name],
            [
                {
                    "key": key,
                    "address": wanted[key].address,
                    "name": wanted[key].name[:200],
                    "organisation_id": belongs.get(domain_of(key), (None,))[0],
                    "created_at": now,
                }
                for key in missing
            ],
        )
        found |= persons(conn, missing)
    return {key: person.id for key, person in found.items()}


def ensure_contact(conn: Connection, who: Address, now: datetime) -> int:
    """`ensure_contacts` for one."""
    return ensure_contacts(conn, (who,), now)[who.key]


def agents(conn: Connection) -> tuple[AgentFacts, ...]:
    """All active agents."""
    return tuple(
        AgentFacts(row.id, Address(row.name, row.address), frozenset(row.mailboxes.split()))
        for row in conn.execute(_AGENTS)
    )


def save_agent(conn: Connection, who: Address, mailboxes: Iterable[str], source: str, now: datetime) -> int:
    """Add an agent, or bring a known one up to date and make it active. Its id."""
    values = {
        "address": who.address,
        "name": who.name[:200],
        "mailboxes": " ".join(sorted(m.casefold() for m in mailboxes)),
        "active": True,
        "source": source,
    }
    known = conn.execute(select(agent.c.id).where(agent.c.key == who.key)).scalar()
    if known is not None:
        conn.execute(update(agent).where(agent.c.id == known).values(**values))
        return int(known)
    made = conn.execute(insert(agent).values(key=who.key, created_at=now, **values))
    return new_id(made)


def sync_agents(conn: Connection, wanted: Sequence[tuple[Address, Sequence[str]]], now: datetime) -> None:
    """Make the agents of the config file be as it says; those it no longer names become inactive."""
    keys = [who.key for who, _ in wanted]
    conn.execute(
        update(agent).where(agent.c.source == "config", agent.c.key.not_in(keys)).values(active=False)
    )
    for who, mailboxes in wanted:
        save_agent(conn, who, mailboxes, "config", now)


def deactivate_agent(conn: Connection, key: str) -> bool:
    """Make an agent inactive; False when there is no such active one."""
    done = conn.execute(update(agent).where(agent.c.key == key, agent.c.active).values(active=False))
    return bool(done.rowcount)


def list_agents(conn: Connection) -> Sequence[AnyRow]:
    """Every agent, inactive ones too."""
    return conn.execute(select(agent).order_by(agent.c.id)).all()


@dataclass(frozen=True, slots=True)
class NewOrganisation:
    """An organisation and the mail domains whose contacts belong to it."""

    name: str
    domains: tuple[str, ...] = ()


def add_organisation(conn: Connection, new: NewOrganisation, now: datetime) -> int:
    """Add it; contacts that are already known in its domains join it. IntegrityError when one is taken."""
    made = conn.execute(insert(organisation).values(name=new.name, created_at=now))
    number = new_id(made)
    for domain in new.domains:
        conn.execute(insert(organisation_domain).values(domain=domain.casefold(), organisation_id=number))
        conn.execute(
            update(contact)
            .where(contact.c.organisation_id.is_(None), contact.c.key.like(f"%@{domain.casefold()}"))
            .values(organisation_id=number)
        )
    return number


def list_organisations(conn: Connection) -> Sequence[AnyRow]:
    """Name, domains (blank-separated) and number of contacts."""
    domains = (
        select(
            organisation_domain.c.organisation_id,
            func.aggregate_strings(organisation_domain.c.domain, " ").label("domains"),
        )
        .group_by(organisation_domain.c.organisation_id)
        .subquery()
    )
    contacts = (
        select(contact.c.organisation_id, func.count().label("contacts"))
        .group_by(contact.c.organisation_id)
        .subquery()
    )
    return conn.execute(
        select(
            organisation.c.id,
            organisation.c.name,
            func.coalesce(domains.c.domains, "").label("domains"),
            func.coalesce(contacts.c.contacts, 0).label("contacts"),
        )
        .select_from(
            organisation.outerjoin(domains, domains.c.organisation_id == organisation.c.id).outerjoin(
                contacts, contacts.c.organisation_id == organisation.c.id
            )
        )
        .order_by(organisation.c.name)
    ).all()


def list_contacts(conn: Connection, limit: int) -> Sequence[AnyRow]:
    """Contacts with their organisation and number of tickets, newest first."""
    tickets = (
        select(participant.c.contact_id, func.count().label("tickets"))
        .group_by(participant.c.contact_id)
        .subquery()
    )
    return conn.execute(
        select(
            contact.c.id,
            contact.c.address,
            contact.c.name,
            contact.c.role,
            func.coalesce(organisation.c.name, "").label("organisation"),
            func.coalesce(tickets.c.tickets, 0).label("tickets"),
            contact.c.created_at,
        )
        .select_from(contact.outerjoin(organisation).outerjoin(tickets, tickets.c.contact_id == contact.c.id))
        .order_by(contact.c.id.desc())
        .limit(limit)
    ).all()


def set_contact(
    conn: Connection, key: str, *, name: str | None, role: str | None, organisation_name: str | None
) -> str | None:
    """Change what is given. What is wrong, in words, or None when done."""
    known = conn.execute(select(contact.c.id).where(contact.c.key == key)).scalar()
    if known is None:
        return f"no contact {key}"
    values: dict[str, object] = {}
    if name is not None:
        values["name"] = name[:200]
    if role is not None:
        values["role"] = role
    if organisation_name is not None:
        found = conn.execute(
            select(organisation.c.id).where(organisation.c.name == organisation_name)
        ).scalar()
        if found is None:
            return f"no organisation {organisation_name!r}"
        values["organisation_id"] = found
    if values:
        conn.execute(update(contact).where(contact.c.id == known).values(**values))
    return None


def is_taken(error: Exception) -> bool:
    """Whether a write failed because a name or address is there already."""
    return isinstance(error, IntegrityError)
