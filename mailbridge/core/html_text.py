"""The readable text of an HTML body.

A walk over the tree that libxml2 builds (lxml), written for mail: links keep their address, lists their
marks, quoted mail its `> `, and Outlook's paragraphs without margin stay together. Bounded: a linear scan of
the tags comes first, and what is nested too deep, or gives no text, goes to a plain fallback that only breaks
lines at block tags.

Standards: WHATWG HTML 13.1 (void elements), 15.3 (rendering of blocks); RFC 3676 4.5 (`>` as quote mark).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import nh3
from lxml import etree

MAX_LENGTH: Final = 1024 * 1024
"""Characters of HTML that are looked at; the rest is left out."""
MAX_DEPTH: Final = 200
"""Open tags at once, as counted by `measure_tags`; deeper goes to the fallback."""
MAX_TAGS: Final = 50_000

QUOTE_START: Final = "\ue0f1"
SIGNATURE_START: Final = "\ue0f3"
QUOTE_END: Final = "\ue0f2"
"""Private-use marks (removed from the input) that `render` puts around chosen elements."""

_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,15})")
_VOID: Final = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    ]
)
_IMPLIED: Final = frozenset(
    ["p", "li", "tr", "td", "th", "dt", "dd", "option", "tbody", "thead", "tfoot", "html", "head", "body"]
)
"""Elements whose end tag may be left out: they never nest in themselves, so they add no unbounded depth."""

_SKIPPED: Final = frozenset(
    [
        "head",
        "style",
        "script",
        "title",
        "template",
        "noscript",
        "svg",
        "math",
        "object",
        "iframe",
        "select",
        "audio",
        "video",
        "xml",
        "map",
    ]
)
_BLOCKS: Final = frozenset(
    [
        "address",
        "article",
        "aside",
        "body",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "figcaption",
        "footer",
        "form",
        "header",
        "html",
        "legend",
        "li",
        "main",
        "nav",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
    ]
)
_SPACED: Final = frozenset(["p", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre"])
_CELLS: Final = frozenset(("td", "th"))

_SPACE: Final = re.compile(r"[ \t\n\r\f\v]+")
_INVISIBLE: Final = dict.fromkeys(
    map(ord, "\x00\u200b\ufeff\u00ad\u034f" + QUOTE_START + SIGNATURE_START + QUOTE_END)
)
_HIDDEN: Final = re.compile(r"(?:^|;)\s{0,5}display\s{0,5}:\s{0,5}none", re.IGNORECASE)
_LINK: Final = re.compile(r"(?:https?|ftp)://|mailto:|tel:", re.IGNORECASE)
_BLOCK_TAG: Final = re.compile(
    r"<(?:/?(?:p|div|ul|ol|table|tr|h[1-6]|blockquote|pre|section|article|center|form)|li|br|hr)\b",
    re.IGNORECASE,
)
_BLANK_LINES: Final = re.compile(r"\n{3,}")


Marks = Mapping[etree._Element, str]
"""For each marked element its start mark."""
_NOTHING_MARKED: Final[Marks] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TagSize:
    """How big a piece of HTML is: its tags, and the most that are open at once (an estimate from above)."""

    tags: int
    depth: int


def measure_tags(html: str) -> TagSize:
    """Counts tags and nesting in one linear pass, without building a tree. Tags in comments count too."""
    tags = depth = deepest = 0
    for found in _TAG.finditer(html):
        tags += 1
        name = found[2].lower()
        if name in _VOID or name in _IMPLIED:
            continue
        if found[1]:
            depth = max(0, depth - 1)
        else:
            depth += 1
            deepest = max(deepest, depth)
    return TagSize(tags, deepest)


def parse_html(html: str) -> etree._Element | None:
    """The tree of an HTML body, or None when it is too deep, too big or no HTML at all. Never raises."""
    html = html[:MAX_LENGTH]
    if "<" not in html:
        return None
    size = measure_tags(html)
    if size.depth > MAX_DEPTH or size.tags > MAX_TAGS:
        return None
    # huge_tree lifts libxml2's own depth limit, behind which it silently drops text: ours is above.
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        return etree.fromstring(html.translate(_INVISIBLE).encode("utf-8", "replace"), parser)
    except (etree.LxmlError, ValueError):
        return None


def html_to_text(html: str) -> str:
    """The readable text of an HTML body: LF line ends, no trailing blanks, at most one blank line in a row.

    Links give their text and, where it differs, the address in angle brackets. Quoted mail gets `> `. Never
    raises, and is never empty when the HTML holds visible text.
    """
    root = parse_html(html)
    text = render(root) if root is not None else ""
    return text or _fallback(html[:MAX_LENGTH])


def _fallback(html: str) -> str:
    """Text without layout: lines broken at block tags, every tag dropped."""
    if measure_tags(html).depth > 5 * MAX_DEPTH:  # nh3's time is quadratic in depth
        text = re.sub(r"<[^<>]{0,2000}>", "", _BLOCK_TAG.sub(lambda m: "\n" + m[0], html))
    else:
        text = nh3.clean(
            _BLOCK_TAG.sub(lambda m: "\n" + m[0], html),
            tags=set(),
            clean_content_tags={"script", "style", "title"},
        )
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&nbsp;", " "), ("&amp;", "&")):
        text = text.replace(entity, char)
    return _tidy(text.translate(_INVISIBLE).replace("\u00a0", " ").split("\n"))


def _tidy(lines: list[str]) -> str:
    return _BLANK_LINES.sub("\n\n", "\n".join(line.rstrip() for line in lines)).strip("\n")


def render(root: etree._Element, marked: Marks = _NOTHING_MARKED) -> str:
    """The text of a tree; a marked element stands between a line with its mark and one with QUOTE_END."""
    writer = _Writer()
    # (element, leaving): a stack instead of recursion, since depth is the sender's choice.
    stack: list[tuple[etree._Element, bool]] = [(root, False)]
    while stack:
        element, leaving = stack.pop()
        if leaving:
            _leave(writer, element, marked)
            continue
        if not _enter(writer, element, marked):
            writer.text(element.tail or "")
            continue
        stack.append((element, True))
        stack.extend((child, False) for child in reversed(element))
    return writer.result()


def is_quotation(element: etree._Element) -> bool:
    """Whether an element is a blockquote that a mail program made around quoted mail.

    Gmail's quote button makes the same element as its replies do: history has an attribution above it.
    """
    if element.tag != "blockquote":
        return False
    if (element.get("type") or "").lower() == "cite" or element.get("cite") is not None:
        return True
    return "gmail_quote" in (element.get("class") or "") and _introduced(element)


def _introduced(element: etree._Element) -> bool:
    parent, before = element.getparent(), element.getprevious()
    if parent is None:
        return False
    if re.search("gmail_(?:quote|extra)", parent.get("class") or ""):
        return True
    # itertext of one element above: it is an attribution, so its end is near its start.
    shown = _plain(before) + (before.tail or "") if before is not None else parent.text or ""
    return shown.rstrip().endswith((":", "："))


def _plain(element: etree._Element) -> str:
    return "".join(str(piece) for piece in element.itertext())


def _enter(writer: _Writer, element: etree._Element, marked: Marks) -> bool:
    tag = element.tag
    if tag in _SKIPPED or _is_hidden(element):
        return False
    if element in marked:
        writer.mark(marked[element])
    if tag == "br":
        writer.line_break()
    elif tag == "hr":
        writer.block(1)
        writer.text("---")
        writer.block(1)
    elif tag == "img":
        alt = _SPACE.sub(" ", element.get("alt") or "").strip()[:100]
        if alt:
            writer.text(f"[image: {alt}]")
    elif tag in _CELLS:
        writer.cell()
    elif tag == "li":
        writer.block(1)
        writer.indent(_list_mark(element))
    elif tag in _SPACED:
        writer.block(_margin(element))
        if is_quotation(element):
            writer.prefix += "> "
    elif tag in _BLOCKS:
        writer.block(1)
    elif tag == "a":
        writer.links.append(writer.position())
    if tag == "pre":
        writer.preformatted += 1
    writer.text(element.text or "")
    return True


def _leave(writer: _Writer, element: etree._Element, marked: Marks) -> None:
    tag = element.tag
    if tag == "pre":
        writer.preformatted -= 1
    if tag == "a":
        _end_link(writer, element.get("href") or "")
    elif tag == "li":
        writer.block(1)
        writer.dedent()
    elif tag in _SPACED:
        writer.block(_margin(element))
        if is_quotation(element):
            writer.prefix = writer.prefix[:-2]
    elif tag in _BLOCKS and tag not in _CELLS:
        writer.block(1)
    if element in marked:
        writer.mark(QUOTE_END)
    writer.text(element.tail or "")


def _is_hidden(element: etree._Element) -> bool:
    style = element.get("style")
    return (style is not None and _HIDDEN.search(style[:500]) is not None) or element.get(
        "hidden"
    ) is not None


def _margin(element: etree._Element) -> int:
    """Line ends around a block: Word's paragraphs have no margin and bring their own empty lines."""
    if element.tag == "p" and (element.get("class") or "").startswith("Mso"):
        return 1
    if element.tag in ("ul", "ol"):
        parent = element.getparent()
        return 1 if parent is not None and parent.tag in ("li", "ul", "ol") else 2
    return 2


