"""Algorithms that read every era on the same questions and align with what they make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from progressgym.pairs import Pair
from progressgym.training.dpo import DPOSettings, train_dpo

from .lifelong import LifelongDPO
from .temporal import Aim, answered


class Chronicle(LifelongDPO):
    """Trains a witness of each era, notes its log-odds, and learns a target made of all notes.

    Write :meth:`target`. A witness is a model of one era's answers. All of them start from the
    initial policy, so that their errors are independent: the policy itself would carry those of one
    era into the next, and nothing could be told from its changes. The policy then learns graded
    answers to the questions that the witnesses were read on, which are the same in every era.

    Args:
        witness_epochs: passes over an era's answers by its witness: few leave it near the initial
            policy, many make it repeat the noise.
        epochs: passes over the target, which holds no noise of single answers.
        settings: see :class:`~.temporal.Temporal`.
    """

    def __init__(self, witness_epochs: int = 2, epochs: int = 2, **settings: Any) -> None:
        super().__init__(epochs=epochs, **settings)
        self.witness_epochs = witness_epochs

    def align(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Note what today's witness says, and learn what follows from all notes."""
        witness = self.initial_policy.copy("witness")
        settings = DPOSettings(
            aim.beta, self.learning_rate, self.witness_epochs, self.batch, aim.seed
        )
        train_dpo(witness, aim.reference, answers, settings)
        questions = self.yardstick(aim.human)
        self.history = [*self.history, aim.implied(witness, questions).tolist()]
        target = self.target(np.array(self.history)).clip(-self.clip, self.clip)
        self.learn(answered(questions, target), aim)

    def target(self, history: np.ndarray) -> np.ndarray:
        """What to align with.

        Args:
            history: log-odds of every era so far, shape (eras, questions), the latest last.

        Returns:
            Log-odds, shape (questions,).
        """
        raise NotImplementedError
