"""Mail out over real SMTP: every way a smarthost can fail has its own, right answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
import trustme

from mailbridge.config import Delivery
from mailbridge.core.compose import compose
from mailbridge.core.mail import Address
from mailbridge.core.outgoing import (
    Deferred,
    Delivered,
    MailDraft,
    Outgoing,
    Refused,
    SmarthostDown,
    SubmissionResult,
    Unknown,
)
from mailbridge.edge.submission import SmtpSubmitter
from tests.edge.smtp_sink import Sink, Stage

ANNE = "anne@customer.example"
CRIS = "cris@customer.example"
DRAFT = MailDraft(
    from_=Address("Support", "support@desk.example"),
    to=(Address("Anne", ANNE),),
    reply_to=Address("Support", "support+t1@desk.example"),
    subject="Re: the printer",
    message_id="<t1@desk.example>",
    date=datetime(2026, 3, 1, tzinfo=UTC),
    text="Hello Anne\n.\n.. and dots\n",
)
MAIL = Outgoing("bounce+1.abc@desk.example", (ANNE,), "<t1@desk.example>", compose(DRAFT))
BOTH = replace(MAIL, recipients=(ANNE, CRIS))
LARGE = replace(MAIL, data=MAIL.data + b"All work and no play.\r\n" * 250_000)
TAKEN = Delivered("250 2.0.0 queued as 42")


def settings(sink_port: int, **changes: object) -> Delivery:
    values: dict[str, object] = {
        "method": "smtp",
        "host": "127.0.0.1",
        "port": sink_port,
        "security": "none-on-loopback",
        "timeout": timedelta(seconds=5),
    }
    return Delivery.model_validate(values | changes)


@asynccontextmanager
async def submitter(
    port: int, password: str | None = None, idle_after: float = 30.0, **changes: object
) -> AsyncIterator[SmtpSubmitter]:
    log: structlog.stdlib.BoundLogger = structlog.get_logger()
    made = SmtpSubmitter(
        settings(port, **changes), password, log, hostname="desk.example", idle_after=idle_after
    )
    try:
        yield made
    finally:
        await made.close()


async def sent(submitter: SmtpSubmitter, outgoing: Outgoing) -> dict[str, object]:
    result = await submitter.submit(outgoing)
    assert isinstance(result, SubmissionResult), result
    return dict(result.recipients)


async def down(submitter: SmtpSubmitter) -> SmarthostDown:
    result = await submitter.submit(MAIL)
    assert isinstance(result, SmarthostDown), result
    return result


async def until(condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "did not come to pass within 5 s"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def script(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server of a few lines, for what a real one never does. Yields its port."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


# What goes over the wire


async def test_a_mail_arrives_as_the_bytes_we_composed() -> None:
    """Dots at line starts are stuffed and unstuffed, nothing else is touched: signatures would break."""
    async with Sink() as sink, submitter(sink.port) as out:
        assert await sent(out, MAIL) == {ANNE: TAKEN}
    (mail,) = sink.mails
    assert mail.data == MAIL.data
    assert (mail.sender, mail.recipients) == (MAIL.envelope_from, [ANNE])
    assert f"SIZE={len(MAIL.data)}" in mail.options


async def test_an_automatic_mail_goes_with_the_null_sender() -> None:
    """`<>` keeps two robots from answering each other's bounces (RFC 3834 3.3)."""
    async with Sink() as sink, submitter(sink.port) as out:
        assert await sent(out, replace(MAIL, envelope_from="")) == {ANNE: TAKEN}
    assert sink.mails[0].sender == ""


async def test_a_large_mail_arrives_whole() -> None:
    """Larger than any buffer between us and the server, so it is sent in pieces."""
    async with Sink(size=32 << 20) as sink, submitter(sink.port) as out:
        assert await sent(out, LARGE) == {ANNE: TAKEN}
    assert sink.mails[0].data == LARGE.data


