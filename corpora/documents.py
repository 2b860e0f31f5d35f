"""Documents, and the sources they come from."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["gutenberg", "tei", "ocr", "plain", "clean"]
"""What a text has been through, and with that how it is cleaned; see :mod:`.cleaning`.

``clean`` is the text of a source that has cleaned it already: nothing is changed.
"""

_VOLUME = re.compile(
    r"[,:;.(\[ ]+(?:vol(?:ume|s)?|part|book|tome|no)\b\.? *"
    r"(?:[ivxlc]+|\d+|one|two|three|the \w+)\b.*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Document:
    """One text, with what is known about it.

    Attributes:
        source: the collection it comes from, e.g. ``Project Gutenberg``.
        source_id: its stable id there.
        title: of the work.
        author: empty where unknown.
        creation_year: when the author wrote it; None where nothing trustworthy says so.
        translation_year: when this English was written, for a translation.
        language: ISO 639 code of the text at hand; empty where the source does not say.
        original_language: of the work; empty where the source does not say.
        genre: the source's word for it; may be empty.
        licence: under which the text may be used; empty where the source does not say.
        kind: what the text has been through.
        text: the text.
        doubt: why the document cannot be dated, when it cannot.
        extra: further fields of the source, JSON-able, kept for exchange.
    """

    source: str
    source_id: str
    title: str
    author: str
    creation_year: int | None
    text: str = field(repr=False)
    translation_year: int | None = None
    language: str = ""
    original_language: str = ""
    genre: str = ""
    licence: str = ""
    kind: Kind = "plain"
    doubt: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Source and id, for messages and manifests."""
        return f"{self.source}/{self.source_id}"

    @property
    def work(self) -> str:
        """A key that editions and volumes of one work share: its author's surname and title."""
        title = _plain(_VOLUME.sub("", self.title))
        if not title:
            return _plain(self.name)
        surname = re.split(r",", self.author)[0] if "," in self.author else self.author[-40:]
        last = _plain(surname).split(" ")[-1]
        return f"{last}/{title[:60].strip()}"


def _plain(text: str) -> str:
    """Lower-case letters and digits, single spaces: equal for spellings that differ in marks."""
    base = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(re.findall(r"[a-z0-9]+", base.lower()))


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something that does not become part of the corpus, and why.

    Attributes:
        name: file, with a line where there are lines; or source and id of a document.
        reason: for people: what is wrong there.
        kind: ``broken`` input, or a sound document that is left out: ``undated``, ``language``,
            ``quality``, ``duplicate``, ``outside`` all eras, ``short``.
    """

    name: str
    reason: str
    kind: Literal["broken", "undated", "language", "quality", "duplicate", "outside", "short"] = (
        "broken"
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a source that is read on its own: a file, or a range of lines in a large one.

    Attributes:
        name: stable and unique in the source, e.g. the path inside its folder.
        path: the file; None for what is not a file.
        start: first byte.
        stop: where to stop, in bytes; a line that begins before it is read to its end.
        revision: stands for the content of what is not a file, and for what else a document depends
            on, such as its row in a catalogue.
    """

    name: str
    path: Path | None = None
    start: int = 0
    stop: int | None = None
    revision: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        if self.path is None:
            return 0
        return (self.path.stat().st_size if self.stop is None else self.stop) - self.start

    def fingerprint(self) -> str:
        """sha256 of the content and the revision."""
        digest = hashlib.sha256(self.revision.encode())
        if self.path is None:
            return digest.hexdigest()
        left = self.size
        with self.path.open("rb") as file:
            file.seek(self.start)
            while left > 0 and (block := file.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
        return digest.hexdigest()


class Source(ABC):
    """A collection of documents at some place.

    Subclass it, register the class with ``@register("source", "my-source")`` and name the module
    in the entry-point group ``progressgym.sources``: ``progressgym corpora build
    my-source:PLACE`` then knows it.

    A source is made again in other processes, so it holds nothing but where it is.

    Args:
        place: a folder, a file, or whatever else names the collection.
    """

    def __init__(self, place: str) -> None:
        self.place = place

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Is this folder or file surely of this kind, so that users need not say so?"""
        return False

    @abstractmethod
    def parts(self) -> list[Part]:
        """All parts, in a stable order, without reading them.

        Raises:
            UsageError: there is no such place.
        """

    @abstractmethod
    def read(self, part: Part) -> Iterator[Document | SetAside]:
        """The documents of a part, one by one; what is broken is reported, never raised."""


def read_year(text: str) -> int | None:
    """A year that is written as a plain number, such as ``1450``; None for anything else.

    ``c. 1450?`` or ``145-`` are guesses, and a guess is for a person to make.
    """
    text = text.strip()
    return int(text) if re.fullmatch(r"\d{3,4}", text) else None
