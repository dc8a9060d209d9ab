"""Read one settings file: TOML tables to checked values, and every mistake in words, all of them at once.

What keys ask of each other is in `mailbridge.config_load`.

Standards: TOML 1.0.
"""

from __future__ import annotations

import difflib
import re
import stat
import tomllib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mailbridge.config import Problem, Section, Settings

TABLES = ("server", "store", "smtp", "intake", "tickets", "caps", "delivery")
"""The tables of mailbridge.toml that are there once."""
_LARGEST_FILE = 1 << 20
_LONGEST_VALUE = 120
_TYPES = {
    "bool_type": "allowed is true or false",
    "string_type": "allowed is text in quotes",
    "path_type": "allowed is a path in quotes",
    "tuple_type": "allowed is a list in square brackets, such as ['one', 'two']",
}

S = TypeVar("S", bound=Section)


def model_of(table: str) -> type[Section]:
    """The model of one of TABLES."""
    model = Settings.model_fields[table].annotation
    assert isinstance(model, type)
    assert issubclass(model, Section)
    return model


class Reader:
    """One file being read: what is wrong with it, and which keys are not worth judging any further."""

    def __init__(self, file: str, folder: Path) -> None:
        self.file = file
        self.folder = folder.absolute()
        self.problems: list[Problem] = []
        self._bad: set[str] = set()

    def add(self, key: str, value: object, allowed: str) -> None:
        """Note a problem. `value` None shows none; database URLs lose their credentials."""
        self._bad.add(key)
        self.problems.append(Problem(self.file, key, "" if value is None else _show(value), allowed))

    def sound(self, *keys: str) -> bool:
        """Whether nothing is wrong with these keys so far: one mistake is told once."""
        return not self._bad.intersection(keys)

    def content(self, path: Path) -> dict[str, Any]:
        """The tables of a TOML file; {} with a problem when it cannot be read."""
        try:
            with path.open("rb") as file:
                raw = file.read(_LARGEST_FILE + 1)
            if len(raw) > _LARGEST_FILE:
                raise ValueError("larger than 1 MiB: is this the right file?")
            return tomllib.loads(raw.decode("utf-8-sig"))
        except OSError as error:
            self.add("", None, f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            self.add("", None, f"line {line} is not UTF-8 text")
        except RecursionError:
            self.add("", None, "nested too deeply")
        except ValueError as error:
            self.add("", None, f"not valid TOML: {error}")
        return {}

    def table(self, model: type[S], name: str, raw: object) -> S | None:
        """One table, with bad keys left at their defaults; None when a required key is bad or missing."""
        if not isinstance(raw, dict):
            header = f"[{name}]" if name in TABLES else f"[[{name.partition('[')[0]}]]"
            self.add(name, raw, f"allowed is a table: a line {header} with its keys below")
            raw, bad = {}, set()
        else:
            try:
                return model.model_validate(raw)
            except ValidationError as error:
                bad = {self._explain(model, name, detail) for detail in error.errors()}
        try:
            return model.model_validate({key: value for key, value in raw.items() if key not in bad})
        except ValidationError:
            return None

    def tables(self, model: type[S], name: str, raw: object) -> list[tuple[str, S]]:
        """An array of tables, as (label, table), without those that cannot stand; labels count from 1."""
        if not isinstance(raw, list):
            self.add(name, None, f"allowed are tables: lines [[{name}]], with two brackets, and keys below")
            return []
        found = [(f"{name}[{i}]", self.table(model, f"{name}[{i}]", one)) for i, one in enumerate(raw, 1)]
        return [(label, one) for label, one in found if one is not None]

    def unknown(self, key: str, known: Iterable[str]) -> None:
        """Note a key nobody knows, with its likeliest meaning. Its value is not shown: it may be a secret."""
        prefix, _, name = key.rpartition(".")
        known = sorted(known)
        if re.search("passw|secret", name) and "password_file" in known:
            hint = "a secret does not belong into this file; put it into a file of its own: password_file"
        elif near := difflib.get_close_matches(name, known, 1):
            hint = f"did you mean '{near[0]}'?"
        elif homes := [table for table in TABLES if name in model_of(table).model_fields and table != prefix]:
            hint = f"it belongs under {' or '.join(f'[{home}]' for home in homes)}"
        else:
            hint = f"known here: {', '.join(known)}"
        self.add(key, None, f"unknown key: {hint}")

    def _explain(self, model: type[Section], name: str, detail: ErrorDetails) -> str:
        """Note what pydantic found, in our words; returns the table's key it is about."""
        key = str(detail["loc"][0]) if detail["loc"] else ""
        label = f"{name}.{key}" if key else name
        for position in detail["loc"][1:]:
            # What follows the key is an index of a list, or the name of a type, which means nothing here.
            if isinstance(position, int):
                label += f"[{position + 1}]"
        by_key = {field.alias or each: field for each, field in model.model_fields.items()}
        match detail["type"]:
            case "extra_forbidden":
                self.unknown(label, by_key)
            case "missing":
                self.add(label, None, "missing: every entry needs one")
            case "value_error":
                self.add(label, detail["input"] if key else None, str(detail["ctx"]["error"]))
            case _:
                self.add(label, detail["input"], _allowed(detail, by_key.get(key)))
        self._bad.add(f"{name}.{key}")
        return key


def _allowed(detail: ErrorDetails, field: FieldInfo | None) -> str:
    """What a key allows, when its value has the wrong type or is out of range."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "literal_error":
        return f"allowed is {context['expected']}"
    bounds = {name: bound for each in (field.metadata if field else ()) for name, bound in _bounds(each)}
    least, most = bounds.get("ge", bounds.get("gt")), bounds.get("le")
    if isinstance(least, timedelta):
        least = duration_text(least)
    limits = "" if least is None else f" of at least {least}" if "ge" in bounds else f" above {least}"
    if most is not None:
        limits = f" from {least} to {most}"
    if kind == "int_type" or (kind.startswith(("greater_", "less_")) and isinstance(detail["input"], int)):
        return f"allowed is a whole number{limits}"
    if kind.startswith(("greater_", "less_")):
        return f"allowed is a value{limits}"
    return _TYPES.get(kind, detail["msg"])


def _bounds(metadata: object) -> Iterable[tuple[str, Any]]:
    return ((name, getattr(metadata, name)) for name in ("ge", "gt", "le") if hasattr(metadata, name))


def _show(value: object) -> str:
    """A value as the file has it, shortened, on one line; what may be a secret in a URL is left out."""
    text = ascii(str(value)) if isinstance(value, str | Path) and not str(value).isprintable() else None
    if text is None:
        text = f"'{value}'" if isinstance(value, str | Path) else _plain(value)
    if "://" in text:
        text = re.sub(r"\?.*", "?...'", re.sub(r"//.*@", "//...@", text))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def duration_text(value: timedelta) -> str:
    """A duration as the file writes it: '90s', '15m', '8h', '3d'."""
    seconds = int(value.total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def size_text(value: int) -> str:
    """A size as the file writes it: '30 MiB'."""
    for unit, length in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value and value % length == 0:
            return f"{value // length} {unit}"
    return f"{value} B"


def unfit_file(path: Path, *, private: bool) -> str:
    """Why a file cannot be used, '' when it can. A `private` one must not be readable by everybody."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return "allowed is a regular file"
        if private and status.st_mode & stat.S_IROTH:
            return f"every user can read this secret; run: chmod o= {path}"
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def exists(path: Path) -> bool:
    """Whether something is at a path, as far as we may see."""
    try:
        return path.exists()
    except OSError:
        return False
