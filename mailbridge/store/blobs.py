"""Large bytes into and out of SQLite piece by piece.

Given as a parameter, a mail of 25 MB is held three times over: by us, by the driver's copy, which stays with
the prepared statement, and in the row being built. Read as a column it is held twice. PostgreSQL's driver is
left to its own ways.

Standards: none; https://www.sqlite.org/c3ref/blob_open.html.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import BindParameter, ColumnElement, Connection, LargeBinary, Table, bindparam, func

LARGE = 1 << 20
"""Bytes from which it is worth two more calls."""
_PIECE = 256 << 10


def in_pieces(conn: Connection, size: int) -> bool:
    """Whether bytes of that size are to go by `fill` and `read`."""
    return size >= LARGE and conn.dialect.name == "sqlite"


def room(name: str = "b_size") -> ColumnElement[bytes]:
    """A value for an INSERT: as many zero bytes as the parameter of that name says, to be filled."""
    size: BindParameter[int] = bindparam(name)
    return func.zeroblob(size, type_=LargeBinary)


def fill(conn: Connection, table: Table, row: int, data: bytes) -> None:
    """Write the column `data` of a row (by its rowid), for which `room` was made. Part of the transaction."""
    with _driver(conn).blobopen(table.name, "data", row) as blob:
        view = memoryview(data)
        for start in range(0, len(data), _PIECE):
            blob.write(view[start : start + _PIECE])


def read(conn: Connection, table: Table, row: int) -> bytes:
    """The column `data` of a row (by its rowid)."""
    with _driver(conn).blobopen(table.name, "data", row, readonly=True) as blob:
        return blob.read()


def _driver(conn: Connection) -> sqlite3.Connection:
    driver = conn.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver
