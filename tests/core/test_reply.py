"""The new words of a mail: what is kept, what is cut, in which language and from which program."""

# ruff: noqa: E501 - the samples are mail as programs write it, one a line

from __future__ import annotations

import textwrap
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.core.html_text import html_to_text
from mailbridge.core.reply import REPLY_MARKER, new_words, split_reply

WORDS = "The pump works again.\nCould you send the invoice?"
OLD = "Old words from us.\nSecond old line."
HTML_WORDS = "The pump works again.\n\nCan you send the invoice?"

# Language, program, attribution line. The line feeds are put in by the test, as programs wrap at 60 to 78.
ATTRIBUTIONS = (
    ("en", "gmail", "On Mon, Mar 3, 2025 at 10:15 AM Bart Desk <bart@desk.example> wrote:"),
    ("en", "gmail 2012", "2012/7/20 Bart Desk <bart@desk.example>"),
    ("en", "apple", "On 3 Mar 2025, at 10:15, Bart Desk <bart@desk.example> wrote:"),
    ("en", "thunderbird", "On 3/3/2025 10:15 AM, Bart Desk wrote:"),
    ("en", "yahoo", "On Monday, March 3, 2025 at 10:15:41 AM GMT+1, Bart Desk <bart@desk.example> wrote:"),
    ("en", "proton", "On Monday, March 3rd, 2025 at 10:15 AM, Bart Desk <bart@desk.example> wrote:"),
    ("en", "notes", "Bart Desk <bart@desk.example> wrote on 03/03/2025 10:15:00 AM:"),
    ("en", "netease", 'At 2025-03-03 10:15:00, "Bart Desk" <bart@desk.example> wrote:'),
    ("en", "samsung", "---- Bart Desk wrote ----"),
    ("en", "zoho", "---- On Mon, 03 Mar 2025 10:15:00 +0100 Bart Desk <bart@desk.example> wrote ---"),
    (
        "en",
        "outlook mobile",
        'On Mon, Mar 3, 2025 at 10:15 AM -0800, "Bart Desk" <bart@desk.example<mailto:bart@desk.example>> wrote:',
    ),
    ("en", "superhuman", "On Mon, Mar 03, 2025 at 10:15 AM, Bart Desk <bart@desk.example> wrote:"),
    ("en", "mutt", "On Mon, Mar 03, 2025 at 10:15:41AM +0100, Bart Desk wrote:"),
    ("en", "evolution", "On Mon, 2025-03-03 at 10:15 +0100, Bart Desk wrote:"),
    ("it", "gmail", "Il giorno lun 3 mar 2025 alle ore 10:15 Bart Desk <bart@desk.example> ha scritto:"),
    ("it", "apple", "Il giorno 3 mar 2025, alle ore 10:15, Bart Desk <bart@desk.example> ha scritto:"),
    ("it", "thunderbird", "Il 03/03/2025 10:15, Bart Desk ha scritto:"),
    ("it", "libero", "Il 3 marzo 2025 alle 10.15 Bart Desk <bart@desk.example> ha scritto:"),
    ("de", "gmail", "Am Mo., 3. März 2025 um 10:15 Uhr schrieb Bart Desk <bart@desk.example>:"),
    ("de", "gmail android", "Bart Desk <bart@desk.example> schrieb am Mo., 3. März 2025, 10:15:"),
    ("de", "apple", "Am 03.03.2025 um 10:15 schrieb Bart Desk <bart@desk.example>:"),
    ("de", "thunderbird", "Am 03.03.25 um 10:15 schrieb Bart Desk:"),
    ("de", "ox", "Bart Desk <bart@desk.example> hat am 03.03.2025 10:15 CET geschrieben:"),
    ("fr", "gmail", "Le lun. 3 mars 2025 à 10:15, Bart Desk <bart@desk.example> a écrit :"),
    ("fr", "apple", "Le 3 mars 2025 à 10:15, Bart Desk <bart@desk.example> a écrit :"),
    ("fr", "thunderbird", "Le 03/03/2025 à 10:15, Bart Desk a écrit :"),
    ("fr", "yahoo", "Le lundi 3 mars 2025 à 10:15:41 UTC+1, Bart Desk <bart@desk.example> a écrit :"),
    ("es", "gmail", "El lun, 3 mar 2025 a las 10:15, Bart Desk (<bart@desk.example>) escribió:"),
    ("es", "apple", "El 3 mar 2025, a las 10:15, Bart Desk <bart@desk.example> escribió:"),
    ("es", "thunderbird", "El 3/3/25 a las 10:15, Bart Desk escribió:"),
    ("pt", "gmail", "Em seg., 3 de mar. de 2025 às 10:15, Bart Desk <bart@desk.example> escreveu:"),
    ("pt", "apple", "No dia 03/03/2025, às 10:15, Bart Desk <bart@desk.example> escreveu:"),
    ("pt", "thunderbird", "Em 03/03/2025 10:15, Bart Desk escreveu:"),
    ("pt", "gmail pt", "Bart Desk <bart@desk.example> escreveu (segunda, 3/03/2025 à(s) 10:15):"),
    ("nl", "gmail", "Op ma 3 mrt 2025 om 10:15 schreef Bart Desk <bart@desk.example>:"),
    ("nl", "apple", "Op 3 mrt 2025 om 10:15 heeft Bart Desk <bart@desk.example> het volgende geschreven:"),
    ("nl", "thunderbird", "Op 3-3-2025 om 10:15 schreef Bart Desk:"),
    ("pl", "gmail", "pon., 3 mar 2025 o 10:15 Bart Desk <bart@desk.example> napisał(a):"),
    (
        "pl",
        "apple",
        "Wiadomość napisana przez Bart Desk <bart@desk.example> w dniu 3 mar 2025, o godz. 10:15:",
    ),
    ("pl", "thunderbird", "W dniu 3.03.2025 o 10:15, Bart Desk pisze:"),
    ("ru", "gmail", "пн, 3 мар. 2025 г. в 10:15, Bart Desk <bart@desk.example>:"),
    ("ru", "apple", "3 марта 2025 г., в 10:15, Bart Desk <bart@desk.example> написал(а):"),
    ("ru", "thunderbird", "03.03.2025 10:15, Bart Desk пишет:"),
    ("ru", "mail.ru", "Понедельник, 3 марта 2025, 10:15 +03:00 от Bart Desk <bart@desk.example>:"),
    ("ru", "yandex", '03.03.2025, 10:15, "Bart Desk" <bart@desk.example>:'),
    ("uk", "gmail", "пн, 3 бер. 2025 р. о 10:15 Bart Desk <bart@desk.example> пише:"),
    ("uk", "thunderbird", "03.03.25 10:15, Bart Desk пише:"),
    ("sv", "gmail", "Den mån 3 mars 2025 kl 10:15 skrev Bart Desk <bart@desk.example>:"),
    ("sv", "apple", "3 mars 2025 kl. 10:15 skrev Bart Desk <bart@desk.example>:"),
    ("sv", "thunderbird", "Den 2025-03-03 kl. 10:15, skrev Bart Desk:"),
    ("da", "gmail", "Den man. 3. mar. 2025 kl. 10.15 skrev Bart Desk <bart@desk.example>:"),
    ("da", "thunderbird", "Den 03.03.2025 kl. 10.15 skrev Bart Desk:"),
    ("nb", "gmail", "man. 3. mars 2025 kl. 10:15 skrev Bart Desk <bart@desk.example>:"),
    ("nb", "thunderbird", "Den 03.03.2025 10:15, skrev Bart Desk:"),
    ("fi", "gmail", "ma 3. maalisk. 2025 klo 10.15 Bart Desk (bart@desk.example) kirjoitti:"),
    ("fi", "apple", "Bart Desk <bart@desk.example> kirjoitti 3.3.2025 kello 10.15:"),
    ("fi", "thunderbird", "Bart Desk kirjoitti 3.3.2025 klo 10.15:"),
    ("cs", "gmail", "po 3. 3. 2025 v 10:15 odesílatel Bart Desk <bart@desk.example> napsal:"),
    ("cs", "apple", "3. 3. 2025 v 10:15, Bart Desk <bart@desk.example>:"),
    ("cs", "thunderbird", "Dne 03. 03. 25 v 10:15 Bart Desk napsal(a):"),
    ("ja", "gmail", "2025年3月3日(月) 10:15 Bart Desk <bart@desk.example>:"),
    ("ja", "apple", "2025/03/03 10:15、Bart Desk <bart@desk.example>のメール:"),
    ("zh", "gmail", "Bart Desk <bart@desk.example> 于2025年3月3日周一 10:15写道："),
    ("zh", "gmail tw", "Bart Desk <bart@desk.example> 於 2025年3月3日 週一 上午10:15寫道："),
    ("zh", "apple", "在 2025年3月3日，10:15，Bart Desk <bart@desk.example> 写道："),
    ("zh", "netease", '在 2025-03-03 10:15:00，"Bart Desk" <bart@desk.example> 写道：'),
    ("ko", "gmail", "2025년 3월 3일 (월) 오전 10:15, Bart Desk <bart@desk.example>님이 작성:"),
    ("ko", "apple", "2025. 3. 3. 오전 10:15, Bart Desk <bart@desk.example> 작성:"),
    ("tr", "gmail", "Bart Desk <bart@desk.example>, 3 Mar 2025 Pzt, 10:15 tarihinde şunu yazdı:"),
    ("tr", "apple", "Bart Desk <bart@desk.example> şunları yazdı (3 Mar 2025 10:15):"),
    ("tr", "thunderbird", "3.03.2025 10:15 tarihinde Bart Desk yazdı:"),
    (
        "ar",
        "gmail",
        "في الاثنين، 3 مارس 2025 في 10:15 ص تمت كتابة ما يلي بواسطة Bart Desk <bart@desk.example>:",
    ),
    ("ar", "apple", "في ٣ مارس ٢٠٢٥، الساعة ١٠:١٥ ص، كتب Bart Desk <bart@desk.example>:"),
    (
        "he",
        "gmail",
        "\u202bבתאריך יום ב׳, 3 במרץ 2025 ב-10:15 מאת \u202aBart Desk\u202c\u200f <\u202abart@desk.example\u202c\u200f>:\u202c",
    ),
    ("he", "thunderbird", "בתאריך 03/03/2025 10:15, Bart Desk כתב:"),
    ("hu", "gmail", "Bart Desk <bart@desk.example> ezt írta (időpont: 2025. márc. 3., H, 10:15):"),
    ("ro", "gmail", "În lun., 3 mar. 2025 la 10:15, Bart Desk <bart@desk.example> a scris:"),
    ("el", "gmail", "Στις Δευ 3 Μαρ 2025 στις 10:15 π.μ., ο χρήστης Bart Desk <bart@desk.example> έγραψε:"),
)

