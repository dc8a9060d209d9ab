"""Where the HTML of a mail says that its history and its signature are.

Reads the marks of the mail programs (ids, classes, attributes) and gives labelled lines. Says nothing about
words: those are `reply_lines`' task, which works on the same lines afterwards.

Standards: WHATWG HTML 4.4.4 (blockquote); the marks are what the programs send, found in mails.
"""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from mailbridge.core.html_text import (
    QUOTE_END,
    QUOTE_START,
    SIGNATURE_START,
    is_quotation,
    parse_html,
    render,
)
from mailbridge.core.reply_lines import Label, is_forward_rule, probe

_QUOTE_CLASS: Final = re.compile(
    r"(?:^|[\s_])(?:gmail_attr|yahoo_quoted|yahoo-quoted|protonmail_quote|tutanota_quote|moz-cite-prefix"
    r"|zmail_extra"
    r"|outlookmessageheader|exchange_quote|front-blockquote|nylas-quote|mailru-blockquote|newton_quote"
    r"|reply-intro"
    r"|freebirdanalyticsviewquote|zm_quote|gmx_quote|quoted-reply|quoted_email|mail-quote|email-quote"
    r"|cm_quote"
    r"|airmail_on|hey_quote|mbq)\b|yahoo_quoted",
    re.IGNORECASE,
)
_QUOTE_ID: Final = re.compile(
    r"yahoo_quoted|olk_src_body_section|reply-intro|replyseparator|isreplycontent|mail-?quote|quoted_reply"
    r"|zm-?quote|orkutmail",
    re.IGNORECASE,
)
_HARD_ID: Final = re.compile(
    r"(?:x_)?(?:divrplyfwdmsg|appendonsend|mail-editor-reference-message-container|stopspelling)"
)
"""From here to the end everything is quoted (Outlook on the web and on phones)."""
_SIGNATURE_CLASS: Final = re.compile(
    r"gmail_signature(?!_prefix)|moz-signature|protonmail_signature|ms-outlook-mobile-signature"
    r"|yahoo[\w-]*signature"
    r"|outlook-signature|airmail_ext|bloop_sign|zimbra_signature|mail_signature|elided-signature"
    r"|tutanota_signature",
    re.IGNORECASE,
)
_SIGNATURE_ID: Final = re.compile(
    r"^(?:x_)?(?:ms-outlook-mobile-(?:body-separator-line|signature)|signature|applemailsignature"
    r"|bloop_sign.*"
    r"|lineBreakAtBeginningOfSignature|composer_signature)$",
    re.IGNORECASE,
)
_INDENT: Final = re.compile(
    r"border:\s?none|border:\s?0|margin:0(?:px|cm|in)? 0(?:px|cm|in)? 0(?:px|cm|in)? 40px", re.IGNORECASE
)
_MARKS: Final = {
    QUOTE_START: Label.QUOTE,
    SIGNATURE_START: Label.SIGNATURE,
}


def html_lines(html: str) -> tuple[list[str], list[Label | None]]:
    """The text of an HTML body, line by line, and for each line what the structure says (None: nothing)."""
    root = parse_html(html)
    if root is None:
        return [], []
    marked, hard = _marked(root)
    lines: list[str] = []
    labels: list[Label | None] = []
    stack: list[Label] = []
    below = False
    for line in render(root, marked).split("\n"):
        if line in _MARKS:
            stack.append(_MARKS[line])
            below = below or hard
            continue
        if line == QUOTE_END:
            if stack:
                stack.pop()
            continue
        lines.append(line)
        labels.append(Label.QUOTE if Label.QUOTE in stack else stack[-1] if stack else None)
    return lines, labels


def marked_elements(root: etree._Element) -> frozenset[etree._Element]:
    """The elements that hold history or a signature by their marks."""
    return frozenset(_marked(root)[0])


def _marked(root: etree._Element) -> tuple[dict[etree._Element, str], bool]:
    """The elements that hold history or a signature."""
    marked: dict[etree._Element, str] = {}
    hard: etree._Element | None = None
    for element in root.iter():
        if hard is not None:
            break
        ident, classes = element.get("id") or "", element.get("class") or ""
        if _HARD_ID.match(ident.lower()) or element.get("data-marker") == "__DIVIDER__":
            hard = element
        elif _is_quote(element, ident, classes):
            if not _is_forward(element):
                marked[element] = QUOTE_START
        elif (
            _SIGNATURE_CLASS.search(classes)
            or _SIGNATURE_ID.match(ident)
            or element.get("data-signatureblock")
        ):
            marked[element] = SIGNATURE_START
    if hard is not None and not _forward_after(hard):
        _mark_after(hard, marked)
    return marked, hard is not None


def _is_quote(element: etree._Element, ident: str, classes: str) -> bool:
    if element.tag == "blockquote":
        if is_quotation(element):
            return True
        if "gmail_quote" in classes:
            return False
        return not _INDENT.search(element.get("style") or "") and _is_last(element)
    if (classes and _QUOTE_CLASS.search(classes)) or (ident and _QUOTE_ID.search(ident)):
        return True
    if "gmail_quote" in classes:
        # Answers may stand between its blockquotes: only without any is it history as a whole.
        return element.tag == "div" and element.find(".//blockquote") is None
    return False


def _is_last(element: etree._Element) -> bool:
    """Whether no words follow an element, but some stand before it: an unmarked quotation ends its mail."""
    node: etree._Element | None = element
    while node is not None and node.tag != "body":
        if (node.tail or "").strip():
            return False
        after = node.getnext()
        while after is not None:
            if "".join(str(piece) for piece in after.itertext()).strip() or (after.tail or "").strip():
                return False
            after = after.getnext()
        node = node.getparent()
    return True


def _head_text(element: etree._Element) -> str:
    """The first words of an element."""
    out: list[str] = []
    size = 0
    for piece in element.itertext():
        out.append(str(piece))
        size += len(piece)
        if size > 300:
            break
    return "\n".join(out)


def _is_forward(element: etree._Element) -> bool:
    return any(
        is_forward_rule(probe(line).strip()) for line in _head_text(element).split("\n") if line.strip()
    )


def _forward_after(hard: etree._Element) -> bool:
    node = hard.getnext()
    return _is_forward(hard) or (node is not None and _is_forward(node))


def _mark_after(hard: etree._Element, marked: dict[etree._Element, str]) -> None:
    """Marks an element and all that follows it in the document."""
    node: etree._Element | None = hard
    marked[hard] = QUOTE_START
    while node is not None and node.tag not in ("body", "html"):
        after = node.getnext()
        while after is not None:
            marked[after] = QUOTE_START
            after = after.getnext()
        node = node.getparent()
