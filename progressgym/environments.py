"""Challenges under Gymnasium's names: ``gymnasium.make("progressgym/Follow-v0")``."""

from __future__ import annotations

import importlib.metadata
import re

import gymnasium

_GROUP = "progressgym.challenges"  # of entry points, which bear the challenges' names


def register_environments() -> None:
    """Tell Gymnasium of every challenge that an installed package names; imports none of them."""
    for name in sorted(importlib.metadata.entry_points(group=_GROUP).names):
        register_environment(name)


def register_environment(challenge: str) -> None:
    """Tell Gymnasium of one challenge, once. It is imported when it is made.

    Args:
        challenge: registered name; ``my-challenge`` becomes ``progressgym/MyChallenge-v0``.
    """
    words = re.findall(r"[A-Za-z0-9]+", challenge)
    identifier = f"progressgym/{''.join(word.capitalize() for word in words)}-v0"
    if identifier not in gymnasium.registry:
        gymnasium.register(
            identifier, entry_point="progressgym.registry:make", kwargs={"name": challenge}
        )
