"""Reading log-probabilities without computing anything twice.

A response's last token is never an input, so one-token responses to a prompt share its row;
longer ones share the prompt, as branches of one tree. The head is applied only where something
is read, and once, however many responses read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from typing import Any

import numpy as np
import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn

from .rows import filled
from .trees import Tree, equal_batches, grow, pack, stack
from .trunk import Trunk
from .work import note_head

Encoded = tuple[Sequence[int], Sequence[int]]
"""Token ids of a prompt and of the response to it."""

Plain = tuple[tuple[int, ...], tuple[int, ...]]
"""The same, hashable."""

Groups = Sequence[Sequence[int]]
"""Indices of sequences: those of one group share a tree."""

BULK = 16  # passes whose trunk states are computed at once: some 20 MB


@dataclass
class Layout:
    """Some sequences, laid out for one pass.

    Attributes:
        sources: trees whose states below the adapters are needed.
        index: where each token's state lies among those of the sources, one after the other,
            shape (rows, length).
        positions: each token's position, shape (rows, length).
        mask: what each token sees, shape (rows, 1, length, length); None for causal attention.
        read: the distinct tokens after which something is predicted, as indices into
            rows × length, shape (readings,).
        reading: for each token to score, the index of its reading, shape (tokens,).
        token: the token to score, shape (tokens,).
        sequence: to which sequence it belongs, shape (tokens,).
        sequences: number of sequences.
    """

    sources: tuple[Tree, ...]
    index: Tensor
    positions: Tensor
    mask: Tensor | None
    read: Tensor
    reading: Tensor
    token: Tensor
    sequence: Tensor
    sequences: int

    def to(self, device: torch.device) -> Layout:
        """The same on a device."""
        moved: dict[str, Any] = dict(vars(self))
        moved |= {k: v.to(device) for k, v in moved.items() if isinstance(v, Tensor)}
        return Layout(**moved)


def lay_out(encoded: Sequence[Encoded], rows: Groups, sources: Groups | None = None) -> Layout:
    """Lay out sequences for one pass.

    Args:
        encoded: prompts and responses.
        rows: which sequences share a row.
        sources: which share a tree below the adapters; None for the same.
    """
    tokens = [_inputs(sequence) for sequence in encoded]
    trees, places = _grow_all(tokens, rows)
    origins, origin_places = (trees, places) if sources is None else _grow_all(tokens, sources)
    starts = np.cumsum([0, *map(len, origins)])
    _, positions, mask = stack(trees)
    length = positions.shape[1]
    index = np.zeros(positions.shape, dtype=np.int64)
    readings: dict[int, int] = {}
    scored: list[tuple[int, int, int]] = []
    for sequence, (prompt, response) in enumerate(encoded):
        (row, path), (origin, origin_path) = places[sequence], origin_places[sequence]
        index[row, path] = starts[origin] + np.array(origin_path)
        for node, token in zip(path[len(prompt) - 1 :], response, strict=True):
            place = row * length + node
            scored.append((readings.setdefault(place, len(readings)), token, sequence))
    reading, token, sequence_of = torch.tensor(scored).T
    return Layout(
        tuple(origins), torch.from_numpy(index), positions, mask, torch.tensor(list(readings)),
        reading, token, sequence_of, len(encoded),
    )  # fmt: skip


def _grow_all(
    tokens: Sequence[Sequence[int]], groups: Groups
) -> tuple[list[Tree], dict[int, tuple[int, list[int]]]]:
    """A tree for each group, and for each sequence its tree and the nodes along it."""
    trees: list[Tree] = []
    places: dict[int, tuple[int, list[int]]] = {}
    for row, members in enumerate(groups):
        tree, paths = grow([tokens[member] for member in members])
        trees.append(tree)
        places |= {member: (row, path) for member, path in zip(members, paths, strict=True)}
    return trees, places


def passes(
    encoded: Sequence[Encoded], groups: Groups, batch_tokens: int
) -> Iterator[tuple[list[int], Layout]]:
    """Sequences in batches without padding: the indices of each batch, and its layout.

    Args:
        encoded: prompts and responses.
        groups: which sequences share a row.
        batch_tokens: bound of a batch.
    """
    trees, _ = _grow_all([_inputs(sequence) for sequence in encoded], groups)
    for batch in equal_batches(trees, batch_tokens):
        members = [sequence for row in batch for sequence in groups[row]]
        rows = side_by_side(len(groups[row]) for row in batch)
        yield members, lay_out([encoded[i] for i in members], rows)


def in_bulk(
    model: nn.Module, passes: Iterable[tuple[list[int], Layout]]
) -> Iterator[tuple[list[int], Layout]]:
    """The same passes, each on the model's device, its states below the adapters known by then.

    Those of many passes are computed at once, which packs the trunk's weights once for all of
    them.
    """
    decoder: Any = model.model
    trunk: Trunk = decoder.embed_tokens
    waiting = iter(passes)
    while bulk := list(islice(waiting, BULK)):
        trunk.states([tree for _, layout in bulk for tree in layout.sources])
        for members, layout in bulk:
            yield members, layout.to(trunk.weight.device)


def side_by_side(sizes: Iterable[int]) -> list[range]:
    """Ranges of these sizes, one after the other from 0: the groups of sequences in order."""
    return [range(start, stop) for start, stop in pairwise(accumulate(sizes, initial=0))]


def _inputs(encoded: Encoded) -> tuple[int, ...]:
    """All tokens that the model reads: the last one is only predicted."""
    prompt, response = encoded
    return (*prompt, *response)[:-1]


def by_prompt(encoded: Sequence[Encoded]) -> list[list[int]]:
    """Groups of sequences with the same prompt."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for sequence, (prompt, _) in enumerate(encoded):
        groups.setdefault(tuple(prompt), []).append(sequence)
    return list(groups.values())


