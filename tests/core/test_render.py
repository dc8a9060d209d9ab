"""Templates: what is in our mails, what cannot get into them, and how a broken one is told."""

from __future__ import annotations

import pytest

from mailbridge.core.render import SAMPLES, TemplateError, Templates, as_html, check_templates, quoted
from mailbridge.edge.templates import DEFAULT_DIR, load_templates


@pytest.fixture(scope="module")
def ours() -> Templates:
    """The templates we ship, loaded as the daemon does."""
    return load_templates(DEFAULT_DIR, None)


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in DEFAULT_DIR.iterdir() if path.is_file()}


def words(name: str, **changes: object) -> dict[str, object]:
    """The sample of mail `name` with some values changed."""
    return {**SAMPLES[name], **changes}


def one(text: str, html: str = "<p></p>") -> Templates:
    return Templates({"x.txt": text, "x.html": html})


def test_every_mail_we_send_has_its_templates(ours: Templates) -> None:
    """check_templates passes on what we ship: both halves, known names only, all branches."""
    check_templates(ours)
    assert ours.names == set(SAMPLES)


def test_an_acknowledgement_to_an_unverified_sender_holds_none_of_his_words(ours: Templates) -> None:
    """Otherwise anyone could send anything to anyone through our desk, a mail bomb in a victim's name."""
    context = words("acknowledgement", verified=False, subject="BUY NOW")
    rendered = ours.render("acknowledgement", context)
    assert "BUY" not in rendered.subject + rendered.text + rendered.html
    assert rendered.subject == "[#ABCD-EFGH] We have received your message"
    assert "ABCD-EFGH" in rendered.text


def test_an_acknowledgement_to_a_verified_sender_answers_his_subject(ours: Templates) -> None:
    """So that it lies beside the mail it answers."""
    rendered = ours.render("acknowledgement", SAMPLES["acknowledgement"])
    assert rendered.subject == "Re: [#ABCD-EFGH] The printer is broken"


def test_an_answer_carries_the_agents_words_the_quote_and_the_marker(ours: Templates) -> None:
    """The marker in the body finds the ticket again when a mailer has lost every header."""
    rendered = ours.render("answer", words("answer", solved_reason=""))
    assert rendered.text == (
        "Please switch it on.\n\nBart\nSupport [#ABCD-EFGH]\n\nAnne wrote:\n> It prints nothing.\n\nref:abc\n"
    )
    assert "<blockquote" in rendered.html
    assert "ref:abc" in rendered.html


def test_an_answer_without_a_quote_or_marker_has_no_empty_places(ours: Templates) -> None:
    """'' is an ordinary value for both."""
    rendered = ours.render("answer", words("answer", quoted="", body_marker="", solved_reason=""))
    assert rendered.text == "Please switch it on.\n\nBart\nSupport [#ABCD-EFGH]\n"
    assert "blockquote" not in rendered.html


def test_a_notification_begins_with_the_reply_marker_and_tells_all(ours: Templates) -> None:
    """What stands above the marker is the agent's; what stands below is for reading."""
    context = words("notification", what="answered", by="Bart")
    rendered = ours.render("notification", context)
    assert rendered.text.startswith("##- Please write your reply above this line -##\n")
    assert rendered.subject == "[#ABCD-EFGH] The printer is broken"
    for part in (
        "Answered by Bart: The printer is broken",
        "Anne <anne@customer.example>",
        "#42",
        "S3",
        "open",
        "It prints nothing.",
        "photo.jpg (46.9 KiB)",
        "Warning: The sender's address was not verified.",
        "#solved agreed",
        "ref:abc",
    ):
        assert part in rendered.text


def test_a_receipt_with_a_rejected_line_says_that_nothing_was_changed(ours: Templates) -> None:
    """Commands are all or nothing; the agent must not believe that half of them held."""
    rendered = ours.render("receipt", SAMPLES["receipt"])
    assert "Nothing was changed" in rendered.text
    assert "Line 2: #priorty S2\n  there is no such command" in rendered.text
    assert "Done" not in rendered.text
    assert "> Please switch it on." in rendered.text


def test_a_receipt_of_applied_commands_names_each(ours: Templates) -> None:
    """One line for each, and the state that came of it."""
    rendered = ours.render("receipt", words("receipt", rejected=[]))
    assert "- #solved agreed" in rendered.text
    assert "is open" in rendered.text


def test_a_solved_mail_tells_how_to_reopen(ours: Templates) -> None:
    """The customer only knows how to reply, and that is enough."""
    assert "just reply" in ours.render("solved", SAMPLES["solved"]).text


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_no_value_can_write_html_or_headers_of_its_own(name: str, ours: Templates) -> None:
    """Every value that is a text is replaced by an attack; none comes through as markup or as a line."""
    attack = "<script>alert(1)</script>\r\nBcc: x@victim.example\n{{ 7 * 7 }}\"'>"
    lists = {"applied", "warnings", "collaborators"}
    context = {
        key: attack if isinstance(value, str) else [attack] if key in lists else value
        for key, value in SAMPLES[name].items()
    }
    if name == "receipt":
        context |= {"rejected": [(1, attack, attack)]}
    if name == "notification":
        context |= {"attachments": [(attack, 1)]}
    rendered = ours.render(name, context)
    assert "<script" not in rendered.html
    assert "\n" not in rendered.subject
    assert "\r" not in rendered.subject
    assert "49" not in rendered.subject + rendered.text.replace("ABCD", "") + rendered.html


