"""Settings: the frozen values of mailbridge.toml and rules.toml, and what each of them allows.

`mailbridge.config_load` reads the files into them. `config/mailbridge.toml` holds every key, commented out at
its default: it is the manual, and `tests/test_docs_config.py` holds it to this file.

Standards: RFC 5321 4.1.2 and 4.5.3.1 (addresses and their lengths), RFC 3986 (database URLs).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    Strict,
    model_validator,
)

from mailbridge.core.address import is_valid

_DURATION = re.compile(r"(\d{1,9})\s*(s|m|h|d)", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_DURATION = timedelta(days=36500)
_SIZE = re.compile(r"(\d{1,12})\s*(B|KiB|MiB|GiB)", re.ASCII)
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SUBJECT_TAG = re.compile(r"[A-Za-z0-9 _.:-]{1,40}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a settings file, in words for the person who wrote it.

    `key` is '' when the file as a whole is meant; entries of `[[mailbox]]` and the like count from 1.
    `value` is shown as given, '' for none: a missing key, or a value that could be a secret.
    """

    file: str
    key: str
    value: str
    allowed: str

    def __str__(self) -> str:
        parts = [self.file, self.key, f"value {self.value}" if self.value else "", self.allowed]
        return ": ".join(part for part in parts if part)


class ConfigError(Exception):
    """The settings cannot be used. `problems` are all that were found, not only the first."""

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


_LONGEST_SOCKET_PATH = 107  # bytes: sockaddr_un of Linux


def parse_duration(value: object) -> object:
    """'90s', '15m', '8h' or '3d' as a timedelta; anything else raises ValueError naming the forms."""
    if isinstance(value, timedelta):
        return value
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError("allowed is a duration such as '90s', '15m', '8h' or '3d'")
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds > _LONGEST_DURATION.total_seconds():
        raise ValueError(f"allowed is a duration of at most '{_LONGEST_DURATION.days}d'")
    return timedelta(seconds=seconds)


def parse_size(value: object) -> object:
    """'512 KiB' or '30 MiB' as bytes; anything else raises ValueError naming the forms."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError("allowed is a size such as '512 KiB' or '30 MiB'")
    return int(found[1]) * _SIZES[found[2]]


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of '127.0.0.1:8025', '[::1]:25' or 'localhost:25'; port 0 is any free one.

    Raises ValueError naming the forms. Other names are refused: what they resolve to can change.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        version = 4 if host == "localhost" else ipaddress.ip_address(bare).version
        good = bool(colon) and (version == 6) == (bare != host)
        number = int(port) if good and re.fullmatch(r"[0-9]{1,5}", port) else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise ValueError(
            "allowed is ADDRESS:PORT such as '127.0.0.1:8025', '[::1]:8025' or '0.0.0.0:25', or unix:/PATH"
        )
    return bare, number


def is_loopback(host: str) -> bool:
    """Whether a host surely never leaves this machine: 'localhost' or a loopback address (RFC 6761 6.3)."""
    try:
        return host.casefold() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse_reopen(value: object) -> object:
    try:
        return value if value == "forever" else parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}, or 'forever'") from None


def _check_listen(value: str) -> str:
    if value.startswith("unix:/"):
        if len(value.encode()) - len("unix:") > _LONGEST_SOCKET_PATH:
            raise ValueError(f"allowed is a socket path of at most {_LONGEST_SOCKET_PATH} bytes")
        return value
    parse_listen(value)
    return value


def _check_path(value: Any) -> Any:
    if isinstance(value, str) and (not value or "\0" in value):
        raise ValueError("allowed is a path")
    return value


def _check_optional_path(value: Any) -> Any:
    return None if value == "" else _check_path(value)


def _check_line(value: str) -> str:
    if len(value) > 200 or not value.isprintable():
        raise ValueError("allowed is one line of at most 200 printable characters")
    return value


def _check_host(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if not is_valid(f"x@{value}"):
            raise ValueError("allowed is a host name such as 'mail.example.org', or an IP address") from None
    return value


def _check_address(value: str) -> str:
    if not is_valid(value):
        raise ValueError("allowed is a plain mail address such as 'support@example.org'")
    return value


def _check_sender(value: str) -> str:
    if not is_valid(f"x{value}" if value.startswith("@") else value):
        raise ValueError("allowed is a mail address, or '@' and a domain, such as '@example.org'")
    return value


def _check_tag(value: str) -> str:
    if not _SUBJECT_TAG.fullmatch(value):
        raise ValueError("allowed is the text between the brackets, such as 'S1' for [S1] in a subject")
    return value


def _check_store_url(value: str) -> str:
    """Raises ValueError unless '', sqlite:///PATH or postgresql://HOST/NAME, with no password in it."""
    try:
        url = urlsplit(value)
        _ = url.port  # raises when it is no number
        secret = url.password or any(name == "password" for name, _ in parse_qsl(url.query))
    except ValueError:
        url, secret = urlsplit(""), False
    if secret:
        raise ValueError(
            "no password is allowed here: put it into a file named by store.password_file,"
            " or into the environment variable MAILBRIDGE_STORE_PASSWORD"
        )
    sqlite = url.scheme == "sqlite" and not url.netloc and len(url.path) > 1 and not url.query
    postgresql = url.scheme in ("postgresql", "postgresql+psycopg") and len(url.path) > 1
    if value and not sqlite and not postgresql:
        raise ValueError("allowed is '', 'sqlite:///PATH' or 'postgresql://USER@HOST:PORT/NAME'")
    return value


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(parse_duration), Field(gt=timedelta(0))]
DurationOrZero = Annotated[timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(0))]
Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
SizeOrZero = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]
Priority = Literal["S1", "S2", "S3", "S4"]
Line = Annotated[str, AfterValidator(_check_line)]
Host = Annotated[str, AfterValidator(_check_host)]
MailAddress = Annotated[str, AfterValidator(_check_address)]
# Strict everywhere else, so that `port = "587"` is told rather than guessed at; TOML has no paths or tuples.
RequiredPath = Annotated[Path, Strict(False), BeforeValidator(_check_path)]
OptionalPath = Annotated[Path | None, Strict(False), BeforeValidator(_check_optional_path)]
"""'' in the file is None: not set."""
Addresses = Annotated[tuple[MailAddress, ...], Strict(False)]


