"""Log lines: one an event, valid, readable, and safe whatever the mail says."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from mailbridge.logs import LIBRARIES, Format, configure, get_logger

HOSTILE = 'a\r\nb\x1b[2J\x07\x7f\x9b\u202e\u2028\ud800 "q" \\ \u00e9'
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def restored() -> Iterator[None]:
    """Logging is global to the process: a test begins with no handlers, and what it set up is taken back."""
    names = ["mailbridge", *LIBRARIES]
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()  # the test runner's own, which cannot stand what ours must
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, old in levels.items():
            logging.getLogger(name).setLevel(old)
        structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with restored():
        yield


def logged(fmt: Format, write: Callable[[structlog.stdlib.BoundLogger], object], level: str = "info") -> str:
    stream = io.StringIO()
    configure(fmt, level, stream)
    write(get_logger("mailbridge.test"))
    return stream.getvalue()


def logged_json(write: Callable[[structlog.stdlib.BoundLogger], object]) -> dict[str, Any]:
    (line,) = logged("json", write).splitlines()
    answer: dict[str, Any] = json.loads(line)
    return answer


def test_json_is_one_object_a_line_with_utc_time_level_event_and_logger() -> None:
    """Machines read it: the four keys are a contract, and so is RFC 3339 in UTC."""
    event = logged_json(lambda log: log.info("accepted", id=7, ticket="7k3m9qx2vd", ms=3.5))
    assert list(event) == ["timestamp", "level", "event", "logger", "id", "ticket", "ms"]
    assert event["timestamp"].endswith("Z")
    assert datetime.fromisoformat(event["timestamp"]).utcoffset() == timedelta(0)
    assert (event["level"], event["event"], event["logger"]) == ("info", "accepted", "mailbridge.test")
    assert (event["id"], event["ms"]) == (7, 3.5)


def test_text_is_one_readable_line() -> None:
    """An admin at a terminal reads time, level, what happened and to what."""
    line = logged(
        "text", lambda log: log.warning("delivery put off", to="anne@customer.example", why="no route")
    )
    assert re.fullmatch(
        r"\S+Z  warning   delivery put off  to=anne@customer\.example why=.no route.  \(mailbridge\.test\)\n",
        line,
    )


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    """The same command suits a person and systemd's journal."""
    terminal, pipe = Terminal(), io.StringIO()
    configure("auto", "info", terminal)
    get_logger("mailbridge.test").info("hello")
    configure("auto", "info", pipe)
    get_logger("mailbridge.test").info("hello")
    assert "hello" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert json.loads(pipe.getvalue())["event"] == "hello"


def test_configuring_again_replaces_and_does_not_double() -> None:
    """A reload must not write every line twice."""
    first, second = io.StringIO(), io.StringIO()
    configure("json", "info", first)
    log = get_logger("mailbridge.test")
    log.info("one")
    configure("json", "error", second)
    log.info("two")
    log.error("three")
    assert [json.loads(line)["event"] for line in first.getvalue().splitlines()] == ["one"]
    assert [json.loads(line)["event"] for line in second.getvalue().splitlines()] == ["three"]


@pytest.mark.parametrize("fmt", ["json", "text"])
def test_control_characters_cannot_break_a_line_or_drive_a_terminal(fmt: Format) -> None:
    """A subject with ESC sequences must not repaint the screen, nor one with a line end forge a log line."""

    def write(log: structlog.stdlib.BoundLogger) -> None:
        log.info(HOSTILE, subject=HOSTILE, nested={"of": [HOSTILE, HOSTILE.encode("utf-8", "replace")]})

    text = logged(fmt, write)
    assert text.count("\n") == 1
    assert not UNSAFE.search(text)
    assert "\u00e9" in text  # and yet people's names stay readable


@given(st.text(), st.text())
def test_json_gives_every_value_back_as_it_was(event: str, value: str) -> None:
    """Escaping loses nothing, for any text at all."""
    with restored():
        found = logged_json(lambda log: log.info(event, value=value))
    assert found["event"] == event
    assert found["value"] == value


