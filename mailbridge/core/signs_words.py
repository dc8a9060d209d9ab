"""Words by which systems that mark nothing give themselves away. Data only; all case folded.

Subjects are compared at their very start, so that a person's "Re: Undeliverable: ..." or "Fwd: failure
notice" never matches. Openings are looked for in the first characters of the text and count only together
with a writer that is a mail system, a null reverse-path or a subject of the list above.
"""

from __future__ import annotations

# Part of the From field of a mail system. No person bears such a name.
DAEMONS: tuple[str, ...] = (
    "mailer-daemon", "mailer_daemon", "mailer daemon", "mailerdaemon", "mail-daemon", "maildaemon",
    "mail daemon",
    "mail delivery subsystem", "mail delivery system", "mail deliver system",
    "mail.delivery.system",
    "delivery subsystem",
)  # fmt: skip

# The same where a person is behind it now and then: administrators write to desks about failed mail.
OFFICES: tuple[str, ...] = (
    "postmaster@", "post_master@", "post-master@", "postmaster <", '"postmaster" <', "mdaemon@", "ndr@",
    "dsn@",
    "bounce@", "bounces@", "mail-admin@", "mailadmin@", "imss@", "interscan", "mailscanner@", "mailsweeper@",
    "mailmarshal@", "smtp_mail_service", "inetgw", "delivery-status@", "mail.administrator@",
    "mail administrator <", "undeliverable@", "microsoftexchange",
)  # fmt: skip

# Services that ask senders to prove themselves.
CHALLENGE_DOMAINS: tuple[str, ...] = (
    "boxbe.com", "spamarrest.com", "bitbounce.com", "mailblocks.com", "choicemail.com", "digiportal.com",
    "sendio.com", "qurb.com", "spamlion.com", "vanquish.com", "bluebottle.com", "0spam.com",
)  # fmt: skip

