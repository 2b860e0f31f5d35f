"""Names and codes of languages, as collections write them."""

from __future__ import annotations

from itertools import pairwise

_NAMES = {
    "en": "English", "enm": "Middle English", "ang": "Old English", "la": "Latin",
    "fr": "French", "fro": "Old French", "it": "Italian", "es": "Spanish", "pt": "Portuguese",
    "de": "German", "gmh": "Middle High German", "nl": "Dutch", "el": "Greek",
    "grc": "Ancient Greek", "he": "Hebrew", "ar": "Arabic", "cy": "Welsh", "ga": "Irish",
    "gd": "Scottish Gaelic", "sco": "Scots", "da": "Danish", "sv": "Swedish", "no": "Norwegian",
    "is": "Icelandic", "fi": "Finnish", "ru": "Russian", "pl": "Polish", "cs": "Czech",
    "hu": "Hungarian", "fa": "Persian", "tr": "Turkish", "zh": "Chinese", "ja": "Japanese",
    "sa": "Sanskrit",
}  # fmt: skip
_LONG = {
    "eng": "en", "lat": "la", "fre": "fr", "fra": "fr", "ita": "it", "spa": "es", "por": "pt",
    "ger": "de", "deu": "de", "dut": "nl", "nld": "nl", "gre": "el", "ell": "el", "heb": "he",
    "ara": "ar", "wel": "cy", "cym": "cy", "gle": "ga", "gla": "gd", "dan": "da", "swe": "sv",
    "nor": "no", "ice": "is", "isl": "is", "fin": "fi", "rus": "ru", "pol": "pl", "cze": "cs",
    "ces": "cs", "hun": "hu", "per": "fa", "fas": "fa", "tur": "tr", "chi": "zh", "zho": "zh",
    "jpn": "ja", "san": "sa",
}  # fmt: skip
_CODES = {name.lower(): code for code, name in _NAMES.items()}


def language_code(word: str) -> str:
    """ISO 639 code, the two-letter one where there is one, of a language's name or code.

    A region is dropped (``en-GB``), a language that is not known here stays as it is written.
    """
    plain = word.strip().lower()
    stem = plain.split("-")[0].split("_")[0]
    return _CODES.get(plain) or _LONG.get(stem) or (stem if stem in _NAMES else plain)


def language_name(code: str) -> str:
    """English name of a code; the code itself where it is not known here."""
    return _NAMES.get(code, code)


def original_of(title: str) -> str:
    """Code of the language that a title says its book was translated from; empty if none."""
    words = title.lower().replace(",", " ").split()
    for before, word in pairwise(words):
        if before in {"of", "from", "the"} and word.removesuffix("e") in {"latin", "french"}:
            return _CODES[word.removesuffix("e")]
        if before in {"of", "from", "the"} and word in _CODES and word != "english":
            return _CODES[word]
    return ""
