"""The SMTP door as attackers and broken machines meet it: every resource a client can hold is bounded.

Inputs are those of the attacks that hit other servers: smuggling (CVE-2023-51764, CVE-2024-27305), endless
lines, slowloris, connection and command floods, other protocols on the port (ALPACA), mail loops.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.edge.smtp_connection import Limits
from mailbridge.edge.smtp_gate import Doorman, Gate, Refusal
from mailbridge.edge.smtp_session import GuardedSMTP
from tests.edge.smtp_client import ANNE, DESK, Desk, Door, Log, RawClient, open_door, until

VICTIM = """
import asyncio, sys
from mailbridge.config import Smtp
from mailbridge.edge.smtp_in import SmtpListener
from tests.edge.smtp_client import Desk, Log

async def main():
    settings = Smtp(listen=("127.0.0.1:0",), max_message=1_000_000)
    listener = SmtpListener(settings, Desk(), hostname="mx.desk.example", log=Log())
    await listener.start()
    print(listener.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await listener.drain(0)

asyncio.run(main())
"""


def ms(count: int) -> timedelta:
    return timedelta(milliseconds=count)


def peak_memory(pid: int) -> int:
    """The most memory a process has held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


# -- memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [b"x" * 65536, b"x" * 76 + b"\r\n", b"\r\n..\r\n.\r\r\n"], ids=len)
async def test_memory_stays_flat_under_an_endless_mail(chunk: bytes) -> None:
    """As shipped the library keeps every byte of a line without an end: 300 MB sent were 300 MB held."""
    victim = subprocess.Popen(  # noqa: ASYNC220  # it only has to start
        [sys.executable, "-c", VICTIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with victim:
        assert victim.stdin is not None
        assert victim.stdout is not None
        port = int(victim.stdout.readline())
        client = await RawClient(*await asyncio.open_connection("127.0.0.1", port)).hello()
        await client.mail(b"warm\r\n")
        before = peak_memory(victim.pid)
        await client.start_data()
        block = chunk * (1_000_000 // len(chunk))
        for _ in range(48):
            await client.send(block)
        await client.send(b"\r\n.\r\n")
        assert (await client.reply()).startswith("552 5.3.4")
        assert peak_memory(victim.pid) - before < 6_000_000
        assert (await client.mail(b"next\r\n")).startswith("250 ")
        await client.close()
        victim.stdin.write("\n")


async def test_the_size_limit_is_exact_and_refuses_only_that_mail() -> None:
    """RFC 1870: what was announced is honoured; too big is permanent, and the session goes on."""
    async with open_door(max_message=10_000) as door:
        client = await door.client()
        assert (await client.mail(b"y" * 9_998 + b"\r\n")).startswith("250 ")
        assert (await client.mail(b"y" * 9_999 + b"\r\n")) == "552 5.3.4 mail too big, at most 10000 bytes"
        assert (await client.mail(b"small\r\n")).startswith("250 ")
        assert [len(content) for content in door.desk.contents] == [10_000, 7]


async def test_long_lines_are_content_like_any_other() -> None:
    """Common HTML mail breaks the 998-octet rule; refusing it would lose it."""
    async with open_door() as door:
        client = await door.client()
        for length in (998, 1001, 65_536, 900_000):
            assert (await client.mail(b"y" * length + b"\r\n")).startswith("250 ")
        assert [len(content) for content in door.desk.contents] == [1000, 1003, 65_538, 900_002]


async def send_half(door: Door, size: int) -> RawClient:
    """A client that has sent `size` bytes of a mail, and keeps us waiting for the rest."""
    client = await (await door.client()).start_data()
    await client.send(b"x" * size)
    return client


async def test_bytes_in_flight_are_bounded_over_all_sessions() -> None:
    """Two hundred clients with 30 MB each would be 6 GB: the mail that does not fit is put off, not kept;
    small mail always fits, and room comes back when the others are done or gone."""
    async with open_door(max_message=300_000) as door:
        others = [await send_half(door, 290_000) for _ in range(4)]
        client = await door.client()
        await until(lambda: not door.has_room(290_000))
        assert (await client.mail(b"y" * 290_000 + b"\r\n")).startswith("452 4.3.1")
        assert (await client.say(f"MAIL FROM:<{ANNE}> SIZE=290000")).startswith("452 4.3.1")
        assert (await client.say(f"MAIL FROM:<{ANNE}> SIZE=100000")).startswith("250 ")
        await client.say("RSET")
        assert (await client.mail(b"small\r\n")).startswith("250 ")
        await others[0].send(b"\r\n.\r\n")
        assert (await others[0].reply()).startswith("250 ")
        others[1].reset()
        await others[2].send(b"x" * 100_000)  # too big now: no longer kept, so no longer counted
        await until(lambda: door.has_room(870_000))
        assert (await client.mail(b"y" * 290_000 + b"\r\n")).startswith("250 ")


async def test_a_mail_counts_until_its_store_is_done() -> None:
    """A store that hangs holds its bytes, whether or not a client still waits for it."""
    desk = Desk(hold=asyncio.Event())
    async with open_door(desk, max_message=300_000, store_timeout=ms(50)) as door:
        client = await door.client()
        for _ in range(4):
            assert (await client.mail(b"y" * 290_000 + b"\r\n")).startswith("451 ")
        assert (await client.mail(b"y" * 290_000 + b"\r\n")).startswith("452 4.3.1")
        assert desk.hold is not None
        desk.hold.set()
        await until(lambda: len(desk.mails) == 4)
        assert (await client.mail(b"y" * 290_000 + b"\r\n")).startswith("250 ")


async def test_unfinished_stores_cannot_pile_up() -> None:
    """With a locked database every client comes back again and again: each time one more mail in memory."""
    desk = Desk(hold=asyncio.Event())
    async with open_door(desk, max_connections=2, store_timeout=ms(20)) as door:
        client = await door.client()
        for _ in range(4):
            assert (await client.mail(b"small\r\n")).startswith("451 4.3.0")
        assert (await client.say(f"MAIL FROM:<{ANNE}>")).startswith("451 4.3.2")
        assert desk.hold is not None
        desk.hold.set()
        await until(lambda: len(desk.mails) == 4)
        assert (await client.mail(b"small\r\n")).startswith("250 ")


async def test_a_long_command_is_refused_and_an_endless_one_ends_the_session() -> None:
    """Commands are short (RFC 5321 4.5.3.1.4); what is not is no command."""
    async with open_door() as door:
        client = await door.client()
        assert (await client.say("NOOP " + "x" * 3000)).startswith("500 ")
        assert (await client.say("NOOP")).startswith("250 ")
        await client.send(b"x" * 200_000)
        assert (await client.reply()).startswith("500 ")
        assert await client.closed_by_server()


# -- false ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r.\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n .\r\n",
        b"\n\n.\n\n",
    ],
)
async def test_a_false_end_of_mail_smuggles_nothing(end: bytes) -> None:
    """Only CRLF.CRLF ends a mail: else a stranger's mail, relayed, could bring a forged second one."""
    behind = f"MAIL FROM:<ceo@desk.example>\r\nRCPT TO:<{DESK}>\r\nDATA\r\nSubject: two\r\n\r\n".encode()
    async with open_door() as door:
        client = await (await door.client()).start_data()
        await client.send(b"Subject: one\r\n\r\nbody" + end + behind + b"smuggled\r\n.\r\nNOOP\r\n")
        assert await client.reply() == "250 2.0.0 accepted as m1"
        assert await client.reply() == "250 2.0.0 ok"
        [(envelope, _, _)] = door.desk.mails
        assert envelope.mail_from == ANNE
        assert door.desk.contents[0].endswith(b"smuggled\r\n")


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: mx.desk.example\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 99\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x01\x02",
        b"\xffEHLO x\r\n",
        b"EH\xc3\xa9LO x\r\n",
    ],
    ids=["GET", "POST", "HTTP/2", "TLS", "zeros", "first byte", "within"],
)
async def test_another_protocol_is_closed_at_once(first: bytes) -> None:
    """A browser can be made to send a form to our port (ALPACA): not one line of its body may be obeyed."""
    async with open_door() as door:
        client = await door.connect()
        await client.reply()
        mail = f"EHLO x\r\nMAIL FROM:<{ANNE}>\r\nRCPT TO:<{DESK}>\r\nDATA\r\nx\r\n.\r\n".encode()
        await client.send(first + mail if b"\n" in first else first)
        begun = time.monotonic()
        assert (await client.reply()).startswith("421 4.7.0")
        assert time.monotonic() - begun < 5  # not at the idle timeout, though no line was completed
        assert await client.closed_by_server()
        assert door.desk.begun == 0


