"""docs/policies.md tells the truth: its file is good, and every line of its tables is what the code does."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailbridge.core.plan import timeline
from mailbridge.core.policy import PolicySet, words
from mailbridge.core.spans import parse
from mailbridge.core.ticket import Priority, Status
from mailbridge.core.ticket_clock import TicketClock
from mailbridge.policies_config import PoliciesFile, PolicySection
from mailbridge.policies_load import load_policies

PAGE = (Path(__file__).parent.parent / "docs" / "policies.md").read_text()
SPANS = r"\| begins \| span \| is over \|\n\|[-|]+\|\n((?:\|.*\|\n)+)"
STORIES = r"\| when \| what \|\n\|[-|]+\|\n((?:\|.*\|\n)+)"


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


SPAN_ROWS = [row for table in re.findall(SPANS, PAGE) for row in rows(table)]


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> PolicySet:
    """Those of the page's example."""
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path_factory.mktemp("docs") / "policies.toml"
    path.write_text(example)
    return load_policies(path, templates=("reminder", "unresponsive"))


@pytest.mark.parametrize(("begins", "span", "is_over"), SPAN_ROWS)
def test_each_span_of_the_page_ends_when_it_says(
    policies: PolicySet, begins: str, span: str, is_over: str
) -> None:
    """To the minute, and on the weekday that it names."""
    calendar = policies.policies[-1].calendar
    start = datetime.strptime(begins, "%a %Y-%m-%d %H:%M").replace(tzinfo=calendar.zone)
    assert words(start, calendar) == begins
    assert words(calendar.add(start, parse(span)), calendar) == is_over


def test_each_story_of_the_page_goes_as_it_says(policies: PolicySet) -> None:
    """Two waitings, a downtime, and a first response."""
    zone = policies.policies[-1].calendar.zone

    def rome(*when: int) -> datetime:
        return datetime(*when, tzinfo=zone).astimezone(UTC)  # type: ignore[arg-type,misc]  # of five numbers

    asked = TicketClock(
        Status.PENDING,
        Priority.S3,
        "support@desk.example",
        opened_at=rome(2026, 3, 2, 9, 0),
        first_response_at=rome(2026, 3, 2, 10, 0),
        pending_since=rome(2026, 3, 2, 10, 0),
        pending_epoch=1,
    )
    opened = replace(
        asked,
        status=Status.OPEN,
        opened_at=rome(2026, 3, 2, 16, 0),
        pending_since=None,
        first_response_at=None,
    )
    seen_from = [
        (asked, rome(2026, 3, 2, 10, 0)),
        (replace(asked, pending_since=rome(2026, 3, 5, 21, 0)), rome(2026, 3, 5, 21, 0)),
        (asked, rome(2026, 4, 1, 12, 0)),
        (opened, rome(2026, 3, 2, 16, 0)),
    ]
    told = []
    for clock, now in seen_from:
        story = []
        for each in timeline(policies, clock, now):
            merged = f" ({each.planned.merged} in one)" if each.planned.merged > 1 else ""
            story.append([words(each.at, policies.policies[-1].calendar), f"{each.planned.kind}{merged}"])
        told.append(story)
    assert told == [rows(table) for table in re.findall(STORIES, PAGE)]


def test_the_page_has_examples_to_run_and_names_every_key_of_a_policy() -> None:
    """A table that is no longer found would pass in silence."""
    assert len(SPAN_ROWS) == 18
    assert len(re.findall(STORIES, PAGE)) == 4
    for key in (
        *PolicySection.model_fields,
        *(name for name in PoliciesFile.model_fields if name != "sweep"),
    ):
        assert key in PAGE, key
