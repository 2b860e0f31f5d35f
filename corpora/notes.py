"""Take editors' notes out of a text: footnotes, brackets, glosses, margins, citations."""

import re

# Paragraphs written by whoever made the electronic text, wherever they stand.
_PRODUCER = re.compile(
    r"project gutenberg|gutenberg-tm|\betext\b|\be-?text\b|electronic text|transcriber|"
    r"transcribed (from|by)|^\W*produced by|proofread|www\.|https?:|\.txt\b|\S+@\S+\.\w+",
    re.IGNORECASE,
)
_NOTES_HEADING = re.compile(r"^\W*(foot|end)?notes?\W*$", re.IGNORECASE)
# "[12]", "{12a}", "[*]": the mark of a note, before it or inside the text.
_NOTE_MARK = r"(?:\[(?:\d+[a-z]?|[a-z]|[*†‡§]+|Note \d+)\]|\{\d+[a-z]?\})"
_NOTE_BLOCK = re.compile(
    rf"^\s*(?:{_NOTE_MARK}|\(\d+\)|\d+\.?\s|\*+\s?\S|†|‡|Note \d+\.|\([*+%$#&]\))"
)
_CERTAIN_NOTE = re.compile(
    rf"^\s*(?:{_NOTE_MARK}|\(\d+\) +[A-Z][a-z]+\.? [ivxlc]+\.|Note \d+\.|Note to |†|‡|"
    r"\([*+%$#&]+\)|\[?Footnote|\[?Sidenote|\[?Illustration)"
)
_BRACKETED_NOTE = re.compile(
    r"\[\s*_?(?:Footnotes?|Sidenotes?|Headnotes?|Illustrations?|Transcriber|Note|Editor|Picture|"
    r"Greek)\b",
    re.IGNORECASE,
)
_LONGEST_NOTE = 20_000
_MANY_GLOSSES = 50
_LONG_BLOCK = 5_000
# Texts older than this cite no manuscripts, plates or page numbers: their editors do.
SCHOLARSHIP = 1600
_SCHOLARSHIP = re.compile(
    r"\bMSS?\b|\bPl\. [IVXLC\d]|\bpp?\. ?\d|\b[Ii]bid\b|\b[Vv]ol\. |\b[Ee]d(?:ited|\.) by\b|"
    r"\bNos?\. ?\d|\b[Cc]f\. |\b[Ee]dition\b|\bop\. cit|\b[Nn]ote \d"
)
# "The importance of light and shade (235-239).": a title made for numbered passages.
_SECTION_TITLE = re.compile(r"^\D{,200}\(\d{2,4}[\d\s.,-]*\)\.?\s*$")
_YEARS_AFTER = 30
# A word in brackets that only completes the author's sentence is kept, without the brackets.
_SUPPLIED = re.compile(
    r"the|an?|of|to|in|is|that|and|be|not|s?he|it|his|her|their|which|was|are|were|with|by|for|as|"
    r"them|they|this|so|or|had|have|who|on|at|from|him|all"
)


def drop_note_blocks(text: str) -> str:
    """Drop footnotes that stand as their own paragraphs, and blocks headed FOOTNOTES.

    Args:
        text: a book.

    Returns:
        The text without them, and without what the makers of the electronic text wrote.
    """
    kept, in_notes = [], False
    for block in re.split(r"\n[ \t]*\n", text):
        first = block.strip("\n").split("\n")[0]
        if _NOTES_HEADING.match(first):
            in_notes = True
        # A notes block ends at the first paragraph that is neither marked nor indented.
        in_notes = in_notes and bool(
            _NOTES_HEADING.match(first) or _NOTE_BLOCK.match(first) or first.startswith("  ")
        )
        if not (in_notes or _CERTAIN_NOTE.match(first)):
            kept.append(_without_producer(block))
    return "\n\n".join(kept)


def _without_producer(block: str) -> str:
    """Nothing of a paragraph about the electronic text; a whole speech loses the sentence only."""
    if not _PRODUCER.search(block):
        return block
    sentences = re.split(r"(?<=[.!?])\s+", block) if len(block) > _LONG_BLOCK else []
    return " ".join(sentence for sentence in sentences if not _PRODUCER.search(sentence))


