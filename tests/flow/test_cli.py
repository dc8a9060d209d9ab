"""The command line against a running daemon: names, JSON keys and exit codes that are relied on (DESIGN §4)."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from mailbridge.config import Smtp
from tests.flow.letters import BART, DESK, letter, reply, unique
from tests.flow.world import World, environment, run_here

ANNE = "anne@customer.example"
RAW = b"From: Anne <anne@customer.example>\nTo: support@desk.example\nSubject: by pipe\n\nIt burns.\n"


def test_inject_takes_a_mail_from_a_pipe_by_the_same_door(world: World) -> None:
    """Exit 0 once it is on disk; the daemon works on it without being told."""
    done = world.command("inject", "-", "--mailbox", "support@desk.example", "--json", stdin=RAW)
    assert done.code == 0, done.err
    number = json.loads(done.out)["id"]
    record = world.decided(number)
    assert record["source"] == "pipe"
    assert record["envelope_from"] == ANNE
    again = world.command("inject", "-", "--mailbox", "support@desk.example", "--json", stdin=RAW)
    assert json.loads(again.out) == {"id": number, "mailbox": "support@desk.example", "duplicate": True}


@pytest.mark.parametrize(
    ("args", "stdin", "code", "says"),
    [
        (("inject", "/nonexistent/mail.eml"), b"", 66, "No such file"),
        (("inject", "-", "--mailbox", "other@desk.example"), RAW, 67, "no mailbox of ours"),
        (("inject", "-"), b"  \n", 65, "empty"),
        (("ticket", "show", "99999"), b"", 64, "no ticket"),
        (("ticket", "list", "--status", "closed"), b"", 64, "allowed is open"),
        (("ticket", "set", "1"), b"", 64, "nothing to change"),
        (("ticket", "set", "1", "--status", "solved"), b"", 64, "allowed is agreed"),
        (("ticket", "set", "1", "--priority", "S9"), b"", 64, "allowed is S1"),
        (("explain", "999999"), b"", 69, "no mail"),
        (("quarantine", "replay", "999999"), b"", 69, "not in quarantine"),
        (("agent", "add", "no address"), b"", 64, "not a mail address"),
        (("agent", "add", "support@desk.example"), b"", 64, "mailbox of ours"),
        (("contact", "set", ANNE, "--role", "king"), b"", 64, "allowed is contact"),
        (("org", "add", "X", "--domain", "not a domain"), b"", 64, "not a domain"),
        (("org", "add", " "), b"", 64, "needs a name"),
        (("ticket", "nonsense"), b"", 64, "No such command"),
        (("ticket", "show"), b"", 64, "Missing argument"),
        (("ticket", "list", "--limit", "0"), b"", 64, "--limit"),
        (("ticket", "list", "--no-such-option"), b"", 64, "No such option"),
        (("ticket", "reply", "99999", "--text", "x"), b"", 64, "no ticket"),
        (("ticket", "note", "1"), b" \n", 64, "no words"),
        (("ticket", "reply", "1", "--file", "/nonexistent"), b"", 66, "No such file"),
        (("ticket", "reply", "1"), b"Gr\xfc\xdfe", 65, "not UTF-8"),
        (("ticket", "reply", "1", "--text", "Gr\udcfc"), b"", 64, "not UTF-8"),
        (("ticket", "reply", "1", "--text", "x", "--agent", "x@y.example"), b"", 64, "not an active agent"),
        (("ticket", "reply", "1", "--text", "x", "--solved", "perhaps"), b"", 64, "needs a reason"),
        (("ticket", "set", "1", "--status", "on_hold"), b"", 64, "on_hold needs a reason"),
        (("ticket", "set", "1", "--status", "solved", "--reason", "bug_filed"), b"", 64, "bug reference"),
        (("ticket", "set", "1", "--status", "solved", "--reason", "unresponsive"), b"", 64, "one reminder"),
        (("ticket", "set", "1", "--priority", "S1"), b"", 64, "needs a reason"),
        (("ticket", "unmerge", "1"), b"", 64, "not merged"),
        (("ticket", "merge", "1", "99999"), b"", 64, "no ticket"),
        (("ticket", "split", "1", "999999"), b"", 64, "no customer mail"),
        (("quarantine", "raw", "999999"), b"", 69, "no bytes"),
        (("quarantine", "show", "999999"), b"", 69, "no mail"),
        (("quarantine", "drop", "999999"), b"", 69, "not in quarantine"),
        (("outbox", "retry", "999999"), b"", 69, "no mail"),
        (("outbox", "release", "999999"), b"", 69, "no mail"),
        (("agent", "remove", "x@y.example"), b"", 69, "not an active agent"),
        (("agent", "add", "x@y.example", "--mailbox", "no@desk.example"), b"", 64, "no mailbox of ours"),
        (("contact", "set", "x@y.example", "--name", "X"), b"", 69, "no contact"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(
    world: World, args: tuple[str, ...], stdin: bytes, code: int, says: str
) -> None:
    """One line on stderr, a sysexits code, no traceback."""
    ended = world.cli(*args, stdin=stdin)
    assert (ended.code, ended.out) == (code, "")
    assert says in ended.err
    assert "Traceback" not in ended.err


def test_check_proves_a_file_and_exits_78_for_a_bad_one(world: World, tmp_path: Path) -> None:
    """Every problem is named with file, key, value and what is allowed; nothing is started."""
    assert world.cli("check").code == 0
    bad = tmp_path / "bad.toml"
    bad.write_text('[smtp]\nmax_mesage = "30 MiB"\nlisten = ["nowhere"]\n')
    ended = run_here("check", "--config", str(bad))
    assert ended.code == 78
    for word in ("bad.toml", "max_mesage", "max_message", "smtp.listen", "nowhere"):
        assert word in ended.err
    assert run_here("run", "--config", str(bad)).code == 78
    assert run_here("status", "--config", str(tmp_path / "absent.toml")).code == 78


def test_a_ticket_goes_through_its_life_from_the_command_line(world: World) -> None:
    """reply, note, set, reopen, merge, unmerge, split: each says what the ticket is now."""
    key = world.deliver(letter(ANNE, DESK, unique("life"), "Help."))["decision"]["ticket"]
    done = world.row("ticket", "reply", key, "--text", "Which version?", "--agent", "bart@desk.example")
    assert (done["status"], len(done["outbox"])) == ("pending", 1)
    assert "Which version?" in world.await_mail(ANNE, key, 2).text
    assert world.row("ticket", "note", key, "--text", "between us")["status"] == "pending"
    assert world.row("ticket", "set", key, "--priority", "s1", "--why", "all down")["priority"] == "S1"
    solved = world.row(
        "ticket", "set", key, "--status", "solved", "--reason", "bug_filed",
        "--bug", "BUG-7", "--bug-priority", "high", "--bug-timeline", "June",
    )  # fmt: skip
    assert (solved["status"], solved["solved_reason"]) == ("solved", "bug_filed")
    assert world.row("ticket", "reopen", key)["status"] == "open"
    shown = world.row("ticket", "show", key)
    assert {"mail", "reply", "note", "event"} == {e["kind"] for e in shown["entries"]}
    assert shown["requester"].endswith(f"<{ANNE}>")

    other = world.deliver(letter(ANNE, DESK, unique("other"), "The same again."))["decision"]["ticket"]
    assert world.row("ticket", "merge", other, key)["solved_reason"] == "merged"
    assert world.row("ticket", "show", other)["merged_into"] == key
    assert "act on that one" in world.cli("ticket", "reply", other, "--text", "x").err
    assert "into itself" in world.cli("ticket", "merge", key, key).err
    assert world.row("ticket", "unmerge", other)["status"] == "open"
    entry = world.row("ticket", "show", other)["entries"][0]["id"]
    split = world.row("ticket", "split", other, str(entry))
    assert world.row("ticket", "show", split["ticket"])["entries"][0]["text"] == "The same again."


def test_lists_have_the_keys_that_are_relied_on(world: World) -> None:
    """The contract of DESIGN §4."""
    record = world.deliver(letter(ANNE, DESK, unique("keys"), "Hello."))
    world.sent()
    message = next(m for m in world.rows("message", "list", "--inbound") if m["id"] == record["id"])
    assert {"message_id", "ticket", "envelope_from", "text", "html_safe", "attachments"} <= set(message)
    outgoing = world.rows("outbox", "list", "--all")[0]
    assert {"recipient", "state", "attempts", "last_reply"} <= set(outgoing)
    world.deliver(
        b"From: mailer@x.example\r\nAuto-Submitted: auto-replied\r\nSubject: away\r\n\r\nI am away\r\n",
        "m@x.example",
    )
    apart = world.rows("quarantine", "list")[0]
    assert {"reason", "envelope_from", "id", "detail"} <= set(apart)
    status = world.row("status")
    assert status["running"] is True
    assert status["quarantine"]["automatic"] >= 1


def test_quarantine_is_shown_replayed_and_dropped(world: World) -> None:
    """Replay goes the normal path again and keeps who asked; drop takes it off the list."""
    raw = (
        b"From: r@robot.example\r\nAuto-Submitted: auto-generated\r\nSubject: "
        + unique("robot").encode()
        + b"\r\n\r\nbeep\r\n"
    )
    number = world.deliver(raw, "r@robot.example")["id"]
    shown = world.cli("quarantine", "show", str(number))
    assert b"automatic" in shown.raw
    assert world.cli("quarantine", "raw", str(number)).raw.endswith(b"beep\r\n")
    assert world.cli("quarantine", "replay", str(number)).code == 0
    world.until(lambda: world.row("explain", str(number))["state"] == "quarantined", "it should come back")
    history = world.row("explain", str(number))["history"]
    assert history[0]["replayed_by"].startswith("cli:")
    assert world.cli("quarantine", "drop", str(number)).code == 0
    assert number not in {row["id"] for row in world.rows("quarantine", "list")}


def test_keys_rotate_while_mail_flows_and_old_tokens_still_thread(world: World) -> None:
    """What an older key signed is still known; new mail has the new key."""
    record = world.deliver(letter(ANNE, DESK, unique("keys"), "One."))
    key = record["decision"]["ticket"]
    world.cli("ticket", "reply", key, "--text", "Two?")
    old = world.await_mail(ANNE, key)
    assert "new mail is signed with key" in world.cli("keys", "rotate").out
    answered = world.deliver(reply(ANNE, old, "Three."))
    assert (answered["decision"]["ticket"], answered["decision"]["rule"]) == (key, "plus-address")
    assert world.cli("keys", "list").out.count("retired") >= 1


def test_people_are_added_and_listed(world: World) -> None:
    """Agents, contacts, organisations; a domain's contacts belong to its organisation."""
    assert world.cli("org", "add", "Acme", "--domain", "acme.example").code == 0
    assert world.cli("contact", "add", "Dora <dora@acme.example>").code == 0
    assert world.cli("contact", "set", "dora@acme.example", "--role", "technical_contact").code == 0
    contact = next(c for c in world.rows("contact", "list") if c["address"] == "dora@acme.example")
    assert (contact["organisation"], contact["role"], contact["name"]) == (
        "Acme",
        "technical_contact",
        "Dora",
    )
    assert next(o for o in world.rows("org", "list") if o["name"] == "Acme")["contacts"] == 1
    assert "taken" in world.cli("org", "add", "Acme").err
    assert world.cli("agent", "add", "eve@desk.example", "--name", "Eve").code == 0
    assert world.cli("agent", "remove", "eve@desk.example").code == 0
    agent = next(a for a in world.rows("agent", "list") if a["address"] == "eve@desk.example")
    assert (agent["active"], agent["source"]) == (False, "cli")


