"""Exchange with others: documents as JSON lists by year, in the format of HistText."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from progressgym import registry
from progressgym.errors import UsageError

from .documents import SetAside, Source
from .sources.histtext import to_histtext


def export_histtext(name: str, place: str, folder: Path) -> tuple[int, int]:
    """Write all dated documents of a source as ``C013/Y01206.json`` and so on.

    Documents stream through; the folder appears when all are written.

    Args:
        name: registered name of the source.
        place: where it is.
        folder: to write; absent or empty.

    Returns:
        The number of documents written, and of those left out for want of a year or of sense.

    Raises:
        UsageError: the folder holds something, or there is no such source.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds something already; name a new folder.")
    source: Source = registry.find("source", name)(place)
    parts = source.parts()
    folder.parent.mkdir(parents=True, exist_ok=True)
    written = left = 0
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        for part in parts:
            for found in source.read(part):
                if isinstance(found, SetAside) or found.creation_year is None:
                    left += 1
                    continue
                entry = json.dumps(to_histtext(found), ensure_ascii=False)
                _append(_file_of(made, found.creation_year), entry)
                written += 1
        for path in made.rglob("*.json"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n]\n")
        if folder.exists():
            folder.rmdir()
        made.chmod(0o755)
        shutil.move(made, folder)
    return written, left


def _file_of(folder: Path, year: int) -> Path:
    century = (year - 1) // 100 + 1
    return folder / f"C{century:03d}" / f"Y{year:05d}.json"


def _append(path: Path, entry: str) -> None:
    """Add an entry to a list that is still open."""
    new = not path.exists()
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(("[\n" if new else ",\n") + entry)
