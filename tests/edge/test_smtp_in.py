"""The SMTP door as honest clients meet it: dialogue, envelope, trace header, TLS, lifetime."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from mailbridge.config import Smtp
from mailbridge.edge.smtp_in import SmtpListener
from mailbridge.edge.smtp_session import GuardedSMTP
from tests.edge.smtp_client import ANNE, DESK, Desk, Log, RawClient, open_door, until

MAIL = b"From: Anne <anne@customer.example>\r\nSubject: Printer\r\n\r\nIt is on fire.\r\n"


async def test_a_mail_is_stored_and_then_answered_with_its_id() -> None:
    """The client may forget the mail only once we hold it; the id is what an operator will be asked about."""
    async with open_door() as door:
        reply = await (await door.client()).mail(MAIL)
        assert reply == "250 2.0.0 accepted as m1"
        [(envelope, _, source)] = door.desk.mails
        assert (envelope.mail_from, envelope.rcpt_to) == (ANNE, (DESK,))
        assert source == "smtp:127.0.0.1"
        assert door.desk.contents == [MAIL]


async def test_250_comes_only_after_the_store_has_returned() -> None:
    """Promise 1: a 250 before the mail is on disk is a lost mail when the power fails."""
    desk = Desk(hold=asyncio.Event())
    async with open_door(desk) as door:
        client = await (await door.client()).start_data()
        await client.send(MAIL + b".\r\n")
        await until(lambda: desk.begun)
        answer = asyncio.create_task(client.reply())
        await asyncio.sleep(0.1)
        assert not answer.done()
        assert desk.hold is not None
        desk.hold.set()
        assert (await answer).startswith("250 ")


async def test_the_trace_header_says_from_where_how_and_when() -> None:
    """RFC 5321 4.4: every hop leaves a trace, by which loops are seen and troubles found."""
    async with open_door() as door:
        await (await door.client()).mail(MAIL)
        [(_, raw, _)] = door.desk.mails
        unfolded = raw.removesuffix(MAIL).decode().replace("\r\n\t", " ").rstrip("\r\n")
        found = re.fullmatch(
            r"Received: from client\.example \(\[127\.0\.0\.1\]\) by mx\.desk\.example with ESMTP; (.*)",
            unfolded,
        )
        assert found, unfolded
        assert abs(parsedate_to_datetime(found[1]).timestamp() - time.time()) < 60


async def test_a_host_name_cannot_write_headers_of_its_own() -> None:
    """What the client calls itself is put into a header: it must stay one harmless word there."""
    async with open_door() as door:
        client = await door.connect()
        await client.reply()
        assert (await client.say("HELO x);\x0bBcc:<evil>(é")).startswith("501 ")
        assert (await client.say("EHLO x);Bcc:<evil>(é")).startswith("250-")
        await client.mail(MAIL)
        [(_, raw, _)] = door.desk.mails
        assert raw.startswith(b"Received: from x??Bcc:?evil??? ([127.0.0.1])\r\n\tby "), raw[:99]


async def test_several_mails_go_over_one_connection() -> None:
    """A relay keeps its connection, and the command budget must not stop one that brings mail."""
    async with open_door() as door:
        client = await door.client()
        for number in range(120):
            assert (
                await client.mail(b"Subject: %d\r\n\r\n" % number) == f"250 2.0.0 accepted as m{number + 1}"
            )
        assert await client.say("QUIT") == "221 2.0.0 bye"
        assert await client.reply() == ""


async def test_several_recipients_make_one_mail() -> None:
    """One transaction is one mail: two of our mailboxes must not turn it into two tickets here."""
    bills = "bills@desk.example"
    async with open_door(Desk(mailboxes=frozenset({DESK, bills}))) as door:
        await (await door.client()).mail(MAIL, ANNE, DESK, bills, DESK)
        [(envelope, _, _)] = door.desk.mails
        assert envelope.rcpt_to == (DESK, bills)


async def test_the_null_sender_is_none() -> None:
    """A bounce must never be answered, so its sender must not look like an address (RFC 5321 4.5.5)."""
    async with open_door() as door:
        await (await door.client()).mail(MAIL, "")
        assert door.desk.mails[0][0].mail_from is None


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"a\r\n..b\r\n.c\r\n...\r\n.\r\n", b"a\r\n.b\r\nc\r\n..\r\n"),
        (b"bare\nLF\rCR\0NUL\xff\r\n.\r\n", b"bare\nLF\rCR\0NUL\xff\r\n"),
        (b"z" * 65536 + b".\r\n..\r\n.\r\n", b"z" * 65536 + b".\r\n.\r\n"),
    ],
    ids=["empty", "blank", "dot", "dots", "raw bytes", "long line"],
)
async def test_content_is_kept_byte_for_byte_but_for_dot_stuffing(sent: bytes, stored: bytes) -> None:
    """RFC 5321 4.5.2; signatures and evidence need the bytes that came, however odd."""
    async with open_door() as door:
        client = await (await door.client()).start_data()
        await client.send(sent)
        assert (await client.reply()).startswith("250 ")
        assert door.desk.contents == [stored]


async def test_the_end_mark_is_found_wherever_the_network_cuts_it() -> None:
    """TCP has no messages: the five end bytes may arrive one by one, and dots at any seam."""
    async with open_door() as door:
        client = await (await door.client()).start_data()
        for byte in b"..a\r\n..b\r\n.\r\n":
            await client.send(bytes([byte]))
            await asyncio.sleep(0.002)
        assert (await client.reply()).startswith("250 ")
        assert door.desk.contents == [b".a\r\n.b\r\n"]


async def test_commands_may_be_pipelined_past_a_mail() -> None:
    """RFC 2920: what stands after the dot is the next command, not lost and not part of the mail."""
    one = f"MAIL FROM:<{ANNE}>\r\nRCPT TO:<{DESK}>\r\nDATA\r\n".encode()
    async with open_door() as door:
        client = await door.client()
        mails = [b"first\r\n", b"", b"..third\r\n"]
        await client.send(b"".join(one + mail + b".\r\n" for mail in mails) + b"QUIT\r\n")
        replies = [(await client.reply())[:3] for _ in range(13)]
        assert replies == ["250", "250", "354", "250"] * 3 + ["221"]
        assert door.desk.contents == [b"first\r\n", b"", b".third\r\n"]


async def test_a_client_that_closes_its_half_gets_all_its_answers() -> None:
    """`printf ... | nc` ends its side at once, and is still owed the 250 it waits for."""
    async with open_door() as door:
        client = await door.client()
        await client.send(f"MAIL FROM:<{ANNE}>\r\nRCPT TO:<{DESK}>\r\nDATA\r\n".encode() + MAIL + b".\r\n")
        client.half_close()
        assert [(await client.reply())[:3] for _ in range(5)] == ["250", "250", "354", "250", ""]
        assert door.desk.contents == [MAIL]


async def test_ehlo_announces_what_we_do_and_no_more() -> None:
    """A client relies on what is announced: size, 8-bit, UTF-8, pipelining; and no AUTH."""
    async with open_door(max_message=12345) as door:
        client = await door.connect()
        assert re.fullmatch(r"220 mx\.desk\.example ESMTP .*", await client.reply())
        lines = (await client.say("EHLO client.example")).split("\n")
        words = {line[4:] for line in lines[1:]}
        assert words == {"SIZE 12345", "8BITMIME", "SMTPUTF8", "PIPELINING", "HELP"}
        assert (await client.say("AUTH PLAIN AGEAYg==")).startswith("502 ")
        assert (await client.say("STARTTLS")).startswith("500 ")


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("FROM:<anne@customer.example>", "250 2.1.0"),
        ("FROM: <anne@customer.example> SIZE=100 BODY=8BITMIME", "250 2.1.0"),
        ("from:<anne@customer.example> body=7bit size=0", "250 2.1.0"),
        ("FROM:<anne@customer.example> RET=HDRS ENVID=QQ314159", "250 2.1.0"),
        ("FROM:<änne@customer.example> SMTPUTF8", "250 2.1.0"),
        ("FROM:<>", "250 2.1.0"),
        ("FROM:<änne@customer.example>", "553 5.6.7"),
        (f"FROM:<anne@customer.example> SIZE={Smtp().max_message + 1}", "552 5.3.4"),
        ("FROM:<anne@customer.example> SIZE=99999999999999999999", "552 5.3.4"),
        ("FROM:<anne@customer.example> SIZE=-1", "501 5.5.4"),
        ("FROM:<anne@customer.example> SIZE=1 SIZE=1", "501 5.5.4"),
        ("FROM:<anne@customer.example> BODY=BINARYMIME", "501 5.5.4"),
        ("FROM:<anne@customer.example> SMTPUTF8=yes", "501 5.5.4"),
        ("FROM:<anne@customer.example> FOO=1", "555 5.5.4"),
        ("FROM:<anne@customer.example", "501 5.5.4"),
        ("FROM:anne@customer.example", "501 5.5.4"),
        ("FROM:<anne@customer.example>x", "501 5.5.4"),
        ("FROM:<anne>", "553 5.1.7"),
        ("FROM:<anne@customer..example>", "553 5.1.7"),
        ("FROM:<an\udcffne@customer.example> SMTPUTF8", "553 5.1.7"),
        ("FROM:<anne\0@customer.example>", "501 5.5.2"),
        ("FROM:<anne\r@customer.example>", "501 5.5.2"),
        ("FROM: <", "501 5.5.4"),
        ("TO:<anne@customer.example>", "501 5.5.4"),
        ("", "501 5.5.4"),
    ],
)
async def test_mail_takes_one_valid_address_and_known_parameters(argument: str, code: str) -> None:
    """RFC 5321 4.1.1.2; the library alone would take half of the wrong ones, and crash at another."""
    async with open_door() as door:
        assert (await (await door.client()).say(f"MAIL {argument}")).startswith(code)


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        (f"TO:<{DESK}>", "250 2.1.5"),
        ("TO:<Support@DESK.example>", "250 2.1.5"),
        ("TO:<support+t1-a.b_C@desk.example>", "250 2.1.5"),
        (f"TO:<support+{'t' * 50}@desk.example>", "250 2.1.5"),
        (f"TO:<{DESK}> NOTIFY=NEVER ORCPT=rfc822;x@y.example", "250 2.1.5"),
        ("TO:<support+t%1@desk.example>", "550 5.7.1"),
        ("TO:<support+a!b@desk.example>", "550 5.7.1"),
        ("TO:<support+a=b@desk.example>", "550 5.1.1"),
        ("TO:<support+@desk.example>", "550 5.1.1"),
        ("TO:<nobody@desk.example>", "550 5.1.1"),
        ("TO:<support@desk.example.evil.example>", "550 5.1.1"),
        ("TO:<xsupport@desk.example>", "550 5.1.1"),
        ("TO:<victim@elsewhere.example>", "550 5.1.1"),
        ("TO:<victim%elsewhere.example@desk.example>", "550 5.7.1"),
        ("TO:<elsewhere.example!victim@desk.example>", "550 5.7.1"),
        ("TO:<@desk.example:victim@elsewhere.example>", "550 5.7.1"),
        ('TO:<"victim@elsewhere.example"@desk.example>', "550 5.7.1"),
        ("TO:<victim@elsewhere.example@desk.example>", "550 5.7.1"),
        ("TO:<support@[127.0.0.1]>", "550 5.7.1"),
        ("TO:<sup\u0440ort@desk.example>", "553 5.6.7"),
        ("TO:<support>", "553 5.1.3"),
        ("TO:<>", "553 5.1.3"),
        ("TO:<postmaster>", "550 5.1.1"),
        (f"TO:<{DESK}> FOO=1", "555 5.5.4"),
        (f"TO:{DESK}", "501 5.5.4"),
        (f"FROM:<{DESK}>", "501 5.5.4"),
    ],
)
async def test_rcpt_takes_our_own_mailboxes_and_nothing_else(argument: str, code: str) -> None:
    """An open relay is found within hours; an address that merely resembles ours is not ours."""
    async with open_door() as door:
        client = await door.client()
        await client.say(f"MAIL FROM:<{ANNE}>")
        assert (await client.say(f"RCPT {argument}")).startswith(code)


async def test_postmaster_without_a_domain_is_the_one_of_this_host() -> None:
    """RFC 5321 4.5.1 wants it reachable, when the operator has such a mailbox."""
    async with open_door(Desk(mailboxes=frozenset({"postmaster@mx.desk.example"}))) as door:
        await (await door.client()).mail(MAIL, ANNE, "Postmaster")
        assert door.desk.mails[0][0].rcpt_to == ("Postmaster@mx.desk.example",)


async def test_commands_out_of_order_are_503_and_break_nothing() -> None:
    """RFC 5321 4.1.4; afterwards the transaction goes on as if they had not been said."""
    async with open_door() as door:
        client = await door.connect()
        await client.reply()
        assert (await client.say(f"MAIL FROM:<{ANNE}>")).startswith("503 ")
        assert (await client.say("EHLO")).startswith("501 ")
        await client.say("EHLO client.example")
        assert (await client.say(f"RCPT TO:<{DESK}>")).startswith("503 ")
        assert (await client.say("DATA")).startswith("503 ")
        await client.say(f"MAIL FROM:<{ANNE}>")
        assert (await client.say(f"MAIL FROM:<{ANNE}>")).startswith("503 ")
        assert (await client.say("DATA")).startswith("554 ")
        await client.say(f"RCPT TO:<{DESK}>")
        assert (await client.say("DATA now")).startswith("501 ")
        assert (await client.say("BDAT 5 LAST")).startswith("500 ")
        assert (await client.say("DATA")).startswith("354 ")


@pytest.mark.parametrize("command", ["RSET", "EHLO client.example"])
async def test_rset_and_ehlo_forget_the_transaction(command: str) -> None:
    """RFC 5321 4.1.1.5, 4.1.4: a recipient of an abandoned mail must not get the next one."""
    async with open_door() as door:
        client = await door.client()
        await client.say(f"MAIL FROM:<{ANNE}>")
        await client.say(f"RCPT TO:<{DESK}>")
        assert (await client.say(command)).startswith("250")
        assert (await client.say("DATA")).startswith("503 ")


async def test_a_plain_helo_client_is_served_without_parameters() -> None:
    """RFC 5321 4.1.1.1: old clients say HELO; parameters belong to EHLO."""
    async with open_door() as door:
        client = await door.connect()
        await client.reply()
        assert await client.say("HELO old.example and more") == "250 mx.desk.example"
        assert (await client.say(f"MAIL FROM:<{ANNE}> SIZE=5")).startswith("555 ")
        await client.mail(MAIL)
        assert door.desk.mails[0][1].startswith(b"Received: from old.example (")
        assert b" with SMTP;" in door.desk.mails[0][1]


async def test_vrfy_tells_nobody_who_exists() -> None:
    """RFC 5321 7.3: equal answers, so that addresses cannot be tried out."""
    async with open_door() as door:
        client = await door.client()
        answers = {await client.say(f"VRFY {who}") for who in (DESK, "nobody@desk.example", "", "<x")}
        assert len(answers) == 1
        assert answers.pop().startswith("252 ")
        assert (await client.say("EXPN staff")).startswith("502 ")
        assert (await client.say("NOOP")).startswith("250 ")
        assert (await client.say("HELP")).startswith("214 ")


async def test_smtputf8_is_told_in_the_trace() -> None:
    """RFC 6531 4.3: whoever reads the mail must know that its headers may be UTF-8."""
    async with open_door() as door:
        client = await door.client()
        await client.say("MAIL FROM:<änne@customer.example> SMTPUTF8")
        await client.say(f"RCPT TO:<{DESK}>")
        await client.say("DATA")
        await client.send(MAIL + b".\r\n")
        assert (await client.reply()).startswith("250 ")
        [(envelope, raw, _)] = door.desk.mails
        assert envelope.mail_from == "änne@customer.example"
        assert b" with UTF8SMTP;" in raw


# -- trouble of our own ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["accept", "mailbox_for", "busy"])
async def test_a_bug_of_ours_is_451_without_internals(where: str) -> None:
    """Promise 2: a 5xx would bounce a good mail, and the text of an exception is nobody's business."""

    class Broken(Desk):
        def mailbox_for(self, address: str) -> str | None:
            if where == "mailbox_for":
                raise ValueError("db password is hunter2")
            return super().mailbox_for(address)

        def busy(self) -> str | None:
            if where == "busy":
                raise ValueError("db password is hunter2")
            return None

    desk = Broken(trouble=ValueError("db password is hunter2"))
    async with open_door(desk) as door:
        client = await door.client()
        answers = [await client.say(f"MAIL FROM:<{ANNE}>")]
        if where != "busy":
            answers.append(await client.say(f"RCPT TO:<{DESK}>"))
        if where == "accept":
            answers.append(await client.say("DATA"))
            await client.send(MAIL + b".\r\n")
            answers.append(await client.reply())
        assert answers[-1] == "451 4.3.0 temporary failure, try again later"
        assert (await client.say("NOOP")).startswith("250 ")
        [error] = [kw["exc_info"] for level, _, kw in door.log.events if level == "error"]
        assert "hunter2" in str(error)