def test_the_database_is_checked_backed_up_and_exported_beside_the_daemon(
    world: World, tmp_path: Path
) -> None:
    """An admin's daily work, without stopping anything."""
    world.deliver(letter(ANNE, DESK, unique("backup"), "Hello."))
    assert "nothing wrong" in world.cli("db", "check").out
    assert world.cli("db", "upgrade").out == "up to date\n"
    copy = tmp_path / "copy.db"
    assert world.cli("db", "backup", str(copy)).code == 0
    assert copy.stat().st_mode & 0o077 == 0
    assert world.cli("db", "backup", str(copy)).code == 73
    exported = [json.loads(line) for line in world.cli("db", "export").out.splitlines()]
    assert exported
    assert all(row["entries"] for row in exported)


def test_tables_are_readable_in_a_pipe_and_escape_what_a_terminal_obeys(world: World) -> None:
    """A subject with an escape sequence shows itself and does nothing."""
    world.deliver(b"From: anne@customer.example\r\nSubject: red \x1b[31m alert\r\n\r\nx\r\n", ANNE)
    out = world.command("ticket", "list").out
    assert "\x1b" not in out
    assert out.splitlines()[0].split()[:3] == ["number", "key", "subject"]


def test_inspect_reads_files_and_stores_nothing(tmp_path: Path) -> None:
    """One JSON object a file, and 66 for a file that is not there, the others still read."""
    good = tmp_path / "good.eml"
    good.write_bytes(RAW)
    ended = run_here("inspect", "--json", str(good), str(tmp_path / "absent.eml"))
    assert ended.code == 66
    row = next(r for r in ended.rows if r["file"] == str(good))
    assert (row["kind"], row["from"], row["subject"], row["error"]) == ("human", ANNE, "by pipe", None)
    contract = (
        "file message_id from from_name to cc subject date kind bounce text reply html_present attachments"
    )
    assert set(contract.split()) | {"references", "in_reply_to", "defects", "error"} <= set(row)


