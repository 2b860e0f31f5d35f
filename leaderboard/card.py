"""The card: what a submitter says about an algorithm, for people to judge it by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from progressgym.errors import UsageError

LARGEST = 64 * 1024
"""Of a card's file, in bytes."""


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or "." not in parts.netloc or " " in text:
        raise ValueError("expected an address that begins with https://")
    return text


def _code(text: str) -> str:
    return text if text == "built in" else _address(text)


def _single_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected one line of printable characters")
    return text


_trimmed = StringConstraints(strip_whitespace=True, min_length=1, max_length=200)
Line = Annotated[str, _trimmed, AfterValidator(_single_line)]
Address = Annotated[Line, AfterValidator(_address)]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)]


class Card(BaseModel):
    """What the board shows beside an algorithm's scores. All of it is plain text.

    Attributes:
        name: of the algorithm, as it is called in the results.
        authors: their names.
        contact: an e-mail address or a page.
        licence: of the code.
        code: address of the code; ``built in`` of algorithms that come with the gym.
        revision: commit or tag of it.
        weights: address of the trained policies, if they are published (safetensors).
        paper: address of the paper, if there is one.
        data: training data beyond the gym; "none" where there is none.
        compute: what the runs took, e.g. "2 CPU cores, 3 hours".
        description: how it works, in a few sentences.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Line
    authors: Annotated[list[Line], Field(min_length=1, max_length=50)]
    contact: Line
    licence: Line
    code: Annotated[Line, AfterValidator(_code)]
    revision: Line
    weights: Address | None = None
    paper: Address | None = None
    data: Line = "none"
    compute: Line
    description: Prose = ""

    @classmethod
    def of(cls, entries: Any) -> Card:
        """A card from a mapping.

        Raises:
            UsageError: entries missing, unknown or malformed, all of them named.
        """
        try:
            return cls.model_validate(entries)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'card'}: {e['msg']}" for e in error.errors()
            )
            raise UsageError(f"The card is not complete: {problems}.") from error

    @classmethod
    def parse(cls, text: str) -> Card:
        """A card from YAML text.

        Raises:
            UsageError: too long, no YAML, or not a card.
        """
        if len(text.encode()) > LARGEST:
            raise UsageError(f"The card is longer than {LARGEST // 1024} KiB.")
        try:
            entries = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise UsageError(f"The card is not YAML: {error}") from error
        return cls.of(entries)

    @classmethod
    def load(cls, path: Path) -> Card:
        """A card from a YAML file; see :meth:`parse`."""
        try:
            return cls.parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"No card {path}. An example:\n\n{EXAMPLE}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"Cannot read the card {path}: {error}.") from error


EXAMPLE = """\
name: lifelong-dpo            # as in the results
authors: [Ada Example]
contact: ada@example.org
licence: MIT
code: https://example.org/ada/lifelong-dpo
revision: 4f2c1aa
weights: https://example.org/ada/lifelong-dpo/weights   # optional, safetensors
paper: https://example.org/paper                        # optional
data: none                    # training data beyond the gym
compute: 2 CPU cores, 10 minutes a run
description: DPO on the answers of each era's human.
"""
"""A card to begin with."""
