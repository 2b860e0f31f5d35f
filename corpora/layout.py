"""From printed pages to paragraphs: page furniture, hard-wrapped lines, verse."""

import re

# Lines this much shorter than the page's width, one after another, are verse.
_VERSE_SHARE = 0.8
# Or lines that, but for some, begin with a capital.
_CAPITAL_SHARE = 0.7
_VERSE_WIDTH = 55


def drop_furniture(text: str) -> str:
    """Drop page numbers, line numbers at the end of verse, rules and italics marks.

    Args:
        text: a book.

    Returns:
        The text without them.
    """
    text = re.sub(
        r"^[ \t]*[-–]*[ \t]*(?:p(?:age|g)?\.?[ \t]*)?\d+[ \t]*[-–]*[ \t]*$",
        "",
        text,
        flags=re.MULTILINE | re.IGNORECASE,
    )
    text = re.sub(r"^[ \t]*[*\-=_.+|~][*\-=_.+|~ \t]*$", "", text, flags=re.MULTILINE)
    # At least three spaces before the number: a line number, not part of the sentence.
    text = re.sub(r"(?<=\S)[ \t]{3,}\d{1,4}[ \t]*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=[A-Za-z])_(?=[A-Za-z])", "", text)
    text = re.sub(r"(?<!\w)[_=~+]+(?=[\w\"'(])|(?<=[\w.,;:!?\"')])[_=~+]+(?!\w)", "", text)
    chapter = r"^[ \t]*CHAP(?:TER|\.) [IVXLC\d]+\b[.:]?(?:--)?[ \t]*"
    text = re.sub(chapter, "", text, flags=re.MULTILINE)
    text = re.sub(r"[{}|^\[\]]", "", text)
    # What a note leaves behind: "made,, of".
    return re.sub(r",,+", ",", re.sub(r"[ \t]+([,.;:])(?=\s)", r"\1", text))


def unwrap(text: str) -> str:
    """Join hard-wrapped lines into paragraphs; verse keeps its lines.

    Args:
        text: a book with blank lines between paragraphs.

    Returns:
        One line per paragraph (or per verse), paragraphs separated by one blank line.
    """
    lengths = sorted(len(line.strip()) for line in text.split("\n") if line.strip())
    if not lengths:
        return ""
    width = lengths[int(len(lengths) * 0.9)]
    blocks = (block for block in re.split(r"\n(?:[ \t]*\n)+", text) if block.strip())
    return "\n\n".join(_unwrap_block(block, width) for block in blocks)


def _unwrap_block(block: str, width: int) -> str:
    lines = [" ".join(line.split()) for line in block.split("\n") if line.strip()]
    # The last line of a paragraph is short by nature, so it doesn't count.
    is_short = len(lines) > 1 and all(len(line) < width * _VERSE_SHARE for line in lines[:-1])
    capitals = sum(bool(re.match(r"[\W_]*[A-ZÞ]", line)) for line in lines)
    is_narrow = sum(map(len, lines)) < _VERSE_WIDTH * len(lines)
    is_capital = len(lines) > 3 and capitals >= _CAPITAL_SHARE * len(lines)
    is_verse = is_short or (is_narrow and is_capital)
    if is_verse:
        return "\n".join(lines)
    return re.sub(r"(?<=[a-z])- (?=[a-z])", "-", " ".join(lines))
