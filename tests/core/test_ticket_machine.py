"""The state machine: DESIGN's table row by row, and what holds in every state for every event."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.core import ticket as machine
from mailbridge.core.ticket import (
    AgentAnswered,
    AgentCommanded,
    Answer,
    Applied,
    AutomaticMail,
    Change,
    ClearFlag,
    Command,
    CustomerSpoke,
    Event,
    FollowUp,
    MailBounced,
    Merged,
    Priority,
    Redirected,
    Refused,
    SetPriority,
    SetStatus,
    Solution,
    SolvedReason,
    Status,
    Step,
    TicketState,
    TimerFired,
    apply,
)
from tests.core.cases import ANNE, NOW, ON_HOLD, OPEN, PENDING, merged, solved

AGREED = SetStatus(Status.SOLVED, Solution(SolvedReason.AGREED))
BUG = SetStatus(Status.SOLVED, Solution(SolvedReason.BUG_FILED, "BUG-7", "high", "June"))
HANDED_OVER = SetStatus(Status.SOLVED, Solution(SolvedReason.HANDED_OVER))
HOLD = SetStatus(Status.ON_HOLD, hold_reason="engineering")
UNRESPONSIVE = SetStatus(Status.SOLVED, Solution(SolvedReason.UNRESPONSIVE))
QUESTION_LOST = MailBounced(ANNE.address, question=True)
REMINDED = replace(PENDING, reminders=1)
FLAGGED = replace(PENDING, pending_since=None, flag="our answer did not reach anne@customer.example")
SOLVED, MERGED = solved(), merged(7)


def applied(state: TicketState, event: Event, **more: timedelta | None) -> Applied:
    """The answer, which must be a change of state or a note."""
    answer = apply(state, event, NOW, **more)
    assert isinstance(answer, Applied), answer
    return answer


# ---------------------------------------------------------------- DESIGN §1's table, row by row


@pytest.mark.parametrize(
    ("state", "event", "status"),
    [
        (OPEN, CustomerSpoke(), Status.OPEN),
        (OPEN, AutomaticMail(), Status.OPEN),
        (OPEN, QUESTION_LOST, Status.OPEN),
        (OPEN, AgentAnswered(), Status.PENDING),
        (OPEN, AgentAnswered((HOLD,)), Status.ON_HOLD),
        (OPEN, AgentAnswered((AGREED,)), Status.SOLVED),
        (OPEN, TimerFired(Step.ESCALATE), Status.OPEN),
        (PENDING, CustomerSpoke(), Status.OPEN),
        (PENDING, AutomaticMail(), Status.PENDING),
        (PENDING, QUESTION_LOST, Status.PENDING),
        (PENDING, AgentAnswered(), Status.PENDING),
        (PENDING, TimerFired(Step.REMIND), Status.PENDING),
        (REMINDED, TimerFired(Step.RESOLVE), Status.SOLVED),
        (ON_HOLD, CustomerSpoke(), Status.OPEN),
        (ON_HOLD, AutomaticMail(), Status.ON_HOLD),
        (ON_HOLD, QUESTION_LOST, Status.ON_HOLD),
        (ON_HOLD, AgentAnswered(), Status.ON_HOLD),
        (ON_HOLD, AgentAnswered((SetStatus(Status.PENDING),)), Status.PENDING),
        (ON_HOLD, TimerFired(Step.NUDGE), Status.ON_HOLD),
        (SOLVED, CustomerSpoke(), Status.OPEN),
        (SOLVED, AutomaticMail(), Status.SOLVED),
        (SOLVED, QUESTION_LOST, Status.SOLVED),
        (SOLVED, AgentAnswered(), Status.SOLVED),
        (SOLVED, AgentAnswered((SetStatus(Status.OPEN),)), Status.OPEN),
    ],
)
def test_the_table_of_states_and_events_holds(state: TicketState, event: Event, status: Status) -> None:
    """This table is what agents, policies and the portal rely on."""
    assert applied(state, event).state.status is status


@pytest.mark.parametrize(
    ("state", "step"),
    [
        *product((OPEN, SOLVED, ON_HOLD, FLAGGED), (Step.REMIND, Step.RESOLVE)),
        *product((PENDING, ON_HOLD, SOLVED), (Step.ESCALATE,)),
        *product((OPEN, PENDING, SOLVED), (Step.NUDGE,)),
        (PENDING, Step.RESOLVE),
    ],
)
def test_a_timer_that_does_not_belong_to_the_state_is_refused(state: TicketState, step: Step) -> None:
    """A sweep that was planned before the customer answered must do nothing after it."""
    assert isinstance(apply(state, TimerFired(step), NOW), Refused)


@pytest.mark.parametrize(
    "event", [CustomerSpoke(), AutomaticMail(), QUESTION_LOST, AgentAnswered(), Merged(9)]
)
def test_a_merged_ticket_sends_every_event_to_the_survivor(event: Event) -> None:
    """Whoever still writes to it is heard where the work goes on."""
    assert apply(MERGED, event, NOW) == Redirected(7)


def test_a_customers_answer_cancels_the_timers() -> None:
    """Nobody is reminded of a question that they have answered."""
    answer = applied(REMINDED, CustomerSpoke())
    assert answer.state == replace(OPEN, pending_epoch=1)
    assert answer.changes == (Change("status", "pending", "open", "the customer answered"),)
    assert not answer.reopened


def test_a_customers_words_reopen_a_solved_ticket_and_the_history_says_so() -> None:
    """This is the promise in every solved mail."""
    answer = applied(SOLVED, CustomerSpoke())
    assert answer.reopened
    assert answer.state.solution is None
    assert answer.state.solved_at is None


def test_a_new_answer_restarts_the_timers_in_a_new_epoch() -> None:
    """The epoch is in each reminder's key: those of the earlier question can never be taken for new ones."""
    after = applied(REMINDED, AgentAnswered()).state
    assert (after.pending_since, after.pending_epoch, after.reminders) == (NOW, 2, 0)


