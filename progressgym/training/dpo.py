"""Direct preference optimisation on graded answers, with TRL's DPOTrainer as the loop."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from torch import Tensor, nn
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer

from ..models import Policy
from ..pairs import Pair
from .pairs import (
    PairLoss,
    check_answered,
    collate,
    preference_data,
    preference_loss,
    read_batch,
)
from .trainers import quiet_arguments, trainer_freed

Penalty = Callable[[Mapping[str, Tensor]], Tensor]
"""Nats that a policy's weights cost, by their names in ``Policy.weights``; differentiable."""


@dataclass(frozen=True)
class DPOSettings:
    """Settings of one DPO training.

    Attributes:
        beta: strength of the pull towards the reference; with implicit-reward humans the optimum
            is the human exactly where β equals their decisiveness γ.
        learning_rate: peak of AdamW's, lowered linearly to zero.
        epochs: passes over the pairs.
        batch: prompts of one optimizer step, each with all of its pairs.
        seed: of the order of the pairs.
        epsilon: of AdamW, in units of a gradient. Its steps do not shrink with the gradient, so
            near the optimum a small one turns rounding errors into a random walk.
    """

    beta: float = 1.0
    learning_rate: float = 5e-4
    epochs: int = 1
    batch: int = 16
    seed: int = 0
    epsilon: float = 1e-8


@trainer_freed()
def train_dpo(
    policy: Policy,
    reference: Policy,
    pairs: Sequence[Pair],
    settings: DPOSettings,
    loss: PairLoss = preference_loss,
    penalty: Penalty | None = None,
) -> list[float]:
    """Train a policy in place on answered pairs.

    The loss is expected over the answer (Rafailov et al. 2023, eq. 7, taken over both orders):
    −p log σ(β·m) − (1 − p) log σ(−β·m), with m the policy's margin of log-probabilities between
    the responses minus the reference's, and p the preference. The reference's log-probabilities
    are computed once.

    Args:
        policy: changed in place.
        reference: π_ref.
        pairs: questions and answers.
        settings: how to train.
        loss: another loss of the same pairs.
        penalty: what is added to the loss in each step.

    Returns:
        The loss of each optimizer step, in nats, without the penalty.

    Raises:
        UsageError: no pairs, or one without an answer.
    """
    check_answered(pairs, "DPO")
    dataset = preference_data(policy, reference, pairs)
    with tempfile.TemporaryDirectory() as folder, policy.active() as model:
        trainer = _GradedDPOTrainer(
            model=model,
            ref_model=copy.copy(model),  # never read: TRL would load one, or hash all weights
            args=dpo_config(folder, settings, policy.backbone.mixed),
            data_collator=collate,
            train_dataset=dataset,
            processing_class=policy.backbone.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.losses = []
        trainer.pair_loss = loss
        trainer.penalty = penalty
        trainer.adapter = policy.backbone.adapter
        try:
            trainer.train()
            return trainer.losses
        finally:
            model.__dict__.pop("forward", None)  # TRL wraps it anew in every trainer
            model.eval()


def dpo_config(
    folder: str, settings: DPOSettings, mixed: bool = False, **changes: Any
) -> DPOConfig:
    """TRL's configuration of a training with these settings.

    Args:
        folder: for what TRL writes.
        settings: ours.
        mixed: in mixed precision.
        changes: further arguments of TRL's.
    """
    return DPOConfig(
        **quiet_arguments(folder),
        beta=settings.beta,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        lr_scheduler_type="linear",
        seed=settings.seed,
        adam_epsilon=settings.epsilon,
        bf16=mixed,
        activation_checkpointing=False,  # saves memory that short pairs do not need
        disable_tqdm=True,
        **changes,
    )


class _GradedDPOTrainer(DPOTrainer):
    """TRL's trainer with preferences as probabilities and the reference read beforehand."""

    losses: list[float]
    pair_loss: PairLoss
    penalty: Penalty | None
    adapter: Mapping[str, Tensor]

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset  # tokenized already; TRL would append an end token to one-word responses

    def _compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool
    ) -> Tensor:
        model = self.accelerator.unwrap_model(model)
        loss = self.pair_loss(read_batch(model, inputs, self.accelerator.device), self.beta)
        self.losses.append(loss.item())
        return loss if self.penalty is None else loss + self.penalty(self.adapter)
