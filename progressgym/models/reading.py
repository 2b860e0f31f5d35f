"""Reading log-probabilities of responses without computing anything twice.

A response's last token is never an input, so responses of one token to the same prompt share one
row; and each position is multiplied by the head once, however many responses read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Encoded = tuple[Sequence[int], Sequence[int]]
"""Token ids of a prompt and of the response to it."""


@dataclass
class Readings:
    """A batch of (prompt, response) sequences, laid out for one pass.

    Attributes:
        ids: distinct input rows, right-padded, shape (rows, length).
        mask: their attention mask, same shape.
        row, column: where the distinct predictions are made, shape (positions,).
        position: for each token to score, the index of its prediction, shape (tokens,).
        token: the token to score, shape (tokens,).
        sequence: to which sequence it belongs, shape (tokens,).
        sequences: number of sequences.
    """

    ids: Tensor
    mask: Tensor
    row: Tensor
    column: Tensor
    position: Tensor
    token: Tensor
    sequence: Tensor
    sequences: int

    def to(self, device: torch.device) -> Readings:
        """The same on a device."""
        moved = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return Readings(**moved, sequences=self.sequences)


def plan_readings(encoded: Sequence[Encoded]) -> Readings:
    """Lay out sequences so that equal rows and equal positions are computed once."""
    rows: dict[tuple[int, ...], int] = {}
    positions: dict[tuple[int, int], int] = {}
    scored: list[tuple[int, int, int]] = []
    for sequence, (prompt, response) in enumerate(encoded):
        row = rows.setdefault((*prompt, *response)[:-1], len(rows))
        for offset, token in enumerate(response):
            place = (row, len(prompt) + offset - 1)
            scored.append((positions.setdefault(place, len(positions)), token, sequence))
    ids, mask = pad(list(rows))
    row, column = torch.tensor(list(positions)).T
    position, token, sequence_of = torch.tensor(scored).T
    return Readings(ids, mask, row, column, position, token, sequence_of, len(encoded))


def sequence_logprobs(model: nn.Module, readings: Readings) -> Tensor:
    """log π(response | prompt) in nats of each sequence, shape (sequences,), differentiable."""
    states = model.model(  # type: ignore[operator]
        input_ids=readings.ids, attention_mask=readings.mask, use_cache=False
    ).last_hidden_state
    logits = model.get_output_embeddings()(states[readings.row, readings.column])  # type: ignore[operator]
    totals = torch.logsumexp(logits, dim=1)
    scores = logits[readings.position, readings.token] - totals[readings.position]
    return scores.new_zeros(readings.sequences).index_add(0, readings.sequence, scores)


def pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Right-padded ids and their mask, each of shape (rows, longest)."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[line, : len(row)] = 1
    return ids, mask


def length_batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices in batches of similar length, each at most ``tokens`` tokens with padding."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or lengths[index] * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(index)
    return batches
