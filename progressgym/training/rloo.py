"""Reinforcement learning from a reward model, with TRL's RLOOTrainer as the loop."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PrinterCallback, TrainerCallback
from trl import RLOOConfig, RLOOTrainer

from ..models import Policy
from ..models.reading import Encoded, packed_by_prompt, sequence_logprobs
from ..pairs import Pair
from .pairs import encode_both
from .trainers import quiet_arguments


@dataclass(frozen=True)
class RLOOSettings:
    beta: float = 1.0
    learning_rate: float = 5e-4
    epochs: int = 1
    batch: int = 16
    samples: int = 4
    seed: int = 0


def train_rloo(
    policy: Policy,
    reference: Policy,
    pairs: Sequence[Pair],
    rewards: Tensor,
    settings: RLOOSettings,
    watch: Callable[[int], None] = lambda step: None,
) -> None:
    first, second = encode_both(policy, pairs)
    scores = reference.encoded_logprobs([*first, *second]).view(2, -1).T
    order, batch = _batches(pairs, settings)
    table = rewards.tolist()

    def reward(prompts: list[int], completions: list[int], **_: Any) -> list[float]:
        return [table[question][choice] for question, choice in zip(prompts, completions, strict=True)]

    with tempfile.TemporaryDirectory() as folder, policy.active() as model:
        trainer = _ChoiceTrainer(
            model=model,
            reward_funcs=reward,
            args=_rloo_config(folder, settings, batch),
            train_dataset=Dataset.from_dict({"prompt": order}),
            processing_class=policy.backbone.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.pairs = list(zip(first, second, strict=True))
        trainer.ref_model = scores.log_softmax(1)
        trainer.beta = settings.beta
        trainer.generator = torch.Generator().manual_seed(settings.seed)
        trainer.add_callback(_Watch(watch))
        try:
            trainer.train()
        finally:
            model.__dict__.pop("forward", None)
            model.eval()


def _batches(pairs: Sequence[Pair], settings: RLOOSettings) -> tuple[list[int], int]:
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


def _rloo_config(folder, settings, batch):
    return RLOOConfig(
        **quiet_arguments(folder),
        beta=0.0,
        num_generations=settings.samples,
        per_device_train_batch_size=batch * settings.samples,
        shuffle_dataset=False,
        learning_rate=settings.learning_rate,
        num_train_epochs=1,
        lr_scheduler_type="linear",
        warmup_steps=0.1,
        seed=settings.seed,
        bf16=torch.cuda.is_available(),
        gradient_checkpointing=False,
        disable_tqdm=True,
    )


class _Watch(TrainerCallback):
    def __init__(self, watch): self.watch = watch
    def on_step_end(self, args, state, control, **kwargs): self.watch(state.global_step)


class _ChoiceTrainer(RLOOTrainer):
    pairs: list[tuple[Encoded, Encoded]]
    generator: torch.Generator

    def _generate(self, prompts):
        questions = prompts[:: self.num_generations]
        model = self.accelerator.unwrap_model(self.model)
        both = [self.pairs[q] for q in questions]
        layout = packed_by_prompt([a for a, _ in both] + [b for _, b in both]).to(self.accelerator.device)
        scores = sequence_logprobs(model, layout).view(2, -1).T
        self.read = scores.log_softmax(1)
        self.places = {q: i for i, q in enumerate(questions)}
        chance = self.read[:, 1].detach().exp().cpu().repeat_interleave(self.num_generations)
        choices = (torch.rand(len(chance), generator=self.generator) < chance).int().tolist()
        return [[q] for q in prompts], [[c] for c in choices], choices

    def _get_per_token_logps_and_entropies(self, model, input_ids, *args, **kwargs):
        questions, choices = input_ids.T
        if model is self.ref_model:
            table = self.ref_model[questions]
        else:
            table = self.read[[self.places[q] for q in questions.tolist()]]
        logps = table.gather(1, choices[:, None])
        entropies = -(table.exp() * table).sum(1, keepdim=True)
        return logps, entropies, None