@pytest.mark.parametrize(
    ("content", "reply"),
    [
        (b"Received: from a by b\r\n" * 50 + b"\r\nReceived: in the body\r\n", "250"),
        (b"Received: from a by b\r\n" * 51 + b"\r\nx\r\n", "554 5.4.6"),
        (b"received: from a\r\n\tby b\r\n" * 51 + b"\r\nx\r\n", "554 5.4.6"),
        (b"Received: from a by b\n" * 51 + b"\nx\r\n", "554 5.4.6"),
        (b"Subject: x\r\n\r\n" + b"Received: from a by b\r\n" * 99, "250"),
    ],
)
async def test_a_mail_that_goes_in_circles_is_stopped(content: bytes, reply: str) -> None:
    """RFC 5321 6.3: fifty hops are no journey; traces in the body are somebody's quoted mail."""
    async with open_door() as door:
        assert (await (await door.client()).mail(content)).startswith(reply)


# -- time --------------------------------------------------------------------------------------------------


async def test_slow_but_steady_data_is_taken() -> None:
    """A thin line is no crime: each line that comes is a sign of life, up to the deadline of the mail."""
    async with open_door(idle_timeout=ms(400), data_timeout="10s") as door:
        client = await (await door.client()).start_data()
        for _ in range(8):
            await client.send(b"slow line\r\n")
            await asyncio.sleep(0.1)
        await client.send(b".\r\n")
        assert (await client.reply()).startswith("250 ")


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["silent", "a byte at a time"])
@pytest.mark.parametrize("within", ["greeting", "command", "data"])
async def test_slowloris_is_cut(drip: bytes, within: str) -> None:
    """Bytes that never make a line are no sign of life, wherever the client stands."""
    async with open_door(idle_timeout=ms(300)) as door:
        client = await door.connect()
        if within != "greeting":
            await client.hello()
        if within == "data":
            await client.start_data()
        begun = time.monotonic()
        closing = asyncio.create_task(client.closed_by_server())
        while not closing.done():
            if drip:
                await client.send(drip)
            await asyncio.wait({closing}, timeout=0.05)
            assert time.monotonic() - begun < 3
        assert time.monotonic() - begun > 0.2
        assert door.log.named("smtp.timed_out")