BOUNCE_SUBJECTS: tuple[str, ...] = (
    # Sendmail, Postfix, qmail, Exim, Exchange, Domino, IMail, GroupWise, SMTP32, MailEnable and relatives
    "undeliverable", "undelivered mail", "undelivered message", "returned mail", "returned email",
    "returned message", "returned to sender", "return to sender", "mail returned", "message returned",
    "failure notice", "failure delivery", "failed mail", "failed delivery", "failed message",
    "mail failed, returning", "mail failure", "mail delivery fail", "mail delivery problem",
    "mail delivery error", "mail delivery status", "mail delivery subsystem", "mail delivery system",
    "mail delivery incomplete", "mail delivery notification", "mail system error", "mail error",
    "mail could not be delivered", "mail not delivered", "mail not deliverable", "mail undeliverable",
    "mail status report", "message delivery fail", "message delivery has failed", "message delivery delay",
    "message delivery problem", "message undeliverable", "message not delivered", "message not deliverable",
    "message could not be delivered", "message status - undeliverable", "message status - opened",
    "message delayed", "message you sent blocked", "email delivery fail", "email delivery problem",
    "e-mail delivery fail", "email could not be delivered", "email not delivered", "delivery failure",
    "delivery failed", "delivery has failed", "delivery status", "delivery problem", "delivery error",
    "delivery report", "delivery notification", "delivery delay", "delivery unsuccessful",
    "delivery incomplete", "delivery unable", "delayed mail", "delayed:", "permanent delivery failure",
    "non delivery", "non-delivery", "nondeliverable", "nondelivery", "non delivered mail", "ndn:", "ndr:",
    "postmaster notify", "postmaster] email delivery", "error sending", "error in delivery",
    "could not deliver", "cannot deliver", "can't deliver", "unable to deliver", "unable to send",
    "unknown user", "user unknown", "unknown recipient", "unknown address error", "warning: message",
    "warning: could not send", "warning: delivery", "warning: mail", "warning: returned",
    "warning - delayed mail", "warning message delayed", "notification: message delayed", "rejected mail",
    "rejected message", "mail rejected", "message rejected", "email rejected", "address unknown",
    "your message couldn't be delivered", "your message wasn't delivered",
    "your message could not be delivered", "your mail could not be delivered",
    "your email was not delivered", "your message to", "your e-mail could not be delivered",
    "automatic notification: delivery", "loop alert", "bounced mail", "bounced message",
    "bounce notification",
    # de
    "unzustellbar", "nicht zustellbar", "mail nicht zugestellt", "nachricht nicht zugestellt",
    "zustellung fehlgeschlagen", "zustellungsfehler", "übermittlung fehlgeschlagen", "übermittlungsstatus",
    "fehler bei der zustellung", "ihre nachricht konnte nicht", "rückmeldung zum übermittlungsstatus",
    "die nachricht konnte nicht", "benachrichtigung zum übermittlungsstatus",
    # fr
    "non remis", "message non remis", "message non distribu", "message non délivr", "non délivr",
    "échec de la remise", "échec de remise", "échec de la distribution", "échec de distribution",
    "échec de livraison", "courrier non remis", "courriel non", "utilisateur non recens",
    "utilisateur inconnu", "notification d'état de remise", "notification d'état de la distribution",
    "impossible de remettre", "retour de courrier",
    # it
    "mancata consegna", "mancato recapito", "messaggio non recapit", "messaggio non consegn",
    "consegna non riuscita", "impossibile recapitare", "impossibile consegnare", "non recapitabile",
    "notifica di mancat", "avviso di mancata consegna", "posta non recapit", "notifica stato di consegna",
    # es, ca
    "no se puede entregar", "no se pudo entregar", "no se ha podido entregar", "no entregado",
    "no entregable", "mensaje no entregado", "mensaje devuelto", "correo devuelto", "correo no entregado",
    "error de entrega", "error en la entrega", "entrega fallida", "fallo en la entrega",
    "notificación de estado de entrega", "notificación del estado de entrega", "no es pot lliurar",
    # pt
    "não entregue", "não foi entregue", "mensagem não", "mensagem devolvida", "falha na entrega",
    "falha de entrega", "não é possível entregar", "notificação de status de entrega",
    "não é possível entregar",
    # nl, sv, da, nb, fi
    "onbestelbaar", "niet bezorgd", "niet afgeleverd", "bezorging mislukt", "bezorgingsfout",
    "kan niet worden bezorgd", "kunde inte levereras", "kan inte leverera", "olevererbart", "oleverbart",
    "leveransfel", "kunne ikke leveres", "kan ikke leveres", "ikke leveret", "ikke levert", "leveringsfejl",
    "toimitus epäonnistui", "viestiä ei voitu toimittaa", "ei voida toimittaa", "perille toimittamaton",
    # pl, cs, sk, hu, ro
    "niedostarcz", "nie można dostarczyć", "nie dostarczono", "zwrot poczty", "zwrot wiadomości",
    "zwrócona wiadomość", "nedoručiteln", "nedoručeno", "nelze doručit", "nedoručená", "nem kézbesíthető",
    "kézbesíthetetlen", "nelivrabil", "mesaj nelivrat",
    # ru, uk
    "ваше сообщение не доставлено", "сообщение не доставлено", "не доставлено", "недоставлен",
    "письмо не доставлено", "возврат почты", "ошибка доставки", "не удается доставить",
    "не вдалося доставити", "недоставлено", "повідомлення не доставлено",
    # tr, el, ar, he
    "teslim edilemedi", "iletilemedi", "teslim edilemeyen", "αδυναμία παράδοσης", "μη παραδοτέο",
    "تعذر التسليم", "غير قابل للتسليم", "לא ניתן למסירה", "לא נמסר",
    # ja
    "メッセージを配信できません", "配信不能", "配信エラー", "配信失敗", "配信できません", "配送エラー",
    "配送不能", "送信エラー", "送信できません", "不達メール", "不達通知", "エラーメール",
    "メール送信エラー", "宛先不明",
    # zh, ko
    "退信", "系统退信", "系統退信", "邮件退回", "邮件无法", "郵件無法", "无法投递", "無法傳遞", "無法傳送",
    "未送达", "未傳遞", "未递送", "投递失败", "傳遞失敗", "배달되지 않음", "배달 실패", "배달 상태", "반송",
    "전송 실패",
)  # fmt: skip

