"""Letters of an early printed page, written as we would: from a transcriber's marks to plain text.

A word with letters that nobody can read is restored where just one word of the same text fits
what is left of it, and that occurs twice at least; it is left out otherwise: half words are noise,
and a guess is not the author's.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import product

# Marks, from the area of Unicode that is nobody's.
ONE = "\ue001"  # a letter that cannot be read
SOME = "\ue002"  # some letters that cannot be read
WORD = "\ue003"  # words that cannot be read
FOREIGN = "\ue004"  # words in another script, not transcribed
JOIN = "\ue005"  # a word goes on: its parts are on two lines
LINE_END = "\ue006"
INITIAL = "\ue007"  # the letter before is a drop capital
RAISED = "\ue008"  # the letters that follow are raised

DAMAGED = 0.25  # a block with a larger share of illegible words is left out
KNOWN = 3  # letters that must be legible in a word to be restored

_STROKE = "\u0304"
_GAPPED = re.compile(rf"[\w'’{_STROKE}]*[{ONE}{SOME}][\w'’{ONE}{SOME}{_STROKE}]*")
_WHOLE = re.compile(rf"(?<![\w{ONE}{SOME}])[\w']+(?![\w{ONE}{SOME}{_STROKE}])")
_RAISINGS = {
    "ye": "the", "yt": "that", "ys": "this", "yu": "thou", "yei": "they", "yem": "them",
    "wt": "with", "wth": "with", "wch": "which", "wc": "which",
}  # fmt: skip
_SHAPES = str.maketrans({"ſ": "s", "Ʋ": "V", "ꝛ": "r", "ﬁ": "fi", "ﬂ": "fl", "ﬀ": "ff", "ﬃ": "ffi",
                         "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "▪": "", "\u0305": _STROKE})  # fmt: skip


class Letters:
    """What can be said of a text's letters when all of its words are known.

    Args:
        blocks: all of the text, with marks.
    """

    def __init__(self, blocks: Iterable[str]) -> None:
        self._counts: Counter[str] = Counter()
        for block in blocks:
            self._counts.update(word.lower() for word in _WHOLE.findall(_joined(block)))
        by_length: dict[int, list[str]] = defaultdict(list)
        for word in self._counts:
            by_length[len(word)].append(word)
        self._lists = {length: "\n".join(words) for length, words in by_length.items()}

    def settle(self, block: str) -> str:
        """The block as we would write it; empty where too little of it can be read."""
        text = _joined(block)
        text = re.sub(rf"[\w{_STROKE}]*{_STROKE}[\w{_STROKE}]*", self._unabbreviated, text)
        text = _GAPPED.sub(self._restored, text)
        lost = text.count(WORD)
        if lost and lost > DAMAGED * len(text.split()):
            return ""
        return _tidy(re.sub(f"[{WORD}{FOREIGN}]", " ", text))

    def _unabbreviated(self, found: re.Match[str]) -> str:
        """A stroke over a letter stands for an n or m after it; which, other places may tell."""
        parts = found[0].split(_STROKE)
        choices = map(_after_stroke, parts, parts[1:])
        spellings = (
            "".join(part + letter for part, letter in zip(parts, [*letters, ""], strict=True))
            for letters in product(*choices)
        )
        return max(spellings, key=lambda word: self._counts[word.lower()])

    def _restored(self, found: re.Match[str]) -> str:
        """The one word that fits, or the mark of a lost one."""
        seen = re.sub(f"[{ONE}{SOME}]", "", found[0])
        if len(seen) >= KNOWN:
            fits = list(self._fitting(found[0].lower()))
            if len(fits) == 1 and self._counts[fits[0]] > 1:
                upper = found[0].isupper() or found[0][0].isupper()
                return fits[0].capitalize() if upper else fits[0]
        return WORD

    def _fitting(self, word: str) -> Iterator[str]:
        pattern = re.escape(word).replace(ONE, r"[^\W\d_]").replace(SOME, r"[^\W\d_]{1,4}")
        rule = re.compile(rf"^{pattern}$", re.MULTILINE)
        most = len(word) + 3 * word.count(SOME)
        for length in range(len(word), most + 1):
            yield from rule.findall(self._lists.get(length, ""))


def _after_stroke(letters: str, following: str) -> tuple[str, ...]:
    """What a stroke over the last of some letters may stand for, the likeliest first."""
    last = letters[-1:].lower()
    if not last or last not in "aeiouy":
        return (last, "") if last in ("m", "n") else ("",)
    if following[:1].lower() in ("b", "p", "m"):
        return ("m", "n")
    # At the end of a word Latin has an m after u, a and e; English has an n, but for whom and them.
    return ("m", "n") if not following and last == "u" else ("n", "m")


def _joined(block: str) -> str:
    """Lines joined, and letters in our shapes."""
    text = re.sub(rf"[-‐‑¬∣]\s*{LINE_END}\s*|\s*{JOIN}\s*", "", block)
    text = re.sub(r"\s+", " ", text.replace(LINE_END, " ")).strip()
    text = unicodedata.normalize("NFD", text).translate(_SHAPES)
    text = re.sub(rf"{_STROKE}(?=[\u0300-\u036f])", "", text)
    text = unicodedata.normalize("NFC", re.sub(_STROKE, "\ue009", text)).replace("\ue009", _STROKE)
    text = re.sub(rf"\b(\w+){RAISED}(\w+)", _raised, text).replace(RAISED, "")
    text = _opened(text)
    return re.sub("V[Vv]", "W", text).replace("vv", "w")


def _raised(found: re.Match[str]) -> str:
    whole = found[1] + found[2]
    meant = _RAISINGS.get(whole.lower(), whole)
    return meant.capitalize() if whole[0].isupper() and meant != whole else meant


def _opened(text: str) -> str:
    """The first word in ordinary letters: its drop capital was followed by capitals.

    A letter that is no word itself belongs to what follows even across a space.
    """
    text = re.sub(rf"\b([B-HJ-NP-Zb-hj-np-z]){INITIAL}\s+(?=\w)", rf"\1{INITIAL}", text)
    text = re.sub(rf"\b([AIO]){INITIAL}\s+(?=[B-HJ-NP-Z]\b)", rf"\1{INITIAL}", text)
    text = re.sub(
        rf"(\w){INITIAL}([A-ZÆŒ]+)", lambda found: found[1].upper() + found[2].lower(), text
    ).replace(INITIAL, "")
    text = re.sub(r"^(\W*)(VV|[A-Z])([A-Z])(?=[a-z])", lambda m: m[1] + m[2] + m[3].lower(), text)
    return re.sub(
        r"^(\W*)(?![IVXLCDM]+\b)([A-Z])([A-Z]+)(?= [a-z])",
        lambda m: m[1] + m[2] + m[3].lower(),
        text,
    )


def _tidy(text: str) -> str:
    """No spaces or brackets are left where a word was; no leaders and marks of notes."""
    text = re.sub(r"[.,]?\.{4,}|(?<=\s)[*†‡](?=\s)", " ", text)
    text = re.sub(r"\(\W*\)|\[\W*\]", " ", text)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" +([,.;:!?)\]])", r"\1", text)
    text = re.sub(r"([,;:])[,;:]+", r"\1", text)
    text = re.sub(r"([(\[]) +", r"\1", text)
    return "" if not re.search(r"\w", text) else text.strip()
