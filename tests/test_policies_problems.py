"""policies.toml that is wrong: every mistake is told, at once, in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbridge.config import ConfigError, Section
from mailbridge.policies_config import CalendarSection, PoliciesFile, PolicySection, StepSection, SweepSection
from mailbridge.policies_load import load_policies
from tests.test_policies_file import GOOD, OFFICE, POLICY, REMIND, RESOLVE, TEMPLATES, File


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


def swapped(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


HOURS = "{'mon-fri' = ['09:00-17:00']}"
DATES = f"{OFFICE}[calendar.office.dates]\n%s\n{POLICY}{REMIND}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # steps
        (
            swapped(REMIND, REMIND + "gap = '1h'\n"),
            "policy[1].step[1].gap: value '1h': the first step has no reminder before it; leave gap out",
        ),
        (
            swapped("'5d'", "'2d'"),
            "policy[1].step[2].after: value '2d': not later than the step before ('3d'): ",
        ),
        (
            swapped("'1d'", "'3d'"),
            "policy[1].step[2].gap: value '3d': larger than possible: the step before ",
        ),
        (
            swapped("gap = '1d'", "gap = '0s'"),
            "policy[1].step[2].gap: value '0s': a reminder must have time ",
        ),
        (swapped("gap = '1d'\n", ""), "policy[1].step[2].gap: missing: every step but the first needs one"),
        (
            swapped("gap = '1d'", "gap = ''"),
            "policy[1].step[2].gap: missing: every step but the first needs ",
        ),
        (
            swapped("'3d'", "'3 days'"),
            "policy[1].step[1].after: value '3 days': allowed is a length of time such ",
        ),
        (
            swapped("'3d'", "3"),
            "policy[1].step[1].after: value 3: allowed is a length of time such as '90m', ",
        ),
        (swapped("'3d'", "'0s'"), "policy[1].step[1].after: value '0s': allowed is more than no time"),
        (
            swapped("'remind'", "'nag'"),
            "policy[1].step[1].kind: value 'nag': allowed is 'remind' or 'resolve'",
        ),
        (
            swapped("'reminder'", "'remindr'"),
            "policy[1].step[1].template: value 'remindr': no such template: did you mean 'reminder'? known: ",
        ),
        (swapped("after = '3d'\n", ""), "policy[1].step[1].after: missing: every entry needs one"),
        (
            swapped("after = '3d'", "after = '3d'\nafer = '1d'"),
            "policy[1].step[1].afer: unknown key: did you mean 'after'?",
        ),
        (
            f"{OFFICE}{POLICY}step = 5\n",
            "policy[1].step: allowed are tables: lines [[policy.step]] with keys below",
        ),
        # calendars
        (
            swapped("Europe/Rome", "europe/rome"),
            "calendar.office.zone: value 'europe/rome': no such time zone: did you mean 'Europe/Rome'? ",
        ),
        (
            swapped("Europe/Rome", "Rome"),
            "calendar.office.zone: value 'Rome': no such time zone: did you mean 'Europe/Rome'",
        ),
        (swapped("Europe/Rome", "Europe"), "calendar.office.zone: value 'Europe': no such time zone: "),
        (
            swapped("Europe/Rome", "../etc/passwd"),
            "calendar.office.zone: value '../etc/passwd': no such time zone: ",
        ),
        (swapped("Europe/Rome", "right/UTC"), "calendar.office.zone: value 'right/UTC': no such time zone: "),
        (swapped("zone = 'Europe/Rome'\n", ""), "calendar.office.zone: missing: every entry needs one"),
        (
            swapped("zone =", "country = 'XX'\nzone ="),
            "calendar.office.country: value 'XX': no such country: allowed is a code of ISO 3166-1 such as 'IT', ",
        ),
        (
            swapped("zone =", "country = 'it'\nzone ="),
            "calendar.office.country: value 'it': did you mean 'IT'?",
        ),
        (
            swapped("zone =", "country = 'DE'\nsubdivision = 'XX'\nzone ="),
            "calendar.office.subdivision: value 'XX': no such part of 'DE': ",
        ),
        (
            swapped("zone =", "subdivision = 'BY'\nzone ="),
            "calendar.office.subdivision: value 'BY': a part of which country? Set country too",
        ),
        (swapped(HOURS, "{}"), "calendar.office.hours: no open minute: allowed is at least one window"),
        (
            swapped(HOURS, "{'mon-fri' = []}"),
            "calendar.office.hours: no open minute: allowed is at least one window",
        ),
        (
            swapped(HOURS, "'always'"),
            "calendar.office.hours: value 'always': allowed is '24/7', or a table such as ",
        ),
        (
            swapped("'mon-fri'", "'1-5'"),
            "calendar.office.hours: value '1-5': no numbers for weekdays, since 1 is Monday to some programs and "
            "Tuesday to others; allowed are names",
        ),
        (
            swapped("'mon-fri'", "'mon-frday'"),
            "calendar.office.hours: value 'mon-frday': did you mean 'friday'? ",
        ),
        (
            swapped("'mon-fri'", "'mon,mon-fri'"),
            "calendar.office.hours: value 'mon,mon-fri': the same weekday twice",
        ),
        (
            swapped("{'mon-fri'", "{'fri' = [], 'mon-fri'"),
            "calendar.office.hours.mon-fri: 'fri' has its hours already from another line",
        ),
        (
            swapped("'09:00-17:00'", "'22:00-06:00'"),
            "calendar.office.hours.mon-fri: value ['22:00-06:00']: a window is within one day: for a night give two",
        ),
        (
            swapped("'09:00-17:00'", "'09:00-13:00', '12:00-17:00'"),
            "calendar.office.hours.mon-fri: value ['09:00-13:00', '12:00-17:00']: 09:00-13:00 and 12:00-17:00 overlap",
        ),
        (
            swapped("'09:00-17:00'", "'09:00-09:00'"),
            "calendar.office.hours.mon-fri: value ['09:00-09:00']: a window that ",
        ),
        (
            swapped("'09:00-17:00'", "'9-17'"),
            "calendar.office.hours.mon-fri: value ['9-17']: allowed is 'HH:MM-HH:MM' ",
        ),
        (
            swapped("'09:00-17:00'", "'09:00-24:01'"),
            "calendar.office.hours.mon-fri: value ['09:00-24:01']: allowed is ",
        ),
        (
            swapped("'09:00-17:00'", "'24:00-24:00'"),
            "calendar.office.hours.mon-fri: value ['24:00-24:00']: allowed is ",
        ),
        (DATES % "'2026-02-29' = []", "calendar.office.dates: value '2026-02-29': no such day ("),
        (DATES % "'24 Dec' = []", "calendar.office.dates: value '24 Dec': allowed is 'YYYY-MM-DD', "),
        (DATES % "'20261224' = []", "calendar.office.dates: value '20261224': allowed is 'YYYY-MM-DD', "),
        (
            DATES % "'2026-08-21 to 2026-08-10' = []",
            "calendar.office.dates: value '2026-08-21 to 2026-08-10': no such ",
        ),
        (
            DATES % "'2026-08-10' = []\n'2026-08-01 to 2026-08-20' = []",
            "calendar.office.dates.2026-08-01 to 2026-08-20: a day of it has its hours already from another line",
        ),
        (
            DATES % "'12-24' = ['13-14']",
            "calendar.office.dates.12-24: value ['13-14']: allowed is 'HH:MM-HH:MM' ",
        ),
        (
            swapped("[calendar.office]", "[calendar.'of fice']"),
            "calendar: value 'of fice': allowed is a name of at most ",
        ),
        (
            swapped("zone =", "zoen = 'UTC'\nzone ="),
            "calendar.office.zoen: unknown key: did you mean 'zone'?",
        ),
        # policies
        (
            swapped("calendar = 'office'", "calendar = 'offiec'"),
            "policy[1].calendar: value 'offiec': no such calendar: did you mean 'office'? known: office",
        ),
        (swapped("calendar = 'office'\n", ""), "policy[1].calendar: missing: every entry needs one"),
        (
            swapped(POLICY, f"{POLICY}priorities = ['S5']\n"),
            "policy[1].priorities[1]: value 'S5': allowed is 'S1', 'S2', 'S3' or 'S4'",
        ),
        (
            swapped(POLICY, f"{POLICY}mailboxes = ['suport@desk.example']\n"),
            "policy[1].mailboxes[1]: value 'suport@desk.example': no such mailbox: did you mean 'support@",
        ),
        (
            swapped(POLICY, f"{POLICY}priorities = ['S1']\n"),
            "policy[1]: value 'all': the last policy must take every ticket: no priorities, mailboxes or organisations",
        ),
        (
            GOOD + POLICY.replace("'all'", "'second'"),
            "policy[2]: value 'second': never chosen: the first policy that matches counts, and policy[1] 'all' takes",
        ),
        (
            swapped(POLICY, f"{POLICY}priorities = ['S1']\n") + POLICY.replace("'all'", "'All'"),
            "policy[2].name: value 'All': already the name of policy[1]",
        ),
        (
            swapped("'all'", "''"),
            "policy[1].name: value '': allowed is a name of at most 40 letters, digits, ",
        ),
        (
            swapped(POLICY, f"{POLICY}quiet_hours = '00:00-24:00'\n"),
            "policy[1].quiet_hours: value '00:00-24:00': that leaves no minute for mail: ",
        ),
        (
            swapped(POLICY, f"{POLICY}quiet_hours = 'night'\n"),
            "policy[1].quiet_hours: value 'night': allowed is 'HH:MM-HH:MM' ",
        ),
        (
            swapped(POLICY, f"{POLICY}warn_percent = 0\n"),
            "policy[1].warn_percent: value 0: allowed is a whole number from 1 to 100",
        ),
        (
            swapped(POLICY, f"{POLICY}nudge = 'often'\n"),
            "policy[1].nudge: value 'often': allowed is a length of time ",
        ),
        (
            swapped(POLICY, f"{POLICY}nudge = '0s'\n"),
            "policy[1].nudge: value '0s': allowed is more than no time",
        ),
        (
            swapped(POLICY, f"{POLICY}quite_hours = ''\n"),
            "policy[1].quite_hours: unknown key: did you mean 'quiet_hours'?",
        ),
        # the file
        (OFFICE, "policy: allowed is at least one policy: a line [[policy]] with keys below"),
        (
            "[policy]\nname = 'x'\n",
            "policy: allowed is at least one policy: a line [[policy]] with keys below",
        ),
        (f"calendar = 5\n{POLICY}", "calendar: allowed are tables: lines [calendar.NAME] with keys below"),
        (f"[polcy]\n{GOOD}", "polcy: unknown key: did you mean 'policy'?"),
        (f"sweep = 5\n{GOOD}", "sweep: value 5: allowed is a table: a line [sweep] with its keys below"),
        (f"[sweep]\nbatch = 0\n{GOOD}", "sweep.batch: value 0: allowed is a whole number from 1 to 5000"),
        ("[[policy]\n", "not valid TOML: "),
        (b"\xff", "line 1 is not UTF-8 text"),
    ],
)
def test_one_mistake_gives_one_problem_with_key_value_and_what_is_allowed(
    file: File, text: str | bytes, problem: str
) -> None:
    """No more and no less: follow-up complaints would hide the cause."""
    assert file.problem(text).startswith(problem)


def test_a_resolve_without_a_reminder_is_refused(file: File) -> None:
    """The first rule of all: nobody is resolved who was not reminded."""
    told = file.problem(GOOD.replace(REMIND, ""))
    assert (
        told == "policy[1].step[1].kind: value 'resolve': a resolve needs at least one remind step before it"
    )


def test_all_problems_are_told_at_once(file: File) -> None:
    """Ops fix a file in one round, not in ten."""
    problems = file.problems(
        "[calendar.office]\nzone = 'Mars'\nhours = {'1' = ['09:00-17:00'], 'tue' = ['x']}\ncountry = 'XX'\n"
        f"{POLICY}nudge = 'x'\n{REMIND.replace('reminder', 'none')}{RESOLVE.replace('1d', 'x')}"
    )
    assert sorted(line.split(":")[0] for line in problems) == [
        "calendar.office.country",
        "calendar.office.hours",
        "calendar.office.hours.tue",
        "calendar.office.zone",
        "policy[1].nudge",
        "policy[1].step[1].template",
        "policy[1].step[2].gap",
    ]


def test_a_missing_file_is_an_error_and_never_the_defaults(file: File) -> None:
    """Policies that were not found are not policies that were not wanted."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_policies(file.path, templates=TEMPLATES)


@pytest.mark.parametrize(
    "value",
    [
        "-1",
        "1e999",
        "true",
        "1979-05-27T07:32:00Z",
        "''",
        '"\\u0000\\u202e"',
        f"'{'x' * 5000}'",
        "[]",
        "[[]]",
        "[{}]",
        "{}",
    ],
)
def test_no_value_of_any_key_makes_loading_fail_in_another_way(file: File, value: str) -> None:
    """Ops never see a traceback, whatever stands behind the equals sign."""
    tables: dict[str, type[Section]] = {
        "[sweep]\n": SweepSection,
        "[calendar.office]\n": CalendarSection,
        "[[policy]]\n": PolicySection,
        "[[policy]]\n[[policy.step]]\n": StepSection,
    }
    places = [f"{name} = {value}" for name in PoliciesFile.model_fields]
    places += [f"{head}{key} = {value}" for head, model in tables.items() for key in model.model_fields]
    places += [
        f"[calendar.office.{part}]\n'{key}' = {value}" for part, key in (("hours", "mon"), ("dates", "12-24"))
    ]
    for place in places:
        assert file.problems(place)
