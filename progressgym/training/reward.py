"""Reward models of answered pairs, with TRL's RewardTrainer as the loop."""

from __future__ import annotations

import copy
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from torch import Tensor, nn
from transformers import PrinterCallback
from trl import RewardConfig, RewardTrainer

from ..models import Policy
from ..pairs import Pair
from .pairs import (
    PairLoss,
    check_answered,
    collate,
    encode_both,
    preference_data,
    preference_loss,
    read_batch,
)
from .trainers import quiet_arguments, trainer_freed


@dataclass(frozen=True)
class RewardSettings:
    """Settings of one training of a reward model.

    Attributes:
        learning_rate: peak of AdamW's, lowered linearly to zero.
        epochs: passes over the pairs.
        batch: prompts of one optimizer step, each with all of its pairs.
        seed: of the order of the pairs.
    """

    learning_rate: float = 5e-4
    epochs: int = 1
    batch: int = 16
    seed: int = 0


class Rewards(ABC):
    """What is known of rewards: only differences between responses to one prompt mean anything."""

    @abstractmethod
    def rewards(self, pairs: Sequence[Pair]) -> Tensor:
        """r̂ of the first and of the second response, shape (pairs, 2)."""

    def odds(self, pairs: Sequence[Pair]) -> Tensor:
        """Log-odds of preferring the first response in nats, float64, shape (pairs,)."""
        first, second = self.rewards(pairs).double().T
        return first - second


@dataclass(frozen=True)
class RewardModel(Rewards):
    """A reward r̂ of each response to a prompt: P(a ≻ b) = σ(r̂(a) − r̂(b)).

    r̂(x, y) = β·log(π_r(y|x) / π_ref(y|x)), with π_r a language model of its own that learns from
    the answers: every language model is such a reward (Rafailov et al. 2024, "From r to Q*"). It
    judges acts that it was never asked about by what it knows of words. A new linear head on the
    state after the response has to learn that from nothing: docs/method.md has the comparison.
    Only differences between responses to one prompt mean anything.

    Attributes:
        model: π_r.
        reference: π_ref.
        beta: β.
    """

    model: Policy
    reference: Policy
    beta: float

    def rewards(self, pairs: Sequence[Pair]) -> Tensor:
        """r̂ of the first and of the second response, shape (pairs, 2)."""
        both = [part for own in encode_both(self.model, pairs) for part in own]
        known, learnt = (m.encoded_logprobs(both) for m in (self.reference, self.model))
        return (self.beta * (learnt - known)).view(2, -1).T


@trainer_freed()
def train_reward(
    start: Policy,
    reference: Policy,
    beta: float,
    pairs: Sequence[Pair],
    settings: RewardSettings,
    loss: PairLoss = preference_loss,
) -> RewardModel:
    """Fit a reward model to answered pairs.

    The loss is Bradley and Terry's (1952), expected over the answer:
    −p log σ(r̂(a) − r̂(b)) − (1 − p) log σ(r̂(b) − r̂(a)). It starts as the implicit reward of a
    language model: undecided about everything where that and the reference are equal.

    Args:
        start: π_r before it learns from the answers; not changed.
        reference: π_ref.
        beta: of the implicit reward.
        pairs: questions and answers.
        settings: how to train.
        loss: another loss of the same pairs.

    Raises:
        UsageError: no pairs, or one without an answer.
    """
    check_answered(pairs, "A reward model")
    learner = start.copy("reward")
    with tempfile.TemporaryDirectory() as folder, learner.active() as model:
        judge = _Judge(model, beta, loss)
        trainer = _GradedRewardTrainer(
            model=judge,
            args=_reward_config(folder, settings, learner.backbone.mixed),
            data_collator=collate,
            train_dataset=preference_data(start, reference, pairs),
            processing_class=learner.backbone.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        try:
            trainer.train()
        finally:
            model.eval()
    return RewardModel(learner, reference, beta)


class _Judge(nn.Module):
    """The active model as TRL wants a reward model: it judges the rewards of pairs."""

    def __init__(self, model: Any, beta: float, loss: PairLoss) -> None:
        super().__init__()
        self.model = model
        self.beta = beta
        self.loss = loss
        self.config = copy.copy(model.config)
        self.config.num_labels = 1

    def add_model_tags(self, tags: Any) -> None:
        """The name of the trainer, which nobody reads."""

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """How badly the answers fit r̂(a) − r̂(b), in nats."""
        return self.loss(read_batch(self.model, batch, self.model.device), self.beta)


class _GradedRewardTrainer(RewardTrainer):
    """TRL's trainer with preferences as probabilities."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset  # tokenized already; TRL would append an end token to one-word responses

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        return model(inputs)


def _reward_config(folder: str, settings: RewardSettings, mixed: bool) -> RewardConfig:
    return RewardConfig(
        **quiet_arguments(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        seed=settings.seed,
        bf16=mixed,
        activation_checkpointing=False,  # saves memory that short pairs do not need
        disable_tqdm=True,
    )
