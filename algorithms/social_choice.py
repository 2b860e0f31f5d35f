"""Social choice over eras: a policy that all people so far, living and dead, have a vote in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from progressgym.registry import register
from progressgym.values.vector import sigmoid

from .chronicle import Chronicle
from .temporal import extrapolate


def mean(odds: np.ndarray) -> np.ndarray:
    """Utilitarian: the mean of log-odds, which are differences of rewards."""
    return odds.mean(axis=0)


def borda(odds: np.ndarray) -> np.ndarray:
    """Log-odds of the Borda count: of the share of voters who prefer the first response.

    Of two alternatives, one's Borda count is the mean probability of its being preferred. That is
    what one reward model of all voters' answers together would learn (Siththaranjan et al. 2024,
    theorem 3.1). A voter who is sure counts little more than one who is nearly so.
    """
    share = sigmoid(odds).mean(axis=0)
    return np.log(share) - np.log1p(-share)


def maximin(odds: np.ndarray) -> np.ndarray:
    """Egalitarian: what serves the worst-off voter best, odds of 1 being worth nothing to anyone.

    The p that maximises min_e (p − ½)·ℓ_e − KL(p ‖ ½) has the log-odds nearest to 0 where all
    voters agree in sign, and is ½ where they do not: whatever else was chosen, somebody would
    rather have tossed a coin (the objective of Chakraborty et al. 2024, "MaxMin-RLHF", section 4,
    solved for a single choice).
    """
    lowest, highest = odds.min(axis=0), odds.max(axis=0)
    return np.clip(0.0, lowest, highest)


Rule = Literal["mean", "borda", "maximin"]
RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": mean,
    "borda": borda,
    "maximin": maximin,
}


@register("algorithm", "social-choice")
class SocialChoice(Chronicle):
    """Aligns with what a voting rule makes of all eras so far.

    It does not follow: to the present it gives one vote of many. What it shows is the price of
    fairness between generations, and whose votes pull where.

    Args:
        rule: ``mean``, ``borda`` or ``maximin``.
        order: with 1 or more, the ``ahead`` eras to come vote too, as the last eras foretell them.
        settings: see :class:`~.chronicle.Chronicle`.

    References: Conitzer et al., "Social choice should guide AI alignment in dealing with diverse
    human feedback", 2024; Siththaranjan et al., "Distributional preference learning", 2024,
    theorem 3.1; Chakraborty et al., "MaxMin-RLHF", 2024.
    """

    def __init__(self, rule: Rule = "borda", order: int = 0, **settings: Any) -> None:
        super().__init__(order=order, **settings)
        self.rule = rule

    def target(self, history: np.ndarray) -> np.ndarray:
        """The rule, applied to all voters."""
        voters, recent = list(history), history[-self.order - 1 :]
        if self.order and len(recent) > 1:
            voters += [extrapolate(recent, ahead) for ahead in range(1, self.ahead + 1)]
        return RULES[self.rule](np.array(voters).clip(-self.clip, self.clip))