def packed_by_prompt(encoded: Sequence[Encoded], size: int = 256) -> Layout:
    """One pass over all sequences, as for a training step.

    Rows of about ``size`` tokens, in which sequences that begin alike share their beginnings;
    below the adapters each prompt has a tree of its own, so that it is known again in whatever
    company it comes.

    Args:
        encoded: prompts and responses.
        size: tokens of a row.
    """
    return lay_out(encoded, pack([_inputs(s) for s in encoded], size), by_prompt(encoded))


def at_their_ends(encoded: Sequence[Encoded]) -> list[Encoded]:
    """The same sequences, read after their last token: as prompts that any token may follow."""
    any_token = (0,)
    return [((*prompt, *response), any_token) for prompt, response in encoded]


def read_states(model: nn.Module, layout: Layout) -> Tensor:
    """The states from which the head predicts, shape (readings, hidden), differentiable."""
    decoder: Any = model.model
    trunk: Trunk = decoder.embed_tokens
    below = torch.cat(trunk.states(layout.sources))
    return trunk.run_upper(below[layout.index], layout.positions, layout.mask, layout.read)


def sequence_logprobs(model: nn.Module, layout: Layout) -> Tensor:
    """log π(response | prompt) in nats of each sequence, shape (sequences,), differentiable."""
    states = read_states(model, layout)
    scores = token_logprobs(model, states, layout.reading, layout.token)
    sequence = layout.sequence.to(scores.device)
    return scores.new_zeros(layout.sequences).index_add(0, sequence, scores)


def token_logprobs(model: nn.Module, states: Tensor, reading: Tensor, token: Tensor) -> Tensor:
    """log p of tokens, in nats, differentiable with respect to the states.

    Args:
        model: whose head predicts; it is frozen and has no bias.
        states: shape (readings, hidden).
        reading: for each token, the row of ``states`` that predicts it, shape (tokens,).
        token: shape (tokens,).

    Returns:
        Shape (tokens,), float32.
    """
    note_head(len(states))
    with head_of(model) as head:
        device = head.device  # of a model that is spread over several, the last
        parts = (part.to(device) for part in (reading, token))
        return _HeadLogprobs.apply(states.to(device), head, *parts)


@contextmanager
def head_of(model: nn.Module) -> Iterator[Tensor]:
    """Within the block, the weight of a model's head: fetched, if it was offloaded."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    with align_module_device(head):
        yield head.weight


class _HeadLogprobs(torch.autograd.Function):
    """Log-softmax through a frozen head, over parts of the vocabulary one after the other.

    Maximum and sum are carried along (Milakov & Gimelshein 2018, "Online normalizer calculation
    for softmax"), and so is what the gradient needs: the head's row that the prediction expects.
    The logits of all words (400 MB for 2,048 readings) never exist.
    """

    WORDS = 4096  # of one part: its logits stay in the processor's cache

    @staticmethod
    def forward(ctx: Any, states: Tensor, head: Tensor, reading: Tensor, token: Tensor) -> Tensor:
        """Log-probabilities, shape (tokens,)."""
        fast = torch.is_autocast_enabled(states.device.type)
        dtype = torch.get_autocast_dtype(states.device.type) if fast else head.dtype
        rows = filled(states).to(dtype)
        highest = torch.full((len(rows), 1), -torch.inf, device=rows.device)
        total = torch.zeros_like(highest)
        expected = torch.zeros(rows.shape, device=rows.device)
        for part in head.split(_HeadLogprobs.WORDS):
            words = part.to(dtype)
            logits = (rows @ words.T).float()
            before, highest = highest, torch.maximum(highest, logits.amax(1, keepdim=True))
            chances = logits.sub_(highest).exp_()
            fade = (before - highest).exp_()
            total = total * fade + chances.sum(1, keepdim=True)
            if ctx.needs_input_grad[0]:
                expected.mul_(fade).add_((chances.to(dtype) @ words).float())
        chosen = (states[reading].float() * head[token].float()).sum(1)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward((expected / total)[: len(states)], head, reading, token)
            ctx.dtype = states.dtype
        return chosen - (highest + total.log())[reading, 0]

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient with respect to the states; the head is frozen."""
        expected, head, reading, token = ctx.saved_tensors
        steps = outputs[0].unsqueeze(1) * (head[token].float() - expected[reading])
        gradient = torch.zeros_like(expected).index_add_(0, reading, steps)
        return gradient.to(ctx.dtype), None, None, None
