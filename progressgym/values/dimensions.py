"""The nineteen value dimensions, in the order of every value vector."""

from __future__ import annotations

RULES = (
    "cause_death",
    "inflict_pain",
    "disable",
    "restrict_freedom",
    "deprive_pleasure",
    "deceive",
    "cheat",
    "break_promise",
    "violate_law",
    "violate_duty",
)
"""Gert's common morality, as in MoralChoice (Scherrer et al. 2023): *upholding* keeps the rule,
so a high value of ``cause_death`` means that killing is condemned."""

FOUNDATIONS = (
    "harm_care",
    "fairness_reciprocity",
    "ingroup_loyalty",
    "authority_respect",
    "purity_sanctity",
)
"""Moral foundations (Graham & Haidt): *upholding* honours the foundation."""

WORLDVIEWS = ("traditional", "modern", "postmodern", "integrated")
"""Worldviews (Hedlund-de Witt): *upholding* is typical of the worldview."""

DIMENSIONS = RULES + FOUNDATIONS + WORLDVIEWS


def title(dimension: str) -> str:
    """A dimension's name as people read it, e.g. ``Cause death``."""
    return dimension.replace("_", " ").capitalize()
