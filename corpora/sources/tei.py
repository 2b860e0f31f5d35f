"""Texts in TEI XML as the Text Creation Partnership publishes them: EEBO, ECCO, Evans."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from progressgym.registry import register

from ..documents import Document, Part, SetAside, Source
from .imprint import EDITIONS, doubt_of, is_translation, read_imprint, without_dates
from .languages import language_code, original_of
from .reading import UnreadableError, beginning, files, first_file, read_bytes
from .tei_text import plain_names, reading_text

_ROOTS = re.compile(rb"<(?:TEI|teiCorpus|ETS|EEBO|TEI\.2|DLPSTEXTCLASS)[\s>]", re.IGNORECASE)
_ENTITY = 16  # characters: more than any letter needs
CC0 = "CC0-1.0"


@register("source", "tei")
class Tei(Source):
    """A folder of TEI files, or one file.

    A text's year of creation is the year of its imprint where that is plain and nothing speaks
    against it; see :mod:`.imprint`. How the text is read is told in :mod:`.tei_text`.

    Args:
        place: the folder or file. In the older TCP format, ``A00001.hdr`` beside ``A00001.xml``
            has what is known about the text.
    """

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Is the first XML file in it of a kind that is read here?"""
        return bool(_ROOTS.search(beginning(first_file(folder, "*.xml"))))

    def parts(self) -> list[Part]:
        """The XML files below the folder."""
        return [
            Part(name, path, revision=_header_beside(path))
            for name, path in files(self.place, ".xml")
        ]

    def read(self, part: Part) -> Iterator[Document | SetAside]:
        """The text of a file, or each of the texts of a ``teiCorpus``."""
        assert part.path is not None
        yield from read_tei(part.path, part.name)


def _header_beside(path: Path) -> str:
    beside = path.with_suffix(".hdr")
    return beside.read_text(encoding="utf-8", errors="replace") if beside.is_file() else ""


def read_tei(path: Path, name: str) -> Iterator[Document | SetAside]:
    """The texts of a TEI file; what cannot be read is reported."""
    try:
        root = _parse(read_bytes(path))
        beside = _header_beside(path)
        header = _parse(beside.encode()) if beside else None
    except UnreadableError as error:
        yield SetAside(name, str(error))
        return
    texts = root.findall("tei") if root.tag == "teicorpus" else [root]
    for text in texts:
        yield _document(text, header, path.stem, name)


def _parse(data: bytes) -> Any:
    """The root of an XML document, with plain names.

    No DTD and nothing else outside the file is ever loaded, and entities are not expanded: those
    of single letters are looked up by name, a file that declares others is refused.

    Raises:
        UnreadableError: no such document.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableError(f"broken XML: {error}") from None
    declared = root.getroottree().docinfo.internalDTD
    for entity in declared.iterentities() if declared is not None else ():
        if entity.content is None or len(entity.content) > _ENTITY or "&" in entity.content:
            raise UnreadableError(f"refused: it declares the entity {entity.name!r}")
    plain_names(root)
    return root


def _document(text: Any, beside: Any, stem: str, name: str) -> Document | SetAside:
    header = next((found for found in text.iter("teiheader", "header")), beside)
    if next(text.iter("text"), None) is None:
        return SetAside(name, "it has no <text>: no TEI document that is known here")
    content = reading_text(text)
    if not content:
        return SetAside(name, "nothing in it is text of the author")
    if header is None:
        header = etree.Element("header")
    title = re.split(r"\s+/\s+", _first(header, "titlestmt/title"))[0].rstrip(" .")
    authors = _all(header, "titlestmt/author")
    year, doubt = _dated(header, title, authors)
    translated = is_translation(title)
    language = _first(header, "langusage/language") or text.xpath("string(.//text/@lang)")
    return Document(
        source=_collection(header),
        source_id=_identity(header) or text.xpath("string(.//idg/@id)") or stem,
        title=title or stem,
        author="; ".join(map(without_dates, authors)),
        creation_year=None if doubt else year,
        translation_year=year if translated else None,
        text=content,
        language=language_code(language),
        original_language=original_of(title) if translated else "",
        licence=_licence(header),
        kind="tei",
        doubt=doubt,
        extra={"imprint": imprint} if (imprint := _imprint(header)) else {},
    )


def _all(header: Any, path: str) -> list[str]:
    """What elements at a path say, those of the file before those of the book it was made from."""
    for found in (header.findall(f"filedesc/{path}"), header.findall(f".//{path}")):
        texts = [" ".join("".join(element.itertext()).split()) for element in found]
        if any(texts):
            return list(dict.fromkeys(filter(None, texts)))
    return []


def _first(header: Any, path: str) -> str:
    return next(iter(_all(header, path)), "")


def _identity(header: Any) -> str:
    """The id by the library that made the file, else the first that is given."""
    made = [node for node in header.iter("idno") if node.text]
    own = [node for node in made if (node.get("type") or "").lower() in ("dlps", "tcp")]
    return (own or made)[0].text.strip() if made else ""


def _collection(header: Any) -> str:
    found = re.search(r"\b(EEBO|ECCO|Evans)\b", " ".join(header.itertext()), re.IGNORECASE)
    known = {"eebo": "EEBO-TCP", "ecco": "ECCO-TCP", "evans": "Evans-TCP"}
    return known[found[1].lower()] if found else "TEI"


def _licence(header: Any) -> str:
    words = _first(header, "publicationstmt/availability")
    targets = " ".join(ref.get("target", "") for ref in header.iter("ref", "licence"))
    is_free = re.search(r"CC0|Creative Commons 0|Public Domain Dedication", words)
    return CC0 if is_free or "publicdomain/zero" in targets else ""


def _imprint(header: Any) -> str:
    """The original's imprint as the cataloguer wrote it, e.g. ``At London : Printed …, 1612.``"""
    parts = (_first(header, f"sourcedesc//publicationstmt/{n}") for n in ("pubplace", "publisher"))
    return " ".join(filter(None, (*parts, _printed(header))))


def _printed(header: Any) -> str:
    return _first(header, "sourcedesc//publicationstmt/date") or _first(header, "sourcedesc//date")


def _dated(header: Any, title: str, authors: list[str]) -> tuple[int | None, str]:
    """The plain year of the imprint, and what speaks against its being that of the text."""
    printed, edition = _printed(header), _first(header, "editionstmt//date")
    stated = [statement for statement in (printed, edition) if statement]
    if not stated:
        return None, "no date of the original is given"
    years = [read_imprint(statement) for statement in stated]
    year = years[0]
    if year is None:
        return None, f"the imprint's date leaves a doubt: {stated[0]!r}"
    if any(other is not None and abs(other - year) > EDITIONS for other in years):
        return None, f"two dates are given: {stated[0]!r} and {stated[1]!r}"
    notes = _all(header, "sourcedesc//note") + _all(header, "sourcedesc//edition")
    return year, doubt_of(year, title, authors, notes)