def _list_mark(element: etree._Element) -> str:
    parent = element.getparent()
    if parent is None or parent.tag != "ol":
        return "- "
    number = int(parent.get("data-mailbridge-count", "0")) + 1
    parent.set("data-mailbridge-count", str(number))
    return f"{number}. "


def _end_link(writer: _Writer, href: str) -> None:
    shown = writer.since(writer.links.pop()) if writer.links else ""
    href = href.strip()
    if not shown or not _LINK.match(href):
        return
    target = href[7:].partition("?")[0] if href[:7].lower() == "mailto:" else href
    if _bare(target) not in _bare(shown):
        writer.text(f" <{target}>")


def _bare(url: str) -> str:
    """A link without the parts that people leave out when they write it."""
    url = url.casefold()
    for start in ("https://", "http://", "ftp://", "mailto:", "tel:", "www."):
        url = url.removeprefix(start)
    return url.rstrip("/")


@dataclass(slots=True)
class _Writer:
    """Collects lines; knows whether a blank or line end is due before the next word."""

    prefix: str = ""
    preformatted: int = 0
    links: list[tuple[int, int]] = field(default_factory=list)
    _lines: list[str] = field(default_factory=list)
    _line: list[str] = field(default_factory=list)
    _indents: list[int] = field(default_factory=list)
    _due_space: bool = False
    _due_breaks: int = 0
    _due_prefix: str = ""

    def text(self, text: str) -> None:
        if not text:
            return
        if self.preformatted:
            for number, line in enumerate(text.replace("\r\n", "\n").split("\n")):
                if number:
                    self.line_break()
                self._put(line)
            return
        words = _SPACE.sub(" ", text)
        if words == " ":
            self._due_space = True
            return
        if words[0] == " ":
            self._due_space = True
            words = words[1:]
        ends = words[-1] == " "
        self._put(words[:-1] if ends else words)
        self._due_space = ends

    def line_break(self) -> None:
        """A `br`: ends the line, also an empty one."""
        self._flush_due()
        self._end_line()

    def block(self, breaks: int) -> None:
        """A block's edge: at least `breaks` line ends since the last word."""
        if self._line:
            self._end_line()
        self._due_space = False
        if self._due_breaks == 0 or len(self.prefix) < len(self._due_prefix):
            self._due_prefix = self.prefix
        self._due_breaks = max(self._due_breaks, breaks)

    def cell(self) -> None:
        if self._line:
            self._due_space = True

    def indent(self, mark: str) -> None:
        self._put(mark)
        self._due_space = False
        self._indents.append(len(mark))

    def dedent(self) -> None:
        if self._indents:
            self._indents.pop()

    def mark(self, mark: str) -> None:
        """Puts a mark on a line of its own, and leaves no other trace."""
        if self._line:
            self._end_line()
        self._lines.append(mark)

    def position(self) -> tuple[int, int]:
        return len(self._lines), len(self._line)

    def since(self, position: tuple[int, int]) -> str:
        lines, pieces = position
        if lines == len(self._lines):
            return "".join(self._line[pieces:]).strip()
        return "".join(self._lines[lines:]) + "".join(self._line)

    def result(self) -> str:
        if self._line:
            self._end_line()
        return _tidy(self._lines)

    def _put(self, words: str) -> None:
        if not words:
            return
        self._flush_due()
        if not self._line:
            self._line.append(self.prefix + " " * sum(self._indents))
        elif self._due_space and not self._line[-1].endswith(" "):
            self._line.append(" ")
        self._due_space = False
        self._line.append(words.replace("\u00a0", " "))

    def _flush_due(self) -> None:
        if self._due_breaks > 1 and self._lines and not self._line:
            # A blank line at the edge of a quotation is outside of it.
            self._lines.append(min(self._due_prefix, self.prefix, key=len))
        self._due_breaks = 0

    def _end_line(self) -> None:
        self._lines.append("".join(self._line) if self._line else self.prefix)
        self._line.clear()
        self._due_space = False
