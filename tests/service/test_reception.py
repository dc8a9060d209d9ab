"""The door: what is stored once, what is counted as a duplicate, and what is never taken for one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.core.mail import Envelope
from mailbridge.service.reception import UnknownMailboxError
from tests.fakes import FakeClock, FakeIds
from tests.service.office import ANNE, CRIS, DESK, SALES, Office, letter


@pytest.fixture
def office(database_url: str, tmp_path: Path, clock: FakeClock, ids: FakeIds) -> Iterator[Office]:
    """The services on a database of each kind."""
    made = Office.open(database_url, tmp_path, clock, ids)
    yield made
    made.parts.close()


def test_the_same_mail_again_is_counted_and_not_stored(office: Office) -> None:
    """The client whose connection broke before our 250 came sends it again, with other trace fields."""
    (first,) = office.accept(letter())
    (again,) = office.accept(b"Received: from a by b;\r\n now\r\n" + letter())
    (once_more,) = office.accept(letter().replace(b"\r\n", b"\n"), mail_from=ANNE.upper())
    assert (first.duplicate, again.duplicate, once_more.duplicate) == (False, True, True)
    assert first.id == again.id == once_more.id
    (row,) = office.rows("inbound")
    assert row.duplicates == 2
    assert len(office.rows("inbound_raw")) == 1
    assert len(office.work()) == 1


def test_after_the_window_the_same_mail_is_a_new_one(office: Office) -> None:
    """A monitoring system may say the same thing every month, in the same words."""
    window = office.parts.settings.intake.duplicate_window
    office.accept(letter())
    office.clock.advance(window - timedelta(seconds=1))
    assert office.accept(letter())[0].duplicate
    office.clock.advance(seconds=1)
    (late,) = office.accept(letter())
    assert not late.duplicate
    office.clock.advance(window - timedelta(seconds=1))
    assert office.accept(letter())[0].id == late.id


def test_a_message_id_alone_is_never_proof(office: Office) -> None:
    """Another sender, another mailbox, another word: each is a mail of its own."""
    taken = [
        *office.accept(letter()),
        *office.accept(letter(), mail_from=CRIS),
        *office.accept(letter(), mail_from=None),
        *office.accept(letter(words="Smoke nowhere.")),
        *office.accept(letter(), SALES),
    ]
    assert not any(item.duplicate for item in taken)
    assert len({item.id for item in taken}) == 5


def test_each_mailbox_among_the_recipients_has_its_own_row_with_its_own_recipients(office: Office) -> None:
    """The tags of one mailbox are no business of the other; addresses that are not ours are nobody's."""
    rcpt = (f"{DESK.upper()}", "support+x@desk.example", "shop@desk.example", "who@else.example")
    taken = office.accept(letter(), *rcpt)
    assert [(item.mailbox, item.duplicate) for item in taken] == [(DESK, False), (SALES, False)]
    assert [(row.mailbox, row.rcpt_to) for row in office.rows("inbound")] == [
        (DESK, f"{DESK.upper()} support+x@desk.example"),
        (SALES, "shop@desk.example"),
    ]


def test_the_second_mailbox_of_a_duplicate_is_not_lost(office: Office) -> None:
    """The first try had one recipient, the second has both."""
    office.accept(letter(), DESK)
    assert [item.duplicate for item in office.accept(letter(), DESK, SALES)] == [True, False]


@pytest.mark.parametrize(
    "rcpt", ["who@else.example", "supporter@desk.example", "support+!@desk.example", "support"]
)
def test_a_recipient_that_is_not_ours_is_refused_at_once(office: Office, rcpt: str) -> None:
    """Exact match: we answer for our own addresses only."""
    with pytest.raises(UnknownMailboxError, match=r"supp|who"):
        office.parts.reception().take(Envelope(ANNE, (rcpt,)), letter(), "cli")
    assert not office.rows("inbound")


async def test_the_door_tells_the_workers_of_new_mail_only(office: Office) -> None:
    """A duplicate wakes nobody; whoever listens hears how many came."""
    heard: list[int] = []
    reception = office.parts.reception(on_accepted=heard.append)
    envelope = Envelope(ANNE, (DESK, SALES))
    assert not (await reception.accept(envelope, letter(), "smtp:192.0.2.1")).duplicate
    assert (await reception.accept(envelope, letter(), "smtp:192.0.2.1")).duplicate
    large = letter(words="x" * (300 << 10))
    assert not (await reception.accept(Envelope(ANNE, (DESK,)), large, "smtp:192.0.2.1")).duplicate
    assert heard == [2, 1]


def test_bytes_and_envelope_come_out_as_they_went_in(office: Office) -> None:
    """NULs, lone CRs, 8-bit bytes: nothing of a mail is touched at the door."""
    raw = letter() + bytes(range(256)) + b"\r\r\n\n\0"
    office.accept(raw, "support+x@desk.example", mail_from=None)
    (stored,) = office.claim()
    assert stored.raw == raw
    assert stored.envelope == Envelope(None, ("support+x@desk.example",))
    assert (stored.source, stored.attempt, stored.received_at) == ("smtp:192.0.2.1", 1, office.clock.now())