async def test_many_mails_go_over_one_connection() -> None:
    """A TLS handshake and a login for each mail would be slow and is rate-limited by providers."""
    async with Sink() as sink, submitter(sink.port) as out:
        for _ in range(30):
            assert await sent(out, MAIL) == {ANNE: TAKEN}
    assert (len(sink.mails), sink.connections) == (30, 1)


async def test_no_more_connections_than_allowed_are_used_at_once() -> None:
    """Providers refuse more than a few, and refuse everything for a while after."""
    async with Sink() as sink, submitter(sink.port, connections=3) as out:
        results = await asyncio.gather(*(sent(out, MAIL) for _ in range(30)))
    assert results == [{ANNE: TAKEN}] * 30
    assert 1 <= sink.connections <= 3


async def test_an_idle_connection_is_closed_by_itself() -> None:
    """So that the server need not do it, and does not count it against us."""
    async with Sink() as sink, submitter(sink.port, idle_after=0.05) as out:
        await sent(out, MAIL)
        await until(lambda: all(t.is_closing() for t in sink.transports))
        await sent(out, MAIL)
    assert [mail.connection for mail in sink.mails] == [1, 2]


async def test_a_connection_dropped_while_idle_is_no_failure() -> None:
    """Servers drop idle clients without a word; the mail takes a fresh connection at once."""
    async with Sink() as sink, submitter(sink.port) as out:
        await sent(out, MAIL)
        sink.hang_up()
        assert await sent(out, MAIL) == {ANNE: TAKEN}
    assert [mail.connection for mail in sink.mails] == [1, 2]


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "body"])
async def test_a_reused_connection_lost_before_the_dot_is_tried_afresh(stage: Stage) -> None:
    """Nothing was handed over, so a second try on a new connection cannot double the mail."""
    async with Sink(size=32 << 20) as sink, submitter(sink.port) as out:
        await sent(out, MAIL)
        sink.faults.drop, sink.faults.once = {stage}, True
        assert await sent(out, LARGE if stage == "body" else MAIL) == {ANNE: TAKEN}
    assert [mail.connection for mail in sink.mails] == [1, 2]


# Replies


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        ("550 5.1.1 no such user", Refused(550, "5.1.1", "5.1.1 no such user")),
        ("550 unknown", Refused(550, "", "unknown")),
        ("450 4.2.0 greylisted", Deferred(450, "4.2.0 greylisted")),
        ("550 5.1.1 \u202eevil\x1b[31m", Refused(550, "5.1.1", "5.1.1 evil[31m")),
    ],
)
async def test_a_refused_recipient_does_not_stop_the_other(reply: str, result: object) -> None:
    """Partial refusal: Anne gets her mail, Cris's failure is told with its reply."""
    async with Sink() as sink, submitter(sink.port) as out:
        sink.faults.rcpt[CRIS] = reply
        assert await sent(out, BOTH) == {ANNE: TAKEN, CRIS: result}
        assert await sent(out, MAIL) == {ANNE: TAKEN}
    assert [mail.recipients for mail in sink.mails] == [[ANNE], [ANNE]]


async def test_all_recipients_refused_leaves_the_connection_good() -> None:
    """One bad address must not cost the next mail a new connection."""
    async with Sink() as sink, submitter(sink.port) as out:
        sink.faults.rcpt[ANNE] = "550 5.1.1 no such user"
        assert await sent(out, MAIL) == {ANNE: Refused(550, "5.1.1", "5.1.1 no such user")}
        sink.faults.rcpt.clear()
        assert await sent(out, MAIL) == {ANNE: TAKEN}
    assert (len(sink.mails), sink.connections) == (1, 1)


@pytest.mark.parametrize("stage", ["data", "dot"])
@pytest.mark.parametrize(
    ("reply", "result"),
    [
        ("554 5.7.1 spam", Refused(554, "5.7.1", "5.7.1 spam")),
        ("451 4.3.0 try later", Deferred(451, "4.3.0 try later")),
    ],
)
async def test_a_refusal_of_the_content_is_for_every_recipient(
    stage: str, reply: str, result: object
) -> None:
    """5xx is final, 4xx is for another time (RFC 5321 4.2.1); the connection stays in use."""
    async with Sink() as sink, submitter(sink.port) as out:
        setattr(sink.faults, stage, reply)
        assert await sent(out, BOTH) == {ANNE: result, CRIS: result}
        setattr(sink.faults, stage, "")
        assert await sent(out, MAIL) == {ANNE: TAKEN}
    assert sink.connections == 1


