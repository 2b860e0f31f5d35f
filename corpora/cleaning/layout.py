"""From printed pages to paragraphs: page furniture, broken words, hard-wrapped lines, verse."""

from __future__ import annotations

import re

# Lines this much shorter than the page's width, one after another, are verse.
_VERSE_SHARE = 0.8
# Or lines that, but for some, begin with a capital.
_CAPITAL_SHARE = 0.7
_VERSE_WIDTH = 55
_LONGEST_LINE = 200  # of a printed page; a longer line is a paragraph

# "12", "- 12 -", "p. 12", "12."; "F. 14a" is the leaf of a manuscript.
_PAGE_NUMBER = re.compile(
    r"^ *(?:[-–—(]* *(?:[Pp](?:age|g|AGE)?\.? *)?\d+ *[-–—).]*"
    r"|[A-Z]{1,3}\.? ?(?:\d )?\d{1,3}[abrv]\.?)$",
    re.MULTILINE,
)
_RULE = re.compile(r"^ *[*\-=_.+|~][*\-=_.+|~ ]*$", re.MULTILINE)
_CHAPTER = re.compile(r"^ *CHAP(?:TER|\.) [IVXLC\d]+\b[.:]?(?:--)? *", re.MULTILINE)
_MARKUP = re.compile(r"[=~+]+")
_TAG = re.compile(
    r"</?(?:[biup]|em|strong|su[bp]|span|small|br|hr|div)(?: [^<>\n]{0,200})?/?>", re.I
)
# Marks that typists put before a paragraph or around a block, and their own remarks:
# "P) ", ">From", "/*", "*** PAGE MISSING ***".
_TYPISTS = re.compile(r"^ *(?:P\) +|>(?=From\b)|\* +(?=\w))", re.MULTILINE)
_BLOCK_MARK = re.compile(r"/\*(?=\n|\Z)|\*/(?=\n|\Z)")
_REMARK = re.compile(r"^ *\*{3,}[^\n]{1,200}\*{3,}$", re.MULTILINE)
_HYPHEN_END = re.compile(r"[-¬‐](?<=[^\W\d_].)(\n+ *| )(?=[^\W\d_])")
_WORD = re.compile(r"[^\W\d_]+(?:[-‐][^\W\d_]+)*")
_LONGEST_WORD = 40
_INDENTED = re.compile(r" {2,8}\S")
_MOST_INDENTED = 0.35


def drop_furniture(text: str) -> str:
    """Drop page numbers, line numbers at the end of verse, rules and italics marks."""
    text = re.sub(r"[{}|^\[\]]+", "", text.replace("_", ""))
    if "*" in text:
        text = _REMARK.sub("", _BLOCK_MARK.sub("", text))
    text = _TYPISTS.sub("", text)
    text = _TAG.sub("", text) if "<" in text else text
    text = _PAGE_NUMBER.sub("", text)
    text = _RULE.sub("", text)
    # At least three spaces before the number: a line number, not part of the sentence.
    text = re.sub(r"   +\d{1,4}(?=\n|\Z)", _line_number, text)
    text = _MARKUP.sub(_markup, text)
    text = _CHAPTER.sub("", text)
    # What a note leaves behind: "made,, of", "made ."
    text = re.sub(r" +([,.;:])(?=\s)", r"\1", text)
    return re.sub(r",,+", ",", text)


def _line_number(match: re.Match[str]) -> str:
    start = match.start()
    return "" if start and match.string[start - 1] != "\n" else match.group()


def _markup(match: re.Match[str]) -> str:
    """Nothing for signs that set off words; they stay between other things, as in 2 = 2."""
    before = match.string[max(0, match.start() - 1) : match.start()]
    after = match.string[match.end() : match.end() + 1]
    opens = not before.isalnum() and (after.isalnum() or (after and after in "\"'(“‘"))
    closes = not after.isalnum() and (before.isalnum() or (before and before in ".,;:!?\"')”’"))
    return "" if opens or closes else match.group()


def join_hyphens(text: str, joins: bool) -> str:
    """Join words that a line end broke: ``hap-`` and ``pened``, also where lines were rewrapped.

    Args:
        text: a text whose line ends are those of the page.
        joins: what to do with a word that the rest of the text tells nothing about: write it
            as one (a scan), or with its hyphen (a text whose typist has joined broken words).
    """
    breaks = list(_HYPHEN_END.finditer(text))
    if not breaks:
        return text
    known = set(_WORD.findall(text))
    known |= {word.lower() for word in known}
    kept, position = [], 0
    for match in breaks:
        is_end = "\n" in match.group()  # else it may be "two- and threefold"
        left = _last_word(text, match.start())
        right = _WORD.match(text, match.end(), match.end() + _LONGEST_WORD)
        rest = right.group() if right else ""
        joined = (left + rest).lower() in known
        hyphenated = f"{left}-{rest}".lower() in known
        # Nobody writes a capital inside a word: "Anglo-\nSaxon".
        is_one = rest[:1].islower() and (joined or (joins and not hyphenated and is_end))
        keeps = "" if is_one else "-" if is_end or hyphenated else match.group()
        kept += [text[position : match.start()], keeps]
        position = match.end()
    return "".join([*kept, text[position:]])


def _last_word(text: str, end: int) -> str:
    found = re.search(r"[^\W\d_]+\Z", text[max(0, end - _LONGEST_WORD) : end])
    return found.group() if found else ""


def unwrap(text: str) -> str:
    """Join hard-wrapped lines into paragraphs; verse keeps its lines.

    Returns:
        One line per paragraph (or per verse), paragraphs separated by one blank line.
    """
    lengths = sorted(len(line) for line in text.split("\n") if line)
    if not lengths:
        return ""
    width = lengths[int(len(lengths) * 0.9)]
    blocks = (block for block in re.split(r"\n(?: *\n)+", text) if block.strip())
    return "\n\n".join(_unwrap_block(block, width) for block in blocks)


def _unwrap_block(block: str, width: int) -> str:
    written = [line for line in block.split("\n") if line.strip()]
    lines = [" ".join(line.split()) for line in written]
    if len(lines) == 1:
        return lines[0]
    if max(map(len, lines)) > _LONGEST_LINE:
        return "\n\n".join(lines)
    # The last line of a paragraph is short by nature, so it doesn't count.
    is_short = all(len(line) < width * _VERSE_SHARE for line in lines[:-1])
    capitals = sum(bool(re.match(r"[\W_]*[A-ZÞ]", line)) for line in lines)
    is_narrow = sum(map(len, lines)) < _VERSE_WIDTH * len(lines)
    is_capital = len(lines) > 3 and capitals >= _CAPITAL_SHARE * len(lines)
    if is_short or (is_narrow and is_capital):
        return "\n".join(lines)
    return "\n\n".join(" ".join(part) for part in _paragraphs(written, lines))


def _paragraphs(written: list[str], lines: list[str]) -> list[list[str]]:
    """Lines by paragraph: where few lines are indented, those begin one."""
    begins = [bool(_INDENTED.match(line)) for line in written]
    if not sum(begins[1:]) or sum(begins) > _MOST_INDENTED * len(lines):
        return [lines]
    parts: list[list[str]] = []
    for line, begin in zip(lines, begins, strict=True):
        if begin or not parts:
            parts.append([])
        parts[-1].append(line)
    return parts