class Section(BaseModel):
    """One table of the file: frozen, no guessing at types, and a key that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class Server(Section):
    """[server]: where things live and how the daemon speaks to its operator."""

    data_dir: RequiredPath = Path("var")
    hostname: Host = "localhost"
    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    drain_timeout: DurationOrZero = timedelta(seconds=10)


class StoreSettings(Section):
    """[store]: the database."""

    url: Annotated[str, AfterValidator(_check_store_url)] = ""
    """'' is SQLite in data_dir/mailbridge.db; else sqlite:///PATH or postgresql://..."""
    password_file: OptionalPath = None
    readers: int = Field(default=4, ge=1, le=32)
    busy_timeout: Duration = timedelta(seconds=5)


class Smtp(Section):
    """[smtp]: the listener for incoming mail."""

    enabled: bool = True
    listen: Annotated[tuple[Annotated[str, AfterValidator(_check_listen)], ...], Strict(False)] = (
        "127.0.0.1:8025",
    )
    tls_certificate: OptionalPath = None
    tls_key: OptionalPath = None
    max_message: Size = 36 << 20
    max_connections: int = Field(default=200, ge=1)
    max_connections_per_address: int = Field(default=20, ge=1)
    max_recipients: int = Field(default=100, ge=1)
    idle_timeout: Duration = timedelta(minutes=2)
    data_timeout: Duration = timedelta(minutes=10)
    session_timeout: Duration = timedelta(minutes=30)
    store_timeout: Duration = timedelta(seconds=10)
    max_unprocessed: int = Field(default=1000, ge=1)
    min_free_disk: SizeOrZero = 200 << 20


class Intake(Section):
    """[intake]: reading mail, in worker processes that can be killed."""

    workers: int = Field(default=0, ge=0, le=64)
    """0: one per processor, at most 4."""
    parse_timeout: Duration = timedelta(seconds=20)
    parse_memory: Size = 512 << 20
    lease: Duration = timedelta(minutes=2)
    max_attempts: int = Field(default=10, ge=1)
    duplicate_window: DurationOrZero = timedelta(days=30)
    quarantine_keep: Duration = timedelta(days=90)
    max_attachment: Size = 25 << 20
    max_attachments: int = Field(default=200, ge=1, le=1000)


