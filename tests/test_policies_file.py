"""policies.toml: what is read, what is refused and in which words, and the shipped file as the manual."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mailbridge.config import ConfigError
from mailbridge.core.business import ALL_DAY, Window
from mailbridge.core.policy import PolicySet, StepKind
from mailbridge.core.spans import parse
from mailbridge.core.ticket import Priority
from mailbridge.policies_config import CalendarSection, PoliciesFile, PolicySection, StepSection, SweepSection
from mailbridge.policies_load import load_policies

SHIPPED = Path(__file__).parent.parent / "config" / "policies.toml"
TEMPLATES = ("reminder", "unresponsive", "acknowledgement")
MAILBOXES = ("support@desk.example", "sales@desk.example")
OFFICE = "[calendar.office]\nzone = 'Europe/Rome'\nhours = {'mon-fri' = ['09:00-17:00']}\n"
REMIND = "[[policy.step]]\nkind = 'remind'\nafter = '3d'\ntemplate = 'reminder'\n"
RESOLVE = "[[policy.step]]\nkind = 'resolve'\nafter = '5d'\ngap = '1d'\ntemplate = 'unresponsive'\n"
POLICY = "[[policy]]\nname = 'all'\ncalendar = 'office'\n"
GOOD = f"{OFFICE}{POLICY}{REMIND}{RESOLVE}"


class File:
    """A policies file to be read."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "policies.toml"

    def load(self, text: str | bytes) -> PolicySet:
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_policies(self.path, templates=TEMPLATES, mailboxes=MAILBOXES)

    def problems(self, text: str | bytes) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(text)
        lines = [str(problem) for problem in caught.value.problems]
        assert all(line.startswith(f"{self.path}: ") and line.isprintable() for line in lines)
        return [line.removeprefix(f"{self.path}: ") for line in lines]

    def problem(self, text: str | bytes) -> str:
        (line,) = self.problems(text)
        return line


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


# ---------------------------------------------------------------- what is read


def test_a_whole_file_becomes_policies_with_their_calendars(file: File) -> None:
    """Each key arrives where it is used."""
    policies = file.load("""
        [sweep]
        batch = 50
        per_hour = 10
        [calendar.office]
        zone = "America/New_York"
        country = "US"
        subdivision = "CA"
        hours = { "mon-thu" = ["13:30-17:00", "09:00-12:30"], "friday, sat" = "09:00-13:00" }
        [calendar.office.dates]
        "2026-12-24" = ["09:00-12:00"]
        "2026-08-10 to 2026-08-12" = []
        "12-31" = []
        [[policy]]
        name = "urgent"
        priorities = ["S1", "S2"]
        mailboxes = ["Sales@desk.example"]
        organisations = ["Acme Ltd"]
        calendar = "office"
        quiet_hours = "20:00-08:00"
        first_response = "1h"
        next_response = "2 business hours"
        warn_percent = 60
        nudge = "1 business day"
        [[policy.step]]
        kind = "remind"
        after = "1d"
        template = "reminder"
        [[policy]]
        name = "rest"
        calendar = "office"
    """)
    urgent, rest = policies.policies
    assert (policies.batch, policies.per_hour) == (50, 10)
    assert policies.choose(Priority.S2, "sales@DESK.example", "ACME LTD") is urgent
    assert policies.choose(Priority.S3, "sales@desk.example", "Acme Ltd") is rest
    calendar = urgent.calendar
    assert calendar is rest.calendar
    assert calendar.zone == ZoneInfo("America/New_York")
    morning = (Window(540, 780),)
    assert calendar.week == ((Window(540, 750), Window(810, 1020)),) * 4 + (morning, morning, ())
    assert calendar.windows(date(2026, 12, 24)) == (Window(540, 720),)
    closed = ("2026-08-10", "2026-08-12", "2026-12-31", "2027-12-31", "2026-07-03", "2026-03-31")
    assert all(calendar.windows(date.fromisoformat(day)) == () for day in closed)
    assert calendar.windows(date(2026, 8, 13)) != ()
    assert urgent.waking is not None
    assert urgent.waking.week == ((Window(480, 1200),),) * 7
    assert (urgent.first_response, urgent.next_response, urgent.warn_percent, urgent.nudge) == (
        parse("1h"),
        parse("2 business hours"),
        60,
        parse("1 business day"),
    )
    (step,) = urgent.steps
    assert (step.kind, step.after, step.template, step.gap) == (
        StepKind.REMIND,
        parse("1d"),
        "reminder",
        None,
    )
    assert (rest.steps, rest.waking, rest.first_response, rest.nudge, rest.warn_percent) == (
        (),
        None,
        None,
        None,
        75,
    )


def test_24_7_is_every_minute_of_the_week(file: File) -> None:
    """Also written out, since '24:00' is the end of a day and the windows touch."""
    for hours in ("'24/7'", "{'mon-sun' = ['00:00-24:00']}", "{'mon-sun' = ['00:00-12:00', '12:00-24:00']}"):
        policies = file.load(GOOD.replace("{'mon-fri' = ['09:00-17:00']}", hours))
        assert policies.policies[0].calendar.week == (ALL_DAY,) * 7


