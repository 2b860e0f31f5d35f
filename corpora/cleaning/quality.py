"""How well a text was read from its pages, and in which language it is."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from progressgym.errors import UsageError

TABLE = Path(__file__).with_name("letters.csv")
_SAMPLE = 200_000  # characters that are looked at, at most
_PIECES = 20  # of the sample, spread over the text
_SHORT = 3  # letters of a word that is known or not; of longer ones each three letters are
_RAREST_WORD, _RAREST_SEQUENCE = 3e-5, 1e-5  # of an era's words: rarer ones aren't in the table
_LEAST_SEEN = 3

_OLD_LETTERS = str.maketrans(
    {"þ": "th", "Þ": "th", "ð": "th", "Ð": "th", "ȝ": "gh", "Ȝ": "gh", "ƿ": "w", "ſ": "s"}
    | {"æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe"}
)
_INITIAL = re.compile(r"\b[A-Z]\.")
_WITHIN = re.compile("['’\u0300-\u036f]")  # apostrophes, and what NFKD makes of accents
_TOKEN = re.compile(r"\w+|[^\w\s.,;:!?'\"“”‘’()\[\]&—–*/-]+")
_NUMBER = re.compile(
    r"\d+(?:st|nd|rd|th|[ds])?"
    r"|(?=[ivxlcdmj]{2})m{0,4}(?:cm|cd|d?c{0,4})(?:xc|xl|l?x{0,4})(?:ix|iv|v?i{0,3}[ij]?)"
)

# Words that fill English of every century, Middle English spellings included, and that other
# languages hardly share.
_ENGLISH = re.compile(
    r"\b(?:the|and|ant|annd|of|to|that|it|he|his|is|with|was|for|as|but|by|not|they|this|which|"
    r"from|had|have|be|their|him|all|there|we|our|are|you|my|when|or|who|were|them|an|if|will|"
    r"shall|would|what|she|her|hath|thou|thy|thee|ye|unto|upon|doth|these|those|no|such|into|been|"
    r"hem|hire|nat|gan|quod|wol|wolde|whan|ther|sche|haue|vnto|vpon|ony|than|then|yf|hys|hyt|yt|"
    r"your|youre|wel|eek|thus|every|euery|hadde|ful|now|how|shal|wole|swich|oon|myn|nought|noght|"
    r"ich|heo|hit|wes|weren|schal|swa|mid|hwen|nu|þe|þat|þis|þou|þey|þa|þurh|þurrh|off|te|oðer)\b",
    re.IGNORECASE,
)
_LEAST_ENGLISH = 0.25  # of words, where the library takes early English for its neighbours
_NEIGHBOURS = frozenset("nl de da no nb nn sv is fy af lb".split())
_LANGUAGES = (
    "en la fr de nl es it pt ca gl ro da sv no is af cy ga br eu pl cs sk sl hr hu fi et lv lt sq "
    "mt tr el ru uk bg sr he ar fa hi zh ja ko"
).split()
_CHUNKS = 12
_CHUNK = 1_500  # characters
_LEAST_LETTERS = 40  # of a chunk that is judged


def quality(text: str) -> float:
    """How good a transcript is: the share of its words that look like English of some century.

    A word of up to three letters does if it is a known one; a longer one, if each three letters
    in a row are found in English (:data:`TABLE`). Numbers don't count, stray signs count as bad
    words. Good transcripts reach 0.9 in every century from the thirteenth on; a scan with one
    letter in ten misread about 0.8.

    Returns:
        0 to 1; 0 for a text without words.
    """
    words = _count(_sample(text, _PIECES, _SAMPLE // _PIECES))
    total = sum(words.values())
    return sum(count for word, count in words.items() if _is_word(word)) / total if total else 0.0


def _sample(text: str, pieces: int, size: int) -> str:
    """Pieces of a text, spread evenly; all of one that is not longer."""
    if len(text) <= pieces * size:
        return text
    step = (len(text) - size) / (pieces - 1)
    starts = [round(number * step) for number in range(pieces)]
    # The words that are cut at both ends of a piece are left out.
    return " ".join(" ".join(text[s : s + size].split()[1:-1]) for s in starts)


def _count(text: str) -> Counter[str]:
    """Its words in small plain letters, and stray signs; without numbers."""
    text = _INITIAL.sub("", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.translate(_OLD_LETTERS))
    words = Counter(_TOKEN.findall(_WITHIN.sub("", text).lower()))
    return Counter({word: n for word, n in words.items() if not _NUMBER.fullmatch(word)})


def _is_word(word: str) -> bool:
    short, sequences = _table()
    if len(word) <= _SHORT:
        return word in short
    return all(sequence in sequences for sequence in _sequences(word))


def _sequences(word: str) -> list[str]:
    """Each three letters in a row; ^ and $ are the ends of the word."""
    marked = f"^{word}$"
    return [marked[number : number + 3] for number in range(len(marked) - 2)]


@cache
def _table() -> tuple[frozenset[str], frozenset[str]]:
    """Short words, and sequences of three letters, from the table."""
    short: set[str] = set()
    sequences: set[str] = set()
    with TABLE.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["start"]:
                sequences.update(row["start"] + letter for letter in row["rest"])
            else:
                short.update(row["rest"].split(" "))
    return frozenset(short), frozenset(sequences)


def make_table(texts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rows of :data:`TABLE`, from good texts.

    What is frequent in one era is in the table, so that few texts of an early one suffice.

    Args:
        texts: (era, text) of each.

    Returns:
        ("", short words), then (two letters, all that may follow).
    """
    eras: dict[str, Counter[str]] = defaultdict(Counter)
    for era, text in texts:
        eras[era].update(word for word in _count(text).elements() if re.fullmatch("[a-z]+", word))
    short: set[str] = set()
    following: dict[str, set[str]] = defaultdict(set)
    for words in eras.values():
        total = sum(words.values())
        least = max(_LEAST_SEEN, _RAREST_WORD * total)
        short |= {word for word, n in words.items() if len(word) <= _SHORT and n >= least}
        counts: Counter[str] = Counter()
        for word, n in words.items():
            if len(word) > _SHORT:
                counts.update(dict.fromkeys(_sequences(word), n))
        least = max(_LEAST_SEEN, _RAREST_SEQUENCE * total)
        for sequence, n in counts.items():
            if n >= least:
                following[sequence[:2]].add(sequence[2])
    # Of single letters only words count: others are what scanners leave of longer ones.
    known = sorted(word for word in short if len(word) > 1 or word in "aio")
    rows = [(start, "".join(sorted(letters))) for start, letters in sorted(following.items())]
    return [("", " ".join(known)), *rows]