BOUNCE_OPENINGS: tuple[str, ...] = (
    # qmail, Postfix, Exim, Sendmail, Exchange, Domino, Yahoo, Gmail, KDDI, ezweb, InterScan, DMA, ...
    "could not be delivered", "couldn't be delivered", "cannot be delivered", "can't be delivered",
    "was not delivered", "wasn't delivered", "were not delivered", "not be delivered", "not delivered to",
    "unable to deliver", "undeliverable", "undelivered", "did not reach", "not reach some",
    "could not deliver", "couldn't deliver", "wasn't able to deliver", "delivery failed",
    "delivery has failed", "delivery failure", "failed permanently", "has been delayed",
    "not yet been delivered", "not yet received your message", "been delayed and is still",
    "error delivering", "problem delivering", "delivery problem", "error while attempting to deliver",
    "has occurred while attempting to deliver", "permanent fatal errors", "transient non-fatal errors",
    "had delivery problems", "had delivery errors", "transcript of session follows",
    "delivery status notification", "failed recipients", "failed addresses", "failure reasons",
    "message log follows", "invalid final delivery", "mailbox is full", "mailbox full",
    "exceeds allowed size", "not a valid user", "user unknown", "unknown user", "no such user",
    "invalid user address", "mailbox unavailable", "did not match an", "did not exactly match",
    "returned to sender", "has been rejected", "was rejected by", "have been rejected", "message rejected",
    "returned message", "bounced", "could not be sent", "undelivered mail", "delivery attempts",
    "mail loop", "duplicated message-id", "final-recipient:", "not received by", "nicht zugestellt",
    "unzustellbar", "konnte nicht", "n'a pas pu être", "n'a pas été remis", "n'existe pas",
    "non è stato possibile", "non è stato recapitato", "impossibile recapitare", "no se pudo entregar",
    "no pudo ser entregado", "no se ha podido entregar", "não pôde ser entregue", "nao pode ser enviada",
    "não foi entregue", "kon niet worden", "niet worden bezorgd", "kunde inte levereras",
    "kunne ikke leveres", "nie można dostarczyć", "nie została dostarczona", "nelze doručit",
    "не может быть доставлено", "невозможно доставить", "не удалось доставить", "не доставлено",
    "送信できませんでした", "送信できません", "配信できません", "配送できません", "届けることができません",
    "失敗しました", "無法", "无法发送", "无法送达", "无法投递", "未能送达", "전송되지", "배달되지",
)  # fmt: skip

MACHINE_OPENINGS: tuple[str, ...] = (
    # Sentences that only mail systems write, as the first words of the text.
    "this message was created automatically by mail delivery software",
    "this is an automatically generated delivery status", "hi. this is the qmail-send program",
    "this is the mail system at host", "this is the postfix program at host",
    "i'm sorry to have to inform you that", "i'm afraid i wasn't able to deliver",
    "sorry, we were unable to deliver your message", "the original message was received at",
    "your message did not reach some or all of the intended recipients",
    "your message to the following recipients cannot be delivered", "delivery to the following recipient",
    "message from ", "unable to deliver message to",
    "your message cannot be delivered to the following recipients",
    "this report relates to a message you sent", "delivery has failed to these recipients",
    "----- transcript of session follows", "----- the following addresses had", "------ failed recipients",
    "------- failure reasons", "|------------------------- message log", "****** message from interscan",
    "this is the mail delivery", "this is a delivery failure notification",
    "a message that you sent could not be delivered", "the following message to <",
    "the message that you sent was undeliverable", "user's mailbox is full: <",
    "we're sorry. there's a problem with the e-mail address(es)", "undeliverable to ", "unknown user: ",
    "invalid final delivery userid:", "final-recipient:",
    "this is the machine generated message from mail service",
)  # fmt: skip