# Language, header block above a quoted original (Outlook and its kin).
HEADERS = (
    (
        "en",
        "From: Bart Desk <b@desk.example>\nSent: Monday, March 3, 2025 10:15 AM\nTo: Anne <anne@customer.example>\nSubject: Re: Order",
    ),
    ("en nomail", "From: Bart Desk\nSent: Monday, March 3, 2025 10:15 AM\nTo: Anne\nSubject: Re: Order"),
    (
        "it",
        "Da: Bart Desk <b@desk.example>\nInviato: lunedì 3 marzo 2025 10:15\nA: Anne <anne@customer.example>\nOggetto: R: Ordine",
    ),
    (
        "de",
        "Von: Bart Desk <b@desk.example>\nGesendet: Montag, 3. März 2025 10:15\nAn: Anne <anne@customer.example>\nBetreff: AW: Bestellung",
    ),
    (
        "de gmx",
        'Gesendet: Montag, 3. März 2025 um 10:15 Uhr\nVon: "Bart Desk" <b@desk.example>\nAn: anne@customer.example\nBetreff: Bestellung',
    ),
    (
        "fr",
        "De : Bart Desk <b@desk.example>\nEnvoyé : lundi 3 mars 2025 10:15\nÀ : Anne <anne@customer.example>\nObjet : RE: Commande",
    ),
    (
        "es",
        "De: Bart Desk <b@desk.example>\nEnviado el: lunes, 3 de marzo de 2025 10:15\nPara: Anne <anne@customer.example>\nAsunto: RE: Pedido",
    ),
    (
        "pt",
        "De: Bart Desk <b@desk.example>\nEnviada em: segunda-feira, 3 de março de 2025 10:15\nPara: Anne <anne@customer.example>\nAssunto: RES: Pedido",
    ),
    (
        "nl",
        "Van: Bart Desk <b@desk.example>\nVerzonden: maandag 3 maart 2025 10:15\nAan: Anne <anne@customer.example>\nOnderwerp: RE: Bestelling",
    ),
    (
        "pl",
        "Od: Bart Desk <b@desk.example>\nWysłano: poniedziałek, 3 marca 2025 10:15\nDo: Anne <anne@customer.example>\nTemat: RE: Zamówienie",
    ),
    (
        "ru",
        "От: Bart Desk <b@desk.example>\nОтправлено: понедельник, 3 марта 2025 г. 10:15\nКому: Anne <anne@customer.example>\nТема: RE: Заказ",
    ),
    (
        "uk",
        "Від: Bart Desk <b@desk.example>\nНадіслано: понеділок, 3 березня 2025 р. 10:15\nКому: Anne <anne@customer.example>\nТема: RE: Замовлення",
    ),
    (
        "sv",
        "Från: Bart Desk <b@desk.example>\nSkickat: den 3 mars 2025 10:15\nTill: Anne <anne@customer.example>\nÄmne: SV: Order",
    ),
    (
        "da",
        "Fra: Bart Desk <b@desk.example>\nSendt: 3. marts 2025 10:15\nTil: Anne <anne@customer.example>\nEmne: SV: Ordre",
    ),
    (
        "fi",
        "Lähettäjä: Bart Desk <b@desk.example>\nLähetetty: maanantai 3. maaliskuuta 2025 10.15\nVastaanottaja: Anne <anne@customer.example>\nAihe: VS: Tilaus",
    ),
    (
        "cs",
        "Od: Bart Desk <b@desk.example>\nOdesláno: pondělí 3. března 2025 10:15\nKomu: Anne <anne@customer.example>\nPředmět: RE: Objednávka",
    ),
    (
        "ja",
        "差出人: Bart Desk <b@desk.example>\n送信日時: 2025年3月3日 10:15\n宛先: Anne <anne@customer.example>\n件名: RE: 注文",
    ),
    (
        "zh",
        "发件人: Bart Desk <b@desk.example>\n发送时间: 2025年3月3日 10:15\n收件人: Anne <anne@customer.example>\n主题: 回复: 订单",
    ),
    (
        "zh tw",
        "寄件者: Bart Desk <b@desk.example>\n寄件日期: 2025年3月3日 上午 10:15\n收件者: Anne <anne@customer.example>\n主旨: RE: 訂單",
    ),
    (
        "ko",
        "보낸 사람: Bart Desk <b@desk.example>\n보낸 날짜: 2025년 3월 3일 월요일 오전 10:15\n받는 사람: Anne <anne@customer.example>\n제목: RE: 주문",
    ),
    (
        "tr",
        "Kimden: Bart Desk <b@desk.example>\nGönderildi: 3 Mart 2025 Pazartesi 10:15\nKime: Anne <anne@customer.example>\nKonu: YNT: Sipariş",
    ),
    (
        "ar",
        "من: Bart Desk <b@desk.example>\nتم الإرسال: 3 مارس 2025 10:15\nإلى: Anne <anne@customer.example>\nالموضوع: رد: الطلب",
    ),
    (
        "he",
        "מאת: Bart Desk <b@desk.example>\nנשלח: יום שני 3 מרץ 2025 10:15\nאל: Anne <anne@customer.example>\nנושא: RE: הזמנה",
    ),
    (
        "bold",
        "*From:* Bart Desk <b@desk.example>\n*Sent:* Monday, March 3, 2025 10:15 AM\n*To:* Anne\n*Subject:* Re: Order",
    ),
)

