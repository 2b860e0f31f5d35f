"""Training an era adapter in several processes, for bases that one GPU is too small or slow for.

`accelerate launch` starts the processes and says by its configuration what each of them holds: the
whole base (DDP) or a part of it (FSDP). The model is the plain one of transformers and peft: what a
backbone remembers differs from one process to the next, and they have to do the same steps.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import get_peft_model
from torch import Tensor, nn
from transformers import (
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from ..errors import UsageError
from ..models import AdapterShape, Weights
from ..models.backbone import fresh_adapter, save_adapter
from ..models.load import base_source, plain_model, tokenizer_of
from ..passages import Passage
from ..storage import alone
from ..timeline import Timeline
from .density import densest
from .eras import (
    ONE_PASS,
    EraRecipe,
    Report,
    finish,
    is_finished,
    last_whole,
    manifest_of,
    token_blocks,
    work_folder,
)
from .trainers import launched


def train_era_together(
    timeline: Timeline,
    era: str,
    passages: Sequence[Passage],
    recipe: EraRecipe,
    out: Path,
    progress: Callable[[float], None] = lambda share: None,
) -> Path:
    """:func:`.eras.train_era` in all processes that were launched; each has to call it.

    The batch is the recipe's, shared among the processes, so that the adapter is that of one
    process up to rounding. An interrupted era goes on from its last whole checkpoint: ``out`` lies
    where all processes see it.

    Args:
        timeline: whose base is trained on: a model folder, a hub id or ``smollm2``.
        era: name, for the manifest.
        passages: the era's training texts.
        recipe: tokens, learning rate and so on.
        out: the adapter's folder.
        progress: told the share of steps that is done.

    Raises:
        UsageError: the batch cannot be shared, the base is in no file, there are no texts, or
            another training is writing there.
    """
    source, processes = base_source(timeline), launched()
    if recipe.batch % processes:
        raise UsageError(f"{processes} processes cannot share batches of {recipe.batch}.")
    if source.place == "tiny":
        raise UsageError("Several processes train on a model folder or hub id; tiny is neither.")
    passages = densest(passages, recipe.dense)
    base = plain_model(source, timeline.loading)
    shape = AdapterShape.of(base.config.num_hidden_layers)
    manifest = manifest_of(source.place, source.fingerprint, shape, era, passages, recipe)
    if is_finished(out, manifest):
        return out
    blocks = token_blocks(tokenizer_of(source, timeline.loading), passages, recipe)
    config = shape.peft_config(base)
    model = get_peft_model(base, config)
    with torch.no_grad():
        own = _adapter(model)
        for name, tensor in fresh_adapter(own, recipe.seed).items():
            own[name].copy_(tensor)
    work, first = work_folder(out, manifest), int(os.environ.get("RANK", "0")) == 0
    with alone(work) if first else nullcontext():
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                str(work),
                seed=recipe.seed,
                learning_rate=recipe.learning_rate,
                per_device_train_batch_size=recipe.batch // processes,
                bf16=recipe.bf16,
                report_to="none",
                logging_strategy="no",
                dataloader_pin_memory=False,
                use_cpu=not torch.cuda.is_available(),
                **ONE_PASS,
            ),
            train_dataset=Dataset.from_dict({"input_ids": blocks, "labels": blocks}),
            data_collator=_stack,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Report(progress))
        with trainer.accelerator.main_process_first():  # what is half written, it removes
            checkpoint = last_whole(work)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        weights = _adapter(trainer.model)
        if first:
            save_adapter(weights, config, source.place, out, torch.float16)
            finish(out, manifest)
        trainer.accelerator.wait_for_everyone()
    if first:
        shutil.rmtree(work, ignore_errors=True)
    return out


def _adapter(model: nn.Module) -> Weights:
    """The adapter's weights under the names of peft's files, whole: every process has to ask."""
    return {
        name.replace(".default.", "."): _whole(parameter)
        for name, parameter in model.named_parameters()
        if "lora_" in name
    }


def _whole(parameter: Tensor) -> Tensor:
    """A parameter of which each process holds a part, put together (FSDP)."""
    return parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter


def _stack(examples: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {key: torch.tensor([example[key] for example in examples]) for key in examples[0]}
