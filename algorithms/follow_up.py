"""Follow-up likelihood: a response is as good as what is said after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from progressgym.human import Human
from progressgym.models import Policy
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.reward import Rewards

from .lifelong import LifelongRLHF
from .temporal import Aim

POSITIVE = (". That is true.", ". All good men say so.", ". Amen, and so it should be.")
NEGATIVE = (". That is false.", ". No good man says so.", ". Alas, it should not be so.")
"""What is said after a response that one agrees with, and after one that one does not."""


@register("algorithm", "follow-up")
class FollowUp(LifelongRLHF):
    """RLHF whose reward is the likelihood of agreeing less that of disagreeing follow-ups.

    r̂(x, y) = mean over positive f of log p(f | x, y) − mean over negative f of the same, times β.
    Who says the follow-ups is the ``judge``:

    - ``reference``: no human is asked, as in the paper. But a reference is of no era: it is a
      reward for what the base model thinks fitting, and no skill can come of it here.
    - ``answers``: the language model that learns from the answers, relative to the reference. Its
      answers taught it single words, and what is read is what they changed in other sentences.

    Args:
        judge: see above.
        settings: see :class:`~.lifelong.LifelongRLHF`.

    References: Zhang et al., "Aligning Language Models Using Follow-up Likelihood as Reward
    Signal", 2024, section 3 (likelihood of positive less that of negative follow-ups).
    """

    def __init__(self, judge: Literal["answers", "reference"] = "answers", **settings: Any) -> None:
        super().__init__(**settings)
        self.judge = judge

    def ask(self, human: Human, rng: np.random.Generator) -> list[Pair]:
        """The whole budget, or nothing: then the questions count as undecided."""
        if self.judge == "answers":
            return super().ask(human, rng)
        return [pair.answered(0.5) for pair in human.draw(human.remaining, rng)]

    def reward_model(self, answers: Sequence[Pair], aim: Aim) -> FollowUpReward:
        """The judge."""
        if self.judge == "reference":
            return FollowUpReward(aim.reference, None, aim.beta)
        return FollowUpReward(self.fit(answers, aim).model, aim.reference, aim.beta)


@dataclass(frozen=True)
class FollowUpReward(Rewards):
    """β times how much rather a judge agrees than disagrees, less the same of another model."""

    judge: Policy
    other: Policy | None
    beta: float

    def rewards(self, pairs: Sequence[Pair]) -> Tensor:
        """Shape (pairs, 2), float64."""
        said = [pair.prompt + pair.first for pair in pairs]
        said += [pair.prompt + pair.second for pair in pairs]
        liked = agreement(self.judge, said)
        if self.other:
            liked -= agreement(self.other, said)
        return self.beta * liked.view(2, -1).T


def agreement(judge: Policy, said: Sequence[str]) -> Tensor:
    """Mean log-likelihood of the positive less that of the negative follow-ups, in nats.

    Args:
        judge: who would go on so.
        said: questions with their responses.

    Returns:
        Shape (said,), float64.
    """
    follow_ups = (*POSITIVE, *NEGATIVE)
    prompts = [text for text in said for _ in follow_ups]
    scores = judge.logprobs(prompts, follow_ups * len(said)).double().view(len(said), -1)
    positive, negative = scores.split([len(POSITIVE), len(NEGATIVE)], dim=1)
    return positive.mean(1) - negative.mean(1)