# Program, HTML of an answer: the words are always the same.
HTML_REPLIES = (
    (
        "gmail",
        '<div dir="ltr"><p>The pump works again.</p><p>Can you send the invoice?</p></div><br><di'
        'v class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">On Mon, Ma'
        'r 3, 2025 at 10:15 AM Bart &lt;<a href="mailto:bart@desk.example">bart@desk.example</a>&'
        'gt; wrote:<br></div><blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex;bord'
        'er-left:1px solid"><p>Old words from us.</p></blockquote></div>',
    ),
    (
        "gmail unknown lang",
        '<div dir="ltr"><p>The pump works again.</p><p>Can you send the invoice?</p></div><br><di'
        'v class="gmail_quote"><div dir="ltr" class="gmail_attr">Zzz 3 xx 2025 10:15 Bart &lt;bar'
        't@desk.example&gt; blah:<br></div><blockquote class="gmail_quote"><p>Old words from us.<'
        "/p></blockquote></div>",
    ),
    (
        "gmail sig",
        '<div dir="ltr"><p>The pump works again.</p><p>Can you send the invoice?</p><br clear="al'
        'l"><div><br></div><span class="gmail_signature_prefix">-- </span><br><div dir="ltr" clas'
        's="gmail_signature">Anne<br>Acme</div></div><br><div class="gmail_quote"><div class="gma'
        'il_attr">On Mon, Mar 3, 2025 at 10:15 AM Bart &lt;<a href="mailto:bart@desk.example">bar'
        't@desk.example</a>&gt; wrote:</div><blockquote class="gmail_quote"><p>Old words from us.'
        "</p></blockquote></div>",
    ),
    (
        "apple",
        "<html><body><p>The pump works again.</p><p>Can you send the invoice?</p><div><br><blockq"
        'uote type="cite"><div>On 3 Mar 2025, at 10:15, Bart &lt;bart@desk.example&gt; wrote:</di'
        "v><br><div><p>Old words from us.</p></div></blockquote></div></body></html>",
    ),
    (
        "apple2",
        '<body><p>The pump works again.</p><p>Can you send the invoice?</p><br id="lineBreakAtBeg'
        'inningOfSignature"><div dir="ltr">Sent from my iPhone</div><div dir="ltr"><br><blockquot'
        'e type="cite">On 3 Mar 2025, at 10:15, Bart wrote:<br><br></blockquote></div><blockquote'
        ' type="cite"><div dir="ltr"><p>Old words from us.</p></div></blockquote></body>',
    ),
    (
        "thunderbird",
        '<body><p>The pump works again.</p><p>Can you send the invoice?</p><div class="moz-cite-p'
        'refix">Zzz 3 xx 2025 10:15 Bart &lt;bart@desk.example&gt; blah:<br></div><blockquote typ'
        'e="cite" cite="mid:1@desk.example"><p>Old words from us.</p></blockquote><div class="moz'
        '-signature">-- <br>Anne</div></body>',
    ),
    (
        "outlook desktop",
        '<div class="WordSection1"><p class="MsoNormal">The pump works again.<o:p></o:p></p><p cl'
        'ass="MsoNormal"><o:p>&nbsp;</o:p></p><p class="MsoNormal">Can you send the invoice?</p><'
        'div><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm"><p'
        ' class="MsoNormal"><b>From:</b> Bart &lt;bart@desk.example&gt;<br><b>Sent:</b> Monday, M'
        "arch 3, 2025 10:15 AM<br><b>To:</b> Anne<br><b>Subject:</b> Re: x</p></div></div><p clas"
        's="MsoNormal">Old words</p></div>',
    ),
    (
        "owa",
        '<body><div><p>The pump works again.</p><p>Can you send the invoice?</p></div><div id="ap'
        'pendonsend"></div><hr tabindex="-1" style="display:inline-block;width:98%"><div id="divR'
        'plyFwdMsg" dir="ltr"><font><b>Xrom:</b> Bart &lt;bart@desk.example&gt;<br><b>Yent:</b> M'
        "onday, March 3, 2025 10:15 AM<br><b>Zo:</b> Anne<br><b>Qub:</b> Re: x</font><div>&nbsp;<"
        "/div></div><div><p>Old words from us.</p></div></body>",
    ),
    (
        "outlook ios",
        '<body><div><p>The pump works again.</p><p>Can you send the invoice?</p></div><div id="ms'
        '-outlook-mobile-signature"><div>Get <a href="https://aka.ms/o0ukef">Outlook for iOS</a><'
        '/div></div><hr><div id="divRplyFwdMsg" dir="ltr"><b>From:</b> Bart &lt;bart@desk.example'
        "&gt;<br><b>Sent:</b> Monday, March 3, 2025 10:15 AM<br><b>To:</b> Anne<br><b>Subject:</b"
        "> Re: x</div><p>Old words from us.</p></body>",
    ),
    (
        "yahoo",
        '<div class="yahoo-style-wrap"><div dir="ltr"><p>The pump works again.</p><p>Can you send'
        ' the invoice?</p></div></div><div id="yahoo_quoted_123" class="yahoo_quoted"><div><div>Z'
        "zz 3 xx 2025 10:15 Bart &lt;bart@desk.example&gt; blah:</div><p>Old words from us.</p></"
        "div></div>",
    ),
    (
        "proton",
        '<div><p>The pump works again.</p><p>Can you send the invoice?</p></div><div class="proto'
        'nmail_signature_block"><div class="protonmail_signature_block-proton">Sent with Proton M'
        'ail secure email.</div></div><div class="protonmail_quote">On Monday, March 3rd, 2025 at'
        ' 10:15 AM, Bart &lt;bart@desk.example&gt; wrote:<br><blockquote class="protonmail_quote"'
        ' type="cite"><p>Old words from us.</p></blockquote></div>',
    ),
    (
        "zimbra",
        '<div><p>The pump works again.</p><p>Can you send the invoice?</p></div><hr id="zwchr" da'
        'ta-marker="__DIVIDER__"><div data-marker="__HEADERS__"><blockquote><b>Xx: </b>Bart</bloc'
        'kquote></div><div data-marker="__QUOTED_TEXT__"><blockquote><p>Old words from us.</p></b'
        "lockquote></div>",
    ),
    (
        "exchange",
        '<body><p>The pump works again.</p><p>Can you send the invoice?</p><div class="OutlookMes'
        'sageHeader">Zzz 3 xx 2025 10:15 Bart &lt;bart@desk.example&gt; blah:</div><blockquote><p'
        ">Old words from us.</p></blockquote></body>",
    ),
    (
        "zoho",
        '<div><p>The pump works again.</p><p>Can you send the invoice?</p></div><div class="zmail'
        '_extra"><div>---- On Mon, 03 Mar 2025 10:15:00 +0100 Bart wrote ----</div><blockquote><p'
        ">Old words from us.</p></blockquote></div>",
    ),
    (
        "gmx",
        "<div><p>The pump works again.</p><p>Can you send the invoice?</p></div><div><br><div nam"
        'e="quote" style="margin:10px 5px 5px 10px;padding:10px 0 10px 10px;border-left:2px solid'
        ' #C3D9E5"><div><b>Gesendet:</b> Montag, 3. März 2025 um 10:15 Uhr<br><b>Von:</b> Bart &l'
        "t;b@desk.example&gt;<br><b>An:</b> anne@customer.example<br><b>Betreff:</b> x</div><div "
        'name="quoted-content"><p>Old words from us.</p></div></div></div>',
    ),
    (
        "mailru",
        '<body><p>The pump works again.</p><p>Can you send the invoice?</p><blockquote style="bor'
        'der-left:1px solid #0857A6;margin:10px;padding:0 0 0 10px">Понедельник, 3 марта 2025, 10'
        ":15 +03:00 от Bart &lt;b@desk.example&gt;:<br><p>Old words from us.</p></blockquote></bo"
        "dy>",
    ),
    (
        "qq",
        "<div><p>The pump works again.</p><p>Can you send the invoice?</p></div><div><br></div><d"
        'iv style="font-size:12px">------------------&nbsp;原始邮件&nbsp;------------------</div><div'
        ' style="background:#efefef"><div><b>发件人:</b>&nbsp;Bart</div><div><b>发送时间:</b>&nbsp;2025年'
        "3月3日</div></div><p>Old words from us.</p>",
    ),
    (
        "samsung",
        "<body><p>The pump works again.</p><p>Can you send the invoice?</p><br><br>-------- Origi"
        "nal message --------<br>From: Bart &lt;b@desk.example&gt;<br>Date: 3/3/25 10:15 (GMT+01:"
        "00)<br>To: Anne<br>Subject: x<br><br><p>Old words from us.</p></body>",
    ),
)

