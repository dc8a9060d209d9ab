"""The laws of reminders, over random policies, tickets and times: never early, never twice, never unreminded.

A desk is simulated: it sweeps now and then, is down for up to a month, has its policies edited, its clock set back
and forward, and reminders that are delivered late or never. The laws are checked against the ticket's own history.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.core.business import Calendar, Week, Window, Windows, always, daily
from mailbridge.core.plan import Fire, Planned, Skip, Wait, due_now, fired_on, may_fire, next_action, timeline
from mailbridge.core.policy import Match, Policy, PolicySet, PolicyStep, StepKind
from mailbridge.core.spans import Measure, Span, elapsed, open_time, working_days
from mailbridge.core.ticket import Priority, Status
from mailbridge.core.ticket_clock import ActionKind, Fired, Pause, TicketClock

ZONES = [
    ZoneInfo(name)
    for name in ("Europe/Rome", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia")
]
# Starts whose weeks hold a change of clocks in one of the zones, a leap day, and a turn of the year.
STARTS = [
    datetime(*day, tzinfo=UTC)
    for day in (
        (2026, 3, 26),
        (2026, 10, 22),
        (2026, 3, 5),
        (2026, 4, 2),
        (2026, 10, 1),
        (2028, 2, 27),
        (2026, 12, 28),
    )
]
OUTREACH = (ActionKind.REMIND, ActionKind.RESOLVE)
MINUTE = timedelta(minutes=1)
SEEDS = st.integers(0, 2**32 - 1)


def some_windows(random: Random) -> Windows:
    edges = sorted(random.sample(range(49), random.choice([2, 4])))
    return tuple(Window(a * 30, b * 30) for a, b in zip(edges[::2], edges[1::2], strict=True))


def some_calendar(random: Random) -> Calendar:
    zone = random.choice(ZONES)
    if random.random() < 0.2:
        return always(zone)
    days = [some_windows(random) if random.random() < 0.7 else () for _ in range(6)]
    week: Week = (days[0], days[1], days[2], days[3], days[4], days[5], some_windows(random))
    return Calendar(zone, week)


def some_span(random: Random, measure: Measure, size: int) -> Span:
    """About `size` thirds of a day, whatever it counts."""
    match measure:
        case Measure.ELAPSED:
            return elapsed(size * timedelta(hours=random.randint(4, 12)))
        case Measure.OPEN_TIME:
            return open_time(size * timedelta(minutes=random.randint(30, 180)))
        case Measure.WORKING_DAYS:
            return working_days(size)


def some_policy(random: Random) -> Policy:
    """Steps in order, as the reader of the file demands, and gaps harder than it lets through."""
    calendar, measure = some_calendar(random), random.choice(list(Measure))
    count, size, steps = random.randint(0, 4), 0, []
    for i in range(count):
        size += random.randint(1, 3)
        gap = some_span(random, random.choice(list(Measure)), 1) if i else None
        resolves = i and i == count - 1 and random.random() < 0.8
        kind = StepKind.RESOLVE if resolves else StepKind.REMIND
        steps.append(PolicyStep(kind, some_span(random, measure, size), kind, gap))
    return Policy(
        name="random",
        match=Match(),
        calendar=calendar,
        steps=tuple(steps),
        waking=daily(calendar.zone, some_windows(random)) if random.random() < 0.5 else None,
        first_response=some_span(random, random.choice(list(Measure)), 2),
        next_response=some_span(random, random.choice(list(Measure)), 2),
        warn_percent=random.choice([1, 50, 75, 100]),
        nudge=some_span(random, measure, 2),
    )


@dataclass
class Desk:
    """One ticket's history under a desk that is not always well. `policies` are those in force."""

    random: Random
    policies: PolicySet
    clock: TicketClock
    now: datetime
    log: list[tuple[datetime, Planned]] = field(default_factory=list)

    def sweep(self) -> None:
        """What the daemon does with a ticket that is due; and the laws, each time that something fires."""
        stored = next_action(
            self.policies, self.clock, self.now - self.random.randint(0, 1) * timedelta(days=9)
        )
        if stored is None:
            return
        verdict = may_fire(self.policies, self.clock, stored, self.now)
        fresh = next_action(self.policies, self.clock, self.now)
        at_once = due_now(self.policies, self.clock, self.now)
        assert at_once == (fresh and may_fire(self.policies, self.clock, fresh, self.now))
        if isinstance(verdict, Skip):
            assert fresh != stored
            return
        assert verdict == at_once
        if isinstance(verdict, Wait):
            assert verdict.until > self.now
            return
        planned = verdict.planned
        self.check(planned)
        self.log.append((self.now, planned))
        before = self.clock
        self.clock = fired_on(before, planned, self.now, delivered_at=self.now)
        self.check_nothing_more_is_overdue(planned)
        if planned.kind is ActionKind.REMIND:
            fate = self.random.random()
            arrived = self.now + self.random.randint(0, 300) * MINUTE if fate < 0.8 else None
            entry = replace(self.clock.fired[-1], delivered_at=arrived, failed=fate > 0.93)
            self.clock = replace(self.clock, fired=(*before.fired, entry))

    def check(self, planned: Planned) -> None:
        policy, clock, now = self.policies.policies[0], self.clock, self.now
        assert planned.due_at <= now
        assert planned.key not in {key.key for _, key in self.log}, "twice"
        if planned.kind not in OUTREACH:
            return
        step = policy.steps[planned.step_index]
        assert clock.pending_since is not None
        assert step.kind == planned.kind.value
        assert now >= policy.calendar.add(clock.pending_since, step.after), "early"
        assert policy.waking is None or policy.waking.open_at(now), "in quiet hours"
        mine = [f for f in clock.fired if f.epoch == clock.pending_epoch and f.kind is ActionKind.REMIND]
        delivered = [f.delivered_at for f in mine if f.delivered_at is not None]
        if step.gap is not None and delivered:
            assert now >= policy.calendar.add(max(delivered), step.gap), "within the gap"
        if planned.kind is ActionKind.RESOLVE:
            assert delivered, "resolved without a reminder"
            assert mine[-1].delivered_at is not None, "resolved on a reminder that did not arrive"

    def check_nothing_more_is_overdue(self, planned: Planned) -> None:
        """At most one overdue step per run, even if it is delivered at once."""
        if planned.kind in OUTREACH and (following := next_action(self.policies, self.clock, self.now)):
            assert not isinstance(may_fire(self.policies, self.clock, following, self.now), Fire)

    def live(self) -> None:
        """Something happens, and time passes."""
        random = self.random
        match random.randint(0, 19):
            case 0:
                self.policies = PolicySet((some_policy(random),))
            case 1:
                self.now -= timedelta(minutes=random.randint(1, 3 * 24 * 60))
            case 2:
                self.now += timedelta(days=random.randint(1, 30))
            case 3:
                self.clock = replace(
                    self.clock,
                    status=Status.PENDING,
                    pending_since=self.now,
                    pending_epoch=self.clock.pending_epoch + 1,
                )
            case 4:
                self.clock = replace(self.clock, status=Status.OPEN, unanswered_since=self.now)
            case 5:
                self.clock = replace(self.clock, status=Status.ON_HOLD, on_hold_since=self.now)
            case 6:
                self.clock = replace(self.clock, first_response_at=self.now)
            case 7:
                self.clock = replace(self.clock, fired=tuple(self.delivered(f) for f in self.clock.fired))
            case _:
                ahead = next_action(self.policies, self.clock, self.now)
                if ahead is not None and random.random() < 0.6:
                    # To the very moment, a little before it, or a little after.
                    self.now = max(self.now, ahead.due_at + random.choice([-1, 0, 0, 1, 45]) * MINUTE)
                else:
                    self.now += timedelta(minutes=random.randint(1, 2000))

    def delivered(self, fired: Fired) -> Fired:
        on_its_way = fired.delivered_at is None and not fired.failed
        return replace(fired, delivered_at=self.now) if on_its_way else fired


