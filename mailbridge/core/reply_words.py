"""The words by which mail programs introduce what they quote, in the languages of the people who write to us.

Tables only; `reply_lines` matches with them. Everything is case folded. Entries are single phrases as the
programs write them (Gmail, Outlook, Apple Mail, Thunderbird, Yahoo, Zoho, mobile clients), not translations.
"""

from __future__ import annotations

from typing import Final

WROTE: Final = (
    # en, de, fr, it, es, pt, nl
    "wrote", "writes", "sent", "schrieb", "schrieben", "geschrieben", "a écrit", "écrit", "a ecrit",
    "écrivait", "ha scritto", "scrive", "escribió", "escribio", "ha escrito", "escreveu",
    "schreef",
    # pl, ru, uk, bg
    "napisał", "napisała", "napisana przez", "napisane przez", "napisał(a)", "napisal(a)", "pisze",
    "написал", "написала", "написал(а)", "пишет", "писал", "писал(а)", "вы писали", "написав(-ла)",
    "написав", "написала",
    "написав(ла)", "пише", "написа",
    # sv, da, nb, fi, et
    "skrev", "skrev följande", "skriver", "kirjoitti", "kirjutas",
    # cs, sk, hr, sl, hu, ro, el, ca, lt, lv
    "napsal", "napsala", "napsal(a)", "napísal", "napísal(a)", "napísala", "napisao je", "napisala je",
    "je napisao/la", "je napisal", "ezt írta", "írta", "a scris", "έγραψε", "va escriure", "ha escrit",
    "rašė", "rakstīja",
    # tr, vi, id
    "yazdı", "şunu yazdı", "şöyle yazdı", "đã viết", "menulis",
)  # fmt: skip
"""Verbs of attribution lines, matched as whole words."""

WROTE_JOINED: Final = (
    # zh, ja, ko, ar, fa, he, th: scripts that join the word to its neighbours
    "写道", "寫道", "写了", "写到", "撰写", "书写", "來信", "来信", "書きました", "書き込みました",
    "のメール", "のメッセージ", "さんは", "のご連絡", "작성", "님이", "쓴 글", "님의 메시지", "씀:",
    "보낸 메시지", "كتب", "كتبت", "تمت كتابة", "نوشت", "כתב", "כתבה", "מאת", "เขียนว่า", "เขียน",
)  # fmt: skip
"""The same, matched anywhere in the line."""

NAME_FOLLOWS: Final = ("schrieb", "schreef", "skrev", "skrev följande")
"""Verbs of WROTE that stand before the author's name: 'Am 3.5. schrieb Anne:'."""

FIRST_PERSON: Final = (
    "i", "we", "ich", "wir", "je", "nous", "io", "noi", "yo", "nosotros", "eu", "nós", "ik", "wij", "ja",
    "my", "я", "мы", "ми", "jag", "jeg", "vi", "minä", "já", "ben", "אני", "أنا",
)  # fmt: skip
"""Beside the verb, these make a sentence of the author's own: 'On 3 May I wrote:'."""

OPENERS: Final = frozenset(
    (
        # en, de, fr, it, es, pt, nl
        "on", "at", "în", "στις", "am", "le", "il", "el", "la", "em", "op", "no", "a", "lo", "den", "um",
        "às", "à",
        # pl, ru, uk, bg, sv, da, nb, fi, cs, sk, hu, ro, tr
        "dnia", "w", "dne", "dňa", "v", "в", "на", "от", "on:", "på", "kl", "pe", "tarihinde", "pada",
        "vào",
        # ar, he
        "در", "ในวันที่", "เมื่อ", "在", "于", "於", "wiadomość", "üzenet",
        "في", "بتاريخ", "ב", "בתאריך", "ב-", "وقت",
    )
)  # fmt: skip
"""First words of attribution lines, beside weekdays, months and figures."""