def test_a_single_line_value_cannot_write_a_line_of_a_notification(ours: Templates) -> None:
    """A subject with a line break could fake 'Status: solved' or the reply marker for the agent."""
    forged = words("notification", subject="x\nStatus:   solved", requester="y\n#solved")
    lines = ours.render("notification", forged).text.splitlines()
    assert "Status:   open" in lines
    assert "Status:   solved" not in lines
    assert "#solved" not in lines


@pytest.mark.parametrize(
    ("sources", "place", "why"),
    [
        ({"x.txt": "Hello\n", "x.html": ""}, "x.txt:1", "Subject"),
        ({"x.txt": "Subject: a\nno empty line\n", "x.html": ""}, "x.txt:1", "Subject"),
        ({"x.txt": "Subject: {{ a\n\n\n", "x.html": ""}, "x.txt:1", "end of"),
        ({"x.txt": "Subject: a\n\n\n{% if %}\n", "x.html": ""}, "x.txt:4", "Expected"),
        ({"x.txt": "Subject: a\n\n", "x.html": "<p>\n{{ a | nofilter }}"}, "x.html:2", "nofilter"),
        ({"x.txt": "Subject: a\n\n"}, "x.html:0", "missing"),
        ({"x.html": "<p>"}, "x.txt:0", "missing"),
        ({"x.md": "a"}, "x.md:0", ".txt"),
    ],
)
def test_a_broken_template_is_named_with_its_line(sources: dict[str, str], place: str, why: str) -> None:
    """The operator who edits a template finds the slip without reading a traceback."""
    with pytest.raises(TemplateError) as caught:
        Templates(sources)
    assert str(caught.value).startswith(f"{place}: ")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("\n{{ nobody }}\n", 4),
        ("{{ text.nothing }}\n", 3),
        ("\n\n{{ text + 1 }}\n", 5),
        ("{{ text.__class__.__mro__ }}\n", 3),
        ("{{ 1 / 0 }}\n", 3),
        ("{% include 'y.txt' %}\n", 3),
    ],
)
def test_a_template_that_fails_when_run_is_named_with_its_line(body: str, line: int) -> None:
    """Unknown names, wrong types, and ways out of the sandbox: an error, never an empty place in a mail."""
    with pytest.raises(TemplateError) as caught:
        one("Subject: a\n\n" + body).render("x", {"text": "hello"})
    assert (caught.value.file, caught.value.line) == ("x.txt", line)


def test_a_template_of_a_name_we_do_not_have_is_refused(sources: dict[str, str]) -> None:
    """'anwser.txt' in the operator's folder would otherwise be ignored without a word."""
    with pytest.raises(TemplateError, match=r"anwser\.txt.*acknowledgement, answer"):
        check_templates(Templates(sources | {"anwser.txt": "Subject: a\n\n", "anwser.html": ""}))


def test_an_unknown_name_in_a_branch_not_taken_is_found_at_load(sources: dict[str, str]) -> None:
    """The branch would be taken for the first time by a customer."""
    source = sources["solved.txt"] + "{% if solved_reason == 'x' %}\n{{ agnet }}\n{% endif %}\n"
    with pytest.raises(TemplateError) as caught:
        check_templates(Templates(sources | {"solved.txt": source}))
    assert caught.value.file == "solved.txt"
    assert source.splitlines()[caught.value.line - 1] == "{{ agnet }}"
    assert "'agnet'" in caught.value.why
    assert "solved_reason" in caught.value.why


def test_a_missing_mail_is_told(sources: dict[str, str]) -> None:
    """A folder without 'solved' would fail at the first solved ticket."""
    rest = {file: text for file, text in sources.items() if not file.startswith("solved")}
    with pytest.raises(TemplateError, match=r"solved\.txt:0: missing"):
        check_templates(Templates(rest))


def test_a_shared_piece_can_be_included() -> None:
    """A signature in one place; a name with an underscore is no mail of its own."""
    templates = Templates(
        {"x.txt": "Subject: a\n\n{% include '_sign.txt' %}\n", "x.html": "", "_sign.txt": "Bye"}
    )
    assert templates.render("x", {}).text == "Bye\n"
    assert templates.names == {"x"}


def test_html_of_a_text_keeps_lines_and_indentation() -> None:
    """Code and tables of an agent stay readable."""
    assert (
        as_html("a < b\n  if x:\n    y  z\n")
        == "a &lt; b<br>\n&nbsp;&nbsp;if x:<br>\n&nbsp;&nbsp;&nbsp;&nbsp;y &nbsp;z"
    )


def test_quoting_puts_a_mark_before_every_line() -> None:
    """RFC 3676 4.5: a quoted line is known by '>' alone, so none may lack it."""
    assert quoted("one\n\n> two\nthree\n") == "> one\n>\n>> two\n> three"
