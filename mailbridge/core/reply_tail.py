"""What stands below the last words of a mail: signature, mobile footer, disclaimer, list footer.

Every rule looks only at the end of the new words and is careful: a line with a question, a long paragraph or
code is never taken for a signature, and something is always left over.

Standards: RFC 3676 4.3 (`-- ` as signature separator).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mailbridge.core.reply_lines import probe

_SEPARATORS: Final = "-_,=+~#*ᐧ—–"
_STRICT: Final = re.compile(r"^--[ \t]?$|^— ?$|^__ ?$|^-- ?\\$")
_RULE: Final = re.compile(r"^\s*([-_=*~#—–])\1{2,}\s*$")
_MAX_SIGNATURE: Final = 30
"""Lines below `--`: a longer text below it is somebody's text with a rule in it."""
_MAX_BLOCK: Final = 12
_SHORT: Final = 70

_MAIL_LINE: Final = re.compile(r"\S{0,10}\s?<?[^\s@<>]{1,64}@[^\s@<>]{1,200}\.\w{2,20}>?$")
"""A line that holds a mail address and at most a label ('E:')."""
_DATED: Final = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_REACHED: Final = re.compile(r"[^\s@<>]@[^\s@<>]+\.\w|https?://|www\.|\+\d\d|(?:\d[ ()./-]{0,2}){7}")
_CONTACT: Final = re.compile(
    r"[^\s@<>]@[^\s@<>]+\.\w|https?://|www\.|\+\d|(?:\d[ ()./-]{0,2}){7}|\b(?:tel|phone|mobil\w{0,2}|fax"
    r"|cell|skype"
    r"|t[eé]l|m|t|f|p|e|w|тел|моб|telefon|telefono|puh|gsm)\b\.?\s?[:：.]",
)
_LIST_FOOTER: Final = re.compile(
    r"mailing list|listinfo|unsubscribe|to post to this group|you received this message because|mailman"
    r"|view this discussion on"
)
_MOBILE: Final = re.compile(
    r"^[\s\[(*_-]{0,4}(?:"
    r"sent from (?:my|the|a|an) |sent from [\w ]{0,20}(?:spark|mail|outlook|iphone|ipad|android|samsung|mobile"
    r"|blackberry"
    r"|yahoo|windows|proton|app|phone|device)|sent via |sent using |sent with |sent on the go"
    r"|get [\w+]{2,20} for (?:android|ios|iphone|ipad|mobile|windows|mac)"
    r"|download outlook|typed on |written on my|von meine[mr](?:/meiner)? |gesendet (?:mit|von|über|aus)"
    r"|von unterwegs gesendet"
    r"|diese nachricht wurde von meinem|outlook für (?:ios|android)|holen sie sich outlook"
    r"|laden sie outlook"
    r"|envoyé (?:de|depuis|à partir|avec|par) |envoye de |télécharger outlook|obtenez outlook"
    r"|inviato da|inviata da|inviato dal|ottieni outlook|scarica outlook|enviado desde|enviado do"
    r"|enviado de "
    r"|enviado a partir|enviado pel|enviado con|enviado via|obtener outlook|obter o outlook"
    r"|descarga outlook"
    r"|verzonden (?:vanaf|met|via|vanuit|van)|verstuurd (?:vanaf|met|via|van)|outlook voor "
    r"|download outlook voor"
    r"|wysłane? (?:z|za)|pobierz (?:program )?outlook|pobierz aplikację|отправлено (?:с|из|через)"
    r"|надіслано з"
    r"|послано з|отправлено|скачать outlook|получить outlook|skickat från|skickat med|hämta outlook"
    r"|sendt fra|sendt med|hent outlook|få outlook|skaff outlook|lähetetty |hanki outlook|odesláno z"
    r"|odoslané z"
    r"|získat outlook|získejte outlook|küldve |iphone[’']?(?:umdan|dan)|ipad[’']?(?:imden|den)"
    r"|android[’']?ten"
    r"|outlook.{0,12}(?:edinin|indirin|yükleyin)|iphoneから送信|ipadから送信|.{0,20}から送信"
    r"|发自我的|發自我的|從我的.{0,20}傳送|从我的.{0,20}发送|发送自|來自我的|获取.{0,20}outlook"
    r"|取得.{0,20}outlook"
    r"|나의 .{0,20}에서 보냄|.{0,20}에서 보냄|.{0,20}에서 전송|أرسلت من|مرسل من|أُرسلت من|تم الإرسال من"
    r"|נשלח מ"
    r"|هذا البريد مرسل|trimis de pe|στάλθηκε από|poslano z|poslano iz|skickat från min|saadetud minu"
    r")"
)
_SENT_AT: Final = re.compile(r"(?<=\w) on \d{1,2} \w{3,9} \d{4}\b.{0,20}$")
"""'Sent from Spark on 12 Jan 2026, 08:31 +0100'"""
_PIECES: Final = re.compile(r"\s+[|•·]\s+")
_MOBILE_MAX: Final = 75
_CLOSING_FORMAL: Final = re.compile(
    r"^(?:"
    r"(?:(?:many )?thanks(?: a lot| again)? (?:and|&) |vielen dank und |merci et |grazie e |gracias y |bedankt en )?"
    r"(?:with |my )?(?:kind|best|warm|kindest|warmest|many|sincere)(?:est)? ?(?:personal )?(?:regards"
    r"|wishes)"
    r"|regards|yours (?:sincerely|faithfully|truly)|(?:very )?sincerely(?: yours)?|respectfully|kr|br|rgds"
    r"|mit (?:freundlichen|besten|herzlichen|lieben|vielen|schönen|sonnigen) (?:grüßen|grüssen|gruß|gruss"
    r"|gruessen)"
    r"|mit (?:freundlichem|bestem|herzlichem|liebem) (?:gruß|gruss)"
    r"|(?:freundliche|beste|liebe|viele|herzliche|schöne|sonnige) (?:grüße|grüsse|gruesse)"
    r"|(?:freundlichen|besten|lieben|schönen|herzlichen) (?:gruß|gruss)|mfg|lg|vg|hochachtungsvoll"
    r"|(?:bien )?cordialement|(?:bien )?(?:sincères|cordiales|meilleures) salutations|bien à (?:vous|toi)"
    r"|cdt|cdlt"
    r"|salutations|(?:très )?respectueusement|(?:cordiali|distinti|migliori|cari) saluti|cordialmente"
    r"|saluti"
    r"|(?:un )?cordiale? saluto|atentamente|atenciosamente|att"
    r"|(?:un )?(?:cordial |afectuoso )?saludos?(?: cordial(?:es)?)?"
    r"|un abrazo|abraços"
    r"|(?:com os )?(?:melhores )?cumprimentos|(?:met|mvg|vriendelijke) (?:vriendelijke |hartelijke "
    r"|beste )?"
    r"(?:groet|groeten|groetjes)|hartelijke groet(?:en)?|groet(?:en|jes)?|mvg|pozdrawiam(?: serdecznie)?"
    r"|z (?:poważaniem|wyrazami szacunku)|pozdrowienia|с уважением|з повагою|с наилучшими пожеланиями"
    r"|med (?:venlig|vänlig|vennlig|bästa|bedste|beste)\w{0,2} (?:hilsen|hälsning|hälsningar|hilsner)"
    r"|(?:vänliga|bästa|varma) hälsningar|(?:venlig|vennlig|beste?|bedste|kærlig|mange"
    r"|hjertelig) (?:hilsen|hilsner)"
    r"|hälsningar|hilsen|hilsner|mvh|vh|kh|dbh|bh|(?:ystävällisin|parhain) terveisin|terveisin|terv|t"
    r"|s (?:pozdravem|přátelským pozdravem|pozdravom|úctou)|hezký den|üdvözlettel|tisztelettel"
    r"|cu (?:stimă|respect)"
    r"|(?:en iyi |iyi )?(?:dileklerimle|çalışmalar)|saygılarımla|saygılar|με εκτίμηση"
    r"|مع (?:أطيب )?(?:التحيات|التحية)"
    r"|مع خالص التحية|تحياتي|בברכה|בכבוד רב|敬具|以上、?よろしくお願い(?:いた|致)?します|此致|祝好"
    r"|顺祝商祺|敬上|감사합니다\.? ?드림"
    r")(?: (?:from|aus|de|da|från|fra|z|из|uit) \w{2,20}(?: \w{2,20})?)?[\s,.!;:~)\-–—]*$"
)
_CLOSING_LIGHT: Final = re.compile(
    r"^(?:thanks(?: so much| a lot| again| in advance)?(?: and regards| & regards)?"
    r"|thank you(?: very much| so much)?"
    r"|many thanks|thx|cheers|best|all the best|take care|ciao|grazie(?: mille)?|danke(?: und grüße)?"
    r"|vielen dank"
    r"|besten dank|merci(?: beaucoup| d[’']avance)?|gracias|muchas gracias|obrigado|obrigada|bedankt"
    r"|dank je|dank u"
    r"|dziękuję|спасибо|заранее спасибо|дякую|tack(?: på förhand)?|tak|takk|kiitos|děkuji|díky"
    r"|teşekkürler|ty|tia"
    r"|شكرا|תודה|谢谢|謝謝|ありがとうございます|gruß|grüße|gruss|viele grüße|love|talk soon|hugs|xoxo"
    r"|warmly|yours"
    r")[\s,.!;:\-–—]*$"
)
_DISCLAIMER_START: Final = re.compile(
    r"(?:confidential|disclaimer|privileg|intended (?:solely|only|recipient)|legal notice|vertraulich"
    r"|haftungsausschluss"
    r"|rechtlicher hinweis|confidenti[ae]l|destinataire|riservat[oei]|destinatari|informativa"
    r"|confidencial|vertrouwelijk"
    r"|geadresseerde|poufn|конфиденциальн|konfidenti|fortrolig|luottamuksel|důvěrn|機密|保密|机密|기밀"
    r"|gizli|سري|חסוי"
    r"|gdpr|2016/679|virus-free|checked for viruses|scanned (?:for|by)|avast|antivirus|mailscanner"
    r"|non infetto"
    r"|please consider the environment|denken sie an die umwelt|think before you print"
    r"|pensez à l[’']environnement"
    r"|registered (?:office|in england)|company (?:number|registration)|geschäftsführer|amtsgericht"
    r"|handelsregister)"
)
_DISCLAIMER_WORDS: Final = re.compile(
    r"e-?mail|message|mail|nachricht|recipient|empfänger|messaggio|destinatario|mensaje|mensagem|bericht"
    r"|wiadomość"
    r"|сообщени|meddeland|viesti|zpráv|attachment|anhäng|allegat|pièces? jointe|file|信息|邮件|メール"
    r"|메일|mesaj"
    r"|document|received|error|irrtümlich|erreur|errore|delete|löschen|virus|print|hrb|vat|umwelt"
    r"|environment"
)


