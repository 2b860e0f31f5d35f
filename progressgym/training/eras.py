"""Training era adapters: continued pre-training of the top layers on one era's passages."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from ..errors import UsageError
from ..models import AdapterShape, Backbone, Policy
from ..passages import Passage
from ..storage import (
    alone,
    flush_to_disk,
    is_whole,
    seal_folder,
    sha256_json,
    write_json,
    write_text,
)
from .density import densest
from .trainers import NextTokenTrainer, training_arguments


@dataclass(frozen=True)
class EraRecipe:
    """Everything that determines an era adapter besides its texts and its base.

    Attributes:
        tokens: training tokens an era; works are repeated where an era has fewer.
        block: tokens of one training sequence.
        batch: sequences of one optimizer step.
        learning_rate: peak, warmed up over 5 % of the steps and lowered as a cosine.
        seed: of the order and of the adapter's first weights.
        dense: share of each work's passages that is read, those richest in words of value; see
            :mod:`.density`.
        bf16: mixed precision where the machine is fast at it; the numbers then depend on that.
    """

    tokens: int = 200_000
    block: int = 256
    batch: int = 8
    learning_rate: float = 5e-4
    seed: int = 0
    dense: float = 1.0
    bf16: bool = False


ONE_PASS: dict[str, Any] = {
    "num_train_epochs": 1,
    "warmup_steps": 0.05,
    "lr_scheduler_type": "cosine",
    "disable_tqdm": True,
    "save_strategy": "steps",
    "save_steps": 50,
}
"""What all trainings of eras share."""


def train_era(
    backbone: Backbone,
    era: str,
    passages: Sequence[Passage],
    recipe: EraRecipe,
    out: Path,
    progress: Callable[[float], None] = lambda share: None,
) -> Path:
    """Train one era's adapter; an interrupted training goes on from its last checkpoint.

    Args:
        backbone: the base.
        era: name, for the manifest.
        passages: the era's training texts.
        recipe: tokens, learning rate and so on.
        out: the adapter's folder; a finished one with the same manifest is kept as it is.
        progress: told the share of steps that is done.

    Returns:
        ``out``, holding adapter_model.safetensors (fp16), adapter_config.json, manifest.json.

    Raises:
        UsageError: the era has no passages, or none that fills a block, or another process is
            training it.
    """
    if not passages:
        raise UsageError(f"No passages for era {era}: nothing to train on.")
    passages = densest(passages, recipe.dense)
    manifest = manifest_of(
        backbone.name, backbone.fingerprint, backbone.shape, era, passages, recipe
    )
    if is_finished(out, manifest):
        return out
    blocks = token_blocks(backbone.tokenizer, passages, recipe)
    work = work_folder(out, manifest)
    with alone(work):
        policy = _trained(backbone, era, blocks, recipe, work, progress)
        backbone.save_weights(policy.weights, out, dtype=torch.float16)
        finish(out, manifest)
    shutil.rmtree(work, ignore_errors=True)
    return out


def _trained(
    backbone: Backbone,
    era: str,
    blocks: list[list[int]],
    recipe: EraRecipe,
    work: Path,
    progress: Callable[[float], None],
) -> Policy:
    """Train on blocks, from the last whole checkpoint in the folder ``work`` if there is one."""
    checkpoint = last_whole(work)
    begun = backbone.load_weights(checkpoint) if checkpoint else backbone.fresh_weights(recipe.seed)
    policy = Policy(backbone, begun, era)
    with policy.active(remember=False) as model:
        trainer = NextTokenTrainer(
            model=model,
            args=training_arguments(
                work,
                seed=recipe.seed,
                learning_rate=recipe.learning_rate,
                per_device_train_batch_size=recipe.batch,
                bf16=recipe.bf16,
                **ONE_PASS,
            ),
            train_dataset=Dataset.from_dict({"input_ids": blocks}),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Report(progress))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return policy


def work_folder(out: Path, manifest: dict[str, Any]) -> Path:
    """Where the checkpoints of an adapter's training lie until it is finished."""
    return out.with_name(f"{out.name}.training-{sha256_json(manifest)[:12]}")


def last_whole(work: Path) -> Path | None:
    """The latest checkpoint that was written to its end; what is half written is removed."""
    whole = []
    for path in work.glob("checkpoint-*"):
        if is_whole(path):
            whole.append(path)
        else:  # transformers would go on from it without a word about what is missing
            shutil.rmtree(path)
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


class Report(TrainerCallback):
    """Tells a function the share of steps that is done, and seals checkpoints."""

    def __init__(self, progress: Callable[[float], None]) -> None:
        self.progress = progress

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """After every optimizer step."""
        self.progress(state.global_step / state.max_steps)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """After every checkpoint: the ones before are no longer needed."""
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # each process writes a part of it
        if not state.is_world_process_zero:
            return
        work, name = Path(str(args.output_dir)), f"checkpoint-{state.global_step}"
        seal_folder(work / name)
        flush_to_disk(work)
        for path in work.glob("checkpoint-*"):
            if path.name != name:
                shutil.rmtree(path)