async def test_a_slow_store_is_451_but_still_finishes() -> None:
    """A locked database: the client is told in time to come again, and the copy it sends is known then."""
    desk = Desk(hold=asyncio.Event())
    async with open_door(desk, store_timeout="1s") as door:
        client = await door.client()
        assert (await client.mail(MAIL)).startswith("451 4.3.0")
        assert (await client.say("NOOP")).startswith("250 ")
        assert desk.hold is not None
        desk.hold.set()
        await until(lambda: desk.mails)
        assert desk.cancelled == 0
        await until(lambda: door.log.named("smtp.stored_unanswered"))


@pytest.mark.parametrize("manner", ["half_close", "reset", "close"])
async def test_a_client_that_leaves_after_the_dot_does_not_stop_the_store(manner: str) -> None:
    """A hang-up at the wrong instant must never leave a commit half done (promise 1)."""
    desk = Desk(hold=asyncio.Event())
    async with open_door(desk) as door:
        client = await (await door.client()).start_data()
        await client.send(MAIL + b".\r\n")
        await until(lambda: desk.begun)
        match manner:
            case "half_close":
                client.half_close()
            case "reset":
                client.reset()
            case _:
                await client.close()
        await asyncio.sleep(0.05)
        assert desk.hold is not None
        desk.hold.set()
        await until(lambda: desk.mails)
        assert desk.cancelled == 0
        if manner == "half_close":
            assert (await client.reply()).startswith("250 ")