async def test_a_mail_has_a_deadline_that_no_dripping_extends() -> None:
    """A line each second would otherwise hold a place, and the memory of a mail, for ever."""
    async with open_door(idle_timeout="5s", data_timeout=ms(400)) as door:
        client = await (await door.client()).start_data()
        begun = time.monotonic()
        closing = asyncio.create_task(client.closed_by_server())
        while not closing.done():
            await client.send(b"drip\r\n")
            await asyncio.wait({closing}, timeout=0.05)
            assert time.monotonic() - begun < 3
        assert door.desk.begun == 0


async def test_a_session_has_a_deadline() -> None:
    """NOOP now and then keeps a session of the library open for ever."""
    async with open_door(session_timeout=ms(400)) as door:
        client = await door.client()
        begun = time.monotonic()
        while (reply := await client.say("NOOP")).startswith("250 "):
            await asyncio.sleep(0.05)
            assert time.monotonic() - begun < 3
        assert reply.startswith("421 4.4.2")


async def test_the_clocks_stand_still_while_a_mail_is_stored() -> None:
    """A client that waits for our slow disk is not idle: it gets its answer, and then its time to go on."""
    desk = Desk(hold=asyncio.Event())
    async with open_door(desk, idle_timeout=ms(400)) as door:
        client = await (await door.client()).start_data()
        await client.send(b"x\r\n.\r\n")
        await until(lambda: desk.begun)
        await asyncio.sleep(0.7)
        assert desk.hold is not None
        desk.hold.set()
        assert (await client.reply()).startswith("250 ")
        begun = time.monotonic()
        assert await client.closed_by_server()
        assert time.monotonic() - begun > 0.25


async def test_a_mail_stored_after_the_end_of_the_session_is_answered_first() -> None:
    """The session's deadline passes while the mail is stored: 250 for it, and only then 421."""
    desk = Desk(hold=asyncio.Event())
    async with open_door(desk, session_timeout=ms(200)) as door:
        client = await (await door.client()).start_data()
        await client.send(b"x\r\n.\r\n")
        await until(lambda: desk.begun)
        await asyncio.sleep(0.4)
        assert desk.hold is not None
        desk.hold.set()
        assert (await client.reply()).startswith("250 ")
        assert await client.reply() == "421 4.4.2 session too long, connect again"


async def test_a_client_that_never_reads_is_dropped() -> None:
    """Closing waits for the last words to be taken: somebody who takes none must not hold his place."""
    gate = Gate(max_connections=5, max_per_address=5, max_bytes=1000)
    limits = Limits(idle=0.3, data=5, session=5, store=1, max_message=1000, max_recipients=5, grace=0.2)
    log = Log()

    def session() -> GuardedSMTP:
        return GuardedSMTP(Desk(), gate, limits, hostname="mx.desk.example", tls=None, log=log)

    server = await asyncio.get_running_loop().create_server(
        lambda: Doorman(gate, session, log), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1)
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # no public way not to read
        writer.transport.get_extra_info("socket").setsockopt(1, 8, 4096)
        await until(lambda: gate.guests)
        [guest] = gate.guests
        assert isinstance(guest, GuardedSMTP)
        guest._writer.write(b"250 flood\r\n" * 1_000_000)
        await until(lambda: not gate.guests)
        writer.close()