def test_values_that_json_does_not_know_are_written_all_the_same() -> None:
    """A log call must never be what fails."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    loop: list[object] = []
    loop.append(loop)
    values: dict[str, object] = {
        "number": float("nan"),
        "raw": b"\x00\xff",
        "keys": {1: 2, None: 3},
        "when": timedelta(seconds=1),
        "broken": Broken(),
        "loop": loop,
    }
    with restored():
        found = logged_json(lambda log: log.info("odd", **values))
        text = logged("text", lambda log: log.info("odd", **values))
    assert found["number"] == "nan"
    assert found["keys"] == {"1": 2, "None": 3}
    assert found["broken"] == "<unprintable Broken: RuntimeError>"
    assert "broken=<unprintable Broken: RuntimeError>" in text


@pytest.mark.parametrize("fmt", ["json", "text"])
def test_secrets_are_hidden_by_the_name_of_their_key(fmt: Format) -> None:
    """At any depth, in any spelling; a missing one is still seen to be missing."""

    def write(log: structlog.stdlib.BoundLogger) -> None:
        log.info("login", password="hunter2", api_token="hunter2", clientSecret="hunter2", none_token=None)
        log.info("deep", settings={"smtp": [{"PASSWORD": "hunter2"}]}, boxed=SecretStr("hunter2"))
        logging.getLogger("mail.log").warning("foreign", extra={"secret": "hunter2"})

    text = logged(fmt, write)
    assert "hunter2" not in text
    assert text.count("[redacted]") == 5
    assert "foreign" in text


def test_an_exception_is_told_with_its_traceback() -> None:
    """Ours to read in the log; the other side of the wire never sees it (that is the listener's promise)."""

    def write(log: structlog.stdlib.BoundLogger) -> None:
        try:
            raise ValueError("bad \x1b[31m value")
        except ValueError:
            log.exception("failed")

    found = logged_json(write)
    assert found["level"] == "error"
    assert found["exception"].endswith("ValueError: bad \x1b[31m value")
    text = logged("text", write)
    assert "\n    Traceback (most recent call last):\n" in text
    assert "\n    ValueError: bad \\x1b[31m value\n" in text


@pytest.mark.parametrize("name", LIBRARIES)
def test_libraries_stay_at_warning_even_when_we_debug(name: str) -> None:
    """aiosmtpd writes addresses at INFO and mail at DEBUG: personal data that we have no switch for."""

    def write(_: structlog.stdlib.BoundLogger) -> None:
        logging.getLogger(name).debug("DATA: %r", "anne's mail")
        logging.getLogger(name).info("anne@customer.example")
        logging.getLogger(name).warning("too many %s", "connections")

    (line,) = logged("json", write, level="debug").splitlines()
    assert json.loads(line)["event"] == "too many connections"
    assert json.loads(line)["logger"] == name


def test_a_library_nobody_thought_of_is_held_at_warning_as_well() -> None:
    """The list of names can never be complete."""

    def write(log: structlog.stdlib.BoundLogger) -> None:
        logging.getLogger("some.new.library").info("chatter")
        log.debug("ours")

    assert [json.loads(line)["event"] for line in logged("json", write, level="debug").splitlines()] == [
        "ours"
    ]


def test_the_level_holds_for_our_own_loggers() -> None:
    """'warning' in the settings means that info is not written."""

    def write(log: structlog.stdlib.BoundLogger) -> None:
        log.info("quiet")
        log.warning("loud")

    assert [json.loads(line)["event"] for line in logged("json", write, level="warning").splitlines()] == [
        "loud"
    ]
    with pytest.raises(ValueError, match="allowed is debug, info, warning or error"):
        configure("json", "verbose", io.StringIO())


def test_bound_values_and_context_are_on_the_line() -> None:
    """One bind at the start of a mail, and each of its lines names the mail."""

    def write(log: structlog.stdlib.BoundLogger) -> None:
        with structlog.contextvars.bound_contextvars(session="s1"):
            log.bind(inbound=17).info("decided", reason="reply")

    found = logged_json(write)
    assert (found["session"], found["inbound"], found["reason"]) == ("s1", 17, "reply")


def test_a_logger_got_from_structlog_itself_writes_to_the_same_place() -> None:
    """Nobody's lines may go to stdout, where commands print their answers."""
    found = logged_json(lambda _: structlog.stdlib.get_logger("mailbridge.other").info("hello", n=1))
    assert (found["event"], found["logger"], found["n"]) == ("hello", "mailbridge.other", 1)


def test_before_configuration_nothing_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that fails early still owns its stdout: `inspect --json` is parsed by machines."""
    with restored():
        get_logger("mailbridge.early").warning("too early")
    out, err = capsys.readouterr()
    assert out == ""
    assert "too early" in err


@pytest.mark.parametrize("fmt", ["json", "text"])
def test_a_terminal_without_unicode_gets_escapes_instead_of_an_error(fmt: Format) -> None:
    """LANG=C on a server: the line must come, if less pretty."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    configure(fmt, "info", stream)
    get_logger("mailbridge.test").info("caf\u00e9", name="\u00e9\U0001f600")
    stream.flush()
    line = raw.getvalue().decode("ascii")
    assert "\\u00e9" in line or "\\xe9" in line
    if fmt == "json":
        assert json.loads(line)["name"] == "\u00e9\U0001f600"
    stream.detach()