@pytest.mark.parametrize("manner", ["half_close", "reset"])
async def test_a_mail_without_its_dot_is_never_stored(manner: str) -> None:
    """RFC 5321 4.1.1.4: the client has not finished it, will send it again, and may have been cut in two."""
    async with open_door() as door:
        client = await (await door.client()).start_data()
        await client.send(MAIL + b"\r\n.")
        client.half_close() if manner == "half_close" else client.reset()
        assert await client.closed_by_server()
        assert (await (await door.client()).mail(b"next\r\n")).startswith("250 ")
        assert door.desk.contents == [b"next\r\n"]


async def test_when_the_service_is_busy_mail_is_put_off() -> None:
    """Too many unprocessed mails or a full disk: 4xx at MAIL, with no reason given to strangers."""
    desk = Desk(busy_because="disk nearly full")
    async with open_door(desk) as door:
        client = await door.client()
        assert await client.say(f"MAIL FROM:<{ANNE}>") == "451 4.3.2 busy, try again later"
        assert door.log.named("smtp.put_off")[0]["reason"] == "disk nearly full"
        desk.busy_because = None
        assert (await client.mail(MAIL)).startswith("250 ")


# -- TLS ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(ca: trustme.CA, tmp_path: Path) -> dict[str, Any]:
    issued = ca.issue_cert("desk.example")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    issued.private_key_pem.write_to_path(key)
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(chain, append=number > 0)
    return {"tls_certificate": chain, "tls_key": key}


