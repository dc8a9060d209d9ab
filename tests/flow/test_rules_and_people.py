"""Who is told of what, which priority a request gets, and how much automatic mail may leave: through the real doors."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.flow.letters import ANNE, BART, CRIS, DESK, EVE, SALES, bare, letter, reply, unique
from tests.flow.world import Settings, Talk, World

CLEO = "Cleo Smit <cleo@desk.example>"
QUIET = "quiet@desk.example"

_RULES = """
[[rule]]
subject_tag = ["S1", "outage"]
priority = "S1"
[[rule]]
from = ["boss@customer.example", "@bank.example"]
priority = "S2"
[[rule]]
organisation = "Acme"
priority = "S2"
[[rule]]
mailbox = "sales@desk.example"
priority = "S4"
"""
_MORE_MAILBOXES = """
[[mailbox]]
address = "quiet@desk.example"
acknowledge = false
default_priority = "S2"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon with rules, a second of reopening, and low caps on automatic mail."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rules.toml").write_text(_RULES)
    settings: dict[str, Settings] = {
        "tickets": {"rules_file": "rules.toml", "reopen_within": "1s"},
        "caps": {"per_recipient": 3, "per_mailbox": 4},
    }
    with World(folder, settings=settings, extra=_MORE_MAILBOXES) as made:
        yield made


def opened(world: World, sender: str, subject: str = "Help", to: str = DESK, **more: object) -> Talk:
    """A new ticket of somebody's."""
    assert set(more) <= {"cc"}
    cc = more.get("cc", ())
    assert isinstance(cc, tuple)
    return world.talk(letter(sender, to, unique(subject), cc=cc))


def somebody() -> str:
    """A customer whom nobody has heard of, so that no cap is near."""
    return f"{unique('Someone')} <{unique('someone').replace(' ', '')}@customer.example>"


# ---------------------------------------------------------------- priority


def test_the_first_rule_that_holds_gives_the_priority(world: World) -> None:
    """By a tag in the subject, the sender, their domain, or the mailbox; else the mailbox's default."""
    for sender, subject, to, priority in (
        (somebody(), "[S1] All is down", DESK, "S1"),
        (somebody(), "Re: [Outage] again", DESK, "S1"),
        (somebody(), "S1 without brackets", DESK, "S3"),
        ("boss@customer.example", "Please", DESK, "S2"),
        ("Teller <teller@bank.example>", "Please", DESK, "S2"),
        ("teller@sub.bank.example", "Please", DESK, "S3"),
        (somebody(), "A price", SALES, "S4"),
        ("boss@customer.example", "[S1] A price", SALES, "S1"),
        ("boss@customer.example", "A price", SALES, "S2"),
        (somebody(), "Hm", QUIET, "S2"),
    ):
        talk = opened(world, sender, subject, to)
        assert talk.ticket["priority"] == priority, (sender, subject, to)


def test_an_organisation_gives_its_members_their_priority(world: World) -> None:
    """Those of its domain belong to it, also when they write for the first time."""
    assert world.cli("org", "add", "Acme", "--domain", "acme.example").code == 0
    assert opened(world, "Dora <dora@acme.example>").ticket["priority"] == "S2"
    contact = next(c for c in world.rows("contact", "list") if c["address"] == "dora@acme.example")
    assert (contact["organisation"], contact["name"], contact["tickets"]) == ("Acme", "Dora", 1)
    assert opened(world, "dora@acme.elsewhere.example").ticket["priority"] == "S3"


def test_an_agent_reclassifies_and_the_history_says_why(world: World) -> None:
    """Priority follows the present impact; each change has who, from, to and why."""
    talk = opened(world, somebody())
    world.deliver(reply(BART, talk.to(BART), "#priority S1 the whole plant stands still\n"))
    ticket = talk.ticket
    assert (ticket["priority"], ticket["status"]) == ("S1", "open")
    change = ticket["entries"][-1]
    assert (change["event"], change["author"]) == ("priority", bare(BART))
    assert change["data"] == {"from": "S3", "to": "S1", "why": "the whole plant stands still"}
    assert "Urgent" in world.mails(BART, talk.key)[-1].text or "S1" in world.mails(BART, talk.key)[-1].text


