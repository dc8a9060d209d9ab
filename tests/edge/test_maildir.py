"""The outgoing Maildir: what is in it, and that no mail is in it twice."""

from __future__ import annotations

import asyncio
import email
import mailbox
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from mailbridge.core.compose import compose
from mailbridge.core.mail import Address
from mailbridge.core.outgoing import (
    Delivered,
    MailDraft,
    Outgoing,
    Refused,
    SmarthostDown,
    SubmissionResult,
)
from mailbridge.edge.maildir import MaildirSubmitter

ANNE = "anne@customer.example"
CRIS = "cris@customer.example"
DATA = compose(
    MailDraft(
        from_=Address("Support", "support@desk.example"),
        to=(Address("Anne", ANNE),),
        cc=(Address("Cris", CRIS),),
        reply_to=Address("Support", "support+t1@desk.example"),
        subject="Grüße",
        message_id="<t1@desk.example>",
        date=datetime(2026, 3, 1, tzinfo=UTC),
        text="Hello Anne\nFrom here on it works.\n",
    )
)
MAIL = Outgoing("bounce+1.abc@desk.example", (ANNE, CRIS), "<t1@desk.example>", DATA)


def submitter(path: Path) -> MaildirSubmitter:
    log: structlog.stdlib.BoundLogger = structlog.get_logger()
    return MaildirSubmitter(path, log)


async def saved(path: Path, outgoing: Outgoing) -> dict[str, object]:
    result = await submitter(path).submit(outgoing)
    assert isinstance(result, SubmissionResult), result
    return dict(result.recipients)


async def test_a_mail_client_finds_a_proper_mail(tmp_path: Path) -> None:
    """`make run` has no mail server: mutt or Thunderbird on this folder is how one sees what was sent."""
    results = await saved(tmp_path / "out", MAIL)
    (key,) = mailbox.Maildir(tmp_path / "out", create=False).keys()
    assert results == {ANNE: Delivered(f"saved as new/{key}"), CRIS: Delivered(f"saved as new/{key}")}
    raw = (tmp_path / "out" / "new" / key).read_bytes()
    assert raw.endswith(b"\n" + DATA.replace(b"\r\n", b"\n"))
    assert b"\r" not in raw
    message = email.message_from_bytes(raw)
    assert message["Return-Path"] == "<bounce+1.abc@desk.example>"
    assert message.get_all("Delivered-To") == [ANNE, CRIS]
    assert message["Message-ID"] == "<t1@desk.example>"


async def test_the_null_sender_is_shown_as_such(tmp_path: Path) -> None:
    """So that a test or a person can see that an automatic mail cannot be bounced back."""
    await saved(tmp_path, replace(MAIL, envelope_from=""))
    (file,) = (tmp_path / "new").iterdir()
    assert file.read_bytes().startswith(b"Return-Path: <>\n")


async def test_the_same_mail_again_makes_no_second_file(tmp_path: Path) -> None:
    """After a crash between the saving and our commit, the mail is sent again: promise 4."""
    assert await saved(tmp_path, MAIL) == await saved(tmp_path, MAIL)
    assert len(list((tmp_path / "new").iterdir())) == 1


async def test_a_mail_that_was_read_meanwhile_is_not_saved_again(tmp_path: Path) -> None:
    """A reader moves it to cur/ with its flags; it is still the same mail."""
    out = submitter(tmp_path)
    await out.submit(replace(MAIL, message_id="<t0@desk.example>"))
    await out.submit(MAIL)
    for file in (tmp_path / "new").iterdir():
        file.rename(tmp_path / "cur" / f"{file.name}:2,S")
    result = await out.submit(MAIL)
    assert isinstance(result, SubmissionResult)
    assert all(
        isinstance(r, Delivered) and r.reply.startswith("saved as cur/") for r in result.recipients.values()
    )
    assert list((tmp_path / "new").iterdir()) == []


async def test_a_half_written_file_of_a_crash_is_written_anew(tmp_path: Path) -> None:
    """SIGKILL in the middle of the write leaves a piece in tmp/, which must not be taken for the mail."""
    await saved(tmp_path, MAIL)
    (file,) = (tmp_path / "new").iterdir()
    whole = file.read_bytes()
    file.unlink()
    (tmp_path / "tmp" / file.name).write_bytes(whole[: len(whole) // 2] + b"\0" * len(whole))
    await saved(tmp_path, MAIL)
    assert file.read_bytes() == whole
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "other",
    [
        replace(MAIL, message_id="<t2@desk.example>"),
        replace(MAIL, recipients=(ANNE,)),
        replace(MAIL, data=DATA + b"x\r\n"),
    ],
)
async def test_another_mail_has_its_own_file(tmp_path: Path, other: Outgoing) -> None:
    """Neither a reused Message-ID nor another set of recipients may swallow a mail."""
    await saved(tmp_path, MAIL)
    await saved(tmp_path, other)
    assert len(list((tmp_path / "new").iterdir())) == 2


async def test_many_mails_at_once_are_all_saved(tmp_path: Path) -> None:
    """The worker saves several at a time, also into a folder that is not there yet."""
    out = submitter(tmp_path / "a" / "b")
    mails = [replace(MAIL, message_id=f"<t{n}@desk.example>") for n in range(20)]
    await asyncio.gather(*map(out.submit, mails))
    assert len(list((tmp_path / "a" / "b" / "new").iterdir())) == 20


async def test_only_we_may_read_what_was_sent(tmp_path: Path) -> None:
    """Customers' words lie in it."""
    await saved(tmp_path / "out", MAIL)
    (file,) = (tmp_path / "out" / "new").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "out" / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "address", ["x@victim.example\r\nX-Injected: 1", "x@victim.example\nBcc: y@z", "no address"]
)
async def test_an_address_cannot_write_into_the_trace_header(tmp_path: Path, address: str) -> None:
    """The trace header is a header too."""
    results = await saved(tmp_path, replace(MAIL, recipients=(ANNE, address)))
    assert isinstance(results[ANNE], Delivered)
    assert isinstance(results[address], Refused)
    (file,) = (tmp_path / "new").iterdir()
    assert set(email.message_from_bytes(file.read_bytes())) >= {"Return-Path", "Delivered-To"}
    assert b"X-Injected" not in file.read_bytes()
    assert isinstance((await saved(tmp_path, replace(MAIL, envelope_from=address)))[ANNE], Refused)


async def test_trouble_with_the_disk_holds_the_mail_and_passes(tmp_path: Path) -> None:
    """A full or missing disk is nobody's bounce; the next attempt finds it mended and saves once."""
    place = tmp_path / "out"
    place.write_text("a file where the folder should be")
    result = await submitter(place).submit(MAIL)
    assert isinstance(result, SmarthostDown)
    assert not result.permanent_fault
    place.unlink()
    await saved(place, MAIL)
    assert len(list((place / "new").iterdir())) == 1
