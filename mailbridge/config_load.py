"""Read mailbridge.toml and the rules file into `Settings`, or say all that is wrong with them at once.

Standards: TOML 1.0; systemd credentials ($CREDENTIALS_DIRECTORY, systemd.exec(5)).
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from mailbridge.config import (
    AgentEntry,
    ConfigError,
    Delivery,
    Mailbox,
    Rule,
    Section,
    Server,
    Settings,
    Smtp,
    StoreSettings,
    is_loopback,
)
from mailbridge.config_read import TABLES, Reader, duration_text, exists, model_of, unfit_file
from mailbridge.core.address import split_tag
from mailbridge.core.tokens import MAX_MAILBOX_LOCAL

BUILT_IN = "built-in defaults"
_LISTS = ("mailbox", "agent")
_LARGEST_SECRET = 4096
_SECRETS = {"store": "MAILBRIDGE_STORE_PASSWORD", "delivery": "MAILBRIDGE_DELIVERY_PASSWORD"}


def load(path: Path | None, environ: Mapping[str, str] | None = None, *, sending: bool = True) -> Settings:
    """The settings of a file, or the defaults with data in ./var when `path` is None.

    Makes and changes nothing. Relative paths start at the file's folder (at the working directory for None),
    `delivery.maildir` at `server.data_dir`. Secrets come, in this order, from `environ` (the process's when
    None), from the files named by `password_file`, from systemd's credentials. Who is not `sending` mail can
    do without its password: credentials are the service's alone. Raises ConfigError with every problem found.
    """
    reader = Reader(BUILT_IN if path is None else str(path), path.parent if path else Path())
    settings = _Loader(reader, os.environ if environ is None else environ, sending=sending).settings(path)
    if reader.problems:
        raise ConfigError(reader.problems)
    return settings


@dataclass(frozen=True, slots=True)
class _Address:
    """An address of ours and where the file says so."""

    label: str
    address: str
    mailbox: str

    @property
    def key(self) -> str:
        return self.address.casefold()


class _Loader:
    """From a file's tables to Settings: shapes, then paths, secrets, and what keys ask of each other."""

    def __init__(self, reader: Reader, environ: Mapping[str, str], *, sending: bool) -> None:
        self._reader = reader
        self._environ = environ
        self._sending = sending
        self._known: dict[str, str] = {}
        """The main address of every good [[mailbox]], by its folded form."""

    def settings(self, path: Path | None) -> Settings:
        """The settings; only to be used when the reader has no problems."""
        reader = self._reader
        content = {} if path is None else reader.content(path)
        for key in content:
            if key not in (*TABLES, *_LISTS):
                reader.unknown(key, (*TABLES, *_LISTS))
        tables = {name: reader.table(model_of(name), name, content.get(name, {})) for name in TABLES}
        found: dict[str, Any] = {key: value for key, value in tables.items() if value is not None}
        mailboxes = reader.tables(Mailbox, "mailbox", content["mailbox"]) if "mailbox" in content else []
        agents = reader.tables(AgentEntry, "agent", content.get("agent", []))
        if "mailbox" in content:
            found["mailbox"] = tuple(mailbox for _, mailbox in mailboxes)
        settings = self._with_paths(Settings(**found, agent=tuple(agent for _, agent in agents)))
        if content.get("mailbox") == []:
            reader.add("mailbox", None, "allowed is at least one [[mailbox]]: an address to receive for")
        if "mailbox" not in content:
            mailboxes = [("mailbox[1]", each) for each in settings.mailbox]
        ours = self._own_addresses(mailboxes)
        self._known = {each.mailbox.casefold(): each.mailbox for each in ours}
        self._check_agents(agents, ours)
        self._check_server(settings.server, settings.tickets.templates_dir)
        self._check_smtp(settings.smtp)
        self._check_times(settings)
        secrets = {f"{table}_password": self._secret(table, getattr(settings, table)) for table in _SECRETS}
        self._check_delivery(settings.delivery, secrets["delivery_password"])
        rules = self._rules(settings.tickets.rules_file)
        return settings.model_copy(update={**secrets, "rules": rules})

    def _with_paths(self, settings: Settings) -> Settings:
        """The settings with every path absolute."""
        data_dir = self._absolute(settings.server.data_dir)
        updates: dict[str, Section] = {}
        for name in TABLES:
            section: Section = getattr(settings, name)
            paths = {key: value for key, value in section if isinstance(value, Path)}
            updates[name] = section.model_copy(
                update={
                    key: self._absolute(path, data_dir if key == "maildir" else None)
                    for key, path in paths.items()
                }
            )
        url = settings.store.url
        if url.startswith("sqlite:///"):
            database = self._absolute(Path(url.removeprefix("sqlite:///")))
            updates["store"] = updates["store"].model_copy(update={"url": f"sqlite:///{database}"})
        return settings.model_copy(update=updates)

    def _absolute(self, path: Path, start: Path | None = None) -> Path:
        with contextlib.suppress(RuntimeError):  # no home directory: '~' is then a name like any other
            path = path.expanduser()
        return Path(os.path.normpath((start or self._reader.folder) / path))

    def _own_addresses(self, mailboxes: Collection[tuple[str, Mailbox]]) -> list[_Address]:
        ours: dict[str, _Address] = {}
        for label, mailbox in mailboxes:
            names = [(f"{label}.address", mailbox.address)]
            names += [(f"{label}.aliases[{i}]", alias) for i, alias in enumerate(mailbox.aliases, 1)]
            for key, address in names:
                each = _Address(key, address, mailbox.address)
                if "+" in address.partition("@")[0]:
                    self._reader.add(key, address, "no '+' is allowed: what follows it is our own tag")
                elif each.key in ours:
                    self._reader.add(key, address, f"already given as {ours[each.key].label}")
                else:
                    ours[each.key] = each
            local = mailbox.address.rpartition("@")[0]
            if len(local.encode()) > MAX_MAILBOX_LOCAL:
                self._reader.add(
                    f"{label}.address",
                    mailbox.address,
                    f"allowed are at most {MAX_MAILBOX_LOCAL} octets before the '@', since replies come to"
                    " NAME+TAG and mail allows 64; choose a shorter address and make this one of its aliases",
                )
        return list(ours.values())

    def _check_agents(self, agents: Collection[tuple[str, AgentEntry]], ours: Collection[_Address]) -> None:
        own = {each.key: each.label for each in ours}
        seen: dict[str, str] = {}
        for label, agent in agents:
            tagged = split_tag(agent.address)
            key = f"{label}.address"
            if tagged is not None and tagged.mailbox in own:
                where = own[tagged.mailbox]
                self._reader.add(
                    key, agent.address, f"this is our own address ({where}): mail would go in circles"
                )
            elif agent.address.casefold() in seen:
                self._reader.add(key, agent.address, f"already given as {seen[agent.address.casefold()]}")
            seen.setdefault(agent.address.casefold(), key)
            self._check_known(self._reader, f"{label}.mailboxes", agent.mailboxes)

    def _check_known(self, reader: Reader, key: str, addresses: Collection[str]) -> None:
        for i, address in enumerate(addresses, 1):
            # Without a single good [[mailbox]] that is the mistake to tell, not this one.
            if self._known and address.casefold() not in self._known:
                known = ", ".join(sorted(self._known.values()))
                reader.add(f"{key}[{i}]", address, f"no such [[mailbox]]; known: {known}")

    def _check_server(self, server: Server, templates: Path | None) -> None:
        if exists(server.data_dir) and not server.data_dir.is_dir():
            self._reader.add("server.data_dir", server.data_dir, "allowed is a folder, and this is none")
        if templates is not None and not (exists(templates) and templates.is_dir()):
            self._reader.add("tickets.templates_dir", templates, "no such folder")

    def _check_smtp(self, smtp: Smtp) -> None:
        add, certificate, key = self._reader.add, smtp.tls_certificate, smtp.tls_key
        if smtp.enabled and not smtp.listen:
            add("smtp.listen", [], "allowed is at least one address, or smtp.enabled = false")
        if len(set(smtp.listen)) != len(smtp.listen):
            add("smtp.listen", list(smtp.listen), "the same address is given twice")
        if not self._reader.sound("smtp.tls_certificate", "smtp.tls_key"):
            return
        if certificate and not key:
            add("smtp.tls_key", None, "missing: smtp.tls_certificate is set, and a certificate needs its key")
        elif key and not certificate:
            add("smtp.tls_certificate", None, "missing: smtp.tls_key is set, and a key needs its certificate")
        elif key and certificate:
            fault = unfit_file(key, private=True)
            if fault:
                add("smtp.tls_key", key, fault)
            if unreadable := unfit_file(certificate, private=False):
                add("smtp.tls_certificate", certificate, unreadable)
            elif not fault:
                try:
                    # An empty password, so that a locked key fails here instead of asking on the terminal.
                    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
                except (OSError, ValueError) as error:
                    reason = getattr(error, "reason", None) or "not PEM, or locked with a passphrase"
                    add("smtp.tls_certificate", certificate, f"does not load with smtp.tls_key: {reason}")

    def _check_times(self, settings: Settings) -> None:
        delivery, intake = settings.delivery, settings.intake
        for low_key, low, high_key, high in (
            ("delivery.retry_first", delivery.retry_first, "delivery.retry_longest", delivery.retry_longest),
            (
                "delivery.retry_longest",
                delivery.retry_longest,
                "delivery.give_up_after",
                delivery.give_up_after,
            ),
            ("intake.parse_timeout", intake.parse_timeout, "intake.lease", intake.lease),
        ):
            if low > high and self._reader.sound(low_key, high_key):
                self._reader.add(
                    low_key,
                    duration_text(low),
                    f"allowed is at most {high_key}, which is '{duration_text(high)}'",
                )

    def _check_delivery(self, delivery: Delivery, password: SecretStr | None) -> None:
        add, sound = self._reader.add, self._reader.sound
        if (
            delivery.security == "none-on-loopback"
            and not is_loopback(delivery.host)
            and sound("delivery.host")
        ):
            add(
                "delivery.security",
                delivery.security,
                f"allowed only when delivery.host is this machine (localhost, 127.0.0.1, ::1), not"
                f" '{delivery.host}': mail and password would travel in the clear; use 'starttls' or 'tls'",
            )
        if delivery.ca_file:
            fault = unfit_file(delivery.ca_file, private=False)
            try:
                if not fault:
                    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(delivery.ca_file)
            except OSError:
                fault = "no certificate in it: allowed is a PEM file"
            if fault:
                add("delivery.ca_file", delivery.ca_file, fault)
        needs = delivery.method == "smtp" and delivery.username and sound("delivery.username")
        if self._sending and needs and password is None and sound("delivery.password_file"):
            add(
                "delivery.password_file",
                None,
                "missing: delivery.username is set; name a file with its password here, or set the"
                f" environment variable {_SECRETS['delivery']}, or the systemd credential delivery_password",
            )

    def _secret(self, table: str, section: StoreSettings | Delivery) -> SecretStr | None:
        """The password of a table. systemd hands credentials out readable to us alone: no mode to check."""
        if from_environment := self._environ.get(_SECRETS[table]):
            return SecretStr(from_environment)
        path, private = section.password_file, True
        if path is None and (folder := self._environ.get("CREDENTIALS_DIRECTORY")):
            path, private = Path(folder, f"{table}_password"), False
            if not exists(path):
                return None
        if path is None:
            return None
        fault = unfit_file(path, private=private)
        if not fault:
            content = path.read_bytes()
            try:
                secret = content.decode().removesuffix("\n").removesuffix("\r")
                if secret and secret.isprintable() and len(content) <= _LARGEST_SECRET:
                    return SecretStr(secret)
            except UnicodeDecodeError:
                pass
            fault = "allowed is a file with the password on one line and nothing else"
        self._reader.add(f"{table}.password_file", path, fault)
        return None

    def _rules(self, path: Path | None) -> tuple[Rule, ...]:
        if path is None:
            return ()
        rules = Reader(str(path), path.parent)
        content = rules.content(path)
        for key in content:
            if key != "rule":
                rules.unknown(key, ["rule"])
        found = rules.tables(Rule, "rule", content.get("rule", []))
        for label, rule in found:
            self._check_known(rules, f"{label}.mailbox", rule.mailbox)
        self._reader.problems += rules.problems
        return tuple(rule for _, rule in found)
