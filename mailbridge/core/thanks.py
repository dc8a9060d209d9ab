"""Does a reply only thank? For the optional rule that such a reply does not reopen a solved ticket.

A reply must earn it: every word of it is known as courtesy, or is a name where names stand. One unknown word,
figure or sign makes it a reply like any other, and so does one question, negation or failure word in any of
the languages of `thanks_words`. To reopen once too often is cheap; to miss a customer is not.

Standards: none.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from mailbridge.core.thanks_words import (
    AMBIGUOUS,
    BEFORE_NAMES,
    COURTESY,
    FORBIDDEN,
    PHRASES,
    PRAISE,
    THANKS,
    UNSPACED,
    UNSPACED_FORBIDDEN,
    UNSPACED_THANKS,
)

MAX_LENGTH: Final = 240
"""Characters. Who writes more has something to say."""
MAX_WORDS: Final = 30
_MAX_LINES: Final = 7
_MAX_NAMES: Final = 3

_QUESTION: Final = re.compile(r"[?？؟⁇⁈⁉‽⸮;;](?![)\-])|¿")
_SMILES: Final = re.compile(r"[:;=]-?[)D]|\^\^|<3|\(:")
_SAD: Final = re.compile(r"[:;=]['-]?[(\[/|\\<]")
_CHEERFUL: Final = frozenset(
    "👍🙏😊🙂😀😃😄😁😉👏🎉❤♥🌹💐✅👌🤝💯🥳🌟⭐☺😍🤗💪🙌✌👋🌞☀😇🫶\ufe0f\u200d🏻🏼🏽🏾🏿"
)
_MARKS: Final = frozenset("¡ \t\n.,!:;…·-–—_*\"'()/&+~،。、！，．・「」『』（）♪〜～’")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*\.?")
_SPACELESS: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_HONORIFIC: Final = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,8}(?:様|さん|さま|先生|经理|小姐|님|씨)"
)
_ASKS_FIRST: Final = frozenset(
    ("is", "are", "was", "were", "do", "does", "did", "can", "will", "have", "has", "am")
)
"""English sentences that begin so ask, question mark or not; 'Will do' and 'Have a nice day' do not."""
_SENTENCE_END: Final = re.compile(r"[.!:;…]+(?:\s|$)|[!]")
_NOT_ASKED: Final = re.compile(
    r"(?:will do|have an? (?:very |really )?(?:nice|good|great|lovely|wonderful|fine))\b"
)
_PHRASE: Final = re.compile(
    "|".join(rf"(?<!\w){re.escape(p)}(?!\w)" for p in sorted(PHRASES, key=len, reverse=True))
)
_SORTED_UNSPACED: Final = tuple(sorted(UNSPACED, key=len, reverse=True))


def is_thanks_only(reply: str) -> bool:
    """Whether the new words of a mail thank or praise and say nothing else.

    False for an empty reply, for more than MAX_LENGTH characters or MAX_WORDS words, and whenever a question,
    a negation, a failure word, a figure, an address or an unknown word is in it. Never raises.
    """
    text = unicodedata.normalize("NFC", reply.strip()[: MAX_LENGTH + 1]).replace("’", "'")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not text or len(text) > MAX_LENGTH or len(lines) > _MAX_LINES:
        return False
    plain = _SMILES.sub(" ", text)
    if _QUESTION.search(plain) or _SAD.search(plain) or not all(_is_harmless(char) for char in plain):
        return False
    if _SPACELESS.search(plain):
        return _thanks_unspaced(plain)
    return _thanks_in_words([_SMILES.sub(" ", line) for line in lines])


def _is_harmless(char: str) -> bool:
    return char.isalpha() or char in _MARKS or char in _CHEERFUL or unicodedata.category(char) in ("Mn", "Zs")


def _thanks_unspaced(text: str) -> bool:
    """For Chinese, Japanese and Korean: what is left after all courtesies are taken out must be nothing."""
    folded = text.casefold()
    without = _without_courtesies(folded)
    if any(word in without for word in UNSPACED_FORBIDDEN):
        return False
    first, end, others = folded.partition("\n")
    thanked = any(word in folded for word in UNSPACED_THANKS)
    folded = _without_courtesies(_HONORIFIC.sub(" ", first) + end + others)
    left = "".join(char for char in folded if char.isalpha())
    latin = {word.rstrip(".").casefold() for word in _WORD.findall(folded) if word.isascii()}
    if latin - THANKS - PRAISE - COURTESY:
        return False
    joined = "".join(char for char in left if not char.isascii())
    # Particles between courtesies (zh 的 了, ja を に は の で て, ko 을 를 이 가): nothing that can be a word.
    return thanked and not joined.strip(
        "的了您你也很我们都和啦哦！をにはのでてもがとおご致たしまこ을를이가에의도은는"
    )


def _without_courtesies(text: str) -> str:
    for phrase in _SORTED_UNSPACED:
        text = text.replace(phrase, " ")
    return text


def _thanks_in_words(lines: list[str]) -> bool:
    folded = [_PHRASE.sub(_replaced, _folded(line)) for line in lines]
    said = {word.rstrip(".") for line in folded for word in _WORD.findall(line)}
    beside_said = {word.rstrip(".") for line in lines for word in _WORD.findall(_folded(line))}
    if any(not beside & beside_said for word, beside in AMBIGUOUS.items() if word in said):
        return False
    thanked = False
    names = count = 0
    for number, line in enumerate(folded):
        for sentence in _SENTENCE_END.split(line):
            words = [word.rstrip(".") for word in _WORD.findall(sentence)]
            if _asks(sentence) or any(_forbidden(word) for word in words):
                return False
            known = [word in THANKS or word in PRAISE or word in COURTESY for word in words]
            thanked = thanked or any(word in THANKS or word in PRAISE for word in words)
            count += len(words)
            unknown = [word for word, is_known in zip(words, known, strict=True) if not is_known]
            if not unknown:
                continue
            names += len(unknown)
            signed = number > 0 and len(unknown) == len(words)
            if not (signed or _name_follows(words, known)) or not _all_capital(lines[number], unknown):
                return False
    return thanked and names <= _MAX_NAMES and count <= MAX_WORDS


def _folded(line: str) -> str:
    """Case folded; the Turkish capital I with its dot is an i."""
    return line.casefold().replace("i\u0307", "i")


def _replaced(phrase: re.Match[str]) -> str:
    """What stands for a known phrase: thanks when it thanks or says that something works, else nothing."""
    words = phrase[0].split()
    return " thanks " if any(w in THANKS or w in PRAISE or w.startswith("work") for w in words) else " "


def _asks(sentence: str) -> bool:
    clauses = (clause.strip() for clause in sentence.split(","))
    return any(c.split()[0] in _ASKS_FIRST and not _NOT_ASKED.match(c) for c in clauses if c)


def _forbidden(word: str) -> bool:
    if word in FORBIDDEN:
        return True
    if "'" in word or "-" in word:
        return any(piece in FORBIDDEN or piece == "t" for piece in re.split(r"['-]", word))
    return False


def _name_follows(words: list[str], known: list[bool]) -> bool:
    """Whether all unknown words of a sentence stand together right after thanks, a greeting or a closing."""
    first = known.index(False)
    last = len(known) - 1 - known[::-1].index(False)
    return first > 0 and not any(known[first : last + 1]) and words[first - 1] in BEFORE_NAMES


def _all_capital(line: str, words: list[str]) -> bool:
    """Whether the words are written as names are; scripts without capitals cannot tell, so there it is no."""
    written = [word.rstrip(".") for word in _WORD.findall(line)]
    return all(any(w.casefold() == word and w[:1].isupper() for w in written) for word in words)