# -- numbers -----------------------------------------------------------------------------------------------


async def test_connections_are_capped_in_all() -> None:
    """Beyond the cap a client is told at once to come again; a place that is left is free at once."""
    async with open_door(max_connections=3) as door:
        clients = [await door.client() for _ in range(3)]
        refused = await door.connect()
        assert (await refused.reply()).startswith("421 4.3.2")
        assert await refused.reply() == ""
        await clients[0].say("QUIT")
        await until(lambda: len(door.guests) == 2)
        await door.client()


async def test_connections_are_capped_per_address() -> None:
    """One address must not take all places from the others."""
    async with open_door(max_connections_per_address=2) as door:
        for _ in range(2):
            await door.client()
        assert (await (await door.connect()).reply()).startswith("421 ")
        elsewhere = RawClient(*await asyncio.open_connection(*door.address, local_addr=("127.0.0.2", 0)))
        door.clients.append(elsewhere)
        await elsewhere.hello()


async def test_an_ipv6_customer_is_one_address() -> None:
    """A /64 holds more addresses than we have places, and belongs to one customer."""
    gate = Gate(max_connections=10, max_per_address=1, max_bytes=1)
    guest = GuardedSMTP(Desk(), gate, Limits(1, 1, 1, 1, 1, 1), hostname="mx", tls=None, log=Log())
    gate.enter(guest, "2001:db8:0:1::1")
    assert gate.refusal("2001:db8:0:1:ffff::2") is Refusal.ADDRESS_FULL
    assert gate.refusal("2001:db8:0:2::1") is None
    gate.left(guest, "2001:db8:0:1::1")
    gate.left(guest, "2001:db8:0:1::1")
    assert gate.refusal("2001:db8:0:1:ffff::2") is None


async def test_a_flood_of_connections_leaves_a_polite_client_served() -> None:
    """Refusing is cheap, and the one inside does not notice it."""
    async with open_door(max_connections=20, max_connections_per_address=20) as door:
        polite = await door.client()
        flood = [asyncio.create_task(asyncio.open_connection(*door.address)) for _ in range(300)]
        begun = time.monotonic()
        assert (await polite.mail(b"in between\r\n")).startswith("250 ")
        assert time.monotonic() - begun < 5
        opened = [RawClient(*await each) for each in flood]
        door.clients.extend(opened)
        greetings = [(await each.reply())[:3] for each in opened]
        assert greetings.count("220") == 19
        assert greetings.count("421") == 281
        assert len(door.log.named("smtp.turned_away")) < 5


async def test_too_many_recipients_are_put_off_and_the_mail_goes_to_the_rest() -> None:
    """RFC 5321 4.5.3.1.10: 452 lets the client send the others in a second mail, however many they are."""
    async with open_door(max_recipients=100) as door:
        client = await door.client()
        await client.say(f"MAIL FROM:<{ANNE}>")
        await client.send(b"".join(b"RCPT TO:<support+t%d@desk.example>\r\n" % n for n in range(1000)))
        replies = [(await client.reply())[:9] for _ in range(1000)]
        assert replies == ["250 2.1.5"] * 100 + ["452 4.5.3"] * 900
        await client.say("DATA")
        await client.send(b"to many\r\n.\r\n")
        assert (await client.reply()).startswith("250 ")
        [(envelope, _, _)] = door.desk.mails
        assert len(envelope.rcpt_to) == 100


@pytest.mark.parametrize(
    ("command", "most"),
    [
        ("NOOP", 50),
        ("RSET", 50),
        ("EHLO x", 50),
        ("XYZZY", 50),
        ("", 50),
        ("RCPT TO:<x@desk.example>", 100),
        ("DATA", 100),
    ],
)
async def test_commands_without_a_mail_are_counted(command: str, most: int) -> None:
    """A storm of commands, or of guesses at who exists, ends; a mail accepted gives new credit."""
    async with open_door() as door:
        client = await door.client()
        if command.startswith("RCPT"):
            await client.say(f"MAIL FROM:<{ANNE}>")
        await client.send(f"{command}\r\n".encode() * (most + 20))
        replies = []
        while reply := await client.reply():
            replies.append(reply[:3])
        assert replies[-1] == "421"
        assert most - 3 <= len(replies) - 1 <= most


async def test_a_storm_of_commands_leaves_the_others_served() -> None:
    """Each session takes its turn: what one pipelines does not make the next one wait."""
    async with open_door() as door:
        polite, storm = await door.client(), await door.client()
        await storm.say(f"MAIL FROM:<{ANNE}>")
        await storm.send(f"RCPT TO:<{DESK}>\r\n".encode() * 9000)
        begun = time.monotonic()
        assert (await polite.mail(b"in between\r\n")).startswith("250 ")
        assert time.monotonic() - begun < 1