WEEKDAYS_MONTHS: Final = (
    "mon", "tue", "wed", "thu", "fri", "sat", "sun", "jan", "feb", "mar", "apr", "may", "jun", "jul",
    "aug", "sep", "oct", "nov", "dec", "mo", "di", "mi", "do", "fr", "sa", "so", "mär", "mai", "okt",
    "dez", "lun", "mer", "jeu", "ven", "sam", "dim", "fév", "avr", "juin", "juil", "aoû", "déc", "gio",
    "dom", "gen", "mag", "giu", "lug", "ago", "set", "ott", "dic", "mié", "jue", "vie", "sáb", "ene",
    "abr", "seg", "ter", "qua", "qui", "sex", "fev", "out", "dez", "ma", "wo", "za", "zo", "maa", "mei",
    "pon", "wt", "śr", "czw", "pt", "sob", "niedz", "nd", "sty", "lut", "kwi", "maj", "cze", "lip", "sie",
    "wrz", "paź", "lis", "gru", "пн", "вт", "ср", "чт", "пт", "сб", "вс", "нд", "понедельник", "вторник",
    "среда", "четверг", "пятница", "суббота", "воскресенье", "понеділок", "вівторок", "середа", "четвер",
    "субота", "неділя", "янв", "фев", "мар", "апр", "май", "июн", "июл", "авг", "сен", "окт", "ноя",
    "дек", "mån", "tis", "ons", "tors", "tor", "fre", "lör", "lør", "søn", "sön", "man", "ke", "to", "la",
    "su", "ti", "maanantai", "tiistai", "keskiviikko", "torstai", "perjantai", "lauantai", "sunnuntai",
    "po", "út", "st", "čt", "pá", "ne", "pzt", "sal", "çar", "per", "cum", "cmt", "paz", "hétfő", "kedd",
    "szerda", "csütörtök", "péntek", "szombat", "vasárnap",
    "pirmd", "otrd", "trešd", "ceturtd", "piektd", "sestd", "svētd", "treč", "ketv", "penkt", "šešt", "esmasp",
    "teisip", "kolmap", "neljap", "reede", "pühap", "sri", "čet", "нед", "пон", "вто", "сря", "чет", "пет", "съб",
    "δευ", "τρί", "τρι", "τετ", "πέμ", "πεμ", "παρ", "σάβ", "σαβ", "κυρ",
)  # fmt: skip
"""Beginnings of day and month names, with or without what follows."""

QUOTING: Final = (
    "quoting", "excerpts from", "zitat von", "zitiere", "citando", "citazione di", "selon", "citat från",
    "citat fra", "cytowanie", "цитирование", "цитата от", "cituji", "idézet",
)  # fmt: skip
"""First words of attributions without a verb (Horde, Sup, alot), above marked quotations only."""

HEADER_FROM: Final = (
    "from", "von", "de", "da", "van", "od", "от", "від", "från", "fra", "lähettäjä", "odesílatel",
    "kimden", "gönderen", "من", "מאת", "差出人", "送信元", "送信者", "发件人", "寄件者", "寄件人",
    "보낸 사람", "보낸사람", "보낸이", "feladó", "de la", "mittente", "remitente", "absender", "afzender",
    "nadawca", "отправитель", "avsändare", "afsender", "avsender", "expéditeur", "remetente",
    "отправено от", "από", "saatja", "lähettänyt",
)  # fmt: skip
HEADER_DATE: Final = (
    "date", "sent", "datum", "gesendet", "data", "inviato", "inviata", "enviado", "enviada", "enviado el",
    "enviado em", "enviada em", "enviado a", "fecha", "envoyé", "envoyé le", "envoye", "verzonden",
    "wysłano", "wysłane", "data wysłania", "дата", "отправлено", "надіслано", "skickat", "skickade",
    "sendt", "lähetetty", "päiväys", "päivämäärä", "odesláno", "odoslané", "tarih", "gönderildi",
    "gönderme tarihi", "gönderim tarihi", "التاريخ", "تاريخ", "تم الإرسال", "تاريخ الإرسال", "أرسلت",
    "נשלח", "תאריך", "送信日時", "日付", "日時", "发送时间", "發送時間", "日期", "时间", "寄件日期",
    "寄件時間", "已发送", "已傳送", "보낸 날짜", "날짜", "보낸시간", "elküldve", "dátum", "trimis",
    "dato", "message du", "posted", "ημερομηνία", "stalo",
)  # fmt: skip
HEADER_TO: Final = (
    "to", "an", "à", "a", "para", "aan", "naar", "do", "кому", "till", "til", "vastaanottaja", "komu",
    "kime", "إلى", "אל", "宛先", "收件人", "收件者", "받는 사람", "받는사람", "받는이", "címzett",
    "către", "destinatario", "destinataire", "προς", "adresat",
)  # fmt: skip
HEADER_SUBJECT: Final = (
    "subject", "betreff", "objet", "sujet", "oggetto", "asunto", "assunto", "onderwerp", "temat", "тема",
    "ämne", "emne", "aihe", "předmět", "predmet", "konu", "الموضوع", "موضوع", "נושא", "件名", "主题",
    "主題", "主旨", "제목", "tárgy", "subiect", "θέμα",
)  # fmt: skip
HEADER_OTHER: Final = (
    "cc", "bcc", "ccn", "cco", "cci", "copie", "copie à", "copia", "kopie", "kopia", "kopi", "kopio",
    "копия", "копія", "reply-to", "reply to", "antwort an", "répondre à", "rispondi a", "risposta",
    "responder a", "importance", "priority", "wichtigkeit", "priorität", "priorità", "attachments",
    "anlagen", "allegati", "organization", "newsgroups", "in-reply-to", "message-id", "抄送", "副本",
    "참조", "نسخة", "עותק", "dw", "kk", "mailed-by", "signed-by", "resent-from",
)  # fmt: skip

