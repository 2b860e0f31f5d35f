"""A DPO update against stock TRL and peft: the same sequences, seed, order and loss curve."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from progressgym.benchmark import Outcome, Progress, timed
from progressgym.human import Human
from progressgym.models import Policy, base_policy, era_policy
from progressgym.models.fetch import fetch_smollm2
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.timeline import Timeline
from progressgym.training.dpo import DPOSettings, dpo_config, train_dpo
from progressgym.values.instruments import questions
from progressgym.values.scenarios import Instrument, shipped_bank

SETTINGS = DPOSettings(beta=4.0, batch=16)
STATEMENTS, DILEMMAS = 288, 64  # pairs: some 50 prompts with 6 or 3 pairs of words, 64 with one


@register("benchmark", "dpo")
def dpo(progress: Progress = lambda text: None) -> Outcome:
    """A DPO update against stock TRL and peft with the same loss curve.

    TRL's DPOTrainer trains a peft adapter of the same first weights on the plain base, from the
    same answered pairs in the same order. Both sides are timed from answers to trained weights,
    the reference's log-probabilities included, and start cold.
    """
    policy = base_policy(Timeline.load("smollm2"))
    statements = _compare(policy, "statement", STATEMENTS, progress)
    dilemmas = _compare(policy, "dilemma", DILEMMAS, progress)
    return Outcome(
        figures={
            "dpo_speedup": statements["trl"] / statements["ours"],
            "dpo_speedup_again": statements["trl"] / statements["again"],
            "dpo_speedup_dilemmas": dilemmas["trl"] / dilemmas["ours"],
            "dpo_speedup_dilemmas_again": dilemmas["trl"] / dilemmas["again"],
            "dpo_max_loss_error": max(statements["error"], dilemmas["error"]),
        },
        details={
            f"{kind}_{name}": value
            for kind, found in (("statements", statements), ("dilemmas", dilemmas))
            for name, value in found.items()
        },
    )


def _compare(
    policy: Policy, instrument: Instrument, pairs: int, progress: Progress
) -> dict[str, float]:
    """Seconds of an update: ours, ours again when all is known, TRL's; and the losses' error."""
    answers = answered(policy, instrument, pairs)
    progress(f"{instrument}s: ours")
    losses: list[list[float]] = []

    def ours() -> None:
        losses.append(train_dpo(policy.copy(), policy, answers, SETTINGS))

    cold, again = timed(ours), timed(ours)
    progress(f"{instrument}s: TRL")
    with tempfile.TemporaryDirectory() as folder:
        policy.save(Path(folder) / "start")
        model = stock_model(Path(folder) / "start")
        stock = timed(lambda: losses.append(train_stock(model, policy, answers)))
    error = float(np.abs(np.array(losses[0]) - np.array(losses[2])).max())
    return {
        "pairs": len(answers), "steps": len(losses[0]), "ours": cold, "again": again,
        "trl": stock, "error": error,
    }  # fmt: skip


def answered(policy: Policy, instrument: Instrument, pairs: int) -> list[Pair]:
    """Pairs with binary answers of the 20th century, preferred response first.

    The human is another process's, so to say: what its answering leaves in memory would help us.
    """
    timeline = Timeline.load("smollm2")
    asked = questions(shipped_bank(instrument).split("query"))
    era = era_policy(timeline, timeline.eras[7])
    human = Human("C020", era, policy, asked, pairs, decisiveness=4.0)
    with policy.active(remember=False):
        found = human.prefer(human.draw(pairs, np.random.default_rng(0)))
    policy.backbone.logprobs.clear()
    swapped = [Pair(p.prompt, p.second, p.first, p.scenario, 1.0) for p in found]
    return [p if p.preference == 1.0 else s for p, s in zip(found, swapped, strict=True)]


def stock_model(adapter: Path) -> Any:
    """The plain base with an adapter that peft loads and trains."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(fetch_smollm2(), dtype=torch.float32)
    return PeftModel.from_pretrained(base, str(adapter), is_trainable=True)


def train_stock(
    model: Any,
    policy: Policy,
    answers: Sequence[Pair],
    settings: DPOSettings = SETTINGS,
    reference: Any = None,
    **changes: Any,
) -> list[float]:
    """Train a model with TRL's own trainer; the loss of each optimizer step.

    An example is a prompt with all of its pairs, as in ours, so that the seed gives the same
    order; the collator makes TRL's own batches of them. TRL appends an end token to every
    response, which ours have not; that one step of its preparation is left out. ``changes`` are
    further arguments of TRL's configuration.
    """
    from trl import DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    losses: list[float] = []

    class Stock(DPOTrainer):
        def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
            return dataset

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(*args, **kwargs)
            losses.append((loss[0] if isinstance(loss, tuple) else loss).item())
            return loss

    tokenizer = policy.backbone.tokenizer
    groups: dict[str, list[dict[str, list[int]]]] = {}
    for pair in answers:
        encoded = policy.encode_pairs([pair.prompt] * 2, [pair.first, pair.second])
        (prompt, chosen), (_, rejected) = encoded
        example = {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
        groups.setdefault(pair.prompt, []).append({k: list(v) for k, v in example.items()})
    collate = DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Stock(
            model=model,
            ref_model=reference,
            args=dpo_config(folder, settings, **changes),
            data_collator=lambda rows: collate([pair for row in rows for pair in row["pairs"]]),
            train_dataset=Dataset.from_list([{"pairs": pairs} for pairs in groups.values()]),
            processing_class=tokenizer,
        )
        trainer.train()
    return losses