def client_context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


async def test_starttls_encrypts_and_starts_anew(ca: trustme.CA, certificate: dict[str, Any]) -> None:
    """RFC 3207 4.2: what was said in the clear may have been said by somebody else."""
    async with open_door(**certificate) as door:
        client = await door.connect()
        await client.reply()
        assert "250-STARTTLS" in await client.say("EHLO client.example")
        await client.say(f"MAIL FROM:<{ANNE}>")
        assert (await client.say("STARTTLS")).startswith("220 ")
        await client.start_tls(client_context(ca))
        assert (await client.say(f"RCPT TO:<{DESK}>")).startswith("503 ")
        assert (await client.say(f"MAIL FROM:<{ANNE}>")).startswith("503 ")
        words = await client.say("EHLO client.example")
        assert "STARTTLS" not in words
        assert "AUTH" not in words
        assert (await client.mail(MAIL)).startswith("250 ")
        assert b" with ESMTPS;" in door.desk.mails[0][1]
        assert (await client.say("STARTTLS")).startswith("503 ")


async def test_plaintext_sent_ahead_of_the_handshake_is_dropped(
    ca: trustme.CA, certificate: dict[str, Any]
) -> None:
    """CVE-2011-0411, CVE-2024-34083: commands injected before TLS must not be obeyed inside it."""
    async with open_door(**certificate) as door:
        client = await door.client()
        await client.send(b"STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@evil.example>\r\n")
        assert (await client.reply()).startswith("220 ")
        await client.start_tls(client_context(ca))
        assert (await client.say("NOOP")) == "250 2.0.0 ok"
        assert (await client.say(f"RCPT TO:<{DESK}>")).startswith("503 ")
        assert (await client.say(f"MAIL FROM:<{ANNE}>")).startswith("503 ")


