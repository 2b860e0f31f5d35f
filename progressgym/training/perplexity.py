"""How well each era's model predicts each era's texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from ..errors import UsageError
from ..models import Policy
from ..passages import Passage
from .trainers import next_token_losses

BLOCK = 256
BATCH = 8


def perplexity_matrix(
    policies: Sequence[Policy],
    texts: Mapping[str, Sequence[Passage]],
    tokens: int,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """Perplexity of every model on every era's texts.

    Args:
        policies: the models, one row each.
        texts: era → passages, one column each.
        tokens: how many tokens of each era to read, drawn evenly over its works.
        seed: of the drawing.
        progress: told the share that is done.

    Returns:
        Shape (len(policies), len(texts)).

    Raises:
        UsageError: an era whose texts do not fill one block of 256 tokens.
    """
    losses = np.zeros((len(policies), len(texts)))
    for column, (era, passages) in enumerate(texts.items()):
        blocks = _blocks(policies[0], era, passages, tokens, seed)
        for row, policy in enumerate(policies):
            total = 0.0
            with policy.backbone.reading(policy.weights) as model:
                for start in range(0, len(blocks), BATCH):
                    ids = torch.tensor(blocks[start : start + BATCH], device=model.device)
                    total += float(next_token_losses(model, ids).double().sum())
            losses[row, column] = total / (len(blocks) * (BLOCK - 1))
            progress((column * len(policies) + row + 1) / losses.size)
    return np.exp(losses)


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