def test_a_second_daemon_on_the_same_folder_is_refused(world: World) -> None:
    """75 and who has it: two daemons on one SQLite file would free each other's leases."""
    ended = world.command("run")
    assert ended.code == os.EX_TEMPFAIL
    assert str(world.daemon.pid) in ended.err


# ---------------------------------------------------------------- inject, as an MTA's pipe uses it


def injected(world: World, *args: str, stdin: bytes = b"") -> list[int]:
    """What `inject` says that it was accepted as."""
    done = world.cli("inject", "-", *args, "--json", stdin=stdin)
    assert done.code == 0, done.err
    return [row["id"] for row in done.rows]


def test_the_envelope_of_an_injected_mail_is_what_the_pipe_says(world: World) -> None:
    """The sender from the option, else Return-Path, else From; the null sender also as Postfix writes it."""
    for args, head, sender in (
        (("--from", "cris@customer.example"), b"", "cris@customer.example"),
        ((), b"Return-Path: <bounce@customer.example>\n", "bounce@customer.example"),
        ((), b"", ANNE),
        (("--from", "<>"), b"", "<>"),
        (("--from", ""), b"", "<>"),
        (("--from", "MAILER-DAEMON"), b"", "<>"),
    ):
        raw = head + RAW.replace(b"by pipe", unique("by pipe").encode())
        (number,) = injected(world, *args, stdin=raw)
        assert world.decided(number)["envelope_from"] == sender


