"""Characters: repair what decoding broke, and write each letter and line end in one way."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from progressgym.errors import UsageError

# What UTF-8 looks like when it was read as Latin-1 or Windows-1252 (a lead byte, then one that
# continues), the same for Mac Roman, control characters, entities.
_SUSPICIOUS = re.compile(
    "[Â-ô][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|‚Ä|√[©®†¢]|[\x80-\x9f]"
    r"|&(?:#\d{1,7}|#x[\da-fA-F]{1,6}|[A-Za-z]{2,8});"
)
# A line, or a piece of a very long one that ends where a word ends.
_PIECE = re.compile(r"[^\n]{1,1000}(?!\S)|[^\n]{1,1000}|\n+")

_LETTERS = {"ſ": "s", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
# Never seen on paper: control and formatting characters, half surrogates, and U+FFFD.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufffd"
    "\ud800-\udfff]"
)
_LINE_END = re.compile("\r\n?|[\x0b\x85\u2028\u2029]")
_SPACE = re.compile("[\t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_WIDEST = 60  # spaces; more carry no meaning, and long runs cost time
_SAME_SIGNS = re.compile(r"([-=_.*~+#|\[\]{}()<>'\"^!?:;,/&%$@\\])\1{39,}")


def repair_encoding(text: str) -> str:
    """Undo wrong decoding and entities, such as ``donâ€™t`` and ``&amp;``; quotes stay as they are.

    Only lines with something suspicious are given to ``ftfy``, which is slow.

    Raises:
        UsageError: there is such a line, and ``ftfy`` isn't installed.
    """
    if not _SUSPICIOUS.search(text):
        return text
    return _PIECE.sub(_repair, text)


def _repair(match: re.Match[str]) -> str:
    piece = match.group()
    if not _SUSPICIOUS.search(piece):
        return piece
    fixer, config = _ftfy()
    return fixer(piece, config)


@cache
def _ftfy() -> tuple[Any, Any]:
    """The fixer, and what it may do: nothing to characters that are right."""
    try:
        import ftfy
    except ImportError as error:
        raise UsageError("Cleaning needs ftfy: pip install 'progressgym[corpora]'.") from error
    config = ftfy.TextFixerConfig(
        unescape_html=True,
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        fix_line_breaks=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )
    return ftfy.fix_text, config


def unify_letters(text: str) -> str:
    """Write long s as s and a ligature of f or t as its letters; drop what no page shows."""
    for letter, plain in _LETTERS.items():
        if letter in text:
            text = text.replace(letter, plain)
    return _UNSEEN.sub("", text)


def unify_spaces(text: str) -> str:
    """One kind of line end and of space; no spaces at line ends, no long runs of anything.

    Form feeds stay: they are the page ends of a scanned book.
    """
    text = _LINE_END.sub("\n", text)
    text = _SPACE.sub(lambda match: "    " if match.group() == "\t" else " ", text)
    text = re.sub(f" {{{_WIDEST + 1},}}", " " * _WIDEST, text)
    text = _SAME_SIGNS.sub(r"\1\1\1", text)
    if "\f" in text:
        text = re.sub(" +\f", "\f", text)
    if " \n" in text:
        text = "\n".join([line.rstrip(" ") for line in text.split("\n")])
    return re.sub("\n{4,}", "\n\n\n", text.rstrip(" "))
