"""The forms in which notices name a failed recipient, and where the returned mail begins. Data only.

Each form is (name, pattern); group 1 of a pattern is the address. All patterns look at one line of at most
1000 characters and are bounded on both sides of the '@', so they stay linear on any input.

Standards: RFC 5321 4.1.1.3 (`RCPT TO`), 4.2 (replies). The rest is what the systems named below write.
"""

from __future__ import annotations

import re

Form = tuple[str, re.Pattern[str]]

# Chinese, Japanese and Korean words and punctuation join an address without a blank; internationalised
# addresses in these scripts are read from report fields, not from words.
_NOT = r"\s<>\"'(),:;\[\]@\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff01-\uff20\uff3b-\uff40\uff5b-\uff65"
ADDR = rf"[^{_NOT}]{{1,128}}@[^{_NOT}]{{1,255}}"
ADDRESS = re.compile(ADDR)


def _form(name: str, pattern: str) -> Form:
    """A form whose pattern says ADDR for the address and MAIL for the words for a mail."""
    whole = pattern.replace("ADDR", f"({ADDR})").replace("MAIL", "(?:message|e-?mail|mail)")
    return name, re.compile(whole, re.IGNORECASE)


OPENERS: tuple[Form, ...] = (
    # qmail-send, Postfix bounce(8), Yahoo, sina, newmail.ru: "<a@b.example>: reason", perhaps below.
    _form("address: reason", r"^[ \t]*<ADDR>[ \t]?(?:\([^)]{0,200}\))?[ \t]?:"),
    # GMX, 1&1.
    _form("quoted address: reason", r"^[ \t]*\"ADDR\"[ \t]?:"),
    # Vade Secure: "* [a@b.example]: 550 ...".
    _form("bullet address: reason", r"^[ \t]*[*-][ \t]*\[ADDR\][ \t]?:"),
    # OpenSMTPD "a@b.example: 550 ...", 1&1 "a@b.example:", airmail "a@b.example ... unknown host".
    _form("bare address: reason", r"^[ \t]*ADDR(?::(?:[ \t]+\S|[ \t]*$)|[ \t]\.\.\.[ \t]\S)"),
)
"""An address that opens its own paragraph: the strongest form, since nothing else is written so."""

LABELS: tuple[Form, ...] = (
    # ezweb, MailEnable "Recipient: [SMTP:a@b.example]", Apache James "Failed recipient(s): ...".
    _form(
        "labelled recipient",
        r"^[ \t]*(?:failed )?recipient(?:\(s\)|s)?(?: address)?[ \t]?:[ \t]*"
        r"\[?(?:SMTP:|rfc822;)?[ \t]*<?ADDR",
    ),
    # Exchange 5.5 shows a foreign recipient as an X.400 address.
    _form("X.400 recipient", r"\bdda:SMTP=ADDR"),
)