def test_the_loss_of_a_question_stops_the_clock_and_flags_the_ticket() -> None:
    """Silence after a bounce is no silence: the customer never saw the question."""
    answer = applied(REMINDED, QUESTION_LOST)
    assert answer.state.pending_since is None
    assert "anne@customer.example" in answer.state.flag
    assert [c.what for c in answer.changes] == ["flag"]


@pytest.mark.parametrize(
    "event", [MailBounced("x@y.example", question=False), replace(QUESTION_LOST, permanent=False)]
)
def test_other_bounces_leave_the_clock_alone(event: Event) -> None:
    """An acknowledgement that was lost, or a mail that is only late, says nothing about the question."""
    assert applied(PENDING, event) == Applied(PENDING)


def test_an_agent_who_has_looked_starts_the_clock_anew() -> None:
    """The customer gets the full time from the moment that the address is known to be right."""
    after = applied(FLAGGED, AgentCommanded((ClearFlag(),))).state
    assert (after.flag, after.pending_since, after.pending_epoch) == ("", NOW, FLAGGED.pending_epoch + 1)


# ---------------------------------------------------------------- what agents must say


@pytest.mark.parametrize(
    "command",
    [
        SetStatus(Status.SOLVED),
        SetStatus(Status.SOLVED, Solution(SolvedReason.BUG_FILED)),
        SetStatus(Status.SOLVED, Solution(SolvedReason.BUG_FILED, "BUG-7", "high")),
        SetStatus(Status.SOLVED, Solution(SolvedReason.BUG_FILED, "BUG-7", " ", "June")),
        SetStatus(Status.SOLVED, Solution(SolvedReason.MERGED)),
        SetStatus(Status.SOLVED, Solution(SolvedReason.AGREED, merged_into=4)),
        UNRESPONSIVE,
        SetStatus(Status.ON_HOLD),
        SetStatus(Status.ON_HOLD, hold_reason="  "),
        SetPriority(Priority.S1, ""),
        SetPriority(Priority.S1, " \t"),
    ],
)
def test_a_command_that_lacks_what_it_must_say_is_refused(command: Command) -> None:
    """A solved ticket says why, a held one for whom, a new priority for what reason."""
    answer = apply(PENDING, AgentCommanded((command,)), NOW)
    assert isinstance(answer, Refused)
    assert answer.why


def test_unresponsive_is_allowed_after_one_reminder() -> None:
    """The customer was really asked twice."""
    after = applied(REMINDED, AgentCommanded((UNRESPONSIVE,))).state
    assert after.solution == Solution(SolvedReason.UNRESPONSIVE)


