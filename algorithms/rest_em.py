"""ReST-EM: expert iteration on responses that the reward model accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from progressgym.models import Policy
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.training.pairs import Batch
from progressgym.values.vector import sigmoid

from .lifelong import LifelongRLHF
from .temporal import Aim


@register("algorithm", "rest-em")
class ReSTEM(LifelongRLHF):
    """Self-training as expectation maximisation, with a reward of 0 or 1.

    E-step: the policy answers each question ``samples`` times; a response is accepted where its
    reward exceeds the other's by ``threshold``. Accepted responses count once a question, however
    often they came (the paper caps them too). M-step: the initial policy, not yesterday's, learns
    to choose them. Then again with what came of it.

    There is no KL: what holds the policy is that it starts anew and does not go far. A reward of 0
    or 1 says nothing of how much better a response is, and it is learnt in place of what the
    reference believes instead of on top of it. At the others' learning rate little was left of the
    initial policy: its changes were five times the human's, and unrelated.

    Args:
        rounds: E- and M-steps in each era.
        threshold: in nats of log-odds.
        learning_rate: peak learning rate of an M-step.
        settings: see :class:`~.lifelong.LifelongRLHF`.

    References: Singh et al., "Beyond Human Data: Scaling Self-Training for Problem-Solving with
    Language Models", 2023, algorithm 1 (ReST-EM).
    """

    def __init__(
        self,
        rounds: int = 2,
        threshold: float = 0.2,
        learning_rate: float = 5e-5,
        **settings: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **settings)
        self.rounds = rounds
        self.threshold = threshold

    def optimise(self, questions: Sequence[Pair], rewards: Tensor, aim: Aim) -> None:
        """Accept and imitate, round after round."""
        odds = (rewards[:, 0] - rewards[:, 1]).double().numpy()
        settings = DPOSettings(aim.beta, self.learning_rate, self.epochs, self.batch, aim.seed)
        rng = np.random.default_rng(aim.seed)
        self.curves["accepted"] = []
        for _ in range(self.rounds):
            accepted = self.accept(self.policy, questions, odds, rng)
            self.curves["accepted"].append(len(accepted) / len(questions))
            if not accepted:
                return
            self.policy = self.initial_policy.copy("policy")
            train_dpo(self.policy, aim.reference, accepted, settings, imitation)

    def accept(
        self, policy: Policy, questions: Sequence[Pair], odds: np.ndarray, rng: np.random.Generator
    ) -> list[Pair]:
        """E-step: the questions to which an accepted response was sampled, and that response.

        Args:
            policy: who answers.
            questions: all of them.
            odds: rewards of first less second response, shape (questions,).
            rng: source of the samples.
        """
        first = sigmoid(policy.margins(questions))
        better = np.where(odds > 0, first, 1 - first)
        sampled = rng.binomial(self.samples, better) > 0
        kept = sampled & (np.abs(odds) > self.threshold)
        return [
            question.answered(float(first))
            for question, first, good in zip(questions, odds > 0, kept, strict=True)
            if good
        ]


def imitation(batch: Batch, beta: float) -> Tensor:
    """−log π(accepted), of the choice between the two responses, in nats."""
    return batch.expected(lambda won, lost: -nn.functional.logsigmoid(won.logprob - lost.logprob))
