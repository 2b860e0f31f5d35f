"""How well each era's model predicts each era's texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from ..errors import UsageError
from ..models import Policy
from ..passages import Passage
from .trainers import next_token_losses

BLOCK = 256
BATCH = 8


def cut_blocks(
    policy: Policy, texts: Mapping[str, Sequence[Passage]], tokens: int, seed: int = 0
) -> dict[str, list[list[int]]]:
    """What models are to read: blocks of 256 token ids of each era's texts.

    Args:
        policy: whose tokens they are; any model of the timeline.
        texts: era → passages.
        tokens: how many of each era, drawn evenly over its works.
        seed: of the drawing.

    Raises:
        UsageError: an era whose texts do not fill one block.
    """
    return {era: _blocks(policy, era, passages, tokens, seed) for era, passages in texts.items()}


def perplexities(policy: Policy, blocks: Mapping[str, Sequence[list[int]]]) -> list[float]:
    """Perplexity of a model on each era's blocks."""
    with policy.backbone.reading(policy.weights) as model:
        return [_perplexity(model, part) for part in blocks.values()]


def _perplexity(model: PreTrainedModel, blocks: Sequence[list[int]]) -> float:
    total = 0.0
    for start in range(0, len(blocks), BATCH):
        ids = torch.tensor(blocks[start : start + BATCH], device=model.device)
        total += float(next_token_losses(model, ids).double().sum())
    return float(np.exp(total / (len(blocks) * (BLOCK - 1))))


def _blocks(
    policy: Policy, era: str, passages: Sequence[Passage], tokens: int, seed: int
) -> list[list[int]]:
    """Blocks of tokens, taken in turn from passages of different works."""
    rng = np.random.default_rng(seed)
    works: dict[str, list[Passage]] = {}
    for index in rng.permutation(len(passages)):
        works.setdefault(passages[index].work, []).append(passages[index])
    wanted = max(1, tokens // BLOCK)
    blocks: list[list[int]] = []
    while works and len(blocks) < wanted:
        for work in list(works):
            stream: list[int] = []
            while len(stream) < BLOCK and works[work]:
                stream += policy.encode([works[work].pop().text])[0]
            if len(stream) >= BLOCK and len(blocks) < wanted:
                blocks.append(stream[:BLOCK])
            if not works[work]:
                del works[work]
    if not blocks:
        raise UsageError(f"The texts of {era} do not fill one block of {BLOCK} tokens.")
    return blocks