@pytest.mark.parametrize(
    ("quiet", "waking"),
    [
        ("20:00-08:00", (Window(480, 1200),)),
        ("12:00-14:00", (Window(0, 720), Window(840, 1440))),
        ("00:00-08:00", (Window(480, 1440),)),
        ("20:00-24:00", (Window(0, 1200),)),
    ],
)
def test_quiet_hours_may_run_over_midnight(file: File, quiet: str, waking: tuple[Window, ...]) -> None:
    """The night is what they are for."""
    waking_calendar = file.load(GOOD.replace(POLICY, f"{POLICY}quiet_hours = '{quiet}'\n")).policies[0].waking
    assert waking_calendar is not None
    assert waking_calendar.week == (waking,) * 7


def test_holidays_are_those_of_the_country_and_its_part(file: File) -> None:
    """Epiphany closes in Bavaria and not in Berlin; 1 January 2028, a Saturday, is given off on Friday in the USA."""
    open_on = {}
    for country, part, day in (
        ("DE", "BY", "2026-01-06"),
        ("DE", "BE", "2026-01-06"),
        ("IT", "", "2026-04-06"),
        ("IT", "", "2026-04-07"),
        ("US", "", "2027-12-31"),
    ):
        text = GOOD.replace("zone =", f"country = '{country}'\nsubdivision = '{part}'\nzone =", 1)
        calendar = file.load(text).policies[0].calendar
        open_on[country, part, day] = bool(calendar.windows(date.fromisoformat(day)))
    assert list(open_on.values()) == [False, True, False, True, False]


def test_the_digest_changes_with_what_can_change_a_time_and_with_nothing_else(file: File) -> None:
    """Stored plans are made anew exactly when it changes."""
    same = file.load(GOOD).digest
    assert len(same) == 16
    assert file.load(f"# a comment\n{GOOD}").digest == same
    edits = [
        ("3d", "2d"),
        ("Europe/Rome", "Europe/Paris"),
        ("17:00", "17:30"),
        ("zone =", "country = 'IT'\nzone ="),
    ]
    digests = {file.load(GOOD.replace(*edit, 1)).digest for edit in edits}
    assert len(digests | {same}) == len(edits) + 1


# ---------------------------------------------------------------- the shipped file


def uncommented(text: str) -> str:
    return re.sub(r"^#(?=[^ #\n])", "", text, flags=re.MULTILINE)


def keys(table: dict[str, Any]) -> list[str]:
    return [key for key in table if key != "step"]


def test_the_shipped_file_is_what_a_desk_without_one_does() -> None:
    """Copying it changes nothing, and the code needs no file."""
    shipped = load_policies(SHIPPED, templates=TEMPLATES)
    assert shipped == load_policies(None, templates=TEMPLATES)


def test_every_key_is_in_the_shipped_file_in_the_order_of_the_code() -> None:
    """A key that is not in the file does not exist for ops."""
    tables = tomllib.loads(uncommented(SHIPPED.read_text()))
    assert set(tables) == set(PoliciesFile.model_fields)
    assert keys(tables["sweep"]) == list(SweepSection.model_fields)
    assert set(tables["calendar"]["office"]) == set(CalendarSection.model_fields)
    first = tables["policy"][0]
    assert keys(first) == [name for name in PolicySection.model_fields if name != "step"]
    assert set(first["step"][1]) == set(StepSection.model_fields)


def test_every_commented_key_is_at_its_default_and_every_example_is_good(tmp_path: Path) -> None:
    """Ops take the '#' away and go on from there."""
    path = tmp_path / "policies.toml"
    path.write_text(uncommented(SHIPPED.read_text()))
    full, shipped = load_policies(path, templates=TEMPLATES), load_policies(SHIPPED, templates=TEMPLATES)
    assert full.policies[0] == shipped.policies[0]
    assert (full.batch, full.per_hour) == (shipped.batch, shipped.per_hour)
    office = full.policies[1].calendar
    assert office.windows(date(2026, 8, 11)) == office.windows(date(2029, 12, 31)) == ()
    assert office.windows(date(2026, 12, 24)) == (Window(540, 780),)


def test_the_more_severe_a_ticket_the_sooner_each_thing_happens() -> None:
    """S1 within hours, S4 in days: what a support team would expect of the defaults."""
    policies = load_policies(None, templates=TEMPLATES)
    start = datetime(2026, 3, 2, 10, tzinfo=UTC)
    chosen = [policies.choose(priority, "support@desk.example") for priority in Priority]
    assert [policy.name for policy in chosen] == ["urgent", "high", "tolerable", "question"]
    for what in ("first_response", "next_response", "nudge"):
        times = [policy.calendar.add(start, getattr(policy, what)) for policy in chosen]
        assert times == sorted(set(times)), what
    for i in (0, -1):
        times = [policy.calendar.add(start, policy.steps[i].after) for policy in chosen]
        assert times == sorted(set(times))
    assert all(policy.reminders >= 2 for policy in chosen)