class Mailbox(Section):
    """[[mailbox]]: an address we receive for, and answer from."""

    address: MailAddress
    name: Line = ""
    aliases: Addresses = ()
    default_priority: Priority = "S3"
    acknowledge: bool = True


class AgentEntry(Section):
    """[[agent]]: someone who answers. More can be added with `mailbridge agent add`."""

    address: MailAddress
    name: Line = ""
    mailboxes: Addresses = ()
    """Empty: all of them."""


class Tickets(Section):
    """[tickets]: how tickets live."""

    reopen_within: Annotated[timedelta | Literal["forever"], BeforeValidator(_parse_reopen)] = "forever"
    rules_file: OptionalPath = None
    templates_dir: OptionalPath = None
    notify_agents: Annotated[tuple[Literal["new", "reply", "answer"], ...], Strict(False)] = (
        "new",
        "reply",
        "answer",
    )


class Caps(Section):
    """[caps]: the most automatic mails in one hour; above `total` they are held, above others not sent."""

    per_recipient: int = Field(default=5, ge=0)
    per_mailbox: int = Field(default=10, ge=0)
    per_ticket: int = Field(default=10, ge=0)
    per_domain: int = Field(default=60, ge=0)
    total: int = Field(default=1000, ge=0)


class Delivery(Section):
    """[delivery]: how mail leaves."""

    method: Literal["maildir", "smtp"] = "maildir"
    maildir: RequiredPath = Path("outgoing")
    host: Host = "localhost"
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none-on-loopback"] = "starttls"
    ca_file: OptionalPath = None
    username: Line = ""
    password_file: OptionalPath = None
    timeout: Duration = timedelta(seconds=60)
    connections: int = Field(default=4, ge=1, le=32)
    retry_first: Duration = timedelta(minutes=1)
    retry_longest: Duration = timedelta(hours=1)
    give_up_after: Duration = timedelta(days=3)


class Rule(Section):
    """[[rule]] of rules.toml: a new ticket that meets every condition given gets this priority.

    A condition left out does not count; one with several values is met by any of them.
    """

    subject_tag: Annotated[
        tuple[Annotated[str, AfterValidator(_check_tag)], ...], Strict(False), BeforeValidator(_one_or_more)
    ] = ()
    """'S1' is met by [S1] anywhere in the subject, in any case of letters."""
    from_: Annotated[
        tuple[Annotated[str, AfterValidator(_check_sender)], ...],
        Strict(False),
        BeforeValidator(_one_or_more),
        Field(alias="from"),
    ] = ()
    """Whole addresses, or '@' and a domain (not its subdomains)."""
    organisation: Annotated[tuple[Line, ...], Strict(False), BeforeValidator(_one_or_more)] = ()
    mailbox: Annotated[tuple[MailAddress, ...], Strict(False), BeforeValidator(_one_or_more)] = ()
    priority: Priority

    @model_validator(mode="after")
    def _some_condition(self) -> Self:
        if not (self.subject_tag or self.from_ or self.organisation or self.mailbox):
            raise ValueError("a rule needs at least one of subject_tag, from, organisation, mailbox")
        return self


class Settings(Section):
    """The whole of mailbridge.toml. Paths are absolute once loaded."""

    server: Server = Server()
    store: StoreSettings = StoreSettings()
    smtp: Smtp = Smtp()
    intake: Intake = Intake()
    tickets: Tickets = Tickets()
    caps: Caps = Caps()
    delivery: Delivery = Delivery()
    mailbox: Annotated[tuple[Mailbox, ...], Strict(False)] = (
        Mailbox(address="support@localhost", name="Support"),
    )
    agent: Annotated[tuple[AgentEntry, ...], Strict(False)] = ()
    # The rest is not of mailbridge.toml: from rules.toml, and secrets from files or the environment.
    rules: Annotated[tuple[Rule, ...], Strict(False)] = Field(default=(), exclude=True)
    """In the order of the file; the first that matches decides the priority of a new ticket."""
    store_password: SecretStr | None = Field(default=None, exclude=True, repr=False)
    delivery_password: SecretStr | None = Field(default=None, exclude=True, repr=False)
