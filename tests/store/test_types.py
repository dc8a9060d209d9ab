"""UTCDateTime on both databases: an instant in, the same instant out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Dialect, Integer, MetaData, Table, insert, make_url, select
from sqlalchemy.exc import StatementError

from mailbridge.store.engine import Database
from mailbridge.store.types import UTCDateTime

EAST = timezone(timedelta(hours=5, minutes=30))
instants = st.datetimes(
    min_value=datetime.fromisoformat("1900-01-02"),
    max_value=datetime.fromisoformat("2200-01-01"),
    timezones=st.sampled_from([UTC, EAST]),
)
DIALECTS = [make_url(name).get_dialect()() for name in ("sqlite://", "postgresql+psycopg://")]
metadata = MetaData()
moment = Table(
    "moment", metadata, Column("id", Integer, primary_key=True), Column("at", UTCDateTime, index=True)
)


def test_an_instant_comes_back_as_the_same_instant_in_utc(database: Database) -> None:
    """SQLite's driver drops the offset of an aware datetime: noon in India became noon in UTC."""
    before = [
        datetime(2026, 6, 2, 12, 0, 0, 1, tzinfo=EAST),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2199, 1, 1, tzinfo=UTC),
    ]

    def work(conn: Connection) -> list[datetime | None]:
        metadata.create_all(conn)
        conn.execute(insert(moment), [{"at": at} for at in before])
        return list(conn.execute(select(moment.c.at).order_by(moment.c.id)).scalars())

    after = database.write(work)

    assert after == before
    assert all(at is not None and at.tzinfo is UTC for at in after)


def test_sql_compares_and_sorts_by_time_whatever_the_offset(database: Database) -> None:
    """Due times are found by `at <= now`: as text with offsets they would sort by the clock's face."""
    early = datetime(2026, 6, 2, 12, 0, tzinfo=EAST)  # 06:30 UTC
    late = datetime(2026, 6, 2, 7, 0, tzinfo=UTC)

    def work(conn: Connection) -> tuple[list[datetime | None], list[datetime | None]]:
        metadata.create_all(conn)
        conn.execute(insert(moment), [{"at": late}, {"at": early}, {"at": None}])
        ordered = conn.execute(select(moment.c.at).where(moment.c.at.is_not(None)).order_by(moment.c.at))
        due = conn.execute(select(moment.c.at).where(moment.c.at <= early))
        return list(ordered.scalars()), list(due.scalars())

    assert database.write(work) == ([early, late], [early])


def test_a_naive_datetime_is_refused(database: Database) -> None:
    """Which instant it means is a guess, and the guess differs between two machines."""
    naive = datetime.fromisoformat("2026-06-02T12:00")
    with pytest.raises(StatementError) as caught:
        database.read(lambda conn: conn.execute(select(moment.c.id).where(moment.c.at == naive)).all())
    assert isinstance(caught.value.orig, ValueError)


@given(first=instants, second=instants)
def test_what_sqlite_keeps_is_exact_and_ordered_like_time(first: datetime, second: datetime) -> None:
    """Integer arithmetic only: a float of seconds would lose microseconds."""
    kind, dialect = UTCDateTime(), DIALECTS[0]
    kept = [kind.process_bind_param(at, dialect) for at in (first, second)]
    assert [kind.process_result_value(value, dialect) for value in kept] == [first, second]
    low, high = kept
    assert isinstance(low, int)
    assert isinstance(high, int)
    assert (low < high) == (first < second)


@pytest.mark.parametrize("dialect", DIALECTS, ids=["sqlite", "postgresql"])
def test_no_instant_stays_no_instant(dialect: Dialect) -> None:
    """A ticket that is not due has no due time, rather than 1970."""
    kind = UTCDateTime()
    assert kind.process_bind_param(None, dialect) is None
    assert kind.process_result_value(None, dialect) is None