def test_a_change_of_priority_is_written_down_with_its_reason() -> None:
    """Reclassification is an event with who, when and why."""
    answer = applied(OPEN, AgentCommanded((SetPriority(Priority.S1, " all are down "),)))
    assert answer.state.priority is Priority.S1
    assert answer.changes == (Change("priority", "S3", "S1", "all are down"),)


@pytest.mark.parametrize("bad", [SetPriority(Priority.S1, ""), UNRESPONSIVE, SetStatus(Status.ON_HOLD)])
@pytest.mark.parametrize("good", [AGREED, HOLD, SetPriority(Priority.S2, "worse")])
def test_one_command_that_cannot_be_done_undoes_all(good: Command, bad: Command) -> None:
    """All or nothing, whichever comes first."""
    for order in ((good, bad), (bad, good)):
        assert isinstance(apply(OPEN, AgentCommanded(order), NOW), Refused)
        assert isinstance(apply(OPEN, AgentAnswered(order), NOW), Refused)


def test_a_ticket_solved_long_ago_is_followed_up_instead_of_reopened() -> None:
    """Ops may say that old matters are closed for good; the customer is heard all the same."""
    within = timedelta(days=3)
    assert isinstance(apply(SOLVED, CustomerSpoke(), NOW, reopen_within=within), Applied)
    assert apply(SOLVED, CustomerSpoke(), NOW + timedelta(seconds=1), reopen_within=within) == FollowUp()
    assert isinstance(apply(SOLVED, CustomerSpoke(), NOW + timedelta(days=9999)), Applied)


def test_only_becoming_solved_counts_as_newly_solved() -> None:
    """The customer is told once, not again at every later change."""
    assert applied(OPEN, AgentCommanded((AGREED,))).newly_solved
    assert applied(SOLVED, AgentCommanded((BUG,))).newly_solved
    assert not applied(SOLVED, AgentCommanded((AGREED,))).newly_solved
    assert not applied(SOLVED, AgentCommanded((SetPriority(Priority.S1, "why"),))).newly_solved
    assert not applied(OPEN, AgentAnswered()).newly_solved


def test_the_channel_is_not_an_argument_of_the_machine() -> None:
    """What it cannot see cannot change its answer: mail, portal, chat, CLI and console all get the same."""
    assert list(inspect.signature(apply).parameters) == ["state", "event", "now", "reopen_within"]
    for kind in (
        CustomerSpoke,
        AutomaticMail,
        MailBounced,
        AgentAnswered,
        AgentCommanded,
        TimerFired,
        Merged,
    ):
        assert not {"channel", "source"} & set(inspect.signature(kind).parameters)


# ---------------------------------------------------------------- every reachable state, every event

moments = st.timedeltas(timedelta(0), timedelta(days=400))
words = st.sampled_from(["", " ", "engineering"])
solutions = st.builds(
    Solution,
    st.sampled_from(SolvedReason),
    bug_reference=words,
    bug_priority=words,
    bug_timeline=words,
    merged_into=st.none() | st.integers(2, 4),
)
commands = st.one_of(
    st.builds(SetStatus, st.sampled_from(Status), st.none() | solutions, words),
    st.builds(SetPriority, st.sampled_from(Priority), words),
    st.just(ClearFlag()),
    st.sampled_from([AGREED, BUG, HANDED_OVER, HOLD, UNRESPONSIVE]),
)
lists = st.lists(commands, max_size=3).map(tuple)
events = st.one_of(
    st.just(CustomerSpoke()),
    st.just(AutomaticMail()),
    st.builds(MailBounced, st.just(ANNE.address), st.booleans(), st.booleans()),
    st.builds(AgentAnswered, lists),
    st.builds(AgentCommanded, lists),
    st.builds(TimerFired, st.sampled_from(Step)),
    st.builds(Merged, st.integers(2, 4)),
)
windows = st.none() | st.timedeltas(timedelta(0), timedelta(days=30))


