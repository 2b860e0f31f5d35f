"""Take editors' notes out of a text: footnotes, brackets, glosses, margins, citations."""

from __future__ import annotations

import re

_NOTES_HEADING = re.compile(r"^[^\w\n]{0,10}(foot|end)?notes?[^\w\n]{0,10}$", re.IGNORECASE)
# "[12]", "{12a}", "[*]": the mark of a note, before it or inside the text.
_NOTE_MARK = r"(?:\[(?:\d+[a-z]?|[*†‡§]{1,9}|Note \d+)\]|\[[a-z]\](?![^\W\d_])|\{\d+[a-z]?\})"
_NOTE_BLOCK = re.compile(
    rf"\s*(?:{_NOTE_MARK}|\(\d+\)|\d+\.?\s|\*+\s?\S|†|‡|Note \d+\.|\([*+%$#&]\))"
)
_CERTAIN_NOTE = re.compile(
    rf"\s*(?:{_NOTE_MARK}|\(\d+\) +[A-Z][a-z]+\.? [ivxlc]+\.|Note \d+\.|Note to |†|‡|"
    r"E\d\. |\([*+%$#&]+\)|\[?Footnote|\[?Sidenote|\[?Illustration)"
)
# Every note begins with one of these, and most paragraphs with none.
_NOTE_STARTS = frozenset("[{(*†‡NFSIE 0123456789")
_BRACKETED_NOTE = re.compile(
    r"\[\s*_?(?:Footnotes?|Sidenotes?|Headnotes?|Illustrations?|Transcriber|Note|Editor|Picture|"
    r"Greek)\b",
    re.IGNORECASE,
)
_LONGEST_NOTE = 20_000
_MANY_GLOSSES = 50
_SCHOLARSHIP = re.compile(
    r"\bMSS?\b|\bPl\. [IVXLC\d]|\bpp?\. ?\d|\b[Ii]bid\b|\b[Vv]ol\. |\b[Ee]d(?:ited|\.) by\b|"
    r"\bNos?\. ?\d|\b[Cc]f\. |\b[Ee]dition\b|\bop\. cit|\b[Nn]ote \d"
)
# "The importance of light and shade (235-239).": a title made for numbered passages.
_SECTION_TITLE = re.compile(r"^\D{,200}\(\d{2,4}[\d\s.,-]{0,200}\)\.?\s*$")
_YEARS_AFTER = 30
# After three spaces it is the number of a verse.
_YEAR = re.compile(r"(?<!   )(?<![\d,.$])1[2-9]\d\d(?![\d,])")
# A word in brackets that only completes the author's sentence is kept, without the brackets.
_SUPPLIED = re.compile(
    r"the|an?|of|to|in|is|that|and|be|not|s?he|it|his|her|their|which|was|are|were|with|by|for|as|"
    r"them|they|this|so|or|had|have|who|on|at|from|him|all"
)


def drop_note_blocks(text: str) -> str:
    """Drop footnotes that stand as their own paragraphs, and blocks headed FOOTNOTES."""
    kept, in_notes = [], False
    for block in text.split("\n\n"):
        first = block.lstrip("\n").partition("\n")[0]
        if not in_notes and first[:1] not in _NOTE_STARTS and len(first) > 20:
            kept.append(block)
            continue
        is_heading = bool(_NOTES_HEADING.match(first))
        # A notes block ends at the first paragraph that is neither marked nor indented.
        in_notes = is_heading or (
            in_notes and bool(_NOTE_BLOCK.match(first) or first.startswith("  "))
        )
        if not (in_notes or _CERTAIN_NOTE.match(first)):
            kept.append(block)
    return "\n\n".join(kept)


def drop_scholarship(text: str, year: int) -> str:
    """Drop paragraphs that cite as only a modern editor does, or name a year after the author's.

    Args:
        text: a book.
        year: when its author wrote.
    """
    kept = []
    for block in text.split("\n\n"):
        late = any(int(number) > year + _YEARS_AFTER for number in _YEAR.findall(block))
        if not (late or _SCHOLARSHIP.search(block) or _SECTION_TITLE.search(block)):
            kept.append(block)
    return "\n\n".join(kept)