ORIGINAL: Final = (
    "original message", "original appointment", "original-nachricht", "mail original", "e-mail original",
    "original email", "originalnachricht", "ursprüngliche nachricht", "ursprüngliche mail",
    "ursprüngliche e-mail", "message d'origine", "message d’origine", "message original",
    "mensaje original", "messaggio originale", "messaggio original", "mensagem original",
    "oorspronkelijk bericht", "originele bericht", "origineel bericht",
    "oryginalna wiadomość", "wiadomość oryginalna",
    "исходное сообщение", "оригинальное сообщение", "вихідне повідомлення", "originalmeddelande",
    "ursprungligt meddelande", "oprindelig meddelelse", "original meddelelse", "opprinnelig melding",
    "alkuperäinen viesti", "původní zpráva", "původní e-mail", "pôvodná správa", "eredeti üzenet",
    "mesaj original", "mesajul original", "özgün ileti", "orijinal mesaj", "orjinal mesaj",
    "الرسالة الأصلية", "הודעה מקורית", "原始邮件", "原始郵件", "原邮件", "元のメッセージ", "元のメール",
    "원본 메시지", "원본 메일", "원본메일", "reply message", "αρχικό μήνυμα", "izvorna poruka",
)  # fmt: skip
"""Words of the rule above a quoted original."""

FORWARDED: Final = (
    "forwarded message", "forwarded by", "forwarded email", "weitergeleitete nachricht",
    "weitergeleitete mail", "weitergeleiteten nachricht", "message transféré", "message transmis",
    "message réexpédié", "messaggio inoltrato", "messaggio inoltrata", "mensaje reenviado",
    "mensagem encaminhada", "mensagem reencaminhada", "doorgestuurd bericht", "wiadomość przekazana",
    "przekazana wiadomość", "przesłana wiadomość", "пересылаемое сообщение", "пересланное сообщение",
    "переслане повідомлення", "vidarebefordrat meddelande", "vidarebefordrat brev",
    "videresendt meddelelse", "videresendt besked", "videresendt melding", "välitetty viesti",
    "edelleenlähetetty viesti", "přeposlaná zpráva", "preposlaná správa", "továbbított üzenet",
    "mesaj redirecționat", "iletilen mesaj", "iletilmiş mesaj", "رسالة معاد توجيهها", "رسالة محولة",
    "הודעה שהועברה", "转发的邮件", "转发邮件", "已转发邮件", "轉寄的郵件", "轉寄郵件", "轉寄訊息",
    "転送メッセージ", "転送されたメッセージ", "전달된 메시지", "전달된 메일",
)  # fmt: skip
"""Words of the rule above a forwarded mail: what follows is what the author wants read."""
