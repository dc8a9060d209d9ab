"""What kind of sender wrote a mail: one pass over its header, then one walk down the table of signs.

Says which sign decided and why, for `mailbridge explain`. Judges only; what is then done with a kind is the
business of `core.intake`. It cannot tell a person who hides from a machine that poses as one: both are human.

Standards: those of the rows in `core.signs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailbridge.core.mail import Address, Classification, Header, Kind, Part
from mailbridge.core.signs import SIGNS, Condition

_OPENING_CHARS = 2000
"""How much of the text can decide. Notices open with what happened; a person quotes one further down."""
_VALUE_CHARS = 2000
"""How much of a header is looked at: patterns stay cheap whatever the sender wrote."""
_RETURNED_CHARS = 8000
"""How much of an attached mail is searched for a provider's header."""
_SHOWN_CHARS = 200
_SUBJECT_LEADS = " \t\r\n*[(<\"'!-:#【「《"


def classify(
    headers: Sequence[Header],
    *,
    subject: str,
    from_: Sequence[Address],
    content_type: str,
    parts: Sequence[Part],
    text: str,
    null_sender: bool,
) -> Classification:
    """The kind of a mail, with the first sign of `SIGNS` that holds; human when none does.

    `subject` and `from_` are decoded, `content_type` is the whole field of the mail itself, `parts` are its
    leaves, `text` its body. `null_sender` is whether it came with the null reverse-path (RFC 5321 4.5.5); a
    `Return-Path: <>` that says so counts too.
    Never raises; linear in what it reads (at most 2000 characters of each value and of the text).
    """
    evidence = _Evidence(headers, subject, from_, content_type, parts, text, null_sender)
    for sign in SIGNS:
        if sign.conditions[0].where in evidence.values and all(
            evidence.of(c) is not None for c in sign.conditions
        ):
            decisive = sign.conditions[0]
            value = " ".join((evidence.of(decisive) or "").split())[:_SHOWN_CHARS]
            return Classification(sign.kind, _label(decisive.where, headers), value, sign.why)
    return Classification(Kind.HUMAN, "", "", "nothing speaks against a person")


class _Evidence:
    """What the conditions are asked of. Answers are kept, since many rows share a condition (who writes)."""

    __slots__ = ("_known", "_text", "values")

    def __init__(
        self,
        headers: Sequence[Header],
        subject: str,
        from_: Sequence[Address],
        content_type: str,
        parts: Sequence[Part],
        text: str,
        null_sender: bool,
    ) -> None:
        values: dict[str, list[str]] = {}
        for header in headers:
            value = header.value[:_VALUE_CHARS]
            if value and not value.isspace():
                values.setdefault(header.name.lower(), []).append(value)
        # Raw as well as decoded: "MAILER-DAEMON <>" has no address, and a name may be an encoded word.
        writers = [*values.get("from", ()), *(str(address)[:_VALUE_CHARS] for address in from_)]
        if writers:
            values[":from"] = [" ".join(writers).casefold()]
        if subject:
            values[":subject"] = [subject[:_VALUE_CHARS].lstrip(_SUBJECT_LEADS).casefold()]
        if text:
            values[":opening"] = []  # made when first asked for: most mails never need it
        if null_sender or _null_path(values):
            values[":null"] = ["<>"]
        kind_of_body = content_type[:_VALUE_CHARS].lower()
        if "report" in kind_of_body:
            values[":report"] = [kind_of_body]
        values[":part"] = [part.content_type for part in parts]
        returned = [part.text[:_RETURNED_CHARS] for part in parts if part.content_type == "message/rfc822"]
        if returned:
            values[":returned"] = returned
        self.values = values
        self._text = text
        self._known: dict[int, str | None] = {}

    def of(self, condition: Condition) -> str | None:
        """The first value that satisfies the condition, else None."""
        key = id(condition)  # the table's own objects, which live as long as the program
        if key not in self._known:
            self._known[key] = self._find(condition)
        return self._known[key]

    def _find(self, condition: Condition) -> str | None:
        values = self.values.get(condition.where, [])
        if condition.where == ":opening" and not values and self._text:
            opening = self._text[:_OPENING_CHARS].casefold().replace("’", "'")
            values.append(" ".join(opening.split()))
        for value in values:
            if condition.pattern is not None:
                satisfied = condition.pattern.search(value) is not None
            elif condition.starts:
                satisfied = value.startswith(condition.starts)
            else:
                satisfied = not condition.phrases or any(phrase in value for phrase in condition.phrases)
            if satisfied:
                return value
        return None


def _null_path(values: Mapping[str, Sequence[str]]) -> bool:
    """Whether the last hop noted the null reverse-path (RFC 5321 4.4), or the author is given as `<>`.

    Mail fetched from a mailbox or read from a file has no other trace of its envelope.
    """
    return any(value.strip() == "<>" for name in ("return-path", "from") for value in values.get(name, ()))


_DERIVED = {
    ":from": "From",
    ":subject": "Subject",
    ":opening": "text",
    ":null": "Return-Path",
    ":report": "Content-Type",
    ":part": "part",
    ":returned": "attached message",
}


def _label(where: str, headers: Sequence[Header]) -> str:
    """The name of the deciding header as its sender wrote it, or of the derived evidence."""
    return _DERIVED.get(where) or next((h.name for h in headers if h.name.lower() == where), where)
