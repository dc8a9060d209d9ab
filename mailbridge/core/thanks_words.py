"""The words of replies that only thank, and those after which no reply only thanks. Tables only.

Everything is case folded and composed (NFC), straight apostrophes. The lists of all languages are used
together, since people mix them; a word that forbids in one language forbids in all.

Standards: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.casefold().split())


THANKS: Final = _words(
    """
    thanks thank thx thnx tnx ty tysm tyvm cheers ta appreciated appreciate grateful gratitude
    danke dankeschön dank besten dankend
    merci remercie remercions remerciements
    grazie ringrazio ringraziamo ringraziamenti
    gracias agradezco agradecemos agradecido agradecida
    obrigado obrigada obrigados obg agradeço
    bedankt dankjewel dankuwel dankje
    dziękuję dziękujemy dzięki dzieki dziekuje
    спасибо благодарю благодарим благодарен благодарна дякую дякуємо спасибі вдячний вдячна
    tack tackar takk tak tusind
    kiitos kiitokset kiitoksia kiitti
    děkuji děkujeme díky dík dekuji diky ďakujem ďakujeme vďaka
    köszönöm köszönjük köszi kösz koszonom
    mulțumesc multumesc mulțumim mersi
    teşekkürler teşekkür teşekkürlerimle sağol sağolun eyvallah tesekkurler
    ευχαριστώ ευχαριστούμε ευχαριστω
    شكرا شكراً شكرًا أشكرك أشكركم مشكور مشكورين تشكر
    תודה תודות
    hvala благодаря
    """
)
"""A reply needs one of these, or of PRAISE."""

PRAISE: Final = _words(
    """
    perfect perfectly great awesome excellent super brilliant wonderful fantastic amazing lovely superb
    works   solved fixed resolved sorted
    perfekt prima toll klasse wunderbar ausgezeichnet spitze funktioniert klappt gelöst läuft behoben erledigt
    parfait génial excellent formidable impeccable nickel fonctionne marche résolu réglé
    perfetto ottimo fantastico eccellente benissimo funziona risolto sistemato
    perfecto genial excelente estupendo fantástico funciona solucionado resuelto arreglado
    perfeito ótimo excelente maravilha resolvido funcionou funcionando
    perfect geweldig uitstekend fijn werkt opgelost gelukt
    świetnie super doskonale działa rozwiązane idealnie
    отлично супер замечательно прекрасно работает заработало решено чудово працює запрацювало вирішено
    perfekt toppen utmärkt fungerar löst fint bra perfekt fungerer løst kjempebra topp virker supert
    hienoa loistavaa mahtavaa toimii ratkesi selvä
    skvělé výborně výborné perfektní funguje vyřešeno super vyriešené
    szuper tökéletes remek működik megoldódott nagyszerű
    perfect excelent funcționează functioneaza rezolvat
    mükemmel harika süper çalışıyor çözüldü düzeldi
    τέλεια τέλειο υπέροχα λειτουργεί λύθηκε
    ممتاز رائع يعمل تمام
    מצוין מעולה נהדר עובד נפתר
    """
)
"""What says that it is done."""

COURTESY: Final = _words(
    """
    you your yours u so much very a an lot ton bunch million many again the all everyone everybody team both for
    of my me i i'm we us our it it's its this that that's is are am in and with
    help helping helped support assistance quick quickly fast prompt promptly swift speedy rapid reply response
    answer answering answers responding feedback info information update updating explanation clarification
    effort efforts time patience work job service fix fixing solution solving resolving resolution
    now again well good nice best kind kindest warm regards greetings wishes sincerely yours have
    hi hello dear hey guys folks sir madam mr mrs ms
    really truly indeed absolutely sure yes yep yeah ok okay k noted understood got received clear alright
    everything as expected very really too extremely most highly just quite
    there here awesome happy glad pleased
    will deal friend colleague dept department already finally immediately fine

    ihnen dir euch sie du ihr vielen vielmals sehr herzlichen herzlich lieben liebe lieber tausend recht für
    die der das den dem des ihre eure deine schnelle schnellen rasche raschen prompte hilfe unterstützung
    antwort rückmeldung info information auskunft mühe bearbeitung erledigung lösung nochmals nochmal und es ist
    jetzt nun wieder alles gut super auch bestens einwandfrei wunderbar schönes schönen wochenende tag
    abend feierabend mit freundlichen freundlichem besten gruß grüße grüßen gruss grüsse gruesse viele hallo
    guten morgen moin mfg lg vg ja okay gerne hat habe haben geholfen so gewünscht im voraus wirklich
    super klar verstanden angekommen erhalten alle allen zusammen herr frau geehrter geehrte sehr

    à vous toi beaucoup mille bien infiniment pour votre vos ton ta le la les l' de du des d' un une grand
    aide réponse réactivité rapidité rapide retour info information informations support assistance c'est ça
    tout est maintenant encore très parfaitement bonne bon journée soirée weekend après-midi cordialement bien
    salutations bonjour bonsoir madame monsieur et oui d'accord reçu compris efficacité nous je vous en super
    remercie remercions votre cordialement

    mille tante infinite molte ancora per il lo la i gli le l'aiuto aiuto assistenza supporto risposta rapida
    rapidità celere pronta veloce velocità disponibilità vostra vostro tua tuo sua suo tutto adesso ora
    è a e di del della dell'aiuto dell'assistenza buona buon giornata serata lavoro fine settimana weekend cordiali
    saluti saluto distinti ciao buongiorno buonasera salve gentile gentilissimi gentilissimo sì ok ricevuto vi
    ti la ringrazio molto davvero gentilezza bene capito collaborazione

    muchas muchísimas mil por la el los las su tu vuestra vuestro ayuda respuesta rápida rapidez pronta apoyo
    soporte atención todo ya ahora muy bien y es está tenga buen buena día tarde noche tardes días fin
    de semana saludos saludo cordial cordiales hola estimado estimada estimados sí recibido entendido un una le
    les te gran muy amable amables solución buenos buenas

    muito muita mil pela pelo ajuda resposta rápida rapidez atenção apoio suporte tudo agora bem e está a o as
    os uma um bom boa dia tarde noite fim semana abraço abraços atenciosamente cumprimentos olá oi prezado
    prezados sim recebido entendido certo vocês você ótima muito mesmo de novo

    je u jou jullie heel hartelijk veel dank bedankt voor de het een snelle hulp reactie antwoord ondersteuning
    uw oplossing alles nu weer goed en is dat prettige fijne dag weekend avond met vriendelijke groet groeten
    groetjes hallo beste hoi ja prima mvg nogmaals ontvangen begrepen

    bardzo serdecznie wielkie pięknie za pomoc szybką szybka odpowiedź reakcję wsparcie wszystko już teraz
    dobrze i jest pozdrawiam pozdrowienia miłego dnia weekendu dzień dobry witam tak ok państwu panu pani
    jeszcze raz

    большое огромное вам тебе за быструю быстрый оперативную оперативность помощь ответ поддержку всё все
    теперь уже хорошо и это хорошего дня вечера выходных с уважением здравствуйте добрый день привет да ок
    понял поняла принято получил получила очень ещё раз всем вас
    дуже щиро велике вам допомогу швидку швидку відповідь підтримку усе вже тепер добре гарного дня вечора
    з повагою вітаю доброго так зрозуміло за і

    så mycket för hjälpen snabba svaret svar hjälp allt nu är det i och ha en trevlig bra dag helg hej ja med
    vänlig vänliga hälsning hälsningar mvh hälsn jätte jättebra väldigt er dig tusen
    mange meget for hjælpen den hurtige svar hjælp alt er nu det i og hav god dag weekend hej ja venlig
    hilsen vh kh dig jer tusind super skal du have
    hjelpen raske svaret hjelp alt nå er det ha fin helg hei vennlig dere deg tusen hjertelig så meget

    paljon kovasti avusta nopeasta vastauksesta tuesta kaikki nyt on ja hyvää päivää viikonloppua päivänjatkoa
    terveisin ystävällisin terv hei moi kyllä ok teille sinulle vielä kerran suuret

    moc mockrát za pomoc rychlou odpověď podporu vše všechno už teď je to a hezký den víkend s pozdravem
    pozdravem dobrý ahoj ano ok vám ti ještě jednou velmi krásný mnohokrát všetko pekný deň rýchlu
    pomoc odpoveď

    szépen nagyon a az segítséget gyors választ válasz mindent minden most már jó szép napot hétvégét üdvözlettel
    üdv tisztelettel helló szia igen rendben
    mult foarte mult mulțumiri pentru ajutor ajutorul răspuns răspunsul rapid totul acum bine o zi bună bun
    cu stimă salut bună ziua da

    çok ederim ederiz için yardımınız yardımlarınız hızlı cevabınız cevap destek desteğiniz her şey şimdi
    artık iyi günler çalışmalar haftasonu hafta sonları saygılarımla saygılar merhaba selam evet tamam ilginiz
    kolay gelsin

    πολύ για τη την το σας βοήθεια γρήγορη απάντηση υποστήριξη όλα τώρα καλά και καλή μέρα ημέρα συνέχεια
    σαββατοκύριακο με εκτίμηση γεια χαίρετε ναι είναι

    جزيلا جزيلاً لك لكم على المساعدة مساعدتك مساعدتكم الرد السريع الدعم كل شيء الآن جيد جدا جداً و مع التحية
    تحياتي أطيب التحيات يوم سعيد نعم مرحبا السلام عليكم جزيل الشكر كثيرا

    רבה לך לכם על העזרה התשובה המהירה הכל עכשיו טוב יום נעים בברכה שלום כן מאוד סוף שבוע

    schön ein eine top dir helg toute l'équipe équipe equipo equipe always usual l'assistenza wel erg prettig fijn
    всё получилось выходные rask raskt rask hjelp allt snabbt trevlig günler iyi
    """
)
"""What may stand around them: politeness, what is thanked for, greetings, closings."""

FORBIDDEN: Final = _words(
    """
    no not none never neither nor without cannot can't cant won't wont don't dont didn't didnt doesn't doesnt isn't
    isnt aren't wasn't wasnt weren't haven't hasn't hadn't couldn't wouldn't shouldn't ain't nothing nobody nowhere
    hardly barely unable but however although though except unless until unfortunately sadly still yet instead
    error errors fail fails failed failing failure broken break breaks broke crash crashed crashes crashing bug bugs
    issue issues problem problems trouble wrong bad worse worst missing lost stuck freeze freezes frozen hang hangs
    slow down offline incorrect invalid refused rejected denied blocked unusable useless waiting disappointed angry
    complaint complain unacceptable terrible awful horrible urgent asap reopen open
    what when where which who whom whose why how whether if could would should may might shall
    please need needs want wants send call ask question questions another also additional next attach attached
    attachment otherwise only once later tomorrow before after hoping hope almost partially partly
    sometimes

    nicht nichts kein keine keinen keinem keiner keines nie niemals nein ohne weder niemand nirgends kaum aber
    jedoch allerdings leider trotzdem dennoch obwohl sondern noch außer bis fehler fehlt fehlen fehlgeschlagen
    fehlermeldung kaputt defekt absturz abgestürzt stürzt problem probleme störung falsch schlecht hängt
    langsam ausfall ausgefallen unbrauchbar unmöglich geht's wann wo wer wen wem warum wieso weshalb was welche welcher
    welches ob wenn falls könnten könnte können kannst würden bitte brauche brauchen benötige möchte frage
    fragen schicken senden rufen dringend teilweise weiterhin erneut immer außerdem zusätzlich

    ne pas n'est n'a n'ai n'ont plus jamais rien aucun aucune non sans ni personne guère mais cependant toutefois
    malheureusement pourtant sauf erreur erreurs échec échoue échoué panne cassé bogue problème problèmes souci
    soucis faux mauvais bloqué bloquée plante planté manque manquant lent impossible quand où qui que quoi
    pourquoi comment quel quelle quels quelles combien si pourriez pouvez pouvez-vous peux pourrais est-ce
    besoin voudrais souhaite question questions envoyer envoyez toujours urgent svp plaît reste

    non no mai niente nessuno nessuna nulla senza né nemmeno neanche ma però tuttavia purtroppo comunque invece
    tranne eccetto errore errori fallito fallisce guasto rotto rotta problema problemi sbagliato manca mancano
    bloccato lento impossibile difetto quando dove chi cosa perché come quale quali quanto se potreste potete
    può puoi potresti vorrei serve bisogno domanda domande inviare mandare urgente favore cortesia solo

    nunca jamás nada nadie ningún ninguna ninguno sin ni tampoco pero aunque embargo lamentablemente
    desgraciadamente todavía aún excepto salvo errores fallo falla fallos falló roto rota avería malo mal
    falta faltan bloqueado imposible cuándo cuando dónde donde quién quien qué cómo como cuál cuáles
    cuánto si podría podrían puede pueden puedes necesito necesitamos quiero quisiera pregunta preguntas enviar
    llamar sigue siguen solamente

    não nao nem nenhum nenhuma ninguém sem mas porém contudo infelizmente ainda exceto erro erros falha falhou
    quebrado defeito ruim faltando travado travando impossível onde quem quê porque qual quais quanto se poderia
    poderiam pode podem preciso precisamos quero gostaria pergunta perguntas continua apenas

    niet niets geen nooit niemand nergens zonder noch maar echter helaas toch tenzij behalve fout fouten foutmelding
    mislukt kapot defect storing probleem problemen verkeerd slecht ontbreekt ontbreken vastgelopen traag
    wanneer waar wie waarom hoe welke wat als kunt kunnen zou zouden wil graag alstublieft nodig vraag vragen
    sturen steeds nog dringend

    nie nigdy nic nikt żaden żadna żadne brak bez ani ale jednak niestety mimo choć oprócz błąd błędy błędu
    awaria zepsute zepsuty usterka źle zły problemu brakuje wolno niemożliwe kiedy gdzie kto dlaczego czemu jak
    który która które co ile czy jeśli jeżeli proszę prosze potrzebuję chcę chciałbym chciałabym pytanie pytania
    wysłać nadal wciąż dalej pilne

    не ни нет нету никогда ничего никто нигде без но однако хотя зато жаль сожалению кроме ошибка ошибки ошибку
    сбой сломан сломано сломалось упал упало проблема проблемы проблему неправильно неверно плохо плохой
    отсутствует зависает завис зависло медленно невозможно когда где куда кто почему зачем как какой какая
    какие что сколько ли если можно могли можете пожалуйста нужно нужен нужна надо хочу хотел вопрос вопросы
    отправить пришлите опять снова всё-таки пока срочно
    ні немає ніколи нічого ніхто але проте однак хоча жаль помилка помилки помилку збій зламано
    неправильно погано відсутній зависає повільно неможливо коли де хто чому навіщо як який яка які що скільки
    чи якщо можна могли можете потрібно потрібен хочу питання надіслати знову досі

    inte ej inget ingen inga aldrig utan men dock tyvärr ändå fortfarande förutom fel felet misslyckades trasig
    trasigt kraschar kraschade problem problemet saknas långsam omöjligt fastnat när var vem varför hur vilken vilket
    vilka vad om kan kunde skulle snälla behöver vill fråga frågor skicka bara
    ikke ej intet ingenting aldrig uden dog desværre alligevel stadig undtagen fejl fejlen mislykkedes
    ødelagt brudt nede problemet mangler langsom umuligt hvornår hvor hvem hvorfor hvordan hvilken hvilket hvad
    hvis kunne ville venligst behøver spørgsmål sende kun
    ingen uten dessverre likevel fortsatt fremdeles unntatt feil feilen mislyktes krasjer krasjet treg når
    hva kan vil spørsmål trenger bare vennligst

    ei emme ette eivät eikä eipä koskaan mitään kukaan ilman mutta kuitenkin valitettavasti vaikka virhe virheitä
    virheen epäonnistui rikki vika viallinen kaatuu kaatui ongelma ongelmia ongelman väärin huono puuttuu hidas
    jumissa milloin missä kuka miksi miten kuinka mikä mitkä mitä jos voisitteko voitteko voitko voisitko
    tarvitsen haluan kysymys kysymyksiä lähettää edelleen vieläkään enää

    ne není nejde nefunguje nikdy nic nikdo žádný žádná žádné bez ani ale však bohužel přesto kromě chyba chyby
    chybu selhalo selhání rozbité rozbitý závada porucha problémy špatně špatný chybí pomalé nemožné kdy kde
    kdo proč jak který která které co kolik jestli pokud můžete mohli mohl prosím potřebuji chci otázka otázky
    poslat stále pořád zase znovu nie nikto nefunguje bohužiaľ chýba prečo ako kedy

    nem ne nincs nincsen sem soha semmi senki sehol nélkül azonban sajnos mégis ellenére kivéve hiba hibák hibát
    hibás sikertelen elromlott rossz probléma problémák lassú hiányzik lehetetlen mikor hol ki miért hogyan
    hogy melyik mi mennyi tudna tudnák kérem kérném szeretnék kell kérdés kérdésem küldeni még mindig
    nici niciodată nimic nimeni niciun nicio fără dar însă totuși păcate încă eroare erori eșuat
    stricat defect problemă probleme greșit lipsește blocat lent imposibil când unde cine cum care ce cât
    dacă puteți ați putea rog nevoie vreau întrebare întrebări trimite

    değil yok hiç hiçbir asla olmadı çalışmıyor çalışmadı yapamıyorum olmuyor ama fakat ancak maalesef yine hâlâ
    hala hata hatası hatalı başarısız bozuk bozuldu arıza sorun sorunu problem yanlış kötü eksik yavaş imkansız
    dondu ne neden niçin nasıl nerede kim hangi kaç mı mi mu mü misiniz mısınız musunuz müsünüz eğer lütfen
    istiyorum gerekiyor soru sorum gönderin tekrar

    δεν μην όχι ποτέ τίποτα κανείς καμία χωρίς ούτε αλλά όμως ωστόσο δυστυχώς ακόμα ακόμη σφάλμα λάθος απέτυχε
    χαλασμένο βλάβη πρόβλημα προβλήματα αργό λείπει αδύνατο πότε πού ποιος γιατί πώς πως ποια ποιο τι αν εάν
    μπορείτε μπορείς παρακαλώ χρειάζομαι θέλω ερώτηση πάλι

    لا لم لن ليس ليست ما غير بدون بلا أبدا لكن ولكن إلا للأسف مازال لازال خطأ أخطاء فشل معطل عطل مشكلة مشاكل
    بطيء مفقود مستحيل متى أين من لماذا كيف هل أي ماذا كم إذا يمكن يمكنكم ممكن أرجو رجاء الرجاء أريد أحتاج سؤال

    לא אין אף בלי ללא אבל אך אולם למרות לצערי עדיין שגיאה תקלה נכשל שבור בעיה בעיות תקוע איטי חסר מתי איפה מי למה
    מדוע איך כיצד האם איזה מה כמה אם אפשר תוכלו תוכל בבקשה צריך רוצה שאלה שוב

    nej nei nee nein hayır nope nah nä
    monday tuesday wednesday thursday friday saturday sunday today tonight
    montag dienstag mittwoch donnerstag freitag samstag sonntag heute lundi mardi mercredi jeudi vendredi samedi
    dimanche demain lunedì martedì mercoledì giovedì venerdì sabato domenica domani lunes martes miércoles jueves
    viernes sábado domingo mañana segunda-feira terça-feira quarta-feira quinta-feira sexta-feira amanhã maandag
    dinsdag woensdag donderdag vrijdag zaterdag zondag
    anyway anyhow trotz
    """
)
"""Questions, negations, failures, contrasts and requests: with one of them a reply always reopens."""

AMBIGUOUS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "de": _words(
            "merci remercie remercions gracias agradezco obrigado obrigada bedankt dank mulțumesc mersi"
        ),
        "en": _words("merci remercie remercions gracias bedankt dank tack tackar tak takk"),
        "et": _words("merci remercie remercions parfait"),
        "ha": _words("tack tackar tak takk"),
        "igen": _words("köszönöm köszönjük köszi kösz"),
        "mit": _words("danke dank dankeschön"),
        "nu": _words("tack tackar tak takk bedankt dank"),
        "was": _words("thanks thank thx cheers great awesome perfect excellent appreciated"),
    }
)
"""Courtesy in one language, negation or question in another: allowed only beside one of these words."""

_KIND: Final = ("nice", "good", "great", "lovely", "wonderful", "fine", "fantastic")
_TIMES: Final = (
    "day",
    "evening",
    "weekend",
    "week",
    "one",
    "afternoon",
    "morning",
    "night",
    "rest of the day",
)

PHRASES: Final = (
    *(f"have a {kind} {time}" for kind in _KIND for time in _TIMES),
    *(f"{kind} {time}" for kind in _KIND for time in _TIMES),
    *(f"that was {kind}" for kind in (*_KIND, "quick", "fast", "super quick", "very quick", "very fast")),
    *(f"{what} working {how}" for what in ("is", "it's", "all", "everything is") for how in ("now", "again", "fine")),
    "will do",
    "working fine",
    "working perfectly",
    "working now",
    "working again",
    "it worked",
    "that worked",
    "worked perfectly",
    "worked like a charm",
    "works like a charm",
    "did the trick",
    "that did it",
    "you can close the ticket",
    "you can close this ticket",
    "you can close the case",
    "please close the ticket",
    "the ticket can be closed",
    "this can be closed",
    "can be closed",
    "thanks again", "thank you again", "thanks once again", "thank you once again", "many thanks again",
    "once again thank you", "once again thanks", "thanks in advance", "merci encore", "encore merci",
    "encore une fois merci", "danke noch einmal", "noch einmal danke", "noch einmal vielen dank",
    "vielen dank noch einmal", "nogmaals dank", "gracias de nuevo", "gracias otra vez", "obrigado de novo",
    "grazie ancora", "grazie di nuovo", "tack igen", "tack än en gång", "tak igen", "takk igjen",
    "dziękuję jeszcze raz", "s pozdravem", "спасибо ещё раз", "ещё раз спасибо", "jeg takker",
    "with kind regards", "how nice", "par avance", "d'avance", "bon week-end", "week-end", "s přátelským pozdravem",
    "all good", "wie gewünscht", "wie immer", "que tenga", "que tengan", "que tengas",
)  # fmt: skip
"""Courtesies that hold a word of FORBIDDEN or of no list; taken out before the words are looked at."""

UNSPACED: Final = _words(
    """
    非常感谢您的帮助 感谢您的帮助 谢谢您的帮助 谢谢你的帮助 感谢您的支持 感谢您的回复 感谢您的及时回复
    谢谢您的快速回复 谢谢您的回复 感谢你们的支持 非常感谢 十分感谢 万分感谢 多谢 感谢 谢谢您 谢谢你们
    谢谢你 谢谢大家 谢谢 謝謝您的幫助 非常感謝您的協助 感謝您的協助 感謝您的回覆 非常感謝 感謝 謝謝您
    謝謝你 謝謝 已经解决了 已解决 解决了 已經解決了 解決了 现在可以了 可以了 好了 收到了 收到 好的
    太好了 太棒了 完美 正常了 现在正常了 祝好 祝您愉快 祝你愉快 您好 你好 辛苦了 麻烦你们了 现在 現在
    非常 已经 已經 此致 敬礼 你们 您们 帮助 再次 周末愉快 工作顺利 客服 團隊 团队 朋友 很好 明白了
    知道了 了解 ありがとうございました ありがとうございます ありがとう 有難うございました
    有難うございます お世話になっております お世話になりました いつもお世話になっております
    助かりました 助かります 感謝いたします 感謝致します 感謝します 感謝申し上げます 御礼申し上げます
    お礼申し上げます どうも 大変 誠に 本当に 早速の 迅速な ご対応 ご回答 ご返信 ご連絡 ご支援 ご協力
    対応 いただき 頂き 解決しました 解決いたしました 直りました 動きました 動くようになりました
    正常に動作しました 無事 了解しました 了解いたしました 承知しました 承知いたしました 確認しました
    確認できました 今後ともよろしくお願いいたします 今後ともよろしくお願いします
    よろしくお願いいたします よろしくお願い致します よろしくお願いします おかげさまで お陰様で おかげで
    完璧です 素晴らしいです はい すぐに お疲れ様です お疲れ様でした こんにちは おはようございます
    とても また とうございます 감사합니다 감사드립니다 감사해요 고맙습니다 고마워요 대단히 정말 매우
    빠른 답변 도움 도와주셔서 주셔서 지원 해결되었습니다 해결됐습니다 해결됐어요 잘 됩니다 작동합니다
    안녕하세요 안녕히 안녕히 계세요 수고하세요 수고하셨습니다 좋은 하루 되세요 보내세요
    확인했습니다 확인하였습니다 네 덕분에 이제 친절한 신속한 완벽합니다 최고입니다 알겠습니다 도움에
    답변에 대응에 지원에 대응 많은 주말 회신 처리 처리해

    協助 回覆 支持 协助 您的 的帮助
    """
)
"""Courtesies of scripts without blanks between words, or with endings joined; taken out of the text."""

UNSPACED_THANKS: Final = _words(
    """
    谢 謝 感谢 ありがと 有難う 助かり 감사 고맙 고마 解决了 解決了 解決しました 收到 完美 太好了 太棒了
    可以了 해결 了解しました 承知
    """
)

UNSPACED_FORBIDDEN: Final = _words(
    """
    不 没 沒 未 无 無 吗 嗎 呢 么 麼 怎 为何 为什 何时 哪 谁 几 错 錯 误 誤 失败 失敗 问题 問題 坏 壞
    故障 还 還 但 却 请 請 能否 可否 是否 如果 需要 想 慢 丢 缺 崩 卡 ない ません なかっ なく ず、
    できま エラー ミス バグ 壊 遅 障害 停止 止ま ですか ますか でしょうか ましたか か。 どう なぜ
    いつ頃 いつま 何 誰 どこ どれ ですが ますが ましたが けど けれど しかし ただ ところ もし 再度 まだ
    ください 下さい 欲しい ほしい たい 教えて 안 못 없 아니 않 오류 에러 문제 실패 고장 왜 어떻게 언제
    어디 누구 무엇 뭐 나요 까요 습니까 하지만 그런데 그러나 지만 는데 아직 여전히 부탁 싶 주세요 만약
    느리 멈 다시 또
    """
)
"""Looked for in what is left after UNSPACED was taken out."""

BEFORE_NAMES: Final = _words(
    """
    thanks thank you thx cheers hi hello dear hey mr mrs ms regards team much again
    danke hallo lieber liebe herr frau dank grüße gruß ihnen dir
    merci bonjour madame monsieur beaucoup cordialement vous
    grazie ciao gentile mille saluti buongiorno salve
    gracias hola estimado estimada saludos
    obrigado obrigada olá oi prezado abraços abraço atenciosamente
    bedankt beste hoi groet groeten groetjes je u wel
    dziękuję dzięki pani panu witam pozdrawiam спасибо здравствуйте привет дякую уважением вітаю повагою
    tack hej hei takk tak hilsen hälsningar mvh vh kiitos moi terveisin děkuji ahoj pozdravem díky
    köszönöm szia üdv mulțumesc salut teşekkürler merhaba ευχαριστώ γεια شكرا مرحبا תודה שלום בברכה
    """
)
"""Right after one of these may stand a name that is on no list."""
