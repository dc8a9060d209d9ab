"""The body of a mail from the forms its parts give it, with the reason of the choice.

Of alternatives the plain text is read, since it is what the author's program wrote for readers like us; the
HTML where the plain text is missing, empty, or only says that there is HTML.

Standards: RFC 2046 5.1.4 (alternatives are of one meaning).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

_STUB_CHARS: Final = 400
"""Longer plain text beside HTML is a text, not a note that there is HTML."""


@dataclass(slots=True)
class Block:
    """A stretch of body in its two forms; None where the form does not exist."""

    plain: str | None = None
    html: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """The body chosen. `why` names the forms read and what spoke for them, '' when there is no body."""

    text: str
    html: str
    why: str
    several_html: bool


def choose(blocks: Sequence[Block], html_to_text: Callable[[str], str]) -> Body:
    """One text of all blocks in their order, and the first HTML."""
    texts: list[str] = []
    htmls: list[str] = []
    reasons: dict[str, None] = {}
    for block in blocks:
        text, why = _chosen(block, html_to_text)
        texts.append(text)
        if text.strip():
            reasons[why] = None
        if block.html:
            htmls.append(block.html)
    texts = [text for text in texts if text.strip()] or texts[:1]
    text = "\n".join(
        text if text.endswith("\n") or n == len(texts) - 1 else text + "\n" for n, text in enumerate(texts)
    )
    return Body(text, htmls[0] if htmls else "", ", ".join(reasons), len(htmls) > 1)


def _chosen(block: Block, html_to_text: Callable[[str], str]) -> tuple[str, str]:
    html = block.html or ""
    if not html.strip():
        return block.plain or "", "plain"
    if block.plain is None:
        return html_to_text(html), "html: there is no plain part"
    if not block.plain.strip():
        return html_to_text(html), "html: the plain part is empty"
    if len(block.plain) <= _STUB_CHARS and "html" in block.plain.lower():
        rendered = html_to_text(html)
        if _is_stub(block.plain, rendered):
            return rendered, "html: the plain part only says that there is HTML"
    return block.plain, "plain"


def _is_stub(plain: str, rendered: str) -> bool:
    """Whether a short text that speaks of HTML is not said in the HTML itself: then no author wrote it."""
    own, other = (_letters(text) for text in (plain, rendered))
    return bool(other) and own not in other


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
