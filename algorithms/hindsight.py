"""Hindsight: advice that its hearers would still approve of after they have lived with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from progressgym.models import Policy
from progressgym.pairs import Pair
from progressgym.registry import register

from .chronicle import Chronicle
from .temporal import Aim

_MOST = 0.9  # share of an opinion that advice is believed to replace


@register("algorithm", "hindsight")
class Hindsight(Chronicle):
    """Aligns with what the human will say of the advice one step later, when it has acted on it.

    Whoever gives back what people believe today is approved of today, and holds them back. So the
    answer of one step later is simulated, from how this human has changed so far: between two steps
    it goes a way of its own and part of the way to the advice,

        h_{t+1} = h_t + (1 − b)·d + b·(a_t − h_t),

    with h the human's log-odds, a the policy's, d the drift, different for each question, and b the
    influence, the same for all. Advice that runs ahead of a human goes where the human goes, in
    every question, whoever follows whom; so b is estimated from what changes between steps within
    a question, and is 0 until there are two changes to compare. Advice that the human of tomorrow
    agrees with, a = h_{t+1}(a), is h_t + d for every b: where the human would go without advice.
    Nothing but answers and the policy's own advice is used. Noise in what is read of a human looks
    like a little influence: what was read too high yesterday falls back, towards the advice. Where
    humans do not listen (Follow, Predict), b is small and what remains is a forecast by the mean
    drift.

    Args:
        caution: how many steps' worth of evidence for no drift is assumed: the mean drift of n
            steps is believed with weight n / (n + caution).
        settings: see :class:`~.chronicle.Chronicle`.

    References: Liang et al., "RLHS: Mitigating misalignment in RLHF with hindsight simulation",
    2025, section 4 (feedback after simulated consequences; the linear simulation is ours).
    """

    advice: list[list[float]]

    def __init__(self, caution: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.caution = caution

    def reset(self, policy: Policy, seed: int = 0) -> None:
        """Start a run in which nothing was advised."""
        super().reset(policy, seed)
        self.advice = []

    def align(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Learn what the human will say, and note what the policy then advises."""
        super().align(answers, aim)
        self.advice.append(aim.implied(self.policy, self.yardstick(aim.human)).tolist())

    def target(self, history: np.ndarray) -> np.ndarray:
        """The advice that holds in hindsight."""
        if len(history) == 1:
            return history[0]
        influence, drift = consequences(history, np.array(self.advice))
        steps = len(history) - 1
        self.curves["influence"] = [influence]
        return history[-1] + steps / (steps + self.caution) * drift

    def state(self) -> dict[str, Any]:
        """What humans answered and what they were advised."""
        return {**super().state(), "advice": self.advice}

    def restore(self, state: dict[str, Any], policy: Policy) -> None:
        """Continue with them."""
        super().restore(state, policy)
        self.advice = state["advice"]


def consequences(humans: np.ndarray, advice: np.ndarray) -> tuple[float, np.ndarray]:
    """What humans made of advice, and where they went by themselves.

    Args:
        humans: log-odds in each step, shape (steps + 1, questions).
        advice: the policy's in each step but the last, shape (steps, questions).

    Returns:
        Influence b in 0 … 0.9, and the drift d, mean over steps, shape (questions,).
    """
    change, gap = np.diff(humans, axis=0), advice - humans[:-1]
    varied = gap - gap.mean(axis=0)
    power = float((varied**2).sum())
    influence = float((varied * change).sum()) / power if power else 0.0
    influence = min(max(influence, 0.0), _MOST)
    return influence, ((change - influence * gap) / (1 - influence)).mean(axis=0)
