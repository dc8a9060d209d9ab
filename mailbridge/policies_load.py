"""Read policies.toml into a `core.policy.PolicySet`, or say all that is wrong with it at once.

A file is good as a whole or not at all, so that a reload swaps whole or not at all.

Standards: TOML 1.0.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from mailbridge.config import ConfigError
from mailbridge.config_load import BUILT_IN
from mailbridge.config_read import Reader
from mailbridge.core.business import Calendar, Windows, daily
from mailbridge.core.policy import Match, Policy, PolicySet, PolicyStep, StepKind, faults
from mailbridge.core.ticket import Priority
from mailbridge.policies_config import (
    NAMES,
    CalendarSection,
    PoliciesFile,
    PolicySection,
    StepSection,
    SweepSection,
    is_name,
)
from mailbridge.policies_days import dates, quiet, repeated, weekdays, windows, zone
from mailbridge.policies_defaults import defaults
from mailbridge.policies_holidays import CountryHolidays, country_problem, subdivision_problem

_TOP = tuple(PoliciesFile.model_fields)
_DIGEST_FROM, _DIGEST_YEARS = 2026, 10
_CLOSED: Windows = ()


def load_policies(
    path: Path | None, *, templates: Collection[str], mailboxes: Collection[str] = ()
) -> PolicySet:
    """The policies of a file, or the built-in ones when `path` is None.

    `templates` are the names that a step may have; `mailboxes` our addresses, any address when there are none.
    Raises ConfigError with every problem found. Reads the file and the machine's time zones, nothing else.
    """
    reader = Reader(BUILT_IN if path is None else str(path), path.parent if path else Path())
    loader = _Loader(reader, templates, mailboxes)
    found = loader.policies(defaults() if path is None else loader.file(path))
    if found is None or reader.problems:
        raise ConfigError(reader.problems)
    return found


class _Loader:
    """From the file's tables to policies: shapes, then calendars, then what keys ask of each other."""

    def __init__(self, reader: Reader, templates: Collection[str], mailboxes: Collection[str]) -> None:
        self._reader = reader
        self._templates = templates
        self._mailboxes = {address.casefold(): address for address in mailboxes}
        self._labels: list[str] = []
        """Where each policy stands in the file."""
        self._step_labels: dict[str, list[str]] = {}
        """Where the steps of a policy stand, by its label."""
        self._broken: set[str] = set()
        """Labels of steps that are not all as they were meant."""
        self._named: set[str] = set()
        """Calendars that are in the file, good or not."""

    # ------------------------------------------------------------ shapes

    def file(self, path: Path) -> PoliciesFile:
        """The tables that can stand; the reader has a problem for each that cannot."""
        reader = self._reader
        content = reader.content(path)
        if reader.problems:
            return PoliciesFile()
        for key in content:
            if key not in _TOP:
                reader.unknown(key, _TOP)
        sweep = content.get("sweep", {})
        if not isinstance(sweep, dict):
            reader.add("sweep", sweep, "allowed is a table: a line [sweep] with its keys below")
            sweep = {}
        return PoliciesFile(
            sweep=reader.table(SweepSection, "sweep", sweep) or SweepSection(),
            calendar=dict(self._calendar_sections(content.get("calendar", {}))),
            policy=tuple(self._policy_sections(content.get("policy", []))),
        )

    def _calendar_sections(self, raw: object) -> Iterator[tuple[str, CalendarSection]]:
        if not isinstance(raw, dict) or not all(isinstance(each, dict) for each in raw.values()):
            self._reader.add("calendar", None, "allowed are tables: lines [calendar.NAME] with keys below")
            return
        self._named = set(raw)
        for name, table in raw.items():
            label = f"calendar.{name}"
            if not is_name(name):
                self._reader.add("calendar", name, NAMES)
            elif (section := self._reader.table(CalendarSection, label, table)) is not None:
                yield name, section

    def _policy_sections(self, raw: object) -> Iterator[PolicySection]:
        """The policies that can stand, in order."""
        if not isinstance(raw, list) or not raw:
            self._reader.add(
                "policy", None, "allowed is at least one policy: a line [[policy]] with keys below"
            )
            return
        for i, table in enumerate(raw, 1):
            label = f"policy[{i}]"
            steps: list[tuple[str, StepSection]] = []
            if isinstance(table, dict):
                table = dict(table)
                steps = self._step_sections(f"{label}.step", table.pop("step", []))
            section = self._reader.table(PolicySection, label, table)
            if section is not None:
                self._labels.append(label)
                self._step_labels[label] = [each for each, _ in steps]
                yield section.model_copy(update={"step": tuple(step for _, step in steps)})

    def _step_sections(self, label: str, raw: object) -> list[tuple[str, StepSection]]:
        if not isinstance(raw, list):
            self._reader.add(label, None, "allowed are tables: lines [[policy.step]] with keys below")
            return []
        before = len(self._reader.problems)
        steps = self._reader.tables(StepSection, label, raw)
        if len(self._reader.problems) > before:
            # What steps ask of each other is not worth judging while one of them is not what was meant.
            self._broken.add(label)
        return steps

    # ------------------------------------------------------------ meaning

    def policies(self, file: PoliciesFile) -> PolicySet | None:
        """The policies, None with a problem at the reader when they cannot be used."""
        if not self._labels:
            self._labels = [f"policy[{i + 1}]" for i in range(len(file.policy))]
            self._named = set(file.calendar)
        calendars = {name: self._calendar(name, section) for name, section in file.calendar.items()}
        found = [
            self._policy(label, section, calendars)
            for label, section in zip(self._labels, file.policy, strict=True)
        ]
        self._check_names(file.policy)
        policies = tuple(policy for policy in found if policy is not None)
        # Which policy takes what can only be said when every one of them stands.
        if self._reader.problems:
            return None
        self._check_order(policies)
        if self._reader.problems:
            return None
        return PolicySet(policies, file.sweep.batch, file.sweep.per_hour, _digest(file, policies))

    def _calendar(self, name: str, section: CalendarSection) -> Calendar | None:
        add, label, before = self._reader.add, f"calendar.{name}", len(self._reader.problems)
        where = None
        try:
            where = zone(section.zone)
        except ValueError as error:
            add(f"{label}.zone", section.zone, str(error))
        week = self._week(f"{label}.hours", section)
        own: dict[date, Windows] = {}
        yearly: dict[tuple[int, int], Windows] = {}
        for key, texts in section.dates.items():
            self._date(f"{label}.dates", key, texts, own, yearly)
        holidays = None
        if section.country:
            if problem := country_problem(section.country):
                add(f"{label}.country", section.country, problem)
            elif problem := subdivision_problem(section.country, section.subdivision):
                add(f"{label}.subdivision", section.subdivision, problem)
            else:
                holidays = CountryHolidays(section.country, section.subdivision)
        elif section.subdivision:
            add(f"{label}.subdivision", section.subdivision, "a part of which country? Set country too")
        if where is None or len(self._reader.problems) > before:
            return None
        monday, tuesday, wednesday, thursday, friday, saturday, sunday = (
            week.get(i, _CLOSED) for i in range(7)
        )
        days = (monday, tuesday, wednesday, thursday, friday, saturday, sunday)
        return Calendar(where, days, holidays, own, yearly, name)

    def _week(self, label: str, section: CalendarSection) -> dict[int, Windows]:
        week: dict[int, Windows] = {}
        named: list[tuple[str, tuple[int, ...]]] = []
        before = len(self._reader.problems)
        for key, texts in section.hours.items():
            try:
                days = weekdays(key)
            except ValueError as error:
                self._reader.add(label, key, str(error))
                continue
            named.append((key, days))
            try:
                week |= dict.fromkeys(days, windows(texts))
            except ValueError as error:
                self._reader.add(f"{label}.{key}", list(texts), str(error))
        for key, day in repeated(named).items():
            self._reader.add(f"{label}.{key}", None, f"'{day}' has its hours already from another line")
        if not any(week.values()) and len(self._reader.problems) == before:
            self._reader.add(
                label, None, "no open minute: allowed is at least one window, such as '09:00-17:00'"
            )
        return week

    def _date(
        self,
        label: str,
        key: str,
        texts: tuple[str, ...],
        own: dict[date, Windows],
        yearly: dict[tuple[int, int], Windows],
    ) -> None:
        try:
            days = dates(key)
        except ValueError as error:
            self._reader.add(label, key, str(error))
            return
        try:
            hours = windows(texts)
        except ValueError as error:
            self._reader.add(f"{label}.{key}", list(texts), str(error))
            return
        again = False
        for day in days:
            if isinstance(day, date):
                again |= day in own
                own[day] = hours
        if isinstance(days[0], int):
            month, day_of_month = days[0], days[-1]
            assert isinstance(day_of_month, int)
            again |= (month, day_of_month) in yearly
            yearly[month, day_of_month] = hours
        if again:
            self._reader.add(f"{label}.{key}", None, "a day of it has its hours already from another line")

    def _policy(
        self, label: str, section: PolicySection, calendars: dict[str, Calendar | None]
    ) -> Policy | None:
        add, before = self._reader.add, len(self._reader.problems)
        if section.calendar not in self._named and self._reader.sound("calendar"):
            add(f"{label}.calendar", section.calendar, _no_such("calendar", section.calendar, self._named))
        for i, address in enumerate(section.mailboxes, 1):
            if self._mailboxes and address.casefold() not in self._mailboxes:
                add(
                    f"{label}.mailboxes[{i}]", address, _no_such("mailbox", address, self._mailboxes.values())
                )
        steps = self._step_labels.get(label) or [f"{label}.step[{i + 1}]" for i in range(len(section.step))]
        for at, step in zip(steps, section.step, strict=True):
            if step.template not in self._templates:
                add(
                    f"{at}.template",
                    step.template,
                    _no_such("template", step.template, self._templates),
                )
        waking = None
        try:
            waking = quiet(section.quiet_hours) if section.quiet_hours else None
        except ValueError as error:
            add(f"{label}.quiet_hours", section.quiet_hours, str(error))
        calendar = calendars.get(section.calendar)
        if calendar is None or len(self._reader.problems) > before or f"{label}.step" in self._broken:
            return None
        policy = Policy(
            name=section.name,
            match=Match(
                frozenset(Priority(each) for each in section.priorities),
                frozenset(each.casefold() for each in section.mailboxes),
                frozenset(each.casefold() for each in section.organisations),
            ),
            calendar=calendar,
            steps=tuple(
                PolicyStep(StepKind(each.kind), each.after, each.template, each.gap) for each in section.step
            ),
            waking=daily(calendar.zone, waking) if waking else None,
            first_response=section.first_response,
            next_response=section.next_response,
            warn_percent=section.warn_percent,
            nudge=section.nudge,
        )
        for fault in faults(policy):
            home: Any = section if fault.step is None else section.step[fault.step]
            at = label if fault.step is None else steps[fault.step]
            value = getattr(home, fault.key)
            add(f"{at}.{fault.key}", None if value is None else str(value), fault.why)
        return policy if len(self._reader.problems) == before else None

    # ------------------------------------------------------------ policies among each other

    def _check_names(self, sections: Collection[PolicySection]) -> None:
        seen: dict[str, str] = {}
        for label, section in zip(self._labels, sections, strict=True):
            first = seen.setdefault(section.name.casefold(), label)
            if first != label:
                self._reader.add(f"{label}.name", section.name, f"already the name of {first}")

    def _check_order(self, policies: tuple[Policy, ...]) -> None:
        for (label, policy), (earlier_label, earlier) in itertools.combinations(
            reversed(list(zip(self._labels, policies, strict=True))), 2
        ):
            if earlier.match.covers(policy.match) and self._reader.sound(label):
                self._reader.add(
                    label,
                    policy.name,
                    f"never chosen: the first policy that matches counts, and {earlier_label}"
                    f" '{earlier.name}' takes all of its tickets; put the more particular one first",
                )
        if not policies[-1].match.takes_all and self._reader.sound(self._labels[-1]):
            self._reader.add(
                self._labels[-1],
                policies[-1].name,
                "the last policy must take every ticket: no priorities, mailboxes or organisations",
            )


def _no_such(what: str, name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"no such {what}: {hint}known: {', '.join(sorted(known)) or 'none'}"


def _digest(file: PoliciesFile, policies: tuple[Policy, ...]) -> str:
    """Of the file, and of the holidays and clock changes of ten years, which an update of the machine may change."""
    digest = hashlib.sha256(file.model_dump_json(fallback=str).encode())
    first = datetime(_DIGEST_FROM, 1, 1, 12, tzinfo=UTC)
    days = [first + timedelta(days=i) for i in range(_DIGEST_YEARS * 366)]
    for name, calendar in sorted({policy.calendar.name: policy.calendar for policy in policies}.items()):
        digest.update(f"\n{name}".encode())
        digest.update(str([each.astimezone(calendar.zone).utcoffset() for each in days]).encode())
        if calendar.holidays is not None:
            years = range(_DIGEST_FROM, _DIGEST_FROM + _DIGEST_YEARS)
            digest.update(str([sorted(calendar.holidays.in_year(year)) for year in years]).encode())
    return digest.hexdigest()[:16]
