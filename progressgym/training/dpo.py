"""Direct preference optimisation on graded answers, with TRL's DPOTrainer as the loop."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer

from ..errors import UsageError
from ..models import Policy
from ..models.reading import Encoded, packed_by_prompt, sequence_logprobs
from ..pairs import Pair
from .trainers import quiet_arguments


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


def train_dpo(
    policy: Policy, reference: Policy, pairs: Sequence[Pair], settings: DPOSettings
) -> list[float]:
    """Train a policy in place on answered pairs.

    The loss is expected over the answer (Rafailov et al. 2023, eq. 7, taken over both orders):
    −p log σ(β·m) − (1 − p) log σ(−β·m), with m the policy's margin of log-probabilities between
    the responses minus the reference's, and p the preference. The reference's margins are
    computed once.

    Returns:
        The loss of each optimizer step, in nats.

    Raises:
        UsageError: no pairs, or one without an answer.
    """
    if not pairs or any(pair.preference is None for pair in pairs):
        raise UsageError("DPO needs pairs that a human has answered: human.prefer(pairs).")
    prompts = [pair.prompt for pair in pairs]
    first = policy.encode_pairs(prompts, [pair.first for pair in pairs])
    second = policy.encode_pairs(prompts, [pair.second for pair in pairs])
    scores = reference.encoded_logprobs([*first, *second])
    margins = scores[: len(pairs)] - scores[len(pairs) :]
    dataset = Dataset.from_list(_groups(pairs, first, second, margins.tolist()))
    with tempfile.TemporaryDirectory() as folder, policy.active() as model:
        trainer = _GradedDPOTrainer(
            model=model,
            args=dpo_config(folder, settings, precompute_ref_log_probs=True),
            data_collator=_collate,
            train_dataset=dataset,
            processing_class=policy.backbone.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.losses = []
        try:
            trainer.train()
            return trainer.losses
        finally:
            model.__dict__.pop("forward", None)  # TRL wraps it anew in every trainer
            model.eval()


def dpo_config(folder: str, settings: DPOSettings, **changes: Any) -> DPOConfig:
    """TRL's configuration of a training with these settings.

    Args:
        folder: for what TRL writes.
        settings: ours.
        changes: further arguments of TRL's.
    """
    return DPOConfig(
        **quiet_arguments(folder),
        beta=settings.beta,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        lr_scheduler_type="linear",
        warmup_steps=0.1,
        seed=settings.seed,
        adam_epsilon=settings.epsilon,
        bf16=torch.cuda.is_available(),
        activation_checkpointing=False,  # saves memory that short pairs do not need
        disable_tqdm=True,
        **changes,
    )


class _GradedDPOTrainer(DPOTrainer):
    """TRL's trainer with preferences as probabilities and precomputed reference margins."""

    losses: list[float]

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset  # tokenized already; TRL would append an end token to one-word responses

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        return dataset

    def _compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool
    ) -> Tensor:
        device = self.accelerator.device
        model = self.accelerator.unwrap_model(model)
        logps = sequence_logprobs(model, inputs["layout"].to(device))
        first, second = logps.chunk(2)
        margin = self.beta * (first - second - inputs["reference_margin"].to(device))
        p = inputs["preference"].to(device)
        log_sigmoid = nn.functional.logsigmoid
        loss = -(p * log_sigmoid(margin) + (1 - p) * log_sigmoid(-margin)).mean()
        self.losses.append(loss.item())
        return loss


def _groups(
    pairs: Sequence[Pair], first: list[Encoded], second: list[Encoded], margins: list[float]
) -> list[dict[str, Any]]:
    """One example for each prompt, holding all of its pairs: they share the prompt's pass."""
    groups: dict[str, dict[str, list]] = {}
    for pair, one, other, margin in zip(pairs, first, second, margins, strict=True):
        group = groups.setdefault(
            pair.prompt, {"first": [], "second": [], "reference_margin": [], "preference": []}
        )
        group["first"].append(list(one))
        group["second"].append(list(other))
        group["reference_margin"].append(margin)
        group["preference"].append(pair.preference)
    return list(groups.values())


def _collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
    joined = {key: [x for e in examples for x in e[key]] for key in examples[0]}
    return {
        "layout": packed_by_prompt([tuple(s) for s in joined["first"] + joined["second"]]),
        "reference_margin": torch.tensor(joined["reference_margin"]),
        "preference": torch.tensor(joined["preference"]),
    }
