"""A package to begin with: an algorithm or a challenge that works, its test, its card."""

from __future__ import annotations

import importlib.resources
import re
import tempfile
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Literal

from .. import registry
from ..errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40


def write_package(kind: Literal["algorithm", "challenge"], name: str, folder: Path) -> Path:
    """Write a package into a new folder, all of it or nothing.

    Args:
        kind: ``algorithm`` or ``challenge``.
        name: under which it will be registered; ``recall`` becomes the distribution
            ``progressgym-recall`` with the module ``progressgym_recall``.
        folder: to make; an empty one is used.

    Returns:
        The folder.

    Raises:
        UsageError: a name that cannot be used or is taken, or a folder that is not empty.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{name!r} is no name: at most {_LONGEST} small letters, digits and single hyphens, "
            "and a letter first, as in patient-dpo."
        )
    if name in {*registry.names("algorithm"), *registry.names("challenge")}:
        raise UsageError(f"{name!r} is registered already. Choose another name.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already. Choose another --out, or remove it.")
    words = {
        "name": name,
        "package": f"progressgym_{name.replace('-', '_')}",
        "Class": "".join(word.capitalize() for word in name.split("-")),
    }
    templates = importlib.resources.files(__name__) / kind
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as place:
            whole = Path(place) / "package"
            _fill(templates, whole, words)
            whole.replace(folder)
    except OSError as error:
        raise UsageError(f"Cannot write {folder}: {error.strerror or error}.") from error
    return folder


def _fill(template: Traversable, to: Path, words: dict[str, str]) -> None:
    """A file, or a folder with all that is in it, with its words put in."""
    if template.is_dir():
        to.mkdir()
        for entry in template.iterdir():
            name = words.get(entry.name, entry.name).removesuffix(".template")
            _fill(entry, to / name, words)
    else:
        to.write_text(Template(template.read_text("utf-8")).substitute(words), encoding="utf-8")