async def test_a_failed_handshake_frees_its_place(certificate: dict[str, Any]) -> None:
    """The TLS layer tells nobody that it gave up: the place must not stay taken for ever."""
    async with open_door(max_connections=1, **certificate) as door:
        client = await door.client()
        await client.say("STARTTLS")
        await client.send(b"this is no handshake\r\n")
        assert await client.closed_by_server()
        await until(lambda: door.log.named("smtp.tls_failed"))
        await door.client()


async def test_a_client_that_leaves_inside_tls_does_not_stop_the_store(
    ca: trustme.CA, certificate: dict[str, Any]
) -> None:
    """The same promise as without TLS, by another road through the library."""
    desk = Desk(hold=asyncio.Event())
    async with open_door(desk, **certificate) as door:
        client = await door.client()
        await client.say("STARTTLS")
        await client.start_tls(client_context(ca))
        await client.say("EHLO client.example")
        await client.start_data()
        await client.send(MAIL + b".\r\n")
        await until(lambda: desk.begun)
        await client.close()
        assert desk.hold is not None
        desk.hold.set()
        await until(lambda: desk.mails)
        assert desk.cancelled == 0


# -- lifetime ----------------------------------------------------------------------------------------------


async def test_every_address_is_bound_and_told(tmp_path: Path) -> None:
    """Ops give IPv4, IPv6 and a unix socket; port 0 must come back as the port really bound."""
    path = tmp_path / "smtp.sock"
    async with open_door(listen=("127.0.0.1:0", "[::1]:0", f"unix:{path}")) as door:
        (v4, port4), (v6, port6), unix = door.listener.addresses
        assert (v4, v6, unix) == ("127.0.0.1", "::1", (str(path), 0))
        assert port4 > 0
        assert port6 > 0
        client = await RawClient(*await asyncio.open_connection("::1", port6)).hello()
        await client.mail(MAIL)
        local = await RawClient(*await asyncio.open_unix_connection(path)).hello()
        await local.mail(MAIL)
        assert [source for _, _, source in door.desk.mails] == ["smtp:::1", "smtp:local"]
        assert b"([IPv6:::1])" in door.desk.mails[0][1]
        await client.close()
        await local.close()
    assert not path.exists()