@dataclass(frozen=True, slots=True)
class Tail:
    """How many lines stay, and what was found below them ('' when nothing)."""

    keep: int
    why: str


def strip_tail(lines: Sequence[str], signed: bool = False) -> Tail:
    """Where the new words end. `keep` is 0 only if there are no words at all.

    `signed` says that a signature of this author was seen elsewhere: a closing is then left as words.
    """
    end = _trimmed(lines, len(lines))
    whole = end
    reasons: list[str] = []
    for _ in range(8):
        for name, rule in _RULES:
            if name in ("signature", "closing") and signed:
                continue  # a mail has one signature; what stands above it was said
            cut = _trimmed(lines, rule(lines, end))
            if cut < end and cut > 0:
                end = cut
                reasons.append(name)
                signed = signed or name in ("signature", "closing")
                break
        else:
            break
    if end == 0:
        return Tail(whole, "")
    return Tail(end, ", ".join(dict.fromkeys(reasons)))


def _trimmed(lines: Sequence[str], end: int) -> int:
    """Drops blank lines and lines of separators only at the end."""
    while end and not lines[end - 1].strip().strip(_SEPARATORS + " "):
        if lines[end - 1].strip().startswith("```"):
            break
        end -= 1
    return end


def _mobile(lines: Sequence[str], end: int) -> int:
    """'Sent from my phone' at the end: one short line without a sentence in it."""
    for back in (1, 2):
        if end - back < 1:
            break
        line = probe(lines[end - back]).strip()
        shown = re.sub(r"\s?[<(\[]\s?https?://[^\s>)\]]{1,400}\s?[>)\]]", "", line)
        shown = _SENT_AT.sub("", shown)
        if _MOBILE.match(shown) and len(shown) <= _MOBILE_MAX and not re.search(r",\s|[.!?]\s|\?", shown):
            return end - back
    return end


def _strict(lines: Sequence[str], end: int) -> int:
    """The separator `-- ` (RFC 3676 4.3), also as clients cripple it."""
    fences = [number for number in range(end) if lines[number].lstrip().startswith("```")]
    for number in range(end - 1, max(-1, end - _MAX_SIGNATURE - 2), -1):
        line = lines[number].rstrip("\r\n")
        if _STRICT.match(line) and not _in_code(fences, number):
            # The first separator of the run counts: signatures may hold another one.
            first = number
            for above in range(number - 1, max(-1, number - 8), -1):
                if _STRICT.match(lines[above]):
                    first = above
            return first
    return end


def _in_code(fences: Sequence[int], number: int) -> bool:
    before = sum(1 for fence in fences if fence < number)
    return before % 2 == 1 and any(fence > number for fence in fences)


def _ruled(lines: Sequence[str], end: int) -> int:
    """A rule of dashes or underscores with a card or a list footer below it."""
    for number in range(end - 1, max(-1, end - 2 * _MAX_BLOCK), -1):
        found = _RULE.match(lines[number])
        if not found:
            continue
        below = [line.strip() for line in lines[number + 1 : end] if line.strip()]
        if not below or any(len(line) > 100 or "?" in line for line in below) or len(below) > _MAX_BLOCK:
            return end
        joined = probe("\n".join(below))
        if _CONTACT.search(joined) or _LIST_FOOTER.search(joined):
            return number
        return number if found[1] == "_" and len(below) <= 3 else end
    return end