# What a customer wrote, all of it: nothing here is history or signature.
KEPT_WHOLE = (
    "On Monday I wrote to you about the pump:\nit leaks again.",
    "On 3 May 2024 I wrote:\nthe pump leaks.\nIs there news?",
    "Am 3.5.2024 schrieb ich Ihnen wegen der Pumpe:\nSie tropft.",
    "On 12.05.2024 we sent the pump to you by post:\nit was broken.\nNow what?",
    "Please book:\nFrom: Rome\nTo: Milan\nDate: 3 May\n\nTwo persons.",
    "Thanks!",
    "Regards",
    "Kind regards,\nAnne",
    "Here:\n```\na\n--\nb\n```\nend",
    "First.\n---\nOne more question: can you call me?",
    "I lost the original message you sent me.\nCan you send it again?",
    "The system sent:\n> error 5\nWhat now?",
    "Sent from my desk, is that ok?",
    "> only a quote",
    "> a\nno\n> b\nyes",
    "Anne asked:\nwhy?\n\nI do not know.",
    "Two points:\n\n-- the pump\n-- the hose\n\nBoth leak.",
    "My number is +39 055 123456\nand my mail anne@customer.example\nplease call.",
    "Hello,\n\nthe error is\n\nConnection refused\nhttp://localhost:80\n10.0.0.1 8080",
    "Order:\nanne@customer.example\n+39 055 1234567\n\nplease deliver there.",
    "Is this confidential?\n\nPlease do not forward my message, the attachment is confidential information for you, is that clear?",
    "1. one\n2. two\n\n___\n\nWhy?",
    "Total: 5\n=====\nsum is wrong",
    "Thanks\nbut it still fails",
    "Hi,\n\nit fails.\n\nThanks,\nthen I tried again and it failed again after the update.",
    "El 3 de mayo compré la bomba:\nno funciona.",
    "Am 3. Mai um 10:15 habe ich bestellt bei info@shop.example:\nnichts kam.",
    "Meeting 2024-05-03 10:15 with anne@customer.example:\nbring the pump",
    "10:15 I called bart@desk.example:\nno answer",
    "Date: 3 May 2024\nFrom: Anne\n\nMy words",
    "Sent from Rome yesterday\nstill not here?",
    "Status: open\nDue date: 2024-05-03\nOwner: anne",
    "hello\n\nAnne Customer\nanne@customer.example\nThe pump leaks at http://x.example now.",
)


def quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


@pytest.mark.parametrize("width", [0, 78, 60])
@pytest.mark.parametrize(("language", "program", "line"), ATTRIBUTIONS)
def test_an_attribution_line_ends_the_new_words(language: str, program: str, line: str, width: int) -> None:
    """Every program writes its own line, in the language of its user, and wraps it where it likes."""
    if width:
        line = "\n".join(textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False))
    assert new_words(f"{WORDS}\n\n{line}\n\n{quoted(OLD)}\n", "") == WORDS
    assert new_words(f"{WORDS}\n{line}\n{quoted(OLD)}\n", "") == WORDS


@pytest.mark.parametrize(("language", "program", "line"), [x for x in ATTRIBUTIONS if "@" in x[2]])
def test_an_attribution_with_an_address_also_ends_them_above_unmarked_history(
    language: str, program: str, line: str
) -> None:
    """Phones and Outlook do not mark what they quote: the line is the only sign."""
    assert new_words(f"{WORDS}\n\n{line}\n\n{OLD}\n", "") == WORDS


@pytest.mark.parametrize("rule", ["", "________________________________\n", "-----Original Message-----\n"])
@pytest.mark.parametrize(("language", "block"), HEADERS)
def test_a_header_block_ends_the_new_words(language: str, block: str, rule: str) -> None:
    """Outlook quotes by a block of headers, translated, with or without a rule above."""
    assert new_words(f"{WORDS}\n\n{rule}{block}\n\n{OLD}\n", "") == WORDS


