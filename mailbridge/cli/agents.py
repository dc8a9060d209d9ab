"""`agent`, `contact`, `org`: people."""

from __future__ import annotations

from typing import Annotated

import typer

from mailbridge.cli import exits
from mailbridge.cli.context import ConfigOption, JsonOption, LimitOption, fail, parts_of

agent_app = typer.Typer(no_args_is_help=True, help="Those who answer.")
contact_app = typer.Typer(no_args_is_help=True, help="Every address known.")
organisation_app = typer.Typer(no_args_is_help=True, help="Groups of contacts.")


@agent_app.command("add")
def add_agent(
    address: Annotated[str, typer.Argument(help="bart@example.org or 'Bart <bart@example.org>'")],
    name: Annotated[str, typer.Option("--name", help="As customers see it.")] = "",
    mailbox: Annotated[
        list[str] | None,
        typer.Option("--mailbox", "-m", help="Only this mailbox (repeatable). Default: all."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Add an agent, or change one."""
    from mailbridge.core.mail import Address
    from mailbridge.service.desk import check_address
    from mailbridge.store import people

    with parts_of(config) as parts:
        who = check_address(address)
        who = Address(name or who.name, who.address)
        known = parts.mailboxes.names
        if parts.mailboxes.mailbox_for(who.address) is not None:
            raise fail(f"{who.address} is a mailbox of ours: an agent needs an address of their own")
        for box in mailbox or []:
            if box.casefold() not in known:
                raise fail(f"{box!r} is no mailbox of ours (known: {', '.join(known)})")
        now = parts.clock.now()
        parts.database.write(lambda conn: people.save_agent(conn, who, mailbox or [], "cli", now))
    print(f"{who.address} is an agent" + (f" of {', '.join(mailbox)}" if mailbox else " of all mailboxes"))


@agent_app.command("remove")
def remove_agent(address: str, config: ConfigOption = None) -> None:
    """Make an agent inactive: no more notifications, and their mail acts no more."""
    from mailbridge.store import people

    with parts_of(config) as parts:
        done = parts.database.write(lambda conn: people.deactivate_agent(conn, address.casefold()))
    if not done:
        raise fail(f"{address!r} is not an active agent", exits.UNAVAILABLE)
    print(f"{address} is no longer an agent")


@agent_app.command("list")
def list_agents(config: ConfigOption = None, json: JsonOption = False) -> None:
    """All agents."""
    from mailbridge.cli.output import print_all_json, print_table
    from mailbridge.store import people

    with parts_of(config) as parts:
        rows = parts.database.read(people.list_agents)
    if json:
        print_all_json(
            {
                "id": r.id,
                "address": r.address,
                "name": r.name,
                "mailboxes": r.mailboxes.split(),
                "active": r.active,
                "source": r.source,
            }
            for r in rows
        )
        return
    print_table(
        ("address", "name", "mailboxes", "active", "from"),
        [(r.address, r.name, r.mailboxes or "all", "yes" if r.active else "no", r.source) for r in rows],
        empty="no agents yet: mailbridge agent add ADDRESS",
    )


@contact_app.command("list")
def list_contacts(limit: LimitOption = 100, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Contacts, newest first."""
    from mailbridge.cli.output import print_all_json, print_table
    from mailbridge.store import people

    with parts_of(config) as parts:
        rows = parts.database.read(lambda conn: people.list_contacts(conn, limit))
    if json:
        print_all_json(dict(r._mapping) for r in rows)
        return
    print_table(
        ("address", "name", "organisation", "role", "tickets"),
        [(r.address, r.name, r.organisation, r.role, r.tickets) for r in rows],
        empty="no contacts yet",
    )


@contact_app.command("add")
def add_contact(
    address: Annotated[str, typer.Argument(help="anne@example.org or 'Anne <anne@example.org>'")],
    config: ConfigOption = None,
) -> None:
    """Add a contact (mail makes them by itself)."""
    from mailbridge.service.desk import check_address
    from mailbridge.store import people

    with parts_of(config) as parts:
        who = check_address(address)
        now = parts.clock.now()
        parts.database.write(lambda conn: people.ensure_contact(conn, who, now))
    print(f"{who.address} is a contact")


@contact_app.command("set")
def set_contact(
    address: str,
    name: Annotated[str | None, typer.Option("--name")] = None,
    role: Annotated[
        str | None, typer.Option("--role", help="contact, technical_contact or admin at their organisation.")
    ] = None,
    organisation: Annotated[str | None, typer.Option("--org", help="The name of their organisation.")] = None,
    config: ConfigOption = None,
) -> None:
    """Change a contact's name, role or organisation."""
    from mailbridge.store import people

    allowed = ("contact", "technical_contact", "admin")
    if role is not None and role not in allowed:
        raise fail(f"role {role!r}: allowed is {', '.join(allowed)}")
    with parts_of(config) as parts:
        problem = parts.database.write(
            lambda conn: people.set_contact(
                conn, address.casefold(), name=name, role=role, organisation_name=organisation
            )
        )
    if problem:
        raise fail(problem, exits.UNAVAILABLE)
    print(f"{address} is changed")


@organisation_app.command("add")
def add_organisation(
    name: str,
    domain: Annotated[
        list[str] | None, typer.Option("--domain", "-d", help="A mail domain whose contacts belong to it.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Add an organisation; contacts already known in its domains join it."""
    from mailbridge.core.address import is_valid
    from mailbridge.store import people

    if not name.strip():
        raise fail("an organisation needs a name")
    for each in domain or []:
        if not is_valid(f"x@{each}"):
            raise fail(f"{each!r} is not a domain such as 'example.org'")
    with parts_of(config) as parts:
        now = parts.clock.now()
        new = people.NewOrganisation(name, tuple(domain or []))
        try:
            parts.database.write(lambda conn: people.add_organisation(conn, new, now))
        except Exception as error:
            if not people.is_taken(error):
                raise
            raise fail(f"the name {name!r} or one of the domains is taken already") from None
    print(f"organisation {name!r} is added")


@organisation_app.command("list")
def list_organisations(config: ConfigOption = None, json: JsonOption = False) -> None:
    """All organisations."""
    from mailbridge.cli.output import print_all_json, print_table
    from mailbridge.store import people

    with parts_of(config) as parts:
        rows = parts.database.read(people.list_organisations)
    if json:
        print_all_json(
            {"id": r.id, "name": r.name, "domains": r.domains.split(), "contacts": r.contacts} for r in rows
        )
        return
    print_table(
        ("name", "domains", "contacts"),
        [(r.name, r.domains, r.contacts) for r in rows],
        empty="no organisations yet: mailbridge org add NAME --domain example.org",
    )