SENTENCES: tuple[Form, ...] = (
    # DragonFly Mail Agent
    _form(
        "error delivering to",
        r"\berror (?:while )?deliver(?:ing|y)(?: of)?(?: your| the)? MAIL to:? [<\[\"']?ADDR",
    ),
    # Exchange
    _form("did not reach", r"\bdid not reach the following recipients?(?:\(s\))?:[ \t]*[<\[\"']?ADDR"),
    # MailFoundry, InterScan, KDDI, SMTP32, CommuniGate, Netscape
    _form(
        "not delivered to",
        r"\b(?:(?:un|not )able to deliver|failed to deliver|undeliverable"
        r"|(?:cannot|can't|could not|couldn't|not) (?:be )?(?:deliver(?:ed)?|sent))"
        r"(?: (?:your|the|this))?(?: MAIL)? to(?: recipients?| the address| address)?:?[ \t]*[<\[\"']?ADDR",
    ),
    # SMTP32 "Delivery failed 20 attempts: a@b.example"
    _form("delivery failed", r"\bdelivery(?: has)? failed(?: \d{1,4} attempts)?(?: to)?:[ \t]*[<\[\"']?ADDR"),
    # IMail, Prodigy: the reason, a colon, the address
    _form(
        "reason: address",
        r"\b(?:unknown user|user unknown|no such user|unknown recipient|invalid final delivery userid"
        r"|user mailbox exceeds allowed size|user's mailbox is full|mailbox is full|undeliverable address"
        r"|failed recipient|invalid (?:recipient|address|user)|account (?:is )?disabled)"
        r"[ \t]?:[ \t]*[<\[\"']?ADDR",
    ),
    _form("not a valid user", r"\bmail to:? [<\[\"']?ADDR\.? (?:That's|which is|is) not a valid"),
    # LLNL, SurfControl
    _form(
        "addressed to",
        r"\b(?:your message was addressed|message (?:was )?addressed to|sent to|addressed to)[, :]{1,3}"
        r"[<\[\"']?ADDR(?:[>,. ]|$)",
    ),
    # AT&T and others: "The following message to <a@b.example> was undeliverable."
    _form(
        "message to address failed",
        r"\b(?:your|the|this|a|following) MAIL to:? [<\[\"']?ADDR>?[ ,]{1,2}(?:from\b.{1,300} )?"
        r"(?:was|could|cannot|can't|can not|has|is|bounced|failed|didn't)",
    ),
    # Zoho, X1: the address, then the reason
    _form(
        "address reason",
        r"^[ \t]*[<\[\"']?ADDR[> ]{1,3}(?:invalid|user|unknown|no such|not|does|mailbox|recipient|over|quota"
        r"|\[user|\(user)",
    ),
)
"""Sentences that say of an address that it failed."""

TRANSCRIPTS: tuple[Form, ...] = (
    # Sendmail 5 and 8: "550 <a@b.example>... User unknown"
    _form(
        "refusal naming the address",
        r"^[ \t]*(?:<<<[ \t]*)?[45]\d\d[ -](?:[245]\.\d{1,3}\.\d{1,3}[ ]{1,2})?<?ADDR>?\.\.\.",
    ),
    _form("rejected recipient", r"\brejected recipient:? <?ADDR"),
    # Zoho: "[Status: Error, Address: <a@b.example>, ResponseCode 421, , Host not reachable.]"
    _form("status and address", r"\bStatus: (?:Error|Failed), Address: <?ADDR"),
    _form("refused RCPT TO", r"\bRCPT[ ]?(?:TO)?:[ ]?<?ADDR"),
)
"""Protocol dialogues: weaker, since a transcript also names who was accepted."""

INTRODUCTION = re.compile(
    r"""(?ix)
      address(?:\(?es\)?)?\ (?:has\ |have\ |had\ )?(?:permanent\ fatal\ errors
        |transient\ (?:non-)?fatal\ errors
        |delivery\ (?:problems|errors|notifications)|fail(?:ed|s)?\b|errors)
    | (?:following|these|your\ (?:message|mail)|delivery).{0,60}
        \b(?:addresses|address|address\(es\)|recipients?|recipient\(s\)|destinations?|groups?
        |distribution\ lists?)
    | (?:addresses|address|recipients?|recipient\(s\))
        \ (?:could\ not\ be|cannot\ be|was\ not|were\ not|did\ not|has\ not|have\ not)
    | address(?:es)?\ to\ which\ the\ message\ has\ not
    | (?:was|were)\ (?:not\ delivered|undeliverable)\ to
    | (?:not\ delivered|undeliverable|delivered)\ to(?:\ the\ following)?[ \t]?:
    | did\ not\ reach
    | could\ not\ be\ (?:delivered|reached|sent)\b.{0,40}(?:to|:)\s{0,9}$
    | failed\ (?:addresses|recipients?|recipient\(s\))
    | addresses\ were\ unknown | receivers?\ not\ found | recipients?\ (?:were|was)\ affected
    | failure\ reasons
    | e?-?mail\ address\ ?:?\s{0,9}$
    | addressed\ to
    | delivery\ problem
    | destinatari | destinataires? | destinatarios | empfänger | получател | адрес | odbiorc | ontvanger
    | 以下の(?:メールアドレス|あて先|宛先) | 次の(?:あて先|宛先) | 宛先 | あて先 | 下記の | 送信に失敗
    | リストにありません | 收件人 | 地址 | 수신자
    """
)
"""A line that introduces a list of failed addresses."""

