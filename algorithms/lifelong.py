"""Lifelong algorithms: align with the human of today, era after era."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from progressgym.models import Policy
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.training.pairs import Batch, preference_loss
from progressgym.training.reward import RewardModel, Rewards, RewardSettings, train_reward
from progressgym.training.rloo import RLOOSettings, train_rloo

from .temporal import Aim, Temporal

_WATCHED = 64  # answers, to see whether the policy agrees: a tenth of the time of a training


@register("algorithm", "lifelong-dpo")
class LifelongDPO(Temporal):
    """Direct preference optimisation on the answers of each era's human.

    Algorithms that learn by another loss of the same pairs write :meth:`loss`.

    Args: see :class:`~.temporal.Temporal`.

    References: Rafailov et al., "Direct Preference Optimization", 2023, eq. 7; Qiu et al.,
    "ProgressGym", 2024.
    """

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """DPO with the reference's log-probabilities computed once."""
        settings = DPOSettings(aim.beta, self.learning_rate, self.epochs, self.batch, aim.seed)
        self.curves["loss"] = train_dpo(self.policy, aim.reference, answers, settings, self.loss)

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """What is minimised, in nats."""
        return preference_loss(batch, beta)


@register("algorithm", "lifelong-rlhf")
class LifelongRLHF(Temporal):
    """A reward model of each era's answers, and RLOO on it with a KL to the reference.

    The reward model is a language model of its own. Like the policy it begins as the initial policy
    and goes on from era to era, or starts anew: what earlier eras taught is kept, and the answers
    teach only what has changed since. What is foreseen are its rewards.

    The policy then answers other questions than those that were asked, as many: the reward model
    needs no human. On the asked ones it has learnt the noise of single answers too, which the
    policy would learn once more.

    Algorithms that know rewards otherwise write :meth:`reward_model` or :meth:`loss`, those that
    follow them otherwise :meth:`optimise`.

    Args:
        reward_learning_rate: peak learning rate of the reward model.
        samples: responses sampled to each question of a step.
        learning_rate: peak learning rate of the policy, which goes on from yesterday's; rewards
            are not noisy, but AdamW's steps are.
        settings: see :class:`~.temporal.Temporal`.

    References: Ouyang et al., "Training language models to follow instructions with human
    feedback", 2022; Ahmadian et al., "Back to Basics", 2024 (RLOO); Qiu et al.,
    "ProgressGym", 2024.
    """

    def __init__(
        self,
        reward_learning_rate: float = 5e-4,
        samples: int = 64,
        learning_rate: float = 2.5e-4,
        **settings: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **settings)
        self.reward_learning_rate = reward_learning_rate
        self.samples = samples

    def align(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Reward model first, then RLOO on other questions, or on foreseen rewards."""
        model = self.reward_model(answers, aim)
        future = self.foresee(aim.human, lambda pairs: model.odds(pairs).numpy())
        if future is None:
            questions = unasked(aim)
            self.optimise(questions, model.rewards(questions), aim)
        else:
            questions, odds = future
            first = torch.from_numpy(odds)
            self.optimise(questions, torch.stack([first, torch.zeros_like(first)], dim=1), aim)

    def reward_model(self, answers: Sequence[Pair], aim: Aim) -> Rewards:
        """What the answers say of rewards."""
        return self.fit(answers, aim)

    def fit(
        self,
        answers: Sequence[Pair],
        aim: Aim,
        name: str = "reward",
        start: Policy | None = None,
        batch: int | None = None,
    ) -> RewardModel:
        """Train a reward model.

        Args:
            answers: what it learns from.
            aim: of the update.
            name: under which it is kept until tomorrow.
            start: what it begins as; None for yesterday's of this name.
            batch: prompts of an optimizer step; None for the policy's.
        """
        settings = RewardSettings(
            self.reward_learning_rate, self.epochs, batch or self.batch, aim.seed
        )
        start = start or self.models.get(name, self.initial_policy)
        model = train_reward(start, aim.reference, aim.beta, answers, settings, self.loss)
        if self.iterative:
            self.models[name] = model.model
        return model

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """What a reward model minimises, in nats."""
        return preference_loss(batch, beta)

    def optimise(self, questions: Sequence[Pair], rewards: Tensor, aim: Aim) -> None:
        """RLOO on rewards of both responses, shape (questions, 2)."""
        settings = RLOOSettings(
            aim.beta, self.learning_rate, self.epochs, self.batch, self.samples, aim.seed
        )
        watched = aim.answers[:_WATCHED]
        self.curves |= train_rloo(self.policy, aim.reference, questions, rewards, settings, watched)


def unasked(aim: Aim) -> Sequence[Pair]:
    """As many questions as were answered, of prompts that were not; the same if all were."""
    asked = {pair.prompt for pair in aim.answers}
    every = aim.human.draw(len(aim.human.questions), np.random.default_rng(aim.seed))
    others = [question for question in every if question.prompt not in asked]
    return others[: len(aim.answers)] or aim.answers


@register("algorithm", "lifelong-dpo-independent")
class LifelongDPOIndependent(LifelongDPO):
    """Lifelong DPO that starts from the initial policy in each era."""

    def __init__(self, iterative: bool = False, **settings: Any) -> None:
        super().__init__(iterative=iterative, **settings)


@register("algorithm", "lifelong-rlhf-independent")
class LifelongRLHFIndependent(LifelongRLHF):
    """Lifelong RLHF that starts from the initial policy in each era, and so has further to go."""

    def __init__(
        self, iterative: bool = False, learning_rate: float = 5e-4, **settings: Any
    ) -> None:
        super().__init__(iterative=iterative, learning_rate=learning_rate, **settings)
