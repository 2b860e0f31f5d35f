"""The reading text of a TEI document: what a reader of the page would read aloud.

Blocks (paragraphs, headings, stanzas) are separated by blank lines; verse lines, items of a list
and speeches by single newlines. Spelling is the book's; the shapes of its letters are ours: long s,
``vv`` for w, strokes for n and m, raised letters and drop capitals are written as we would.

Left out: notes, page furniture, figures, tables, closing words such as FINIS, what is not the
author's (title page, licence, contents, index, errata, advertisements, verses of friends), and
whole divisions in other languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5
from typing import Any

from .languages import language_code
from .tei_letters import FOREIGN, INITIAL, JOIN, LINE_END, ONE, RAISED, SOME, WORD, Letters

Element = Any  # lxml has no types

_OUT = set(
    "note fw figure figdesc table trailer gap am formula graphic del castlist index interp "
    "teiheader header idg temphead".split()
)
_LINES = {"l", "item", "speaker"}
_BLOCKS = set(
    "p ab head lg list opener closer salute signed dateline byline epigraph argument stage sp div "
    "body front back text group docauthor imprimatur".split()
)
_FRONT = re.compile(
    r"dedicat|preface|reader|epistle|introduct|prolog|proem|argument|letter|address|apolog|foreword"
    r"|exhortation|preamble|author"
)
_OTHERS = re.compile(
    r"printer|publisher|bookseller|stationer|translator|editor|licen[cs]e|imprimatur|privilege"
    r"|title_?page|half_?title|imprint|colophon|bookplate|coat_of_arms|contents|index|errat"
    r"|corrigend|advert|catalogue|encomi|commendatory|subscribers|illustration|^table$|portrait"
)
_SIGNS = {
    "EOLhyphen": JOIN, "EOLunhyphen": JOIN, "rehy": JOIN, "hyphen": "-", "abque": "que",
    "cmbAbbrStroke": "\u0304", "punc": "", "V": "V", "cross": "", "thorn": "th", "yogh": "gh",
    "longs": "s", "startq": "“", "endq": "”", "ldquo": "“", "rdquo": "”",
}  # fmt: skip
_RAW = {"∣": JOIN, "¦": JOIN, "\u00ad": JOIN, "•…": SOME, "•": ONE, "〈◊〉": WORD}


def reading_text(root: Element) -> str:
    """The text of a TEI document whose names :func:`plain_names` has made plain."""
    blocks: list[tuple[str, bool]] = []
    for top in root.iter("text"):
        if not any(True for _ in top.iterancestors("text")):
            blocks += _Walk(top).blocks
    letters = Letters(text for text, _ in blocks)
    made: list[str] = []
    after_line = False
    for block, is_line in blocks:
        if text := letters.settle(block):
            made.append(("\n" if is_line and after_line else "\n\n") + text)
            after_line = is_line
        elif not is_line:  # an empty block parts stanzas, an illegible line does not
            after_line = False
    return "".join(made).strip()


def plain_names(root: Element) -> None:
    """Make names of elements and attributes lower-case and free of namespaces, in place.

    The older TEI writes ``<DIV1 TYPE="book">``, the newer ``<div type="book">``.
    """
    for node in root.iter():
        if isinstance(node.tag, str):
            node.tag = re.sub(r"^div\d$", "div", node.tag.rpartition("}")[2].lower())
            for name, value in list(node.attrib.items()):
                plain = name.rpartition("}")[2].lower()
                if plain != name:
                    del node.attrib[name]
                    node.attrib[plain] = value


class _Walk:
    """One pass over a text: its blocks, with marks where letters have to be settled."""

    def __init__(self, top: Element) -> None:
        self.blocks: list[tuple[str, bool]] = []
        self._now: list[str] = []
        self._enter(top)
        self._flush()

    def _flush(self, is_line: bool = False) -> None:
        text = "".join(self._now)
        self._now.clear()
        self.blocks.append((text if text.strip() else "", is_line))

    def _add(self, text: str | None) -> None:
        for sign, mark in _RAW.items():
            if text and sign in text:
                text = text.replace(sign, mark)
        self._now.append(text or "")

    def _enter(self, node: Element) -> None:
        name = node.tag
        block, line = name in _BLOCKS, name in _LINES
        if block or line:
            self._flush_before(line)
        self._now.append(_before(node))
        if attribute := node.get("expan") if name in ("abbr", "expan") else node.get("corr"):
            self._add(attribute)
        else:
            self._add(_inside(node, node.text))
            for child in node:
                self._child(child)
                self._add(_inside(node, child.tail))
        self._now.append(_after(node))
        if block or line:
            self._flush(line)

    def _flush_before(self, line: bool) -> None:
        """End what was begun; only a block separates lines from lines."""
        if "".join(self._now).strip() or not line:
            self._flush()
        else:
            self._now.clear()

    def _child(self, child: Element) -> None:
        if not isinstance(child.tag, str):
            name = getattr(child, "name", "")  # an entity; comments have none
            self._add(_SIGNS.get(name, html5.get(f"{name};", "")))
        elif child.tag == "gap":
            self._now.append(_gap(child))
        elif child.tag == "g":
            sign = (child.get("ref") or "").removeprefix("char:")
            self._add(_SIGNS.get(sign, child.text))
        elif child.tag == "lb":
            self._now.append(JOIN if child.get("break") == "no" else LINE_END)
        elif child.tag == "choice":
            self._enter(_chosen(child))
        elif not _is_left_out(child):
            self._enter(child)


def _inside(node: Element, text: str | None) -> str | None:
    """Text directly in an element; white space in an expansion is the file's, not the book's."""
    return None if node.tag in ("expan", "am", "ex") and text and not text.strip() else text


def _before(node: Element) -> str:
    rend = (node.get("rend") or "").lower()
    return RAISED if rend in ("sup", "superscript") else ""


def _after(node: Element) -> str:
    if "decorinit" in (node.get("rend") or "").lower():
        return INITIAL
    if node.tag == "expan" and node.find(".//g[@ref='char:abque']") is not None:
        return " "  # it ends a word always; the space is lost in some files
    return " " if node.tag in ("label", "cell", "speaker") else ""


def _gap(gap: Element) -> str:
    """A mark for what cannot be read: some letters, words, or nothing where a page is missing."""
    extent = (gap.get("extent") or "").lower()
    if (gap.get("reason") or gap.get("desc") or "").lower() in ("foreign", "math", "music"):
        return FOREIGN
    if number := re.fullmatch(r"(\d) letters?", extent):
        return ONE * int(number[1])
    if "letter" in extent or "span" in extent:
        return SOME
    return "" if "page" in extent or "leaf" in extent else f" {WORD} "


def _chosen(choice: Element) -> Element:
    """The reading to take: what is corrected and expanded, but not modern spelling."""
    for name in ("corr", "expan", "orig", "unclear"):
        if (found := choice.find(name)) is not None:
            return found
    return choice[0] if len(choice) else choice


def _is_left_out(node: Element) -> bool:
    if node.tag in _OUT:
        return True
    if node.tag == "div":
        kind = re.sub(r"[ -]", "_", (node.get("type") or "").lower())
        if _OTHERS.search(kind) or not _is_english(node):
            return True
        in_front = node.getparent().tag == "front"
        return in_front and not _FRONT.search(kind)
    return node.tag in ("titlepage", "doctitle", "docimprint")


def _is_english(node: Element) -> bool:
    """Is it in the language of the text around it, or in English?"""
    codes = {language_code(word) for word in (node.get("lang") or "").split()}
    return not codes or bool(codes & {"en", "enm", "sco"}) or codes <= set(_outer(node))


def _outer(node: Element) -> Iterator[str]:
    for above in node.iterancestors():
        yield from (language_code(word) for word in (above.get("lang") or "").split())
