"""Logging: one line an event, as JSON for machines or as text for eyes, ours and the libraries' alike.

structlog makes the event, the standard library's root logger carries it, and one handler writes it. What
came in by mail ends up in values here, so no value can break a line, drive a terminal or leak a secret.

Standards: RFC 8259 (JSON), RFC 3339 (times, UTC), ECMA-48 (the control characters that are escaped).
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog

Format = Literal["auto", "json", "text"]

LIBRARIES = (
    "aioimaplib",
    "aioimaplib.aioimaplib",
    "aiosmtpd",
    "aiosmtplib",
    "alembic",
    "asyncio",
    "mail.debug",
    "mail.error",
    "mail.log",
    "mailparser",
    "pebble",
    "sqlalchemy",
    "sqlalchemy.engine",
    "sqlalchemy.pool",
)
"""Loggers held at WARNING whatever our own level is: below it they write mail and addresses (aiosmtpd at INFO
and DEBUG, aioimaplib at DEBUG), and no switch of ours turns that on."""

_REDACTED = "[redacted]"
_SECRET_KEY = re.compile(r"authori[sz]ation|credential|passw(?:or)?d|passphrase|secret|token", re.IGNORECASE)
# C0 and C1 controls and DEL (ECMA-48), line and paragraph separators, the marks that turn text round
# (Unicode TR 36), and lone surrogates, which no UTF-8 stream can write.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_UNSAFE_BUT_LINES = re.compile(f"(?!\n){_UNSAFE.pattern}")
_PLAIN = re.compile(r"[\w./:@+<>,#%*-]+")
_DEEPEST = 8
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_FIRST = ("timestamp", "level", "event", "logger")


def configure(fmt: Format, level: str, stream: TextIO) -> None:
    """Send every log event of the process to `stream`, replacing what an earlier call set up.

    `fmt` 'auto' is text on a terminal and JSON elsewhere; `level` is debug, info, warning or error and holds
    for our own loggers: those of libraries stay at WARNING or above. Raises ValueError for another level.
    """
    threshold = logging.getLevelNamesMapping().get(level.upper())
    if threshold is None:
        raise ValueError(f"log level {level!r}: allowed is debug, info, warning or error")
    terminal = stream.isatty()
    as_text = fmt == "text" or (fmt == "auto" and terminal)
    unicode = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    renderer = (
        TextRenderer(colour=terminal and not os.environ.get("NO_COLOR"), unicode=unicode)
        if as_text
        else JsonRenderer(unicode=unicode)
    )
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_common()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger("mailbridge").setLevel(threshold)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    # For those who ask structlog itself for a logger; ours do not depend on this global state.
    structlog.configure(
        processors=_ours(),
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: `get_logger(__name__).info("accepted", id=...)`.

    Works before `configure` too: then, as with any standard logger, warnings and errors go to stderr.
    """
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=_ours(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


def _common() -> list[structlog.typing.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _ours() -> list[structlog.typing.Processor]:
    return [
        structlog.stdlib.filter_by_level,
        *_common(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]


class _Handler(logging.StreamHandler[TextIO]):
    """Our handler, told from others' (a test runner's) by its type."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (the standard library's name)
        """A line that cannot be written (full disk, closed pipe) is lost: there is nowhere to say so, and what
        the standard library prints instead is neither one line nor redacted."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide the values of keys whose names speak of a password, secret or token, at any depth."""
    for key, value in event.items():
        event[key] = _redacted(key, value, 0)
    return event


def _redacted(key: str, value: object, depth: int) -> object:
    if value is not None and _SECRET_KEY.search(key):
        return _REDACTED
    if isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # JSON has no NaN
    if depth == _DEEPEST:
        return repr(value)
    if isinstance(value, Mapping):
        return {str(k): _redacted(str(k), v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", each, depth + 1) for each in value]
    return value


class JsonRenderer:
    """One JSON object on one line. Whatever the values are, the line is valid JSON and has no raw control."""

    def __init__(self, *, unicode: bool) -> None:
        self._ascii = not unicode

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        """The event as a line: time, level, event and logger first."""
        ordered = {key: event.pop(key) for key in _FIRST if key in event} | dict(event)
        try:
            line = json.dumps(ordered, ensure_ascii=self._ascii, allow_nan=False, default=_plain)
        except (ValueError, TypeError):  # a key that is no text, say: a log line is no place to fail
            line = json.dumps({key: _plain(value) for key, value in ordered.items()})
        # Only inside strings can these stand, and there an escape means the same (RFC 8259 section 7).
        return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _plain(value: object) -> str:
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception as error:  # somebody's __repr__
        return f"<unprintable {type(value).__name__}: {type(error).__name__}>"


class TextRenderer:
    """A line to read: time, level, event, key=value pairs, logger; an exception's lines follow, indented."""

    def __init__(self, *, colour: bool, unicode: bool) -> None:
        self._colour = colour
        self._unicode = unicode

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        """The event as text, with no raw control character but the line ends of an exception."""
        timestamp, level, name, logger = (str(event.pop(key, "")) for key in _FIRST)
        below = [str(event.pop(key)) for key in ("stack", "exception") if key in event]
        pairs = " ".join(f"{_escape(str(key))}={_value(value)}" for key, value in event.items())
        coloured = f"\x1b[{_COLOURS.get(level, '0')}m{level:<8}\x1b[0m" if self._colour else f"{level:<8}"
        line = "  ".join(part for part in (timestamp, coloured, _escape(name), pairs, f"({logger})") if part)
        for text in below:
            escaped = _UNSAFE_BUT_LINES.sub(_escaped, text)
            line += "".join(f"\n    {each}" for each in escaped.split("\n"))
        return line if self._unicode else line.encode("ascii", "backslashreplace").decode("ascii")


def _value(value: object) -> str:
    text = _plain(value)
    quoted = isinstance(value, str) and not _PLAIN.fullmatch(text)
    return _escape(json.dumps(text, ensure_ascii=False) if quoted else text)


def _escape(text: str) -> str:
    return _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
