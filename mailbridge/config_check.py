"""Prove a settings file without starting anything: what `mailbridge check` prints, and its exit code.

Standards: sysexits(3): 78, EX_CONFIG.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mailbridge.config import ConfigError, Rule, Settings
from mailbridge.config_load import BUILT_IN, load
from mailbridge.config_read import duration_text, size_text

EX_CONFIG = 78


def check(path: Path | None, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """(0, a summary of what the file means) or (78, every problem, one a line). Never shows a secret."""
    try:
        settings = load(path, environ)
    except ConfigError as error:
        count = len(error.problems)
        return EX_CONFIG, f"{error}\n{count} problem{'s' if count > 1 else ''}"
    name = BUILT_IN if path is None else os.fspath(path)
    lines = [f"  {title:<12}{text}" for title, text in _summary(settings)]
    return 0, "\n".join([f"{name}: good", *lines, *(f"note: {note}" for note in _notes(settings))])


def _summary(settings: Settings) -> Iterator[tuple[str, str]]:
    store, smtp, delivery, tickets = settings.store, settings.smtp, settings.delivery, settings.tickets
    yield "data", str(settings.server.data_dir)
    yield "database", store.url or f"SQLite in {settings.server.data_dir / 'mailbridge.db'}"
    if smtp.enabled:
        tls = "STARTTLS offered" if smtp.tls_certificate else "no TLS"
        yield (
            "mail in",
            f"SMTP on {', '.join(smtp.listen)} ({tls}), up to {size_text(smtp.max_message)} a mail",
        )
    else:
        yield "mail in", "no SMTP listener"
    for mailbox in settings.mailbox:
        aliases = f", also {', '.join(mailbox.aliases)}" if mailbox.aliases else ""
        acknowledged = "acknowledged" if mailbox.acknowledge else "not acknowledged"
        yield "mailbox", f"{mailbox.address}{aliases}: new tickets {mailbox.default_priority}, {acknowledged}"
    for agent in settings.agent:
        yield "agent", f"{agent.address}: {', '.join(agent.mailboxes) or 'all mailboxes'}"
    if delivery.method == "maildir":
        yield "mail out", f"Maildir {delivery.maildir}"
    else:
        login = f" as {delivery.username}" if delivery.username else " without login"
        yield "mail out", f"SMTP to {delivery.host}:{delivery.port}, {delivery.security}{login}"
    reopen = tickets.reopen_within
    yield "reopen", "for ever" if reopen == "forever" else f"within {duration_text(reopen)}"
    for rule in settings.rules:
        yield "rule", _rule_text(rule)


def _rule_text(rule: Rule) -> str:
    conditions = {
        "subject tag": rule.subject_tag,
        "from": rule.from_,
        "organisation": rule.organisation,
        "mailbox": rule.mailbox,
    }
    told = " and ".join(f"{name} {' or '.join(values)}" for name, values in conditions.items() if values)
    return f"{told}: {rule.priority}"


def _notes(settings: Settings) -> Iterator[str]:
    """What is allowed, but may not be meant."""
    if any(mailbox.address.endswith("@localhost") for mailbox in settings.mailbox):
        yield "a mailbox ends in @localhost: good for trying out, but nobody elsewhere can write to it"
    if not settings.agent:
        yield "no [[agent]] in the file: nobody is told of new tickets until `mailbridge agent add`"
    if settings.delivery.method == "maildir":
        yield "delivery.method is 'maildir': answers are written to a folder and not sent"