LISTED = re.compile(
    rf"^[ \t]*(?:[*•+>|-]+[ \t]*)?(?:\d{{1,3}}[.)][ \t]+)?[<\[\"'(]?"
    rf"(?:mailto:|SMTP[: ][ \t]?<?|rfc822;[ \t]?)?({ADDR})"
)
"""A line of such a list."""

# AOL ("\tscreenname"), GroupWise ("\tuser (user not found)").
LISTED_LOCAL_PART = re.compile(r"^[ \t]{1,16}([A-Za-z0-9._+-]{1,64})[ \t]*(?:\([^()@]{3,80}\))?[ \t]*$")

SPEAKERS = frozenset({"postmaster", "mailer-daemon", "mailerdaemon", "abuse", "hostmaster"})
"""Local parts of those who write notices: their failed recipient only if a form names nobody else."""

OFFICES = SPEAKERS | {"webmaster", "helpdesk", "support", "admin", "noreply", "no-reply"}
"""Local parts of those whom a notice tells to write to: not taken on weak evidence."""

NOT_FAILED_BEFORE = re.compile(
    r"(?i)\b(?:from|sender|reply-to|return-path|contact|envelope-from|e-?mail to|write to|mail to)\b"
    r"[ \t:<]{0,6}$"
)
"""What stands before an address that is somebody to write to, or the sender."""

QUOTED_FIELD = re.compile(
    r"(?i)^[ \t>]{0,12}(?:from|sender|reply-to|return-path|message-id|references|in-reply-to|mail from|cc)"
    r"[ \t]?:"
)

# ------------------------------------------------------------------ where the returned mail begins

DECORATION = " \t>*|=_#-"

RETURNED = re.compile(
    r"""(?ix)
      (?:this\ is\ )?(?:a\ |the\ )?(?:copy|headers?|body|text)\ of
      \ (?:the|your)\ (?:original\ )?(?:message|mail)
    | below\ (?:this\ line|the\ next\ line|is)\b.{0,60}\b(?:copy|message|header)
    | (?:the\ )?(?:original|returned|unsent|undelivered|forwarded|rejected)\ (?:message|mail|e-mail)
      (?:\ (?:headers?|text|body))?(?:\ (?:follows?|is\ following|is\ attached|below|begins|details))?
    | (?:the\ )?headers?\ of\ the\ original\ message
    | message\ (?:headers?|text|body)\ follows? | message\ headers?
    | included\ is\ a\ copy\ of
    | (?:start\ of|begin)\ (?:the\ )?(?:original|returned|forwarded)\ (?:message|mail)
    | mensaje\ original | mensagem\ original | messaggio\ originale | message\ d'origine | message\ original
    | urspr(?:ü|ue)ngliche\ (?:nachricht|mail) | исходное\ сообщение
    | 附件中的内容 | 原邮件 | 元のメッセージ
    """
)
"""A line, free of its DECORATION, that opens the returned mail ..."""

SENTENCE = re.compile(
    r"(?i)could not|cannot|can't|was not|unable|was received at|following recipient|not be delivered|for this"
)
"""... unless it is a sentence about it."""

# `To:` and `Subject:` stand in Exchange's own words; these stand only in a returned header.
RETURNED_HEADER = re.compile(
    r"(?i)[ \t]{0,4}(?:Received|Return-Path|X-Received|DKIM-Signature|Message-ID|MIME-Version"
    r"|X-Originating-IP)"
    r"[ \t]*:[ \t]*(?:\S|$)"
)
RETURNED_PART = re.compile(r"(?i)Content-Type:[ \t]*(?:message/rfc822|text/rfc822-headers|message/partial)")