AUTO_REPLY_SUBJECTS: tuple[str, ...] = (
    # en; Exchange's and Gmail's own words first in every language
    "automatic reply", "automatic response", "automated reply", "automated response", "auto reply",
    "auto-reply", "autoreply", "auto response", "auto-response", "autoresponse", "auto responder",
    "autoresponder", "auto generated", "auto-generated", "autogenerated", "out of office", "out-of-office",
    "out of the office", "ooo", "away from", "vacation reply", "vacation response", "vacation message",
    "on vacation", "holiday reply", "i am away", "away until", "i am out of the office", "canned response",
    "automatische antwort", "abwesenheitsnotiz", "abwesenheitsmeldung", "abwesenheitsbenachrichtigung",
    "abwesend", "ich bin nicht im büro", "automatische rückantwort", "autom. antwort",
    "réponse automatique", "réponse d'absence", "message d'absence", "absence du bureau",
    "absent du bureau", "absence", "notification d'absence", "risposta automatica", "fuori sede",
    "fuori ufficio", "assenza dall'ufficio", "assente", "messaggio automatico", "respuesta automática",
    "respuesta automatica", "fuera de la oficina", "fuera de oficina", "ausente de la oficina",
    "resposta automàtica", "resposta automática", "resposta automatica", "fora do escritório",
    "ausência temporária", "ausência do escritório", "automatisch antwoord", "automatische reactie",
    "automatische beantwoording", "afwezigheidsbericht", "afwezig", "niet op kantoor", "autosvar",
    "automatiskt svar", "frånvaro", "frånvarande", "automatisk svar", "fraværsmeddelelse", "fraværsmelding",
    "ikke til stede", "fravær", "automaattinen vastaus", "poissaoloilmoitus", "poissa toimistosta",
    "poissa", "odpowiedź automatyczna", "automatyczna odpowiedź", "autoodpowiedź", "poza biurem",
    "nieobecność", "automatická odpověď", "mimo kancelář", "nepřítomnost", "automatická odpoveď",
    "automatikus válasz", "házon kívül", "răspuns automat", "automatski odgovor", "samodejni odgovor",
    "автоматический ответ", "автоответ", "отсутствие на рабочем месте", "вне офиса",
    "автоматична відповідь", "автовідповідь", "автоматичен отговор", "otomatik yanıt", "otomatik cevap",
    "ofis dışında", "αυτόματη απάντηση", "εκτός γραφείου", "رد تلقائي", "الرد التلقائي", "תשובה אוטומטית",
    "מענה אוטומטי", "מחוץ למשרד", "自動応答", "自動返信", "自動回答", "不在通知", "不在のお知らせ", "不在",
    "自动回复", "自动答复", "自動回覆", "自動回復", "자동 회신", "자동회신", "자동 응답", "부재중",
    "ตอบกลับอัตโนมัติ", "trả lời tự động", "balasan otomatis",
)  # fmt: skip

CHALLENGE_OPENINGS: tuple[str, ...] = (
    "to prove that you are", "prove you are human", "prove that you are a human",
    "verify that you are a human", "confirm that you are a human", "click the link below to be added",
    "click on the link below to confirm your message", "has been waitlisted",
    "your message is being held until", "message will be held until you confirm",
    "reply to this message to confirm", "in order to deliver your message", "to release your message",
    "challenge-response", "challenge/response", "one-time confirmation", "to authenticate your message",
    "to have your message delivered", "whitelist request", "to be added to my approved senders",
    "i use an anti-spam", "i'm protecting myself from receiving junk", "please authorize yourself",
    "to confirm the message you sent", "confirmar o envio", "confirme sua mensagem",
    "bitte bestätigen sie ihre nachricht",
)  # fmt: skip
