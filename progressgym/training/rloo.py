"""Reinforcement learning from a reward model, with TRL's RLOOTrainer as the loop."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback
from trl import RLOOConfig, RLOOTrainer

from ..errors import UsageError
from ..models import Policy
from ..models.reading import Encoded, Layout, packed_by_prompt, sequence_logprobs
from ..pairs import Pair
from .pairs import check_answered, encode_both
from .trainers import quiet_arguments, trainer_freed

Curves = dict[str, list[float]]
"""What a training was like, by name and optimizer step."""


@dataclass(frozen=True)
class RLOOSettings:
    """Settings of one training with RLOO.

    Attributes:
        beta: weight of the KL divergence from the reference; where the reward is a human's
            log-odds, the optimum is the human exactly if β equals the human's decisiveness γ.
        learning_rate: peak of AdamW's, lowered linearly to zero.
        epochs: passes over the pairs.
        batch: prompts of one optimizer step, each with all of its pairs.
        samples: responses sampled to each question of a step.
        seed: of the order of the pairs and of the samples.
    """

    beta: float = 1.0
    learning_rate: float = 5e-4
    epochs: int = 1
    batch: int = 16
    samples: int = 4
    seed: int = 0


@trainer_freed()
def train_rloo(
    policy: Policy,
    reference: Policy,
    questions: Sequence[Pair],
    rewards: Tensor,
    settings: RLOOSettings,
    answers: Sequence[Pair] = (),
) -> Curves:
    """Train a policy in place to choose rewarded responses, not too far from the reference.

    The policy maximises E[r̂] − β·KL(π ‖ π_ref) over its choice between the two responses to each
    question, with REINFORCE and the other samples' mean reward as baseline (Ahmadian et al. 2024,
    "Back to Basics", eq. 8). The optimum has the margin m_ref + (r̂(a) − r̂(b)) / β, which is DPO's.

    Args:
        policy: changed in place.
        reference: π_ref.
        questions: what it chooses responses to; nobody needs to have answered.
        rewards: r̂ of first and second response, shape (questions, 2); differences count.
        settings: how to train.
        answers: answered pairs, which are only watched.

    Returns:
        ``reward``: r̂ that the policy's choices gain over the reference's, mean of a batch;
        ``kl``: KL(π ‖ π_ref) in nats a question; ``agreement``, where there are answers: share of
        them with which the policy's change from the reference agrees. Reward that rises while
        agreement falls is over-optimisation.

    Raises:
        UsageError: no questions, or an answer that is none.
    """
    if not questions:
        raise UsageError("RLOO needs questions to choose responses to.")
    first, second = encode_both(policy, questions)
    scores = reference.encoded_logprobs([*first, *second]).view(2, -1).T
    order, batch = _batches(questions, settings)
    watch = _Watch.of(policy, reference, answers) if answers else None
    with tempfile.TemporaryDirectory() as folder, policy.active() as model:
        trainer = _ChoiceTrainer(
            model=model,
            reward_funcs=lambda completions, **_: [float(rewards[q, c]) for q, c in completions],
            args=_rloo_config(folder, settings, batch, policy.backbone.mixed),
            train_dataset=Dataset.from_dict({"prompt": order}),
            processing_class=policy.backbone.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.beta = settings.beta  # not in the configuration: TRL would load a reference model
        trainer.ref_model = _REFERENCE
        trainer.choices = _Choices(
            list(zip(first, second, strict=True)),
            scores.double().log_softmax(1),
            rewards.double(),
            torch.Generator().manual_seed(settings.seed),
            watch,
        )
        try:
            trainer.train()
        finally:
            model.__dict__.pop("forward", None)  # TRL wraps it anew in every trainer
            model.eval()
    return trainer.choices.curves


_REFERENCE: Any = object()  # stands for the reference, whose log-probabilities are known


class _Choices:
    """All questions, each a choice between two responses, and what became of it.

    Args:
        responses: the two of each question, tokenized.
        reference: log π_ref of each choice, shape (questions, 2).
        rewards: r̂ of each choice, shape (questions, 2).
        generator: of the samples.
        watch: answers to watch.
    """

    def __init__(
        self,
        responses: list[tuple[Encoded, Encoded]],
        reference: Tensor,
        rewards: Tensor,
        generator: torch.Generator,
        watch: _Watch | None,
    ) -> None:
        self.responses = responses
        self.reference = reference
        self.rewards = rewards
        self.generator = generator
        self.watch = watch
        names = ("reward", "kl", "agreement") if watch else ("reward", "kl")
        self.curves: Curves = {name: [] for name in names}

    def sample(self, questions: Sequence[int], logps: Tensor, count: int) -> list[int]:
        """Sampled choices, ``count`` for each question; logps has shape (questions, 2)."""
        chance = logps[:, 1].exp().repeat_interleave(count)
        drawn = torch.rand(len(chance), generator=self.generator, dtype=chance.dtype)
        return (drawn < chance).int().tolist()

    def note(self, model: Any, questions: Sequence[int], logps: Tensor) -> None:
        """Add one step to the curves."""
        rows = list(questions)
        reference, chances = self.reference[rows], logps.exp()
        gained = ((chances - reference.exp()) * self.rewards[rows]).sum(1)
        self.curves["reward"].append(float(gained.mean()))
        self.curves["kl"].append(float((chances * (logps - reference)).sum(1).mean()))
        if self.watch:
            self.curves["agreement"].append(self.watch.agreement(model))


@dataclass(frozen=True)
class _Watch:
    """Answered pairs, to see whether a policy agrees with them.

    Attributes:
        layout: both responses of each.
        reference: π_ref's margins in nats, shape (pairs,).
        answers: P(first preferred), shape (pairs,).
    """

    layout: Layout
    reference: Tensor
    answers: Tensor

    @classmethod
    def of(cls, policy: Policy, reference: Policy, pairs: Sequence[Pair]) -> _Watch:
        """Watch these."""
        check_answered(pairs, "Watching agreement")
        first, second = encode_both(policy, pairs)
        answers = torch.tensor([pair.preference for pair in pairs], dtype=torch.float64)
        margins = torch.from_numpy(reference.margins(pairs)).double()
        return cls(packed_by_prompt([*first, *second]), margins, answers)

    @torch.no_grad()
    def agreement(self, model: Any) -> float:
        """Share of the answers with which the model's change from the reference agrees."""
        layout = self.layout.to(model.device)
        first, second = sequence_logprobs(model, layout).cpu().double().chunk(2)
        change = first - second - self.reference
        agreed = torch.where(change > 0, self.answers, 1 - self.answers)
        agreed[change == 0] = 0.5
        return float(agreed.mean())