def test_a_mail_is_injected_for_each_mailbox_that_is_named(world: World) -> None:
    """A plus-tag is kept, since a token may be in it."""
    raw = RAW.replace(b"by pipe", unique("for two").encode())
    to = ("support+tag@desk.example", "sales@desk.example")
    numbers = injected(world, "--mailbox", to[0], "--mailbox", to[1], stdin=raw)
    assert {tuple(world.decided(n)["rcpt_to"]) for n in numbers} == {(to[0],), (to[1],)}


def test_a_file_is_injected_as_it_is(world: World, tmp_path: Path) -> None:
    """Its bytes, to the last one; a mail that is too large is refused for good."""
    file = tmp_path / "mail.eml"
    file.write_bytes(RAW.replace(b"by pipe", unique("file").encode()) + b"\xff\x00\r\n.\r\nend")
    done = world.cli("inject", str(file))
    assert done.out.startswith("accepted as "), done.err
    number = int(done.out.split()[2])
    assert world.cli("quarantine", "raw", str(number)).raw == file.read_bytes()
    assert "we had it before" in world.cli("inject", str(file)).out
    file.write_bytes(RAW + b"x" * Smtp().max_message)
    refused = world.cli("inject", str(file))
    assert (refused.code, "smtp.max_message" in refused.err) == (65, True)