def drop_margins(text: str) -> str:
    """Drop notes in the margin, which a `//` sets off from the line on their left or right.

    The longer side of such a line is kept. Page headings with a number in italics go too.
    """
    if "//" not in text and "_" not in text:
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if " //" in line or "// " in line:
            lines[number] = max(line.split("//"), key=lambda part: len(part.strip()))
        elif "_" in line and re.match(r" *(\d{1,3} +_[^_]+_|_[^_]+_ +\d{1,3})$", line):
            lines[number] = ""
    return "\n".join(lines)


def drop_glosses(text: str) -> str:
    """Drop an editor's translations at the right of the verse: `licour     *liquid`.

    The asterisks that mark the glossed words go too.
    """
    if "*" not in text:
        return text
    text, glosses = re.subn(r"  +\*[^\n]*", _after_text, text)
    if glosses > _MANY_GLOSSES:
        # A long gloss goes on below, at the right of the verse or alone.
        text = re.sub(r"     +[^\s][^\n]*", _after_text, text)
        text = re.sub(r"^ {20,}\*?[a-z(&][^\n]*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\*+", _mark_of_gloss, text)


def _after_text(match: re.Match[str]) -> str:
    """Nothing, unless the line begins with the match."""
    start = match.start()
    return "" if start and not match.string[start - 1].isspace() else match.group()


def _mark_of_gloss(match: re.Match[str]) -> str:
    """Nothing, if the asterisks touch a word."""
    before = match.string[max(0, match.start() - 1) : match.start()]
    after = match.string[match.end() : match.end() + 1]
    touches = before.isalnum() or (before and before in ",.;:!?'\")") or after.isalnum()
    return "" if touches else match.group()


def drop_bracketed_notes(text: str) -> str:
    """Drop `[Footnote ...]`, `[Sidenote ...]`, `[Illustration ...]` and the like, at any length.

    A note whose bracket never closes ends with its paragraph.
    """
    kept, position = [], 0
    for match in _BRACKETED_NOTE.finditer(text):
        if match.start() >= position:
            kept.append(text[position : match.start()])
            position = _closing_bracket(text, match.start())
    return "".join([*kept, text[position:]])


def _closing_bracket(text: str, start: int) -> int:
    depth = 0
    for match in re.finditer(r"[\[\]]", text[start : start + _LONGEST_NOTE]):
        depth += 1 if match.group() == "[" else -1
        if depth == 0:
            return start + match.end()
    end = text.find("\n\n", start)
    return end if end >= 0 else len(text)


def drop_brackets(text: str) -> str:
    """Drop note marks and editors' brackets; keep a letter or a word supplied in brackets.

    `[12]`, `{3}`, `[a remark]` go; of `co[n]nyng` and `[the] king` only the brackets do.
    """
    if "[" in text or "{" in text:
        text = re.sub(_NOTE_MARK, "", text)
    # Darwin's notes stand in the sentence: "(32. See also the drawings ...)".
    text = re.sub(r"\(\d{1,3}\. (?:[^()]|\([^()]{0,500}\)){0,3000}\)", "", text)
    text = re.sub(r"\((?:\d{1,3}|E\d|[*+%$#&]{1,9})\)|<[\dl]{1,3}>", "", text)
    if "{" in text:
        # "high{e}": letters that an editor wrote out.
        text = re.sub(r"\{([a-z&]{1,4})\}", r"\1", text)
        text = re.sub(r"\{[^{}\n]{0,60}\}", "", text)
    if "[" not in text:
        return text
    text = re.sub(r"\[=(\w)\]", r"\1", text)
    # Innermost first, so that a bracket inside a footnote goes before the footnote.
    for _ in range(3):
        text = re.sub(r"\[([^\[\]]{0,3000})\]", _bracket, text)
    return text


def _bracket(match: re.Match[str]) -> str:
    inside = match.group(1).strip("_")
    before = match.string[max(0, match.start() - 1) : match.start()].isalnum()
    after = match.string[match.end() : match.end() + 1].isalnum()
    # "co[n]nyng" keeps its letter; "dearth [dearness]" loses its gloss.
    if _SUPPLIED.fullmatch(inside) or ((before or after) and len(inside) <= 3 and inside.isalpha()):
        return inside
    return " " if before and after else ""