class _ChoiceTrainer(RLOOTrainer):
    """TRL's trainer, whose prompts are numbers of questions and whose completions are choices.

    Both responses to a question are read in one pass, which serves sampling and training alike.
    """

    choices: _Choices

    def _generate(self, prompts: list[int]) -> tuple[list[list[int]], list[list[int]], list[Any]]:
        questions = prompts[:: self.num_generations]
        model = self.accelerator.unwrap_model(self.model)
        both = [self.choices.responses[q] for q in questions]
        layout = packed_by_prompt([a for a, _ in both] + [b for _, b in both])
        read = sequence_logprobs(model, layout.to(self.accelerator.device))
        self._places = {question: row for row, question in enumerate(questions)}
        self._logps = read.view(2, -1).T.log_softmax(1)
        known = self._logps.detach().cpu().double()
        self.choices.note(model, questions, known)
        chosen = self.choices.sample(questions, known, self.num_generations)
        return (
            [[q] for q in prompts],
            [[c] for c in chosen],
            list(zip(prompts, chosen, strict=True)),
        )

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor, None]:
        questions, chosen = input_ids.T
        if model is _REFERENCE:
            table = self.choices.reference[questions.cpu()].to(self._logps)
        else:
            table = self._logps[[self._places[q] for q in questions.tolist()]]
        entropies = -(table.exp() * table).sum(1, keepdim=True)
        return table.gather(1, chosen[:, None]), entropies, None


def _batches(pairs: Sequence[Pair], settings: RLOOSettings) -> tuple[list[int], int]:
    """Questions in the order of training, and how many make a step; prompts stay together."""
    groups: dict[str, list[int]] = {}
    for index, pair in enumerate(pairs):
        groups.setdefault(pair.prompt, []).append(index)
    prompts = list(groups.values())
    rng = np.random.default_rng(settings.seed)
    order = [
        question
        for _ in range(settings.epochs)
        for group in rng.permutation(len(prompts))
        for question in prompts[group]
    ]
    steps = max(1, round(settings.epochs * len(prompts) / settings.batch))
    batch = -(-len(order) // steps)
    return [order[i % len(order)] for i in range(steps * batch)], batch


def _rloo_config(folder: str, settings: RLOOSettings, batch: int, mixed: bool) -> RLOOConfig:
    return RLOOConfig(
        **quiet_arguments(folder),
        beta=0.0,
        num_generations=settings.samples,
        per_device_train_batch_size=batch * settings.samples,
        shuffle_dataset=False,
        learning_rate=settings.learning_rate,
        num_train_epochs=1,
        lr_scheduler_type="linear",
        seed=settings.seed,
        bf16=mixed,
        activation_checkpointing=False,
        disable_tqdm=True,
    )
