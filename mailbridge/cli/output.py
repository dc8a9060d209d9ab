"""What commands print: JSON Lines, or tables for people. Control characters never reach a terminal."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

_KEEP = {"\n", "\t"}


def safe(value: object) -> str:
    """A text that a terminal shows and does not obey: controls, bidi marks and lone surrogates are escaped."""
    return "".join(_shown(char) for char in str(value))


def _shown(char: str) -> str:
    if char in _KEEP or char.isprintable():
        return char
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return char.encode("unicode_escape").decode("ascii")
    return char


def plain(value: Any) -> Any:
    """A value as JSON takes it: times as RFC 3339 in UTC, durations in seconds, bytes not at all."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    return value


def json_line(item: Mapping[str, Any]) -> str:
    """An object as JSON on one line, whoever splits lines: what is not printable is written as \\uXXXX."""
    text = json.dumps(plain(item), ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return "\\u007f" if char == "\x7f" else json.dumps(char)[1:-1]


def print_json(item: Mapping[str, Any]) -> None:
    """One object, one line."""
    sys.stdout.write(json_line(item) + "\n")


def print_all_json(items: Iterable[Mapping[str, Any]]) -> None:
    """One object a line."""
    for item in items:
        print_json(item)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table that fits the terminal; in a pipe nothing is cut."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    listed = [[safe(cell).replace("\n", " ") for cell in row] for row in rows]
    if not listed:
        sys.stdout.write(empty + "\n")
        return
    console = Console(soft_wrap=not sys.stdout.isatty())
    if not sys.stdout.isatty():
        widths = [max(len(str(r[i])) for r in [list(columns), *listed]) for i in range(len(columns))]
        for row in [list(columns), *listed]:
            cells = (str(c).ljust(w) for c, w in zip(row, widths, strict=True))
            sys.stdout.write("  ".join(cells).rstrip() + "\n")
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in listed:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def when(moment: datetime | None) -> str:
    """A time for people, in the machine's zone, to the second."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def ago(moment: datetime, now: datetime) -> str:
    """'3 min', '5 h', '12 d': how long ago."""
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