def model_card(manifest: dict[str, Any]) -> str:
    """The adapter's card, in the hub's format."""
    recipe, adapter = manifest["recipe"], manifest["adapter"]
    works = "\n".join(f"- {work}" for work in manifest["works"])
    dense = recipe.get("dense", 1.0)
    return f"""---
library_name: peft
tags: [progressgym, lora, historical-text]
---
# {manifest["era"]}: the people of an era

A LoRA adapter on `{manifest["base"]}` that stands in for the people of {manifest["era"]} in
ProgressGym. It answers which of two responses is preferred and is measured on value dimensions.

**Training.** {recipe["tokens"]:,} tokens of the works below, none of which dominates (blocks of
{recipe["block"]} tokens, {recipe["batch"]} a step, learning rate {recipe["learning_rate"]}, seed
{recipe["seed"]}); of each work {dense:.0%} of its passages, those richest in words of value;
rank {adapter["rank"]} on the top {adapter["top_layers"]} layers.

**Use.** Research on algorithms that track value change. It must not be taken for what the people
of a century believed: the texts are those that survived and were printed, written by few, mostly
men, many in later translations whose words belong to the translator's time; and a small model
says little of what it read.

**Works.**
{works}
"""


def is_finished(out: Path, manifest: dict[str, Any]) -> bool:
    """Does a folder hold the adapter of this manifest?"""
    try:
        return json.loads((out / "manifest.json").read_text()) == manifest
    except (OSError, ValueError):
        return False


def finish(out: Path, manifest: dict[str, Any]) -> None:
    """Card and manifest, which is last: it marks the adapter as finished."""
    write_text(out / "README.md", model_card(manifest))
    write_json(out / "manifest.json", manifest)


def manifest_of(
    base: str,
    fingerprint: str,
    shape: AdapterShape,
    era: str,
    passages: Sequence[Passage],
    recipe: EraRecipe,
) -> dict[str, Any]:
    """Everything that determines an adapter, and what it is called."""
    text = hashlib.sha256()
    for passage in passages:
        text.update(passage.text.encode())
    return {
        "era": era,
        "base": base,
        "base_sha256": fingerprint,
        "adapter": asdict(shape),
        "recipe": asdict(recipe),
        "passages": len(passages),
        "passages_sha256": text.hexdigest(),
        "works": sorted({passage.work for passage in passages}),
    }


def token_blocks(
    tokenizer: PreTrainedTokenizerBase, passages: Sequence[Passage], recipe: EraRecipe
) -> list[list[int]]:
    """Token blocks in which no work dominates, shuffled from the seed."""
    works: dict[str, list[str]] = defaultdict(list)
    for passage in passages:
        works[passage.work].append(passage.text)
    cut = {work: _cut(tokenizer, texts, recipe.block) for work, texts in works.items()}
    if not any(cut.values()):
        raise UsageError(f"The passages hold fewer than {recipe.block} tokens a work.")
    rng = np.random.default_rng(recipe.seed)
    wanted = -(-recipe.tokens // recipe.block)
    blocks = _drawn(cut, wanted, rng)
    return [blocks[i] for i in rng.permutation(len(blocks))]


def _cut(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], size: int) -> list[list[int]]:
    """One stream of tokens, an end token after each text, in blocks of a size."""
    end = [tokenizer.eos_token_id]
    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    stream = [token for ids in encoded for token in ids + end]
    return [stream[i : i + size] for i in range(0, len(stream) - size + 1, size)]


def _drawn(
    cut: dict[str, list[list[int]]], wanted: int, rng: np.random.Generator
) -> list[list[int]]:
    """Blocks in equal shares of each work; again from the start where there are too few."""
    blocks: list[list[int]] = []
    while len(blocks) < wanted:
        shares = balanced_shares({w: len(b) for w, b in cut.items()}, wanted - len(blocks))
        for work, share in shares.items():
            order = rng.permutation(len(cut[work]))[:share]
            blocks += [cut[work][i] for i in order]
    return blocks


def balanced_shares(sizes: dict[str, int], wanted: int) -> dict[str, int]:
    """How many blocks to take of each work: equal shares, short works giving what they have."""
    shares = dict.fromkeys(sizes, 0)
    left = min(wanted, sum(sizes.values()))
    open_works = sorted(sizes, key=lambda work: (sizes[work], work))
    while open_works:
        work = open_works[0]
        shares[work] = min(sizes[work], left // len(open_works))
        left -= shares[work]
        open_works.pop(0)
    return shares
