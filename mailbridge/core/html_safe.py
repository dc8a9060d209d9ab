"""HTML that is safe to show: an allow list behind limits.

nh3 (ammonia, the html5ever parser) does the cleaning, with our own allow list: no active content, no style,
no remote images, links to http, https and mailto only. Its time is quadratic in nesting depth and it cannot
be stopped, so a linear scan of the tags comes first.

Standards: WHATWG HTML 13.2 (parsing), RFC 2392 (cid: URLs).
"""

from __future__ import annotations

import re
from typing import Final

import nh3

from mailbridge.core.html_text import measure_tags

MAX_LENGTH: Final = 1024 * 1024
"""Characters of HTML that are looked at."""
MAX_DEPTH: Final = 500
MAX_TAGS: Final = 20_000

_TAGS: Final = frozenset(
    [
        "a",
        "abbr",
        "acronym",
        "address",
        "article",
        "aside",
        "b",
        "bdi",
        "bdo",
        "big",
        "blockquote",
        "br",
        "caption",
        "center",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "details",
        "dfn",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "footer",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "li",
        "main",
        "mark",
        "nav",
        "ol",
        "p",
        "pre",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "section",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "time",
        "tr",
        "tt",
        "u",
        "ul",
        "var",
        "wbr",
    ]
)

_DROPPED_WITH_CONTENT: Final = frozenset(
    [
        "script",
        "style",
        "title",
        "svg",
        "math",
        "template",
        "noscript",
        "iframe",
        "frame",
        "frameset",
        "noframes",
        "object",
        "embed",
        "applet",
        "audio",
        "video",
        "noembed",
    ]
)

_ATTRIBUTES: Final[dict[str, frozenset[str]]] = {
    "*": frozenset({"dir", "lang", "title"}),
    "a": frozenset({"href"}),
    "img": frozenset({"src", "alt", "width", "height"}),
    "col": frozenset({"span"}),
    "colgroup": frozenset({"span"}),
    "td": frozenset({"colspan", "rowspan", "align", "valign"}),
    "th": frozenset({"colspan", "rowspan", "align", "valign"}),
    "ol": frozenset({"start", "reversed"}),
    "li": frozenset({"value"}),
    "time": frozenset({"datetime"}),
}

_IMAGE: Final = re.compile(r'<img(?: [a-z]+="[^"]*")*>')
"""An image as the cleaner writes it: quotes inside a value are always escaped there."""

_LINK_SCHEMES: Final = ("https://", "http://", "mailto:")


def _attribute_filter(tag: str, attribute: str, value: str) -> str | None:
    """Keep `cid:` images and absolute links of the three schemes; everything else loses the attribute."""
    if attribute == "src":
        return value if value.lower().startswith("cid:") else None
    if attribute == "href":
        return value if value.strip().lower().startswith(_LINK_SCHEMES) else None
    if attribute in ("width", "height", "colspan", "rowspan", "span", "start", "value"):
        return value if value.isascii() and value.isdigit() and len(value) <= 4 else None
    return value


def safe_html(html: str) -> str:
    """HTML without anything active or remote, or '' when it is too big to clean in bounded time.

    What stays: text, structure, tables, links (http, https, mailto; `rel="noopener noreferrer nofollow"`) and
    images that the mail itself carries (`cid:`, RFC 2392). On '' the caller shows the text. Never raises.
    """
    if len(html) > MAX_LENGTH:
        return ""
    size = measure_tags(html)
    if size.depth > MAX_DEPTH or size.tags > MAX_TAGS:
        return ""
    clean = nh3.clean(
        html.replace("\x00", ""),
        tags=set(_TAGS),
        clean_content_tags=set(_DROPPED_WITH_CONTENT),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=_attribute_filter,
        url_schemes={"http", "https", "mailto", "cid"},
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )
    return _without_bare_images(clean)


def _without_bare_images(clean: str) -> str:
    """Drops images that lost their source (they were remote): they would show as broken boxes."""
    return _IMAGE.sub(lambda m: m[0] if ' src="cid:' in m[0].lower() else "", clean)