@pytest.mark.parametrize(
    ("reply", "permanent"),
    [("550 5.7.1 not your sender", True), ("451 4.3.0 too fast", False), ("421 4.3.2 closing", False)],
)
async def test_a_refused_sender_is_the_smarthosts_trouble_not_the_mails(reply: str, permanent: bool) -> None:
    """It would refuse every mail of ours, so all are held instead of all being failed."""
    async with Sink() as sink, submitter(sink.port) as out:
        sink.faults.mail = reply
        trouble = await down(out)
    assert trouble.permanent_fault is permanent
    assert reply in trouble.why


async def test_a_recipient_refused_for_want_of_login_is_the_smarthosts_trouble() -> None:
    """530 to RCPT is about us, not about Anne: her mail must not fail for it."""
    async with Sink() as sink, submitter(sink.port) as out:
        sink.faults.rcpt[ANNE] = "530 5.7.0 authentication required"
        assert (await down(out)).permanent_fault


# Drops and silence


@pytest.mark.parametrize("stage", ["rcpt", "data", "body"])
@pytest.mark.parametrize("how", ["drop", "hang"])
async def test_a_fault_before_the_mail_was_handed_over_is_deferred(stage: Stage, how: str) -> None:
    """The server cannot have it, so it will be tried again like any 4xx."""
    async with Sink(size=32 << 20) as sink, submitter(sink.port, timeout=timedelta(seconds=0.5)) as out:
        setattr(sink.faults, how, {stage})
        result = (await sent(out, LARGE if stage == "body" else MAIL))[ANNE]
    assert isinstance(result, Deferred)
    assert sink.mails == []


@pytest.mark.parametrize("how", ["drop", "hang"])
async def test_a_fault_after_the_dot_leaves_the_outcome_unknown(how: str) -> None:
    """The sink has the mail and never said so: calling it failed or sent would both be a guess."""
    async with Sink() as sink, submitter(sink.port, timeout=timedelta(seconds=0.5)) as out:
        setattr(sink.faults, how, {"dot"})
        results = await sent(out, BOTH)
        assert isinstance(results[ANNE], Unknown)
        assert isinstance(results[CRIS], Unknown)
        setattr(sink.faults, how, set())
        assert await sent(out, MAIL) == {ANNE: TAKEN}
    assert len(sink.mails) == 2


@pytest.mark.parametrize("how", ["drop", "hang"])
async def test_a_server_that_fails_at_mail_is_down_for_all(how: str) -> None:
    """It had not seen a word of this mail, so it is not this mail's fault."""
    async with Sink() as sink, submitter(sink.port, timeout=timedelta(seconds=0.3)) as out:
        setattr(sink.faults, how, {"mail"})
        assert not (await down(out)).permanent_fault


async def test_a_refusal_in_the_middle_of_a_large_mail_is_heard() -> None:
    """Some servers say 552 and close while we are still sending; that reply is the answer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        for reply in (b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readline()
            writer.write(reply)
        await reader.readexactly(1000)
        writer.write(b"552 5.3.4 too much\r\n")
        while await reader.read(65536):
            pass

    async with script(talk) as port, submitter(port) as out:
        assert await sent(out, LARGE) == {ANNE: Refused(552, "5.3.4", "5.3.4 too much")}


async def test_nonsense_after_the_dot_leaves_the_outcome_unknown() -> None:
    """A reply that is no reply tells nothing about whether the mail was taken."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        for reply in (b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readline()
            writer.write(reply)
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"wonderful!\r\n")
        await reader.read()

    async with script(talk) as port, submitter(port) as out:
        assert isinstance((await sent(out, MAIL))[ANNE], Unknown)


