"""Reward modelling on graded answers, with TRL's RewardTrainer as the loop."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PrinterCallback
from trl import RewardConfig, RewardTrainer

from ..models import Policy
from ..models.reading import Encoded, Layout, packed_by_prompt, read_states
from ..pairs import Pair
from .pairs import check_answered, encode_both, examples_by_prompt, expected_loss, joined
from .trainers import quiet_arguments

HEAD_PACE = 10.0
"""How much faster than the adapter the head learns: it starts at zero, the adapter needs it."""


@dataclass(frozen=True)
class RewardSettings:
    """Settings of one training of a reward model.

    Attributes:
        learning_rate: peak of AdamW's for the adapter, lowered linearly to zero.
        epochs: passes over the pairs.
        batch: prompts of one optimizer step, each with all of its pairs.
        seed: of the order of the pairs.
    """

    learning_rate: float = 1e-3
    epochs: int = 1
    batch: int = 16
    seed: int = 0


@dataclass(frozen=True)
class RewardModel:
    """A scalar reward r̂ of each response to a prompt: P(a ≻ b) = σ(r̂(a) − r̂(b)).

    r̂(x, y) = β·log(π(y|x) / π_ref(y|x)) + head(x, y): the implicit reward of the policy that is to
    be trained, which is all that is known before the answers, and what the answers change of it.
    The head is linear and reads the state after the response's last token in a body of its own,
    the policy's copy with an adapter that learns. Only differences between responses to one
    prompt mean anything.

    Attributes:
        prior: the policy and its reference, whose implicit reward is the beginning.
        beta: of the implicit reward.
        body: base and adapter.
        head: shape (hidden,).
    """

    prior: tuple[Policy, Policy]
    beta: float
    body: Policy
    head: Tensor

    def rewards(self, pairs: Sequence[Pair]) -> Tensor:
        """r̂ of the first and of the second response, shape (pairs, 2)."""
        both = [part for own in encode_both(self.body, pairs) for part in own]
        learnt = self.body.end_states(both) @ self.head
        return (_implicit(self.prior, self.beta, both) + learnt).view(2, -1).T


def train_reward(
    policy: Policy,
    reference: Policy,
    beta: float,
    pairs: Sequence[Pair],
    settings: RewardSettings,
) -> RewardModel:
    """Fit a reward model to answered pairs.

    The loss is Bradley and Terry's (1952), expected over the answer:
    −p log σ(r̂(a) − r̂(b)) − (1 − p) log σ(r̂(b) − r̂(a)). It starts with a head of zeros, that is
    with the policy's implicit reward relative to the reference (Rafailov et al. 2024, "From r to
    Q*"): undecided about everything where they are equal.

    Args:
        policy: as it is before it learns from the answers; not changed, and copied, so that it
            may learn afterwards.
        reference: π_ref.
        beta: of the implicit reward.
        pairs: questions and answers.
        settings: how to train.

    Raises:
        UsageError: no pairs, or one without an answer.
    """
    check_answered(pairs, "A reward model")
    first, second = encode_both(policy, pairs)
    implied = _implicit((policy, reference), beta, [*first, *second]).view(2, -1)
    columns: dict[str, list[Any]] = {
        "first": first,
        "second": second,
        "preference": [pair.preference for pair in pairs],
        "implied": (implied[0] - implied[1]).tolist(),
    }
    dataset = Dataset.from_list(examples_by_prompt(pairs, columns))
    body = policy.copy("reward")
    with tempfile.TemporaryDirectory() as folder, body.active() as model:
        judge = _Judge(model)
        trainer = _GradedRewardTrainer(
            model=judge,
            args=_reward_config(folder, settings),
            data_collator=_collate,
            train_dataset=dataset,
            processing_class=body.backbone.tokenizer,
            optimizers=(_optimizer(judge, settings.learning_rate), None),
        )
        trainer.remove_callback(PrinterCallback)
        try:
            trainer.train()
        finally:
            model.eval()
    head = judge.head.weight.detach()[0].float().cpu()
    return RewardModel((policy.copy("prior"), reference), beta, body, head)


def _implicit(prior: tuple[Policy, Policy], beta: float, encoded: Sequence[Encoded]) -> Tensor:
    """β·log(π / π_ref) of each sequence's response, in nats."""
    policy, reference = prior
    return beta * (policy.encoded_logprobs(encoded) - reference.encoded_logprobs(encoded))


class _Judge(nn.Module):
    """The active model with a scalar head: what TRL takes for a sequence classifier."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.config = copy.copy(model.config)
        self.config.num_labels = 1
        self.head = nn.Linear(model.config.hidden_size, 1, bias=False, device=model.device)
        nn.init.zeros_(self.head.weight)

    def add_model_tags(self, tags: Any) -> None:
        """The name of the trainer, which nobody reads."""

    def forward(self, layout: Layout) -> Tensor:
        """The reward of each sequence, shape (sequences,)."""
        return self.head(read_states(self.model, layout)[layout.reading]).squeeze(1)


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
        device = self.accelerator.device
        first, second = model(inputs["layout"].to(device)).chunk(2)
        margin = first - second + inputs["implied"].to(device)
        return expected_loss(margin, inputs["preference"].to(device))


def _reward_config(folder: str, settings: RewardSettings) -> RewardConfig:
    return RewardConfig(
        **quiet_arguments(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        seed=settings.seed,
        bf16=torch.cuda.is_available(),
        activation_checkpointing=False,  # saves memory that short pairs do not need
        disable_tqdm=True,
    )


def _optimizer(judge: _Judge, learning_rate: float) -> torch.optim.Optimizer:
    adapter = [p for p in judge.model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": adapter},
        {"params": list(judge.head.parameters()), "lr": HEAD_PACE * learning_rate},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0.0)


def _collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
    pairs = joined(examples)
    sequences = [tuple(s) for s in pairs["first"] + pairs["second"]]
    return {
        "layout": packed_by_prompt(sequences, ends=True),
        "preference": torch.tensor(pairs["preference"]),
        "implied": torch.tensor(pairs["implied"]),
    }