def test_our_own_trouble_is_75_so_that_an_mta_keeps_the_mail(tmp_path: Path) -> None:
    """Promise 2 at this door: for most other codes an MTA sends the customer's mail back to them."""
    config = tmp_path / "mailbridge.toml"
    config.write_text('[server]\ndata_dir = "data"\n[store]\nbusy_timeout = "1s"\n')
    args = ("inject", "-", "--config", str(config))
    assert run_here(*args, stdin=RAW).code == 0
    lock = sqlite3.connect(tmp_path / "data" / "mailbridge.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    locked = run_here(*args, stdin=RAW + b"more\n")
    lock.close()
    assert locked.code == 75, locked.err
    assert "Traceback" not in locked.err
    assert run_here(*args, stdin=RAW + b"more\n").code == 0
    config.write_text('[server]\ndata_dri = "data"\n')
    broken = run_here(*args, stdin=RAW)
    assert (broken.code, "data_dri" in broken.err) == (75, True)
    absent = run_here("inject", "-", "--config", str(tmp_path / "absent.toml"), stdin=RAW)
    assert absent.code == 75


def test_mail_is_taken_in_while_no_daemon_runs_and_status_says_that_it_waits(tmp_path: Path) -> None:
    """The pipe is the MTA's; whether the daemon is up is not its business."""
    config = ("--config", str(tmp_path / "mailbridge.toml"))
    Path(config[1]).write_text('[server]\ndata_dir = "data"\n')
    assert run_here("inject", "-", *config, stdin=RAW).code == 0
    status = run_here("status", *config).out
    assert "not running" in status
    assert "1 mail(s) wait for the daemon" in status
    assert "not yet (state received" in run_here("explain", "1", *config).out


# ---------------------------------------------------------------- what is printed


KEYS = {
    (
        "ticket",
        "list",
    ): "number ticket subject status solved_reason priority requester mailbox flag created_at updated_at",
    (
        "message",
        "list",
    ): "id message_id ticket envelope_from mailbox received_at state reason from subject text "
    "reply html_safe attachments",
    ("quarantine", "list"): "id reason detail envelope_from mailbox received_at size message_id attempts",
    (
        "outbox",
        "list",
        "--all",
    ): "id kind recipient state attempts last_reply ticket message_id subject mailbox "
    "created_at next_attempt_at",
    ("agent", "list"): "id address name mailboxes active source",
    ("contact", "list"): "id address name role organisation tickets",
    ("org", "list"): "id name domains contacts",
    ("status",): "version running pid database inbound quarantine tickets flagged outbox outbox_hold",
    ("ticket", "show", "1"): "number ticket mailbox subject status solved_reason bug_reference bug_priority "
    "bug_timeline hold_reason priority flag requester collaborators merged_into follow_up_of "
    "claims_to_belong_to pending_since solved_at created_at updated_at entries",
    ("explain", "1"): "id state mailbox envelope_from rcpt_to source received_at size duplicates attempts "
    "message_id quarantine decision history",
}


@pytest.fixture(scope="module")
def furnished(world: World) -> World:
    """The daemon with something in every list, all of it written by someone who means harm."""
    evil = "\x1b[31m\x9b2J\u202e\u2028\x07\x7f"
    world.talk()
    mail = letter(ANNE, DESK, unique("evil"), f"words {evil}")
    raw = mail.as_bytes().replace(b"Subject: ", b"Subject: =?utf-8?q?=1B[31m=C2=9B2J=E2=80=AE=07?= ", 1)
    raw = raw.replace(
        f"From: {ANNE}".encode(), f"From: =?utf-8?q?E=1B=5B31mvil=E2=80=AE?= <{ANNE}>".encode(), 1
    )
    assert world.deliver(raw, ANNE)["decision"]["ticket"]
    robot = f"From: Robot{evil} <r@robot.example>\nAuto-Submitted: auto-generated\nMessage-ID: <{evil}@x>\n"
    apart = world.deliver(
        (robot + f"Subject: {unique('robot')} {evil}\n\n{evil}\n").encode(), "r@robot.example"
    )
    assert apart["quarantine"]
    world.cli("org", "add", f"Evil {evil} Inc")
    world.cli("outbox", "hold", "--why", f"because {evil}")
    world.cli("outbox", "release")
    world.sent()
    return world


@pytest.mark.parametrize("command", KEYS, ids=" ".join)
def test_json_is_one_object_a_line_with_the_keys_that_are_relied_on(
    furnished: World, command: tuple[str, ...]
) -> None:
    """Read by scripts: no key may vanish, and no line may be anything but JSON."""
    done = furnished.cli(*command, "--json")
    assert done.code == 0, done.err
    assert done.rows
    for row in done.rows:
        assert set(KEYS[command].split()) <= set(row)
        for name, value in row.items():
            if name.endswith("_at") and value is not None:
                assert value.endswith("Z"), name  # RFC 3339, UTC


@pytest.mark.parametrize("command", [*KEYS, ("keys", "list"), ("db", "check")], ids=" ".join)
def test_what_is_printed_steers_no_terminal(furnished: World, command: tuple[str, ...]) -> None:
    """Subjects, names and organisations come from strangers; JSON may end on a terminal as well."""
    steering = {chr(n) for n in (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x202E, 0x2028)}
    outputs = [furnished.cli(*command)]
    if command in KEYS:
        outputs.append(furnished.cli(*command, "--json"))
    for done in outputs:
        assert done.code == 0, done.err
        assert not steering & set(done.out)
    number = str(furnished.rows("quarantine", "list")[0]["id"])
    assert not steering & set(furnished.cli("quarantine", "show", number).out)


def test_a_reader_that_has_seen_enough_is_no_error(furnished: World) -> None:
    """`mailbridge db export | head -1`"""
    shell = f"{subprocess.list2cmdline(furnished.argv('db', 'export'))} | head -c 20; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env=environment(), timeout=30
    )
    assert done.stderr == ""
    assert done.stdout.endswith("0\n")


