"""Generating: prompts are read once, samples of one prompt continue from the same cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

ROWS = 64  # sequences that grow side by side


def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float,
    seed: int,
    samples: int,
) -> list[list[list[int]]]:
    """Continue prompts until an end token or the limit.

    Args:
        model: reading as some policy.
        prompts: token ids, at least one each.
        max_new_tokens: limit of each continuation.
        temperature: of the sampling; 0 takes the likeliest token.
        seed: of the sampling. Each sample has random numbers of its own, from the seed, its
            prompt and its number, so that the other prompts of a batch do not matter.
        samples: continuations of each prompt.

    Returns:
        New token ids without end tokens, by prompt and sample.
    """
    distinct = sorted({tuple(prompt) for prompt in prompts}, key=lambda row: (len(row), row))
    answers: dict[tuple[int, ...], list[list[int]]] = {}
    for start in range(0, len(distinct), max(1, ROWS // samples)):
        batch = distinct[start : start + max(1, ROWS // samples)]
        draws = np.stack(
            [_draws(seed, row, n, max_new_tokens) for row in batch for n in range(samples)]
        )
        grown = _grow(model, batch, torch.from_numpy(draws), temperature, samples)
        for index, row in enumerate(batch):
            answers[row] = grown[index * samples : (index + 1) * samples]
    return [answers[tuple(prompt)] for prompt in prompts]


def _draws(seed: int, prompt: Sequence[int], sample: int, count: int) -> np.ndarray:
    """The uniform random numbers of one sample."""
    digest = hashlib.blake2b(np.array(prompt, dtype=np.int64).tobytes(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest), sample]).random(count)


def _grow(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    draws: Tensor,
    temperature: float,
    samples: int,
) -> list[list[int]]:
    """Continue the samples of some prompts together; ``draws`` has a row for each sample."""
    device = model.device
    states, cache, mask = prefill(model, prompts)
    cache.batch_repeat_interleave(samples)
    states, mask = (part.repeat_interleave(samples, 0) for part in (states, mask))
    draws, ends = draws.to(device), torch.tensor(_end_tokens(model), device=device)
    grown: list[list[int]] = [[] for _ in range(len(states))]
    running = torch.ones(len(states), dtype=torch.bool, device=device)
    for step in range(draws.shape[1]):
        logits = model.get_output_embeddings()(states).float()
        token = _choose(logits, draws[:, step], temperature)
        running &= ~torch.isin(token, ends)
        for row in running.nonzero().flatten().tolist():
            grown[row].append(int(token[row]))
        if not running.any() or step + 1 == draws.shape[1]:
            break
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        states = model.model(
            input_ids=token.unsqueeze(1),
            attention_mask=mask,
            position_ids=mask.sum(1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
    return grown


def _choose(logits: Tensor, draws: Tensor, temperature: float) -> Tensor:
    """The next token of each row, shape (rows,): the likeliest, or where the draw falls."""
    if temperature == 0:
        return logits.argmax(1)
    below = (logits / temperature).softmax(1).double().cumsum(1)
    chosen = torch.searchsorted(below, draws.unsqueeze(1) * below[:, -1:], right=True)
    return chosen.squeeze(1).clamp(max=logits.shape[1] - 1)


def prefill(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]]
) -> tuple[Tensor, DynamicCache, Tensor]:
    """Read prompts.

    Returns:
        The states after each prompt's last token, shape (prompts, hidden); keys and values of
        all layers; the mask of the left-padded prompts, shape (prompts, longest).
    """
    trunk = model.model.embed_tokens
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    causal = torch.ones(longest, longest, dtype=torch.bool, device=model.device).tril()
    # Padding sees itself: a softmax over nothing would be NaN.
    itself = torch.eye(longest, dtype=torch.bool, device=model.device)
    seen = ((causal & mask[:, None].bool()) | itself)[:, None]
    hidden, cache = trunk.prefill(ids, seen, positions)
    last = torch.arange(1, len(prompts) + 1, device=model.device) * longest - 1
    return trunk.run_upper(hidden, positions, seen, last, cache), cache, mask


def _end_tokens(model: PreTrainedModel) -> list[int]:
    ends = model.generation_config.eos_token_id if model.generation_config else None
    if ends is None:
        ends = model.config.eos_token_id
    return [ends] if isinstance(ends, int) else list(ends or [])