def _closing(lines: Sequence[str], end: int) -> int:
    """'Kind regards' and a name; 'Thanks' only with a name."""
    seen = 0
    for number in range(end - 1, max(-1, end - _MAX_BLOCK - 4), -1):
        line = lines[number].strip()
        if not line:
            continue
        seen += 1
        text = probe(line).strip("*_ ")
        if _CLOSING_FORMAL.match(text) or (seen > 1 and _CLOSING_LIGHT.match(text)):
            return (
                number if _is_card(lines[number + 1 : end], light=bool(_CLOSING_LIGHT.match(text))) else end
            )
        head, comma, name = text.partition(",")
        if seen == 1 and comma and _CLOSING_FORMAL.match(head) and 0 < len(name.split()) <= 3:
            return number
        if len(line) > _SHORT or "?" in line or seen > _MAX_BLOCK:
            return end
    return end


def _is_card(lines: Sequence[str], light: bool) -> bool:
    """Whether the lines below a closing are a name and ways to reach it, not more words."""
    shown = [line.strip() for line in lines if line.strip()]
    if light and len(shown) > 6:
        return False
    for number, line in enumerate(shown):
        if len(line) > _SHORT + 30 or "?" in line:
            return False
        sentence = line.endswith((".", "!")) and len(line.split()) > 4 and not _CONTACT.search(probe(line))
        if sentence or (number == 0 and len(line.split()) > 6 and not _CONTACT.search(probe(line))):
            return False
    return True


def _card(lines: Sequence[str], end: int) -> int:
    """A last paragraph of name, mail address, telephone: at least two ways to reach someone, nothing else."""
    start = end
    while start and lines[start - 1].strip() and end - start < _MAX_BLOCK:
        start -= 1
    block = [line.strip() for line in lines[start:end]]
    block = [piece for line in block for piece in _PIECES.split(line)]
    if not 2 <= len(block) <= 8 or start == 0 or any(len(line) > _SHORT or "?" in line for line in block):
        return end
    reached = sum(1 for line in block if _REACHED.search(_DATED.sub("", probe(line))))
    named = (
        not _CONTACT.search(probe(block[0])) and 1 <= len(block[0].split()) <= 5 and block[0][:1].isupper()
    )
    others = len(block) - reached
    mailed = any(_MAIL_LINE.match(probe(line)) for line in block)
    spoken = any(len(line.split()) > 6 or line.endswith((".", "!", ":", ",")) for line in block)
    return start if mailed and named and reached >= 2 and others <= 3 and not spoken else end


def _disclaimer(lines: Sequence[str], end: int) -> int:
    """A last paragraph of legal words, or of an antivirus program."""
    start = end
    while start and lines[start - 1].strip() and end - start < 40:
        start -= 1
    paragraph = probe(" ".join(lines[start:end])[:500])
    if start == 0 or len(paragraph) < 25:
        return end
    words = set(_DISCLAIMER_WORDS.findall(paragraph))
    signs = set(_DISCLAIMER_START.findall(paragraph))
    if signs and len(words) + len(signs) >= (3 if len(paragraph) > 60 else 2) and "?" not in paragraph:
        return start
    return end


_RULES: Final[tuple[tuple[str, Callable[[Sequence[str], int], int]], ...]] = (
    ("signature", _strict),
    ("mobile footer", _mobile),
    ("disclaimer", _disclaimer),
    ("signature", _ruled),
    ("signature", _card),
    ("closing", _closing),
)
