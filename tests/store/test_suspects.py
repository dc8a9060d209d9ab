"""The order in which mail is taken up again after the daemon died over it."""

from __future__ import annotations

from datetime import timedelta

from mailbridge.core.mail import Envelope
from mailbridge.store import inbound
from mailbridge.store.engine import Database
from mailbridge.store.inbound import NewMail
from tests.fakes import FakeClock


def test_mail_that_was_in_work_at_a_crash_is_tried_alone_and_then_goes_to_the_end(
    database: Database, clock: FakeClock
) -> None:
    """All that were in work are suspects once, and are tried one by one. Whoever was alone in work at a crash
    waits behind all others: it holds nobody up, and a daemon that dies of something else soon after each
    start does not meet the same mail every time, which would be blamed in the end."""

    def mail(number: int) -> NewMail:
        envelope = Envelope("anne@customer.example", ("support@desk.example",))
        return NewMail(
            "support@desk.example", envelope, "test", bytes([number]) * 32, clock.now(), b"Subject: x\r\n"
        )

    def claim() -> list[int]:
        claimed = database.write(
            lambda conn: inbound.claim(
                conn, now=clock.now(), lease=timedelta(minutes=2), limit=50, max_bytes=1 << 20
            )
        )
        return [found.id for found in claimed]

    def crash() -> None:
        database.write(inbound.release_leases)

    def accept(*numbers: int) -> list[int]:
        mails = [mail(number) for number in numbers]
        return [i for i, _ in database.write(lambda conn: inbound.accept(conn, mails, timedelta(days=1)))]

    first, second = accept(1, 2)
    assert claim() == [first, second]
    crash()
    assert claim() == [first]
    crash()
    third, fourth = accept(3, 4)
    assert claim() == [second]
    assert claim() == [third, fourth]
    assert claim() == [first]
    assert claim() == []