# ---------------------------------------------------------------- agents


def test_an_agent_who_is_added_while_the_daemon_runs_is_told_of_their_mailbox_only(world: World) -> None:
    """No restart; what is not theirs does not reach them. Removed, they hear and may do nothing more."""
    added = world.cli("agent", "add", CLEO, "--mailbox", SALES)
    assert added.out == "cleo@desk.example is an agent of sales@desk.example\n"
    for_sales, for_support = opened(world, somebody(), to=SALES), opened(world, somebody())
    notice = for_sales.to(CLEO)
    for_sales.to(BART)
    for_support.to(BART)
    world.sent()
    assert for_support.count(CLEO) == 0

    record = world.deliver(reply(CLEO, notice, "It costs ten.\n"))
    assert record["decision"]["reason"] == "agent-answer"
    told = for_sales.to(BART, 2)
    assert "Answered by Cleo Smit" in told.text
    assert "It costs ten." in told.text
    world.sent()
    assert for_sales.count(CLEO) == 1  # the one who wrote it needs no copy

    assert world.cli("agent", "remove", "cleo@desk.example").code == 0
    record = world.deliver(reply(CLEO, notice, "#solved agreed\n"))
    assert record["quarantine"]["reason"] == "agent-unverified"
    assert for_sales.ticket["status"] == "pending"
    later = opened(world, somebody(), to=SALES)
    later.to(BART)
    world.sent()
    assert later.count(CLEO) == 0


def test_two_agents_answer_at_once_and_both_answers_go_out(world: World) -> None:
    """Neither is lost nor overwritten; each is told of the other's."""
    assert world.cli("agent", "add", CLEO).code == 0
    talk = opened(world, customer := somebody())
    notices = {agent: talk.to(agent) for agent in (BART, CLEO)}
    numbers = [
        number
        for agent, notice in notices.items()
        for number in world.send(reply(agent, notice, f"{bare(agent)[:4].capitalize()} says no.\n"))
    ]
    assert {world.decided(n)["decision"]["reason"] for n in numbers} == {"agent-answer"}
    words = {talk.to(customer, number).words.splitlines()[0] for number in (2, 3)}
    assert words == {"Bart says no.", "Cleo says no."}
    assert "Cleo says no." in talk.to(BART, 2).text
    assert "Bart says no." in talk.to(CLEO, 2).text
    assert world.cli("agent", "remove", "cleo@desk.example").code == 0


def test_an_agents_attachment_reaches_the_customer_and_the_customers_the_agent(world: World) -> None:
    """Files go both ways, under a harmless name."""
    mail = letter(customer := somebody(), DESK, unique("A picture"))
    mail.add_attachment(b"\x89PNG...", "image", "png", filename="../../shot.png")
    talk = world.talk(mail)
    notice = talk.to(BART)
    (file,) = notice.message.iter_attachments()
    assert (file.get_content(), file.get_content_type()) == (b"\x89PNG...", "image/png")
    assert file.get_filename() == "shot.png"
    back = reply(BART, notice, "Please sign this.\n")
    back.add_attachment(b"%PDF...", "application", "pdf", filename="Vertrag für Anne.pdf")
    world.deliver(back)
    (file,) = talk.to(customer, 2).message.iter_attachments()
    assert (file.get_content(), file.get_filename()) == (b"%PDF...", "Vertrag für Anne.pdf")


# ---------------------------------------------------------------- participants


def test_neither_we_nor_agents_nor_robots_become_collaborators(world: World) -> None:
    """Each of them in Cc would make a loop, or show customers what is not for them."""
    cc = (DESK, "help@desk.example", "Sales+x@desk.example", BART, "no-reply@shop.example", CRIS, CRIS)
    talk = opened(world, somebody(), cc=cc)
    assert talk.ticket["collaborators"] == [CRIS]


def test_a_mailing_to_many_makes_no_conversation_of_all_of_them(world: World) -> None:
    """A hundred strangers in Cc do not get our answers."""
    crowd = tuple(f"member{n}@club.example" for n in range(100))
    talk = opened(world, customer := somebody(), cc=crowd)
    assert talk.ticket["collaborators"] == []
    world.deliver(reply(BART, talk.to(BART), "Hello.\n"))
    assert talk.to(customer, 2).recipients == (bare(customer),)


def test_a_quiet_mailbox_acknowledges_nothing_and_still_works(world: World) -> None:
    """Whether to acknowledge is the mailbox's own setting."""
    talk = opened(world, customer := somebody(), to=QUIET)
    notice = talk.to(BART)
    world.deliver(reply(BART, notice, "Hello.\n"))
    answer = talk.to(customer)
    assert "Hello." in answer.words
    assert bare(answer.header("From")) == QUIET


# ---------------------------------------------------------------- limits in time and number


def test_a_reply_long_after_the_end_opens_a_linked_ticket(world: World) -> None:
    """`reopen_within` keeps an old thread from coming back as a ticket that nobody looks at."""
    talk = opened(world, customer := somebody())
    world.deliver(reply(BART, talk.to(BART), "#solved agreed\n\nDone.\n"))
    done = time.monotonic()
    talk.awaits("solved")
    answer = talk.to(customer, 2)
    world.until(lambda: time.monotonic() > done + 1.1, "a second should pass")
    record = world.deliver(reply(customer, answer, "And now something else.\n"))
    assert record["decision"]["reason"] == "follow-up"
    ticket = world.ticket(record["decision"]["ticket"])
    assert (ticket["status"], ticket["follow_up_of"]) == ("open", talk.key)
    assert talk.ticket["status"] == "solved"


def test_acknowledgements_end_at_the_cap_and_answers_do_not(world: World) -> None:
    """Two machines that answer each other stop after a few mails; a person's words always go out."""
    customer = somebody()
    talks = [opened(world, customer) for _ in range(4)]
    for talk in talks:
        talk.to(BART)
    world.sent()
    assert [talk.count(customer) for talk in talks] == [1, 1, 1, 0]
    (withheld,) = [
        d for d in world.row("explain", talks[3].first_id)["decision"]["rejected"] if d["value"] == "outgoing"
    ]
    assert withheld["why"].startswith("acknowledgement: withheld: 3 automatic mails an hour to")
    world.deliver(reply(BART, talks[3].to(BART), "Here I am.\n"))
    assert "Here I am." in talks[3].to(customer).words


def test_the_cap_counts_the_mailbox_behind_tags_and_letter_case(world: World) -> None:
    """A loop that changes its tag with every mail is still one loop."""
    name = bare(somebody()).partition("@")[0]
    addresses = [f"{name}+{n}@customer.example" for n in range(3)] + [f"{name.upper()}@CUSTOMER.example"] * 2
    talks = [opened(world, address) for address in addresses]
    for talk in talks:
        talk.to(BART)
    world.sent()
    assert [talk.count(address) for talk, address in zip(talks, addresses, strict=True)] == [1, 1, 1, 1, 0]


def test_a_stranger_cannot_bring_others_in_or_take_a_participants_place(world: World) -> None:
    """Only the requester, with our token in hand, adds people."""
    talk = opened(world, customer := somebody(), cc=(CRIS,))
    world.deliver(reply(BART, talk.to(BART), "Hello.\n"))
    answer = talk.to(customer, 2)
    by_cris = reply(CRIS, talk.to(CRIS), "My friend helps.\n", cc=("friend@elsewhere.example",))
    assert world.deliver(by_cris)["decision"]["reason"] == "customer-reply"
    by_eve = reply(EVE, answer, "Me too.\n", cc=("eves.friend@elsewhere.example",))
    assert world.deliver(by_eve)["decision"]["ticket"] != talk.key
    assert talk.ticket["collaborators"] == [CRIS]
    assert ANNE not in talk.ticket["requester"]