@pytest.mark.parametrize(
    ("greeting", "permanent"), [(b"554 5.7.1 go away\r\n", True), (b"421 busy\r\n", False), (b"", False)]
)
async def test_a_server_that_does_not_greet_us_is_down(greeting: bytes, permanent: bool) -> None:
    """All mail is held; only a 5xx calls for someone to act."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()

    async with script(talk) as port, submitter(port) as out:
        assert (await down(out)).permanent_fault is permanent


async def test_a_server_that_says_nothing_at_all_is_given_up_in_time() -> None:
    """A connected but silent server must not hold a worker for longer than the deadline."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with script(talk) as port, submitter(port, timeout=timedelta(seconds=0.3)) as out:
        trouble = await asyncio.wait_for(down(out), 3)
    assert not trouble.permanent_fault


async def test_an_absent_server_is_down_until_it_is_back() -> None:
    """The ordinary restart of a mail server: no mail is failed for it."""
    async with Sink() as sink:
        port = sink.port
    async with submitter(port) as out:
        assert not (await down(out)).permanent_fault


async def test_a_cancelled_submission_does_not_leave_its_connection_to_others() -> None:
    """The next mail on a half-spoken connection would be mixed with this one."""
    async with Sink() as sink, submitter(sink.port) as out:
        sink.faults.hang, sink.faults.once = {"dot"}, True
        task = asyncio.create_task(out.submit(MAIL))
        await until(lambda: bool(sink.mails))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await sent(out, MAIL) == {ANNE: TAKEN}
    assert sink.connections == 2


# Limits and letters of the server


async def test_a_mail_above_the_servers_size_is_refused_without_sending_it() -> None:
    """RFC 1870: 25 MB need not cross the network to learn that they are too much."""
    async with Sink(size=1000) as sink, submitter(sink.port) as out:
        result = (await sent(out, replace(MAIL, data=MAIL.data + b"x" * 70 + b"\r\n" * 1000)))[ANNE]
        assert isinstance(result, Refused)
        assert (result.code, result.enhanced) == (552, "5.3.4")
        assert await sent(out, MAIL) == {ANNE: TAKEN}
    assert (len(sink.mails), sink.connections) == (1, 1)


async def test_an_address_in_other_letters_is_sent_with_smtputf8() -> None:
    """änne@ has no ASCII form, so server and mail both have to know UTF-8."""
    address = "änne@customer.example"
    mail = replace(MAIL, recipients=(address,), data=compose(replace(DRAFT, to=(Address("", address),))))
    async with Sink() as sink, submitter(sink.port) as out:
        assert await sent(out, mail) == {address: TAKEN}
    assert sink.mails[0].recipients == [address]
    assert "SMTPUTF8" in sink.mails[0].options


async def test_without_smtputf8_such_an_address_is_refused_clearly() -> None:
    """Not an exception and not a retry for three days: the server will not learn it."""
    address = "änne@customer.example"
    async with Sink(smtputf8=False) as sink, submitter(sink.port) as out:
        result = (await sent(out, replace(MAIL, recipients=(address,))))[address]
        assert isinstance(result, Refused)
        assert (result.code, result.enhanced) == (553, "5.6.7")
        assert "SMTPUTF8" in result.text
    assert sink.mails == []


async def test_a_domain_in_other_letters_needs_no_smtputf8() -> None:
    """Its A-label says the same to every server."""
    address = "anne@bücher.example"
    async with Sink(smtputf8=False) as sink, submitter(sink.port) as out:
        assert await sent(out, replace(MAIL, recipients=(address,))) == {address: TAKEN}
    assert sink.mails[0].recipients == ["anne@xn--bcher-kva.example"]


