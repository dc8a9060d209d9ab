"""The readable text of an HTML body."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.core.html_text import html_to_text, measure_tags


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain words", "plain words"),
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("<div>One</div><div>Two</div>", "One\nTwo"),
        ("<div>One<br></div><div><br></div><div>Two</div>", "One\n\nTwo"),
        ("One<br>Two<br><br>Three", "One\nTwo\n\nThree"),
        ("<p>a  b\n c&nbsp;d</p>", "a b c d"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", "- a\n- b\n  - c"),
        ("<ol><li>a<li>b</ol>", "1. a\n2. b"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr></table>", "1 2\n3 4"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ('<p class="MsoNormal">a</p><p class="MsoNormal">b</p>', "a\nb"),
        ('<p class="MsoNormal">a</p><p class="MsoNormal">&nbsp;</p><p class="MsoNormal">b</p>', "a\n\nb"),
        (
            'x<blockquote type="cite">q<blockquote type="cite">r</blockquote></blockquote>y',
            "x\n\n> q\n>\n> > r\n\ny",
        ),
        ("x<blockquote>indented</blockquote>", "x\n\nindented"),
        ("a<hr>b", "a\n---\nb"),
        ('<img alt="Pump" src="cid:1">', "[image: Pump]"),
        ("<style>p{}</style><script>x()</script><title>t</title>words", "words"),
        ('<div style="display: none">preheader</div>words', "words"),
        ("<!-- comment -->words<!--[if mso]>not these<![endif]-->", "words"),
        ("a\x00b\u200bc\u00add", "abcd"),
    ],
)
def test_html_reads_as_it_looks(html: str, text: str) -> None:
    """Paragraphs, lists, tables and quotes stay apart; what is not shown is not there."""
    assert html_to_text(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="https://x.example/a">https://x.example/a</a>', "https://x.example/a"),
        ('<a href="https://www.x.example/">x.example</a>', "x.example"),
        ('<a href="https://x.example/a?b=1">the page</a>', "the page <https://x.example/a?b=1>"),
        ('<a href="mailto:anne@customer.example?subject=x">Anne</a>', "Anne <anne@customer.example>"),
        ('<a href="mailto:anne@customer.example">anne@customer.example</a>', "anne@customer.example"),
        ('<a href="javascript:alert(1)">x</a>', "x"),
        ('<a href="#top">x</a>', "x"),
        ('<a href="https://x.example/"><img src="https://t.example/p.gif"></a>words', "words"),
    ],
)
def test_a_link_shows_its_address_where_it_differs(html: str, text: str) -> None:
    """An agent must see where a link leads, and not read every address twice."""
    assert html_to_text(html) == text


@pytest.mark.parametrize("depth", [150, 199, 250, 300, 1500, 20_000])
@pytest.mark.parametrize("tag", ["div", "b", "blockquote", "span"])
def test_deep_nesting_loses_no_words(tag: str, depth: int) -> None:
    """Tree builders drop text below a depth (256 in libxml2): such mails go to the plain fallback."""
    html = f"<{tag}>" * depth + "words" + f"</{tag}>" * depth
    assert "words" in html_to_text(html)


def test_the_fallback_breaks_lines_at_blocks_and_decodes_entities() -> None:
    """It is read by people too."""
    html = "<div>" * 300 + "<p>a &lt; b</p><p>c &amp;amp; d</p><script>no()</script>"
    assert html_to_text(html) == "a < b\n\nc &amp; d"


def test_tags_are_counted_with_their_depth() -> None:
    """The measure guards the parsers: void elements and implied ends add no depth."""
    size = measure_tags("<div><p>a<br><p>b<img></div><div></div>")
    assert (size.tags, size.depth) == (8, 1)


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000,
        "<" * 300_000,
        "<!--" * 50_000,
        "<div " + "a=b " * 50_000,
        "<td>" * 50_000,
        "<p>x" * 40_000,
    ],
    ids=lambda html: str(html)[:6],
)
def test_hostile_html_is_read_in_bounded_time(html: str) -> None:
    """Parsers are quadratic in depth; the scan in front of them is linear."""
    start = time.process_time()
    html_to_text(html)
    assert time.process_time() - start < 1.5


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="<>/abdivplockqute=\"' \n&;#x0", max_size=200))
def test_any_input_gives_text_without_an_error(html: str) -> None:
    """No exception, no trailing blanks, no more than one blank line."""
    text = html_to_text(html)
    assert "\n\n\n" not in text
    assert all(line == line.rstrip() for line in text.split("\n"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["<div>", "</div>", "<p>", "<table>", "<td>", "</b>", "<b>", "<li>", "<a>"]),
        max_size=60,
    )
)
def test_visible_words_survive_any_mixture_of_tags(tags: list[str]) -> None:
    """Tag soup is common: the words must come out."""
    assert "words" in html_to_text("".join([*tags, "words", *tags]))
