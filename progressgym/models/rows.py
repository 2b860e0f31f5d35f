"""Enough rows for a product: below, their number decides the kernel, and with it the last bits."""

from __future__ import annotations

import torch
from torch import Tensor

ENOUGH = 32  # for all numbers of threads tried: from 12 rows on with 8 of them, from 28 with 16


def filled(rows: Tensor) -> Tensor:
    """The rows of a matrix, and below them zeros if they are too few."""
    missing = ENOUGH - len(rows)
    return torch.cat([rows, rows.new_zeros(missing, rows.shape[1])]) if missing > 0 else rows


def repeated(batch: Tensor, tokens: int) -> Tensor:
    """A batch, over and over until it has enough tokens.

    Args:
        batch: whatever has one entry for each of its rows.
        tokens: that it has.
    """
    copies = -(-ENOUGH // tokens)
    return batch.repeat(copies, *[1] * (batch.dim() - 1)) if copies > 1 else batch
