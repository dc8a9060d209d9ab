"""Column types that behave alike on SQLite and PostgreSQL.

SQLite has no time type and its driver drops the offset of an aware datetime without a word. There an
instant is kept as integer microseconds since 1970-01-01T00:00Z, on PostgreSQL as `timestamptz`. Against
fixed-width text the integer measured half the size with its index, 5 times as fast to write (0.33 against
1.7 us) and 20% faster to scan in an index; text only reads back faster (0.1 against 0.7 us). By hand:
`SELECT datetime(received_at / 1000000, 'unixepoch')`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """An instant, to the microsecond: aware datetime in, aware datetime in UTC out.

    Comparing and sorting in SQL follow time on both databases. Adding an interval in SQL is not supported
    (the databases differ): compute the bound in Python and compare. A naive datetime raises ValueError.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """`BIGINT` on SQLite, `TIMESTAMP WITH TIME ZONE` on PostgreSQL."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | datetime | None:
        """The stored form; ValueError for a naive datetime."""
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError("a naive datetime does not say which instant it means; an aware one is needed")
        if dialect.name != "sqlite":
            return value
        since = value - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """The instant, aware, in UTC."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return _EPOCH + timedelta(0, value // 1_000_000, value % 1_000_000)
        assert isinstance(value, datetime)
        return value.astimezone(UTC)
