"""The command line against a running daemon: names, JSON keys and exit codes that are relied on (DESIGN §4)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.flow.letters import letter, reply, unique
from tests.flow.world import World, run_here

ANNE = "anne@customer.example"
DESK = "support@desk.example"
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
        (("ticket", "nonsense"), b"", 64, "No such command"),
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


@pytest.mark.parametrize("args", [(), ("--maildir",)])
def test_the_demo_plays_the_whole_story(args: tuple[str, ...]) -> None:
    """What a newcomer sees first; 0 only if every step held."""
    ended = run_here("demo", *args)
    assert ended.code == 0, ended.out
    assert "REOPENED" in ended.out
