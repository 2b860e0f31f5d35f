"""Thin layers over TRL: its loops, checkpoints and optimizers, our reading of probabilities."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

from ..errors import UsageError
from ..models.reading import token_logprobs
from .reporting import report_arguments

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def launched() -> int:
    """Number of processes that `accelerate launch` or torchrun started for one training."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def trainer_freed() -> Iterator[None]:
    """Free what a training leaves: a trainer and its optimizer are part of reference cycles.

    All that was there before is not searched for garbage. transformers does that as each training
    begins, which takes longer than a short training itself: 0.3 s for what imports alone leave.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()


def quiet_arguments(folder: Path | str) -> dict[str, Any]:
    """Arguments that all trainings share: nothing reported, logged or kept unless asked.

    Raises:
        UsageError: several processes were launched; each would train on a part, and for itself.
    """
    if launched() > 1:
        raise UsageError(
            "`accelerate launch` and torchrun are for `eras train` on a model folder or hub id. "
            "All else trains in one process: spread a large model over its GPUs with `device_map`."
        )
    return {
        "output_dir": str(folder),
        **report_arguments(),
        "save_strategy": "no",
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "use_cpu": not torch.cuda.is_available(),
    }


def training_arguments(folder: Path, **changes: Any) -> TrainingArguments:
    """transformers' arguments, starting from the quiet ones."""
    return TrainingArguments(**{**quiet_arguments(folder), **changes})


class NextTokenTrainer(Trainer):
    """Next-token loss on blocks of equal length."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(data_collator=_stack, **arguments)

    def _load_from_checkpoint(self, *_: Any, **__: Any) -> None:
        """Nothing: whoever resumes brings the weights. transformers would not find the adapter."""

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Mean negative log-likelihood in nats a token."""
        # Accelerate's own autocast wraps model.forward, which is not called here.
        device = inputs["input_ids"].device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.args.bf16):
            return next_token_losses(model, inputs["input_ids"]).mean()


def next_token_losses(model: nn.Module, ids: Tensor) -> Tensor:
    """−log p of every token after the first, in nats, shape (rows, length − 1)."""
    states = model.model(input_ids=ids, use_cache=False).last_hidden_state  # type: ignore[operator]
    targets = ids[:, 1:].flatten()
    every = torch.arange(len(targets), device=ids.device)
    return -token_logprobs(model, states[:, :-1].flatten(0, 1), every, targets).view(len(ids), -1)


def _stack(examples: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {"input_ids": torch.tensor([example["input_ids"] for example in examples])}