def check_state(state: TicketState) -> None:
    """What must be true of a ticket at any time; the database checks the first three too."""
    assert (state.status is Status.SOLVED) == (state.solution is not None)
    assert (state.status is Status.SOLVED) == (state.solved_at is not None)
    if state.solution is not None:
        assert state.solution.problem() is None
        assert (state.solution.reason is SolvedReason.MERGED) == (state.solution.merged_into is not None)
    assert (state.status is Status.ON_HOLD) == bool(state.hold_reason.strip())
    assert (state.pending_since is not None) == (state.status is Status.PENDING and not state.flag)
    assert state.status is Status.PENDING or not state.flag
    assert state.status is Status.PENDING or state.reminders == 0


def check_step(before: TicketState, event: Event, answer: Answer) -> None:
    """What must be true of one step."""
    assert isinstance(answer, Redirected) == (before.merged_into is not None)
    if not isinstance(answer, Applied):
        assert not isinstance(answer, FollowUp) or isinstance(event, CustomerSpoke)
        assert not isinstance(answer, Refused) or answer.why.strip()
        assert not (
            isinstance(answer, Refused) and isinstance(event, CustomerSpoke | AutomaticMail | MailBounced)
        )
        return
    after = answer.state
    check_state(after)
    assert after.pending_epoch >= before.pending_epoch
    if after.pending_since != before.pending_since and after.pending_since is not None:
        assert after.pending_epoch > before.pending_epoch
    if isinstance(event, AutomaticMail):
        assert answer == Applied(before)
    if isinstance(event, MailBounced):
        assert after.status is before.status
        assert after.pending_since in (before.pending_since, None)
    if isinstance(event, CustomerSpoke):
        assert after.status is Status.OPEN
    if (
        after.solution
        and after.solution.reason is SolvedReason.UNRESPONSIVE
        and before.solution != after.solution
    ):
        assert before.reminders >= 1
    changed = {c.what: c for c in answer.changes}
    assert (after.status is before.status) or "status" in changed
    if after.priority is not before.priority:
        assert changed["priority"].why.strip()


@given(st.lists(st.tuples(events, moments, windows), max_size=12), st.sampled_from(Priority))
@settings(max_examples=400, deadline=None)
def test_every_event_in_every_reachable_state_gives_one_answer_and_a_whole_ticket(
    story: list[tuple[Event, timedelta, timedelta | None]], priority: Priority
) -> None:
    """Whatever the order of events, nothing raises and no ticket is ever half solved, half pending."""
    state, now = TicketState(Status.OPEN, priority), NOW
    for event, later, window in story:
        now += later
        answer = apply(state, event, now, reopen_within=window)
        assert answer == apply(state, event, now, reopen_within=window)
        check_step(state, event, answer)
        if isinstance(answer, Applied):
            state = answer.state


def single_events() -> Iterator[Event]:
    """Each kind of event, with each kind of command alone."""
    single: list[Command] = [
        AGREED,
        BUG,
        HANDED_OVER,
        HOLD,
        UNRESPONSIVE,
        ClearFlag(),
        SetPriority(Priority.S1, "why"),
    ]
    single += [
        SetStatus(Status.SOLVED, Solution(SolvedReason.HANDED_OVER)),
        SetStatus(Status.OPEN),
        SetStatus(Status.PENDING),
    ]
    single += [SetStatus(Status.SOLVED)]
    yield from (CustomerSpoke(), AutomaticMail(), QUESTION_LOST, replace(QUESTION_LOST, question=False))
    yield from (AgentAnswered(), AgentCommanded(), Merged(7))
    for command in single:
        yield AgentAnswered((command,))
        yield AgentCommanded((command,))
    for step in Step:
        yield TimerFired(step)


def test_all_states_that_can_be_reached_within_four_events_are_whole() -> None:
    """Chance may miss a corner; this walks through all of them."""
    seen = {OPEN}
    frontier = [OPEN]
    for _ in range(4):
        found: list[TicketState] = []
        for state, event in product(frontier, single_events()):
            answer = apply(state, event, NOW, reopen_within=None)
            check_step(state, event, answer)
            if isinstance(answer, Applied) and answer.state not in seen:
                seen.add(answer.state)
                found.append(answer.state)
        frontier = found
    assert {s.status for s in seen} == set(Status)
    assert {s.solution.reason for s in seen if s.solution} == set(SolvedReason)
    assert any(s.flag for s in seen)


def test_the_machine_knows_no_clock_of_its_own() -> None:
    """The same event at the same instant is the same answer, after a restart and on another node."""
    assert "datetime.now" not in inspect.getsource(machine)
