"""From documents to eras: which side of the split a work is on, and how much of it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

VALIDATION = 0.1  # of an era's words
LARGEST = 0.25  # share of one work in an era's training words, where there are works enough
_MOST_HELD_OUT = 0.35  # of an era, where all its works are long
_OVERSHOOT = 1.5  # how much more than asked may be held out


def fraction(seed: int, *names: str | int) -> float:
    """A number in [0, 1) that only the seed and the names decide."""
    text = "\x1f".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]) / (1 << 56)


def validation_works(words: Mapping[str, int], share: float, seed: int) -> set[str]:
    """Whole works of one era that are held out.

    Args:
        words: of each work.
        share: of the era's words to hold out, about.
        seed: which works; equal seeds choose equally.

    Returns:
        Works in an order that the seed gives, until they reach the share. A work that would
        take them past one and a half times the share stays in training: the longest works of a
        short era are what its model can learn from. Where every work is longer than that, the
        shortest is held out; at least one work stays in training.
    """
    total = sum(words.values())
    chosen: set[str] = set()
    taken = 0
    for work in sorted(words, key=lambda work: (fraction(seed, "split", work), work)):
        if taken >= share * total or len(chosen) + 1 >= len(words):
            break
        if taken + words[work] <= _OVERSHOOT * share * total:
            chosen.add(work)
            taken += words[work]
    if not chosen and len(words) > 1:
        shortest = min(words, key=lambda work: (words[work], work))
        if words[shortest] <= _MOST_HELD_OUT * total:
            chosen.add(shortest)
    return chosen


def word_limit(words: Mapping[str, int], share: float = LARGEST) -> float:
    """How many words of one work may be used, so that none has more than a share of the result.

    An era of few works cannot keep that; there the share is twice what each had if all were
    equal.

    Args:
        words: of each work in one side of an era.
        share: of one work in what is left of all.
    """
    share = max(share, min(1.0, 2 / max(1, len(words))))
    sizes = sorted(words.values())
    below = 0
    for index, size in enumerate(sizes):
        # If all from here on are cut to `limit`, then limit = share * (below + many * limit).
        many = len(sizes) - index
        if many * share < 1:
            limit = share * below / (1 - many * share)
            if limit <= size:
                return limit
        below += size
    return float(sizes[-1]) if sizes else 0.0