async def test_a_socket_file_left_by_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    """After kill -9 the daemon must come up again with no step by hand."""
    path = tmp_path / "smtp.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with open_door(listen=(f"unix:{path}",)):
        assert path.is_socket()


async def test_an_address_in_use_is_named_and_nothing_stays_bound() -> None:
    """The operator must read which line of the file is wrong; a half-open listener would hide it."""
    with socket.socket() as taken, socket.socket() as probe:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
        probe.close()
        settings = Smtp(listen=(f"127.0.0.1:{free}", f"127.0.0.1:{port}"))
        listener = SmtpListener(settings, Desk(), hostname="mx.desk.example", log=Log())
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: already in use"):
            await listener.start()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", free)


async def test_small_replies_are_sent_at_once() -> None:
    """With Nagle's algorithm each reply to a pipelining client may wait 44 ms for the one before."""
    async with open_door() as door:
        await door.client()
        [session] = door.listener.gate.guests
        assert isinstance(session, GuardedSMTP)
        assert session.transport is not None
        accepted = session.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_drain_says_421_to_the_idle_and_lets_a_mail_be_finished() -> None:
    """A restart must not cost anybody a mail: what is being sent is taken, what is idle is sent away."""
    async with open_door() as door:
        idle, sending = await door.client(), await (await door.client()).start_data()
        await sending.send(MAIL)
        draining = asyncio.create_task(door.listener.drain(10))
        assert (await idle.reply()).startswith("421 4.3.2")
        assert await idle.reply() == ""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*door.address)
        assert not draining.done()
        await sending.send(b".\r\n")
        assert (await sending.reply()).startswith("250 ")
        assert (await sending.reply()).startswith("421 ")
        await draining
        assert door.desk.contents == [MAIL]