def test_every_command_explains_itself() -> None:
    """--help, down to the last one, from the names of the design."""
    nouns = {
        "ticket": "list show reply note set merge unmerge split reopen",
        "message": "list",
        "quarantine": "list show raw replay drop",
        "outbox": "list retry hold release",
        "agent": "add list remove",
        "contact": "add list set",
        "org": "add list",
        "db": "upgrade check backup export",
        "keys": "rotate list",
    }
    commands: list[tuple[str, ...]] = [
        (noun, verb) for noun, verbs in nouns.items() for verb in verbs.split()
    ]
    commands += [(c,) for c in ("run", "check", "inject", "inspect", "explain", "status", "demo")]
    for command in commands:
        done = run_here(*command, "--help")
        assert done.code == 0, command
        assert "Usage: mailbridge" in done.out
    assert run_here("--version").out.startswith("mailbridge ")
    bare = run_here()
    assert (bare.code, "Usage: mailbridge" in bare.out + bare.err) == (64, True)


# ---------------------------------------------------------------- words, filters, keys, copies


def test_words_come_from_an_argument_a_file_or_standard_input(world: World, tmp_path: Path) -> None:
    """And `--solved` solves with the same mail; the customer sees who speaks."""
    talk = world.talk()
    file = tmp_path / "words.txt"
    file.write_text("From a file: Grüße.\n")
    assert (
        world.cli("ticket", "reply", talk.key, "--file", str(file), "--agent", "bart@desk.example").code == 0
    )
    first = talk.to(ANNE, 2)
    assert "From a file: Grüße." in first.words
    assert first.header("From").startswith('"Bart Vos (Example Support)"')
    done = world.cli("ticket", "reply", talk.key, "--solved", "agreed", stdin="From stdin: \u2713\n".encode())
    assert done.out == f"ticket {talk.key}: solved (agreed), S3; 2 mail(s) queued\n"
    assert "From stdin: \u2713" in talk.to(ANNE, 3).words
    world.deliver(reply(ANNE, talk.to(ANNE, 3), "No, not yet.\n"))
    talk.awaits("open")