@pytest.mark.parametrize(("program", "html"), HTML_REPLIES)
def test_the_structure_of_html_ends_the_new_words(program: str, html: str) -> None:
    """The programs mark history in HTML: then the language does not matter."""
    assert new_words("", html) == HTML_WORDS
    assert new_words(html_to_text(html), html) == HTML_WORDS


@pytest.mark.parametrize("text", KEPT_WHOLE)
def test_a_customers_own_words_are_kept_whole(text: str) -> None:
    """Losing a customer's words is the worse fault: what only looks like history or signature stays."""
    assert new_words(text, "") == text


def test_our_marker_comes_first_and_takes_its_attribution_along() -> None:
    """Below our marker everything is ours, whatever the program made of the line above it."""
    text = f"{WORDS}\n\nOn Mon, 3 Mar 2025 at 10:15, Desk <support@desk.example> wrote:\n\n> {REPLY_MARKER}\n> Hi Anne"
    split = split_reply(text, "")
    assert split.reply == WORDS
    assert split.why == "reply marker"
    assert REPLY_MARKER in split.cut


def test_a_marker_without_words_above_leaves_the_answer_below() -> None:
    """Some people answer below what they quote: cutting there would leave nothing."""
    text = f"> {REPLY_MARKER}\n> Hi Anne\n\nIt still leaks."
    assert "It still leaks." in new_words(text, "")


def test_answers_between_quotes_keep_everything() -> None:
    """An answer without its question is no answer."""
    text = "> Which pump?\n\nThe red one.\n\n> Since when?\n\nSince Monday."
    assert new_words(text, "") == text


def test_answers_between_html_quotes_keep_everything() -> None:
    """Gmail puts answers inside its gmail_quote element, which must not be cut as a whole."""
    html = (
        '<div class="gmail_quote"><div class="gmail_attr">On Mon, 3 Mar 2025 Bart wrote:</div>'
        '<blockquote class="gmail_quote">Which pump?</blockquote><div>The red one.</div>'
        '<blockquote class="gmail_quote">Since when?</blockquote><div>Since Monday.</div></div>'
    )
    reply = new_words("", html)
    assert "> Which pump?\n\nThe red one.\n\n> Since when?\n\nSince Monday." in reply


def test_an_answer_below_one_quote_leaves_the_quote_out() -> None:
    """Bottom posting: the only quote has an attribution and all words are below it."""
    assert new_words(f"Am 03.03.25 um 10:15 schrieb Bart:\n{quoted(OLD)}\n\n{WORDS}", "") == WORDS


def test_a_forwarded_mail_stays_but_the_forwarders_signature_goes() -> None:
    """Who forwards a mail wants it read."""
    forwarded = (
        "---------- Forwarded message ---------\nFrom: Shop <shop@shop.example>\nSubject: Bill\n\n42 euro"
    )
    assert new_words(f"See below.\n\n-- \nAnne\n\n{forwarded}", "") == f"See below.\n\n{forwarded}"
    html = (
        '<div>See below.</div><div class="gmail_quote"><div class="gmail_attr">---------- Forwarded message ------'
        "<br>From: Shop</div><p>42 euro</p></div>"
    )
    assert "42 euro" in new_words("", html)


@pytest.mark.parametrize(
    "tail",
    [
        "-- \nAnne\n+39 055 1234567",
        "--\nAnne",
        "Kind regards,\nAnne Customer\nAcme",
        "Mit freundlichen Grüßen\n\nAnne Customer",
        "Cordialement,\nAnne",
        "Med venlig hilsen\nAnne",
        "Thanks,\nAnne",
        "Sent from my iPhone",
        "Get Outlook for Android<https://aka.ms/x>",
        "Inviato da iPhone",
        "Von meinem iPhone gesendet",
        "Envoyé de mon iPad",
        "Enviado desde mi móvil",
        "Отправлено с iPhone",
        "iPhoneから送信",
        "发自我的iPhone",
        "나의 iPhone에서 보냄",
        "Anne Customer\nanne@customer.example\nwww.customer.example",
        "This e-mail and any attachments are confidential and intended solely for the addressee. If you received"
        " it in error, please delete this message.",
        "Diese E-Mail enthält vertrauliche Informationen. Wenn Sie nicht der richtige Empfänger sind, löschen"
        " Sie diese Nachricht.",
        "_______________________________________________\nusers mailing list\nusers@lists.example",
        "-----------\nAnne Customer\nwww.customer.example",
    ],
)
def test_what_stands_below_the_words_is_cut(tail: str) -> None:
    """Signatures, mobile footers, disclaimers and list footers are not words."""
    split = split_reply(f"{WORDS}\n\n{tail}\n", "")
    assert split.reply == WORDS
    assert split.cut == tail.replace("-- \n", "--\n")