async def test_drain_waits_for_a_store_whose_client_has_gone() -> None:
    """The store is ours to finish even when nobody waits for the answer."""
    desk = Desk(hold=asyncio.Event())
    async with open_door(desk) as door:
        client = await (await door.client()).start_data()
        await client.send(MAIL + b".\r\n")
        await until(lambda: desk.begun)
        client.reset()
        draining = asyncio.create_task(door.listener.drain(10))
        await asyncio.sleep(0.05)
        assert not draining.done()
        assert desk.hold is not None
        desk.hold.set()
        await draining
        assert desk.contents == [MAIL]


async def test_drain_drops_what_outlasts_its_deadline() -> None:
    """SIGTERM promises an end: a client that never finishes, or a stuck store, cannot hold the daemon."""
    desk = Desk(hold=asyncio.Event())
    async with open_door(desk) as door:
        stuck = await (await door.client()).start_data()
        await stuck.send(MAIL + b".\r\n")
        await until(lambda: desk.begun)
        endless = await (await door.client()).start_data()
        begun = time.monotonic()
        await door.listener.drain(0.3)
        assert 0.2 < time.monotonic() - begun < 2
        assert await endless.closed_by_server()
        assert await stuck.closed_by_server()
        await until(lambda: desk.cancelled)
        assert door.log.named("smtp.drain_incomplete") == [{"sessions": 2, "stores": 1}]
        await door.listener.drain(1)