def language(text: str) -> str:
    """The language of most of a text: its ISO 639-1 code, or empty if none can be told.

    Judged by ``py3langid`` in pieces, so that quotations don't decide. Early English, which it
    takes for Dutch or Norse at times, is known by its small words.

    Raises:
        UsageError: ``py3langid`` isn't installed.
    """
    votes: Counter[str] = Counter()
    for chunk in _chunks(text):
        found = _identifier().classify(chunk)[0]
        if found in _NEIGHBOURS and _is_early_english(chunk):
            found = "en"
        votes["no" if found in ("nb", "nn") else found] += 1
    if not votes:
        return ""
    best, count = votes.most_common(1)[0]
    return (
        best if 2 * count > votes.total() or (best == "en" and 2 * count == votes.total()) else ""
    )


def _chunks(text: str) -> list[str]:
    """Pieces that are mostly letters."""
    size = min(_CHUNK, max(1, len(text)))
    pieces = min(_CHUNKS, max(1, len(text) // size))
    step = (len(text) - size) / max(1, pieces - 1)
    chunks = (text[round(n * step) : round(n * step) + size] for n in range(pieces))
    return [chunk for chunk in chunks if _is_readable(chunk)]


def _is_readable(chunk: str) -> bool:
    letters = sum(map(str.isalpha, chunk))
    return letters >= max(_LEAST_LETTERS, 0.5 * (len(chunk) - sum(map(str.isspace, chunk))))


def _is_early_english(chunk: str) -> bool:
    return len(_ENGLISH.findall(chunk)) >= _LEAST_ENGLISH * len(chunk.split())


@cache
def _identifier() -> Any:
    try:
        library = import_module("py3langid.langid")
    except ImportError as error:
        raise UsageError("Cleaning needs py3langid: pip install 'progressgym[corpora]'.") from error
    identifier = library.LanguageIdentifier.from_model_file(library.MODEL_FILE)
    identifier.set_languages(_LANGUAGES)
    return identifier
