"""Which passages speak of what ought to be: those rich in words of duty, sin, honour, law."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from ..passages import Passage

VALUE_WORDS = frozenset(
    (
        # judgement
        "good evil right wrong just unjust justice injustice lawful unlawful holy unholy sin sins "
        "sinful sinner sinners virtue virtues virtuous vice vices wicked wickedness noble base "
        "righteous righteousness moral morals morality immoral conscience worthy unworthy ought "
        # honour and shame, praise and blame
        "honour honor honourable honorable dishonour shame shameful blame praise guilt guilty "
        "innocent innocence pride proud humble humility honest honesty deceit false falsehood lie "
        "lies truth treason traitor faith faithful oath oaths promise promises "
        # duty, law and punishment
        "duty duties law laws obey obedience disobey command commandment crime crimes punish "
        "punishment penance prison slave slaves slavery liberty free freedom rights equal equality "
        # care and harm
        "mercy merciful pity charity kind kindness cruel cruelty love hate hatred kill murder "
        "steal theft peace war poor forgive forgiveness "
        # older spellings
        "vertue vertues vertuous lawe lawes synne synnes sinne sinnes truthe trouthe honoure "
        "shamefull dutie iust iustice vniust mercie charitie crueltie pitie"
    ).split()
)
_WORD = re.compile(r"[^\W\d_]+")


def value_density(text: str) -> float:
    """Share of a text's words that are words of value, 0 to 1."""
    words = _WORD.findall(text.lower())
    return sum(map(VALUE_WORDS.__contains__, words)) / max(1, len(words))


def densest(passages: Sequence[Passage], share: float) -> list[Passage]:
    """Of each work the passages that are richest in words of value, in their old order.

    Args:
        passages: of any works.
        share: of each work's passages to keep, above 0; at least one of each.

    Raises:
        ValueError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: expected above 0 and at most 1, found {share}")
    works: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, passage in enumerate(passages):
        works[passage.era, passage.work].append(index)
    kept: set[int] = set()
    for own in works.values():
        ordered = sorted(own, key=lambda i: (-value_density(passages[i].text), i))
        kept.update(ordered[: max(1, round(share * len(own)))])
    return [passage for index, passage in enumerate(passages) if index in kept]
