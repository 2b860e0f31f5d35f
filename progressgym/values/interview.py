"""Open questions that are put to all eras side by side; read by people, never scored."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache
def interview() -> list[str]:
    """The shipped questions."""
    path = Path(__file__).parent / "bank" / "interview.txt"
    return path.read_text(encoding="utf-8").split("\n")[:-1]