def test_a_ticket_solved_by_command_tells_its_requester_unless_told_not_to(world: World) -> None:
    """`--quiet` is for what the customer has been told already."""
    loud, quiet = world.talk(), world.talk()
    solve = ("--status", "solved", "--reason", "agreed")
    assert len(world.row("ticket", "set", loud.key, *solve)["outbox"]) == 1
    assert world.row("ticket", "set", quiet.key, *solve, "--quiet")["outbox"] == []
    assert "marked your request" in loud.to(ANNE, 2).text
    world.sent()
    assert quiet.count(ANNE) == 1


def test_lists_are_filtered(world: World) -> None:
    """By status (several), by requester in any case of letters, by flag, by number of lines."""
    talk = world.talk(letter("Dora <Dora@Filter.example>", DESK, unique("filter")))
    assert [r["ticket"] for r in world.rows("ticket", "list", "--requester", "dora@filter.EXAMPLE")] == [
        talk.key
    ]
    assert talk.key in [r["ticket"] for r in world.rows("ticket", "list", "-s", "open", "-s", "pending")]
    assert talk.key not in [r["ticket"] for r in world.rows("ticket", "list", "-s", "solved")]
    assert world.rows("ticket", "list", "--flagged") == []
    assert len(world.rows("ticket", "list", "--limit", "1")) == 1
    assert world.cli("ticket", "list", "--flagged").out == "no tickets\n"
    for reference in (
        talk.key.lower(),
        f"#{talk.key}",
        talk.key.replace("-", " "),
        str(talk.ticket["number"]),
    ):
        assert world.row("ticket", "show", reference)["ticket"] == talk.key
    message_id = talk.first_id.strip("<>")
    assert world.row("explain", message_id)["decision"]["ticket"] == talk.key


def test_old_keys_that_are_dropped_are_worth_nothing_any_more(world: World) -> None:
    """After a theft: what the thief could sign opens nothing; the requester's reply joins by weaker evidence."""
    talk = world.talk()
    old = talk.to(ANNE)
    notice = talk.to(BART)
    world.cli("keys", "rotate")
    dropped = world.cli("keys", "rotate", "--drop-old").out
    assert dropped.endswith("0 older key(s) still verify\n")
    assert "retired" not in world.cli("keys", "list").out
    by_agent = world.deliver(reply(BART, notice, "#solved agreed\n"))
    assert by_agent["quarantine"]["reason"] == "agent-unverified"
    by_anne = world.deliver(reply(ANNE, old, "Is there news?\n"))["decision"]
    assert (by_anne["ticket"], by_anne["rule"]) == (talk.key, "stored-message-id")
    assert by_anne["rejected"][0]["why"].startswith("forged: no key")
    secrets = (world.data / "keys.json").read_text()
    assert (world.data / "keys.json").stat().st_mode & 0o077 == 0
    shown = world.cli("keys", "list").out
    assert not any(value in shown for value in json_strings(json.loads(secrets)) if len(value) > 20)


def json_strings(found: object) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(found, dict):
        return [text for value in found.values() for text in json_strings(value)]
    if isinstance(found, list):
        return [text for value in found for text in json_strings(value)]
    return [found] if isinstance(found, str) else []


def test_a_backup_is_a_whole_database(world: World, tmp_path: Path) -> None:
    """Taken while mail flows; another mailbridge opens it and finds the tickets."""
    talk = world.talk()
    data = tmp_path / "data"
    data.mkdir()
    assert world.cli("db", "backup", str(data / "mailbridge.db")).code == 0
    config = tmp_path / "mailbridge.toml"
    config.write_text('[server]\ndata_dir = "data"\n')
    there = run_here("ticket", "show", talk.key, "--json", "--config", str(config))
    assert there.code == 0, there.err
    assert there.rows[0]["entries"] == talk.ticket["entries"]
    assert "nothing wrong was found" in run_here("db", "check", "--config", str(config)).out
    assert world.cli("db", "backup", "/nonexistent/folder/copy.db").code == 73


def test_a_port_that_is_taken_is_named(world: World, tmp_path: Path) -> None:
    """69 and the address; nothing half-started is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "mailbridge.toml"
        text = f'[server]\ndata_dir = "data"\n[smtp]\nlisten = ["127.0.0.1:{port}"]\n'
        config.write_text(text)
        command = [*world.argv("run")[:-1], str(config)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=30)
    assert done.returncode == os.EX_UNAVAILABLE
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr
