"""The catalogue of documents: one checked record per line of `catalog.csv`."""

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CATALOG_NAME = "catalog.csv"
COLUMNS = (
    "file",
    "source",
    "source_id",
    "title",
    "author",
    "creation_year",
    "original_language",
    "translation_year",
    "genre",
)


@dataclass(frozen=True)
class Document:
    """One text of the collection.

    `path` is the file on disk: the folder of the catalogue and the file it names.
    `translation_year` is None for a text in its author's own words.
    """

    source: str
    source_id: str
    title: str
    author: str
    creation_year: int
    translation_year: int | None
    original_language: str
    genre: str
    path: Path

    @property
    def work(self) -> str:
        """A stable id of the work: its folder and file name, such as `gutenberg/1151`."""
        return f"{self.path.parent.name}/{self.path.stem}"


def read_catalog(folder: Path) -> list[Document]:
    """Read `catalog.csv` in `folder`.

    Args:
        folder: the folder holding the catalogue and the texts it names.

    Returns:
        The documents, in the order of the catalogue.

    Raises:
        FileNotFoundError: the folder holds no catalogue.
        ValueError: a missing column, a year that is no integer, a file that is absent, or a
            file path that is absolute or leaves the folder. The message names the catalogue,
            the line and what was expected there.
    """
    folder = Path(folder)
    catalog = folder / CATALOG_NAME
    with catalog.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(
                f"{catalog}, line 1: expected the columns {', '.join(COLUMNS)}; "
                f"missing {', '.join(missing)}"
            )
        return [_document(row, folder, f"{catalog}, line {reader.line_num}") for row in reader]


def _document(row: dict[str, str | None], folder: Path, where: str) -> Document:
    cells = {name: (row[name] or "").strip() for name in COLUMNS}
    translated = cells["translation_year"]
    return Document(
        source=cells["source"],
        source_id=cells["source_id"],
        title=cells["title"],
        author=cells["author"],
        creation_year=_year(cells["creation_year"], "creation_year", where),
        translation_year=_year(translated, "translation_year", where) if translated else None,
        original_language=cells["original_language"],
        genre=cells["genre"],
        path=_path(cells["file"], folder, where),
    )


def _year(text: str, column: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{where}: expected an integer year in {column}, found {text!r}") from None


def _path(name: str, folder: Path, where: str) -> Path:
    """The file `name` inside `folder`; a link that leads out of the folder is refused too."""
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts or "\\" in name:
        raise ValueError(f"{where}: expected a file path inside {folder}, found {name!r}")
    path = folder / parts
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{where}: expected a file path inside {folder}, found {name!r}")
    if not path.is_file():
        raise ValueError(f"{where}: expected the file {name!r} to exist in {folder}")
    return path
