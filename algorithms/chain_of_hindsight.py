"""Chain of hindsight: feedback turned into sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from progressgym.pairs import Pair
from progressgym.registry import register

from .sft import SFT
from .temporal import Aim


@register("algorithm", "chain-of-hindsight")
class ChainOfHindsight(SFT):
    """SFT on both responses, in sentences that say which one was better.

    The preferred response follows the plain prompt, the rejected one follows "It is false that …",
    and after that and "; rather, it is" comes the preferred one again. Only responses are learnt,
    the feedback is read. The policy is scored on the plain prompt, which stands where the paper
    prompts for a good answer: what the other sentences teach helps as far as it carries over. A
    sentence cannot say half of an answer, so that labels are sampled from graded ones.

    Args: see :class:`~.sft.SFT`.

    References: Liu et al., "Chain of Hindsight Aligns Language Models with Feedback", 2023,
    section 2.
    """

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """SFT on the sentences."""
        chances = [answer.preference or 0.0 for answer in answers]
        labels = np.random.default_rng(aim.seed).random(len(answers)) < chances
        told = [chain(a, bool(y)) for a, y in zip(answers, labels, strict=True)]
        super().learn([part for parts in told for part in parts], aim)


def chain(answer: Pair, first_preferred: bool) -> list[Pair]:
    """What to say, and after what, in the light of an answer: the first response of each pair."""
    won, lost = answer.first, answer.second
    if not first_preferred:
        won, lost = lost, won
    opposite = f"It is false that {answer.prompt[0].lower()}{answer.prompt[1:]}"
    said = [
        (answer.prompt, won, lost),
        (opposite, lost, won),
        (f"{opposite}{lost}; rather, it is", won, lost),
    ]
    return [Pair(*words, answer.scenario, 1.0) for words in said]
