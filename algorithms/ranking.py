"""Rankings: all responses to a prompt are compared at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from progressgym.registry import register
from progressgym.training.pairs import Batch

from .lifelong import LifelongDPO


@register("algorithm", "pro")
class PRO(LifelongDPO):
    """Preference ranking: each preferred word above all rejected words of its prompt.

    The answers about one prompt rank its words in two levels. A preferred word competes with its
    own rival and with every word that lost to another, each as far as it did (1 − its chance).
    For labels that is the ranking loss over two levels, for graded answers an upper bound of its
    expectation; with one question a prompt it is DPO.

    A word's score is its implicit reward β·log(π/π_ref), as in the Plackett-Luce form of DPO
    (Rafailov et al. 2023, appendix A.3), not its likelihood: the words' own frequencies
    differ more than the human's opinions of them.

    Args:
        regularizer: weight of the cross-entropy on the preferred responses.
        settings: see :class:`~.temporal.Temporal`.

    References: Song et al., "Preference Ranking Optimization for Human Alignment", 2023, eq. 5;
    Fang et al., "CLHA: A Simple yet Effective Contrastive Learning Framework for Human Alignment",
    2024 (listwise).
    """

    def __init__(self, regularizer: float = 0.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.regularizer = regularizer

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """Ranking loss of the preferred words, and their cross-entropy."""
        scores = beta * torch.stack([batch.first.ratio, batch.second.ratio], dim=1)
        chances = torch.stack([batch.preference, 1 - batch.preference], dim=1)
        likelihood = batch.expected(lambda won, lost: won.logprob)
        return ranking_loss(scores, chances, batch.prompt) - self.regularizer * likelihood


def ranking_loss(scores: Tensor, chances: Tensor, prompt: Tensor) -> Tensor:
    """−log of the chance that each preferred word is picked from itself and all rejected ones.

    Args:
        scores: of both responses of each pair, shape (pairs, 2).
        chances: of each response to be preferred, shape (pairs, 2); the rows sum to 1.
        prompt: number of each pair's prompt, shape (pairs,).

    Returns:
        Weighted with the chances, averaged over the pairs.
    """
    lost = (scores + (1 - chances).log()).flatten()
    rivals = prompt[:, None] == prompt
    rivals.fill_diagonal_(False)  # its own rival lost for certain if it won, and comes in whole
    foreign = lost.expand(len(scores), -1).masked_fill(~rivals.repeat_interleave(2, 1), -torch.inf)
    field = torch.cat([scores, foreign], dim=1).logsumexp(1, keepdim=True)
    return (chances * (field - scores)).sum(1).mean()