def some_desk(seed: int) -> Desk:
    random = Random(seed)
    start = random.choice(STARTS) + timedelta(minutes=random.randint(0, 4 * 24 * 60))
    clock = TicketClock(
        Status.PENDING,
        Priority.S2,
        "support@desk.example",
        opened_at=start - timedelta(days=1),
        pending_since=start,
        pending_epoch=1,
        first_response_at=random.choice([None, start]),
    )
    return Desk(random, PolicySet((some_policy(random),)), clock, start)


@given(SEEDS)
@settings(max_examples=250, deadline=None)
def test_nothing_is_early_twice_in_quiet_hours_within_a_gap_or_unreminded(seed: int) -> None:
    """Whatever befalls the desk: downtimes, edits, clocks that jump, reminders that are lost."""
    desk = some_desk(seed)
    for _ in range(40):
        desk.sweep()
        desk.live()


def test_the_simulated_desks_do_everything_there_is_to_do() -> None:
    """A law that is never put to the test proves nothing."""
    done = dict.fromkeys(ActionKind, 0)
    merged = 0
    for seed in range(60):
        desk = some_desk(seed)
        for _ in range(40):
            desk.sweep()
            desk.live()
        for _, planned in desk.log:
            done[planned.kind] += 1
            merged += planned.merged > 1
    assert min(done.values()) >= 5, done
    assert merged >= 5


@given(SEEDS, st.integers(0, 60 * 24 * 60), st.integers(0, 60 * 24 * 60))
@settings(max_examples=150, deadline=None)
def test_a_plan_does_not_change_while_its_time_lies_ahead(seed: int, first: int, second: int) -> None:
    """So it can be stored, and what is shown to the customer is what happens."""
    desk = some_desk(seed)
    earlier, later = sorted(desk.now + minutes * MINUTE for minutes in (first, second))
    planned = next_action(desk.policies, desk.clock, earlier)
    if planned is not None and planned.due_at > later:
        assert next_action(desk.policies, desk.clock, later) == planned
        assert isinstance(may_fire(desk.policies, desk.clock, planned, later), Wait)


@given(SEEDS, st.sampled_from(list(Status)))
@settings(max_examples=150, deadline=None)
def test_a_timeline_is_what_a_desk_does_that_looks_every_moment(seed: int, status: Status) -> None:
    """Preview and deed are the same code, and a desk that is up is on time to the minute."""
    desk = some_desk(seed)
    start = desk.now
    pauses = (Pause(start, start + timedelta(hours=30)),) if seed % 2 else ()
    desk.clock = replace(
        desk.clock, status=status, on_hold_since=start, unanswered_since=start, pauses=pauses
    )
    foretold = timeline(desk.policies, desk.clock, start, limit=5)
    done: list[tuple[datetime, str]] = []
    while (planned := next_action(desk.policies, desk.clock, desk.now)) and len(done) < 5:
        desk.now = max(desk.now, planned.due_at)
        verdict = may_fire(desk.policies, desk.clock, planned, desk.now)
        assert isinstance(verdict, Fire)
        assert desk.now == max(start, verdict.planned.due_at)
        done.append((desk.now, verdict.planned.key))
        desk.clock = fired_on(desk.clock, verdict.planned, desk.now, delivered_at=desk.now)
    assert [(each.at, each.planned.key) for each in foretold] == done
