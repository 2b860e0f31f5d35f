"""Preference pairs: what a human is asked and how they answered."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Pair:
    """Two responses to a prompt, and how strongly the first is preferred.

    Attributes:
        prompt: the text before the response.
        first: one response, with its leading space where it needs one.
        second: the other response.
        scenario: id of the scenario that the pair comes from; empty for one of one's own.
        preference: P(first preferred) in 0 … 1; a sampled label is 0.0 or 1.0; None if not asked.
    """

    prompt: str
    first: str
    second: str
    scenario: str = ""
    preference: float | None = None

    def answered(self, preference: float) -> Pair:
        """The same pair with its answer."""
        return replace(self, preference=preference)
