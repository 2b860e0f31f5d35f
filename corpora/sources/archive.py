"""Scanned books of the Internet Archive: what its machines read, with its metadata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lxml import etree

from progressgym.registry import register

from ..documents import Document, Part, SetAside, Source
from .imprint import doubt_of, is_translation, read_imprint, without_dates
from .languages import language_code, original_of
from .reading import (
    LARGEST,
    TOO_LARGE,
    UnreadableError,
    beginning,
    files,
    first_file,
    open_unpacked,
    read_date,
    read_text,
)

_TEXTS = ("_djvu.txt", "_abbyy.gz", "_abbyy.xml")  # the first that a book has is read
_META = "_meta.xml"


@register("source", "archive")
class Archive(Source):
    """A folder of ``NAME_djvu.txt``, ``NAME_abbyy.gz`` or ``NAME_abbyy.xml`` files.

    What is known about a book is in ``NAME_meta.xml`` beside it. Its date is that of the edition
    that was scanned; it is believed to be when the author wrote under the same conditions as any
    other imprint, see :mod:`.imprint`. Pages are parted by form feeds.

    Args:
        place: the folder, or one file.
    """

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Has it a file of such a name, and no catalogue?"""
        is_named = any(first_file(folder, f"*{ending}") for ending in _TEXTS)
        return is_named and not (folder / "catalog.csv").is_file()

    def parts(self) -> list[Part]:
        """One file for each book."""
        books: dict[str, tuple[int, Part]] = {}
        for name, path in files(self.place, *_TEXTS):
            rank = next((i for i, ending in enumerate(_TEXTS) if name.endswith(ending)), 0)
            book = name.removesuffix(_TEXTS[rank])
            if book not in books or rank < books[book][0]:
                beside = beginning(path.with_name(_stem(path) + _META), 1 << 20)
                revision = beside.decode("utf-8", errors="replace")
                books[book] = (rank, Part(name, path, revision=revision))
        return [part for _, part in books.values()]

    def read(self, part: Part) -> Iterator[Document | SetAside]:
        """The book of a file."""
        assert part.path is not None
        try:
            is_plain = part.path.suffix == ".txt"
            text = read_text(part.path) if is_plain else _abbyy(part.path)
            known = _metadata(part.revision)
        except UnreadableError as error:
            yield SetAside(part.name, str(error))
            return
        yield _document(text, known, _stem(part.path))


def _stem(path: Path) -> str:
    ending = next((ending for ending in _TEXTS if path.name.endswith(ending)), path.suffix)
    return path.name.removesuffix(ending)


def _metadata(sidecar: str) -> dict[str, list[str]]:
    """Field -> its values; nothing where there is no sidecar."""
    if not sidecar:
        return {}
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(sidecar.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise UnreadableError(f"broken XML in its {_META}: {error}") from None
    known: dict[str, list[str]] = {}
    for field in root:
        if isinstance(field.tag, str) and (field.text or "").strip():
            known.setdefault(field.tag.lower(), []).append(field.text.strip())
    return known


def _document(text: str, known: dict[str, list[str]], stem: str) -> Document:
    def first(field: str) -> str:
        return known.get(field, [""])[0]

    title, stated, authors = first("title"), first("date"), known.get("creator", [])
    year = read_imprint(stated) or read_date(stated)
    doubt = doubt_of(year, title, authors) if year else f"its date leaves a doubt: {stated!r}"
    translated = is_translation(title)
    return Document(
        source="Internet Archive",
        source_id=first("identifier") or stem,
        title=title or stem,
        author="; ".join(map(without_dates, authors)),
        creation_year=None if doubt else year,
        translation_year=year if translated else None,
        text=text,
        language=language_code(first("language")),
        original_language=original_of(title) if translated else "",
        licence=first("licenseurl"),
        kind="ocr",
        doubt=doubt if known else f"it has no {_META} that would date it",
    )


def _abbyy(path: Path) -> str:
    """The text in the XML of the Archive's OCR; memory holds one paragraph of XML at a time.

    Raises:
        UnreadableError: broken, cut off, or larger than any book.
    """
    pieces: list[str] = []
    size = 0
    with open_unpacked(path) as file:
        for piece in _pieces(file):
            size += len(piece)
            if size > LARGEST:
                raise UnreadableError(TOO_LARGE)
            pieces.append(piece)
    text = "".join(pieces).strip("\f\n")
    if not text.strip():
        raise UnreadableError("no text was recognised in it")
    return text


def _pieces(file: IO[bytes]) -> Iterator[str]:
    """Lines with their newlines, paragraphs with a further one, pages with a form feed."""
    wanted = [f"{{*}}{name}" for name in ("line", "par", "page")]
    try:
        for _, node in etree.iterparse(
            file, tag=wanted, resolve_entities=False, no_network=True, load_dtd=False
        ):
            name = etree.QName(node).localname
            yield _line(node) if name == "line" else "\n" if name == "par" else "\f"
            node.clear()
            while name == "page" and node.getprevious() is not None:
                del node.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise UnreadableError(f"broken XML: {error}") from None


def _line(node: Any) -> str:
    """Letters are elements of their own, and white space between those is the file's."""
    letters = node.findall(".//{*}charParams")
    words = (letter.text or " " for letter in letters) if letters else node.itertext()
    return "".join(words).strip() + "\n"