@pytest.mark.parametrize(
    "address",
    [
        "x@victim.example>\r\nRCPT TO:<y@victim.example",
        "x@victim.example\nDATA",
        "x@victim.example> NOTIFY=NEVER",
        "x y@victim.example",
        "x@victim.example\u2028",
        "x@victim.example,y@victim.example",
        "<x@victim.example>",
        "\ud800@victim.example",
        "",
    ],
)
async def test_an_address_that_is_none_is_never_sent(address: str) -> None:
    """Command injection by an address: aiosmtplib would send a part of it, to someone else."""
    async with Sink() as sink, submitter(sink.port) as out:
        results = await sent(out, replace(MAIL, recipients=(ANNE, address)))
        assert results[ANNE] == TAKEN
        assert isinstance(results[address], Refused)
        if address:
            bad_sender = (await sent(out, replace(MAIL, envelope_from=address)))[ANNE]
            assert isinstance(bad_sender, Refused)
    assert [mail.recipients for mail in sink.mails] == [[ANNE]]


# Security


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_goes_over_verified_tls_after_login(
    security: str, authority: trustme.CA, ca_file: Path
) -> None:
    """The ordinary setting of every provider, on port 587 or 465."""
    sink = Sink(
        tls=server_tls(authority), implicit_tls=security == "tls", password="secret" * (security != "tls")
    )
    async with sink:
        username = "desk" if security == "starttls" else ""
        async with submitter(
            sink.port, "secret", security=security, ca_file=ca_file, username=username
        ) as out:
            for _ in range(3):
                assert await sent(out, MAIL) == {ANNE: TAKEN}
    assert (len(sink.mails), sink.connections) == (3, 1)
    assert sink.logins == (["PLAIN"] if username else [])


async def test_a_wrong_password_is_tried_once_and_holds_all() -> None:
    """Trying it by three mechanisms, or with every mail, locks the account."""
    async with Sink(password="secret") as sink, submitter(sink.port, "guess", username="desk") as out:
        trouble = await down(out)
    assert trouble.permanent_fault
    assert "535" in trouble.why
    assert len(sink.logins) == 1
    assert "guess" not in trouble.why


async def test_a_username_without_password_or_auth_is_told() -> None:
    """A setting that cannot work is said at once, not found as a refused mail."""
    async with Sink() as sink:
        async with submitter(sink.port, "secret", username="desk") as out:
            assert (await down(out)).permanent_fault
        async with submitter(sink.port, None, username="desk") as out:
            assert (await down(out)).permanent_fault
    assert sink.mails == []


async def test_without_starttls_nothing_is_sent_in_clear(ca_file: Path) -> None:
    """A man in the middle only has to hide the word STARTTLS; aiosmtplib's default would go on in clear."""
    async with (
        Sink(password="secret") as sink,
        submitter(sink.port, "secret", security="starttls", ca_file=ca_file, username="desk") as out,
    ):
        trouble = await down(out)
    assert trouble.permanent_fault
    assert "STARTTLS" in trouble.why
    assert (sink.mails, sink.logins) == ([], [])


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("wrong", ["name", "issuer"])
async def test_a_wrong_certificate_is_not_spoken_to(
    security: str, wrong: str, authority: trustme.CA, ca_file: Path
) -> None:
    """Encryption to the wrong server is no secret; neither password nor mail is given to it."""
    tls = server_tls(authority, "other.example") if wrong == "name" else server_tls(trustme.CA())
    async with (
        Sink(tls=tls, implicit_tls=security == "tls", password="secret") as sink,
        submitter(sink.port, "secret", security=security, ca_file=ca_file, username="desk") as out,
    ):
        trouble = await down(out)
    assert trouble.permanent_fault
    assert "certificate" in trouble.why.lower()
    assert (sink.mails, sink.logins) == ([], [])


async def test_a_missing_certificate_file_holds_all(tmp_path: Path) -> None:
    """Falling back to the system's certificates would trust others than the operator chose."""
    async with submitter(9, security="tls", ca_file=tmp_path / "none.pem") as out:
        trouble = await down(out)
    assert trouble.permanent_fault
    assert "ca_file" in trouble.why


async def test_cleartext_is_for_loopback_only() -> None:
    """The setting is named for what it allows; 192.0.2.1 is not it."""
    async with submitter(25, host="192.0.2.1") as out:
        trouble = await down(out)
    assert trouble.permanent_fault
    assert "loopback" in trouble.why
