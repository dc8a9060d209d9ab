"""The tables: one schema for SQLite and PostgreSQL.

States are CHECK constraints, and the unique keys are what makes a repeat harmless: `inbound_seen.dedupe_key`
(a mail that comes twice), `outbox.cause_key` (a mail of ours that would be made twice), `decision.inbound_id`
(one decision per mail). Large bytes live in tables of their own: a change of state never rewrites them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from mailbridge.store.types import UTCDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives ids by itself only to a column of the exact type INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


organisation = Table(
    "organisation",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("created_at", UTCDateTime, nullable=False),
)

organisation_domain = Table(
    "organisation_domain",
    metadata,
    Column("domain", String(255), primary_key=True),
    Column("organisation_id", Id, ForeignKey("organisation.id"), nullable=False),
)

contact = Table(
    "contact",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", String(320), nullable=False, unique=True),  # the address, case folded
    Column("address", String(320), nullable=False),  # as first written
    Column("name", String(200), nullable=False, server_default=""),
    Column("organisation_id", Id, ForeignKey("organisation.id")),
    Column("role", String(20), nullable=False, server_default="contact"),
    Column("created_at", UTCDateTime, nullable=False),
    _one_of("role", "contact", "technical_contact", "admin"),
    Index(None, "organisation_id"),
)

agent = Table(
    "agent",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", String(320), nullable=False, unique=True),
    Column("address", String(320), nullable=False),
    Column("name", String(200), nullable=False, server_default=""),
    Column("mailboxes", Text, nullable=False, server_default=""),  # blank-separated; '' is all
    Column("active", Boolean, nullable=False),
    Column("source", String(10), nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    _one_of("source", "config", "cli"),
)

ticket = Table(
    "ticket",
    metadata,
    Column("id", Id, primary_key=True),  # the running number
    Column("key", String(16), nullable=False, unique=True),  # 50 random bits, never guessable
    Column("mailbox", String(320), nullable=False),
    Column("subject", Text, nullable=False),
    Column("requester_id", Id, ForeignKey("contact.id"), nullable=False),
    Column("priority", String(2), nullable=False),
    Column("status", String(10), nullable=False),
    Column("solved_reason", String(20), nullable=False, server_default=""),
    Column("bug_reference", Text, nullable=False, server_default=""),
    Column("bug_priority", Text, nullable=False, server_default=""),
    Column("bug_timeline", Text, nullable=False, server_default=""),
    Column("hold_reason", Text, nullable=False, server_default=""),
    Column("merged_into", Id, ForeignKey("ticket.id")),
    Column("follow_up_of", Id, ForeignKey("ticket.id")),
    Column("claims_ticket", Id, ForeignKey("ticket.id")),  # 'claims to belong to', shown to agents only
    Column(
        "flag", Text, nullable=False, server_default=""
    ),  # why an agent must look, e.g. 'question bounced'
    Column("pending_since", UTCDateTime),
    Column("pending_epoch", Integer, nullable=False, server_default="0"),
    Column("reminders", Integer, nullable=False, server_default="0"),  # delivered in this epoch
    Column("solved_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    _one_of("priority", "S1", "S2", "S3", "S4"),
    _one_of("status", "open", "pending", "on_hold", "solved"),
    _one_of("solved_reason", "", "agreed", "bug_filed", "merged", "unresponsive", "handed_over"),
    CheckConstraint("(status = 'solved') = (solved_reason <> '')", name="solved_says_why"),
    CheckConstraint("(solved_reason = 'merged') = (merged_into IS NOT NULL)", name="merged_says_where"),
    CheckConstraint(
        "solved_reason <> 'bug_filed' OR (bug_reference <> '' AND bug_priority <> '' AND bug_timeline <> '')",
        name="bug_filed_is_whole",
    ),
    Index(None, "status", "updated_at"),
    Index(None, "requester_id"),
    Index(None, "merged_into"),
)

participant = Table(
    "participant",
    metadata,
    Column("ticket_id", Id, ForeignKey("ticket.id"), primary_key=True),
    Column("contact_id", Id, ForeignKey("contact.id"), primary_key=True),
    Column("role", String(12), nullable=False),
    Column("added_at", UTCDateTime, nullable=False),
    _one_of("role", "requester", "collaborator"),
    Index(None, "contact_id"),
)

inbound = Table(
    "inbound",
    metadata,
    Column("id", Id, primary_key=True),
    Column("mailbox", String(320), nullable=False),
    Column("envelope_from", Text, nullable=False),  # '' is the null sender
    Column("rcpt_to", Text, nullable=False),  # blank-separated: all of this mailbox, with their plus-tags
    Column("source", String(100), nullable=False),
    Column("received_at", UTCDateTime, nullable=False),
    Column("size", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_until", UTCDateTime),
    Column("duplicates", Integer, nullable=False, server_default="0"),
    Column("message_id", Text, nullable=False, server_default=""),
    Column("ticket_id", Id, ForeignKey("ticket.id")),
    Column("reason", String(40), nullable=False, server_default=""),  # of the quarantine
    Column("detail", Text, nullable=False, server_default=""),
    Column("processed_at", UTCDateTime),
    Column("history", Text, nullable=False, server_default="[]"),  # JSON: decisions before a replay
    _one_of("state", "received", "done", "quarantined", "dropped"),
    Index(None, "state", "id"),
    Index(None, "message_id"),
    Index(None, "ticket_id"),
)

inbound_raw = Table(
    "inbound_raw",
    metadata,
    Column("inbound_id", Id, ForeignKey("inbound.id"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

inbound_seen = Table(
    "inbound_seen",
    metadata,
    Column("dedupe_key", LargeBinary(32), primary_key=True),
    Column("inbound_id", Id, ForeignKey("inbound.id"), nullable=False),
    Column("seen_at", UTCDateTime, nullable=False),
    sqlite_with_rowid=False,
)

decision = Table(
    "decision",
    metadata,
    Column("inbound_id", Id, ForeignKey("inbound.id"), primary_key=True),
    Column("action", String(20), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("rule", String(40), nullable=False),  # of the matching ladder
    Column("header", String(100), nullable=False),  # that decided
    Column("value", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("kind_header", String(100), nullable=False),
    Column("kind_value", Text, nullable=False),
    Column("trust", String(12), nullable=False),
    Column("rejected", Text, nullable=False),  # JSON list of {rule, header, value, why}
    Column("ticket_id", Id, ForeignKey("ticket.id")),
    Column("decided_at", UTCDateTime, nullable=False),
    Column("milliseconds", Integer, nullable=False),
)

entry = Table(
    "entry",
    metadata,
    Column("id", Id, primary_key=True),
    Column("ticket_id", Id, ForeignKey("ticket.id"), nullable=False),
    Column("via_ticket_id", Id, ForeignKey("ticket.id")),  # the merged ticket it was written to, if any
    Column("kind", String(12), nullable=False),
    Column("channel", String(10), nullable=False),
    Column("contact_id", Id, ForeignKey("contact.id")),  # who wrote it, unless an agent or we
    Column("agent_id", Id, ForeignKey("agent.id")),
    Column("at", UTCDateTime, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),
    Column("text", Text, nullable=False, server_default=""),  # whole body
    Column("reply", Text, nullable=False, server_default=""),  # the new words: what is shown and sent on
    Column("cut", Text, nullable=False, server_default=""),  # quotes and signature, on demand
    Column("html", Text, nullable=False, server_default=""),  # as it came: unsafe
    Column("message_id", Text, nullable=False, server_default=""),
    Column("inbound_id", Id, ForeignKey("inbound.id")),
    Column("event", String(20), nullable=False, server_default=""),  # of kind event: status, priority, ...
    Column("data", Text, nullable=False, server_default=""),  # JSON: from, to, who, why
    _one_of("kind", "mail", "reply", "note", "automatic", "bounce", "event", "chat"),
    Index(None, "ticket_id", "id"),
    Index(None, "message_id"),
    Index(None, "inbound_id"),
)

blob = Table(
    "blob",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

attachment = Table(
    "attachment",
    metadata,
    Column("id", Id, primary_key=True),
    Column("entry_id", Id, ForeignKey("entry.id"), nullable=False),
    Column("filename", String(120), nullable=False),
    Column("content_type", String(200), nullable=False),
    Column("size", Integer, nullable=False),
    Column("inline", Boolean, nullable=False),
    Column("content_id", Text, nullable=False, server_default=""),
    Column("sha256", String(64), ForeignKey("blob.sha256"), nullable=False),
    Index(None, "entry_id"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("cause_key", String(200), nullable=False, unique=True),
    Column("kind", String(20), nullable=False),
    Column("automatic", Boolean, nullable=False),
    Column("mailbox", String(320), nullable=False),
    Column("ticket_id", Id, ForeignKey("ticket.id")),
    Column("entry_id", Id, ForeignKey("entry.id")),
    Column("reference", String(32), nullable=False, unique=True),  # random; signed into the bounce address
    Column("envelope_from", Text, nullable=False),  # '' is the null sender
    Column("message_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("state", String(8), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", UTCDateTime, nullable=False),
    Column("next_attempt_at", UTCDateTime, nullable=False),
    Column("lease_until", UTCDateTime),
    UniqueConstraint("message_id"),
    _one_of("state", "queued", "sending", "sent", "retry", "failed", "unknown", "held"),
    Index(None, "state", "next_attempt_at"),
    Index(None, "ticket_id", "created_at"),
)

outbox_data = Table(
    "outbox_data",
    metadata,
    Column("outbox_id", Id, ForeignKey("outbox.id"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

outbox_recipient = Table(
    "outbox_recipient",
    metadata,
    Column("outbox_id", Id, ForeignKey("outbox.id"), primary_key=True),
    Column("address", String(320), primary_key=True),
    Column("folded", String(320), nullable=False),  # case folded, without plus-tag
    Column("domain", String(255), nullable=False),
    Column("state", String(8), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_reply", Text, nullable=False, server_default=""),
    Column("capped", Boolean, nullable=False),  # counts against the caps on automatic mail
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    _one_of("state", "queued", "sending", "sent", "retry", "failed", "unknown", "held"),
    # The caps count only capped mail. Partial indexes stay small, and their counts read no row.
    *(
        Index(
            f"ix_outbox_recipient_capped_{'_'.join(columns)}",
            *columns,
            sqlite_where=text("capped = 1"),
            postgresql_where=text("capped"),
        )
        for columns in (
            ("address", "created_at"),
            ("folded", "created_at"),
            ("domain", "created_at"),
            ("created_at",),
        )
    ),
)

daemon_state = Table(  # small facts kept between runs, e.g. that the outbox is held and why
    "daemon_state",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
    Column("at", UTCDateTime, nullable=False),
)