def test_a_signature_marked_in_html_is_cut() -> None:
    """Gmail and others mark it, so that no separator is needed."""
    html = '<div>It leaks.</div><div class="gmail_signature"><p>Anne</p></div>'
    assert new_words("", html) == "It leaks."


def test_words_only_in_a_signature_mark_or_quote_are_kept() -> None:
    """When nothing would be left, the whole text stays: words were written."""
    assert new_words("", '<div class="gmail_signature">Please call me back</div>') == "Please call me back"
    assert new_words("-- \nPlease call me back", "") == "-- \nPlease call me back".replace("-- ", "--")
    assert new_words(quoted(OLD), "") == quoted(OLD)


def test_a_cut_that_only_the_html_shows_is_carried_to_the_text() -> None:
    """The text keeps its own line ends; the HTML says where the history begins."""
    html = (
        "<div>The pump works again. Could you send the invoice?</div>"
        '<div class="yahoo_quoted">Zzz blah<div>Old words from us. Second old line.</div></div>'
    )
    split = split_reply(f"{WORDS}\n\nZzz blah\n{OLD}", html)
    assert split.reply == WORDS
    assert split.cut == f"Zzz blah\n{OLD}"


def test_a_quoted_line_that_wrapped_out_of_its_quote_is_no_answer() -> None:
    """Programs wrap long quoted lines without repeating the mark."""
    long = "> this is a long quoted line that was wrapped by the program of the sender at about"
    text = f"{WORDS}\n\nOn Mon, 3 Mar 2025 at 10:15, Bart wrote:\n{long}\neighty characters\n> end"
    assert new_words(text, "") == WORDS


@pytest.mark.parametrize(
    "text",
    [
        "On " * 5000,
        "\n" * 60000,
        "From: a\n" * 5000,
        "on 3 may 2024 some words here and there of it:\n" * 2000,
        "regards\n\n" * 5000,
        "sent from my phone\n" * 5000,
        "confidential message recipient error\n\n" * 2000,
        "--\n" * 20000,
        "> a b c\nb\n" * 10000,
        "a -- on " * 10000,
        ">" * 100000,
        "```\n" * 10000,
    ],
    ids=lambda text: str(text)[:12].strip() or "blank",
)
def test_hostile_text_is_split_in_bounded_time(text: str) -> None:
    """No input may hold the reader: the patterns are linear and the lines looked at are bounded."""
    start = time.process_time()
    split_reply(text, "")
    assert time.process_time() - start < 1.0


def test_an_ordinary_mail_takes_about_a_millisecond() -> None:
    """Reading is done for every mail, many at start."""
    text = f"{WORDS}\n\nOn 3 Mar 2025, at 10:15, Bart <bart@desk.example> wrote:\n\n" + quoted(OLD) * 10
    split_reply(text, "")
    best = min(_timed(text) for _ in range(5))
    assert best < 0.005


def _timed(text: str) -> float:
    start = time.process_time()
    for _ in range(10):
        split_reply(text, "")
    return (time.process_time() - start) / 10


_PIECES = st.sampled_from(
    [
        "words",
        "> old",
        "",
        "-- ",
        "On 3 Mar 2025, at 10:15, Bart <b@desk.example> wrote:",
        "Sent from my iPhone",
        "From: Bart <b@desk.example>",
        "Sent: 3 Mar 2025 10:15",
        "Thanks,",
        "Anne",
        "----- Original Message -----",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_PIECES, max_size=12), st.text(max_size=40))
def test_the_reply_is_never_empty_when_words_were_written(pieces: list[str], extra: str) -> None:
    """Whatever stands there: words in, words out; and every line kept was there."""
    text = "\n".join([*pieces, extra])
    split = split_reply(text, "")
    assert bool(split.reply.strip()) == bool(text.strip())
    lines = {line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")}
    assert {line for line in split.reply.split("\n") if line} <= lines


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="<>/abdivp lockquoten=\"' \n:-", max_size=200))
def test_any_html_is_split_without_an_error(html: str) -> None:
    """Mail programs write what they like."""
    split_reply("", html)
    split_reply("words", html)
