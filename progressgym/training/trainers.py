"""Thin layers over TRL: its loops, checkpoints and optimizers, our reading of probabilities."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def quiet_arguments(folder: Path | str) -> dict[str, Any]:
    """Arguments that all trainings share: no reports, no logs, nothing kept unless asked."""
    return {
        "output_dir": str(folder),
        "report_to": "none",
        "logging_strategy": "no",
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
    head = model.get_output_embeddings().weight  # type: ignore[operator]
    losses = _HeadLoss.apply(states[:, :-1].flatten(0, 1), head, ids[:, 1:].flatten())
    return losses.view(len(ids), -1)


class _HeadLoss(torch.autograd.Function):
    """Cross-entropy through a frozen head, in slices that stay in the processor's cache.

    The gradient of each slice is taken while its logits are still there, so the logits of the
    whole batch (400 MB for 2,048 tokens) never exist and nothing is computed twice.
    """

    SLICE = 256

    @staticmethod
    def forward(ctx: Any, states: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        """Losses, shape (positions,), of states (positions, hidden)."""
        fast = torch.is_autocast_enabled(states.device.type)
        dtype = torch.get_autocast_dtype(states.device.type) if fast else head.dtype
        head = head.to(dtype)
        losses = torch.empty(len(states), device=states.device)
        gradient = torch.empty_like(states)
        for start in range(0, len(states), _HeadLoss.SLICE):
            part = slice(start, start + _HeadLoss.SLICE)
            target = targets[part].unsqueeze(1)
            logits = states[part].to(dtype) @ head.T
            scores = torch.log_softmax(logits, dim=1, dtype=torch.float32)
            losses[part] = -scores.gather(1, target).squeeze(1)
            if ctx.needs_input_grad[0]:
                chances = scores.exp_()
                chances.scatter_add_(1, target, chances.new_full(target.shape, -1.0))
                gradient[part] = (chances.to(dtype) @ head).to(states.dtype)
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None]:
        """Gradient with respect to the states; the head is frozen."""
        return ctx.saved_tensors[0] * outputs[0].unsqueeze(1), None, None


def _stack(examples: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {"input_ids": torch.tensor([example["input_ids"] for example in examples])}