def drop_scholarship(text: str, year: int) -> str:
    """Drop paragraphs that cite as only a modern editor does, or name a year after the author's.

    Args:
        text: a book.
        year: when its author wrote.

    Returns:
        The text without them.
    """
    kept = []
    for block in re.split(r"\n[ \t]*\n", text):
        years = [int(number) for number in re.findall(r"(?<![\d,.$])1[2-9]\d\d(?![\d,])", block)]
        late = any(number > year + _YEARS_AFTER for number in years)
        if not (late or _SCHOLARSHIP.search(block) or _SECTION_TITLE.search(block)):
            kept.append(block)
    return "\n\n".join(kept)


def drop_margins(text: str) -> str:
    """Drop notes in the margin, which a `//` sets off from the line on their left or right.

    Args:
        text: a book.

    Returns:
        The text with the longer side of each such line, and without page headings.
    """
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if " //" in line or "// " in line:
            lines[number] = max(line.split("//"), key=lambda part: len(part.strip()))
        elif re.match(r"^\s*(\d{1,3}\s+_[^_]+_|_[^_]+_\s+\d{1,3})\s*$", line):
            lines[number] = ""
    return "\n".join(lines)


def drop_glosses(text: str) -> str:
    """Drop an editor's translations at the right of the verse: `licour     *liquid`.

    Args:
        text: a book.

    Returns:
        The text without them, and without the asterisks that mark the glossed words.
    """
    text, glosses = re.subn(r"(?<=\S)[ \t]{2,}\*[^\n]*$", "", text, flags=re.MULTILINE)
    if glosses > _MANY_GLOSSES:
        # A long gloss goes on below, at the right of the verse or alone.
        text = re.sub(r"(?<=\S)[ \t]{5,}\S[^\n]*$", "", text, flags=re.MULTILINE)
        text = re.sub(r"^[ \t]{20,}\*?[a-z(&][^\n]*$", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<=[\w,.;:!?'])\*+|\*+(?=\w)", "", text)


def drop_bracketed_notes(text: str) -> str:
    """Drop `[Footnote ...]`, `[Sidenote ...]`, `[Illustration ...]` and the like, at any length.

    Args:
        text: a book.

    Returns:
        The text without them; a note whose bracket never closes ends with its paragraph.
    """
    kept, position = [], 0
    for match in _BRACKETED_NOTE.finditer(text):
        if match.start() >= position:
            kept.append(text[position : match.start()])
            position = _closing_bracket(text, match.start())
    return "".join([*kept, text[position:]])


def _closing_bracket(text: str, start: int) -> int:
    depth = 0
    for number in range(start, min(len(text), start + _LONGEST_NOTE)):
        depth += (text[number] == "[") - (text[number] == "]")
        if depth == 0:
            return number + 1
    end = text.find("\n\n", start)
    return end if end >= 0 else len(text)


def drop_brackets(text: str) -> str:
    """Drop note marks and editors' brackets; keep a letter or a word supplied in brackets.

    Args:
        text: a book.

    Returns:
        The text without `[12]`, `{3}`, `[Illustration: ...]` or `[a remark]`.
    """
    text = re.sub(_NOTE_MARK, "", text)
    # Darwin's notes stand in the sentence: "(32. See also the drawings ...)".
    text = re.sub(r"\s?\(\d{1,3}\. (?:[^()]|\([^()]*\))*\)", "", text)
    text = re.sub(r"[ \t]?\((?:\d{1,3}|[*+%$#&]+)\)|<[\dl]{1,3}>", "", text)
    # "high{e}" and "co[n]nyng": letters that an editor wrote out.
    text = re.sub(r"\{([a-z&]{1,4})\}", r"\1", text)
    text = re.sub(r"\[=(\w)\]", r"\1", text)
    text = re.sub(r"\{[^{}\n]{0,60}\}", "", text)
    # Innermost first, so that a bracket inside a footnote goes before the footnote.
    for _ in range(3):
        text = re.sub(r"(\w?)\[([^\[\]]*)\](\w?)", _bracket, text)
    return text


def _bracket(match: re.Match[str]) -> str:
    before, inside, after = match.groups()
    inside = inside.strip("_")
    # "co[n]nyng" keeps its letter; "dearth [dearness]" loses its gloss.
    if _SUPPLIED.fullmatch(inside) or ((before or after) and len(inside) <= 3 and inside.isalpha()):
        return before + inside + after
    return f"{before} {after}" if before and after else before + after
