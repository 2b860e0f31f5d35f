"""Answered pairs as trainings read them: grouped by prompt, their preferences kept as such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn

from ..errors import UsageError
from ..models import Policy
from ..models.reading import Encoded, packed_by_prompt, sequence_logprobs
from ..pairs import Pair


def check_answered(pairs: Sequence[Pair], what: str) -> None:
    """Refuse to train on nothing.

    Raises:
        UsageError: no pairs, or one without an answer; ``what`` needs them.
    """
    if not pairs or any(pair.preference is None for pair in pairs):
        raise UsageError(f"{what} needs pairs that a human has answered: human.prefer(pairs).")


def encode_both(policy: Policy, pairs: Sequence[Pair]) -> tuple[list[Encoded], list[Encoded]]:
    """The first and the second response of each pair, each with the prompt, tokenized."""
    prompts = [pair.prompt for pair in pairs]
    return (
        policy.encode_pairs(prompts, [pair.first for pair in pairs]),
        policy.encode_pairs(prompts, [pair.second for pair in pairs]),
    )


def preference_data(policy: Policy, reference: Policy, pairs: Sequence[Pair]) -> Dataset:
    """What trainings read of answered pairs: one example for each prompt, holding all its pairs.

    Pairs of one prompt share its pass. The reference's margins are computed here, once.

    Args:
        policy: whose tokenizer is used.
        reference: π_ref.
        pairs: questions and answers.

    Returns:
        Columns ``first`` and ``second`` (encoded), ``reference_margin`` (nats), ``preference``.
    """
    first, second = encode_both(policy, pairs)
    scores = reference.encoded_logprobs([*first, *second])
    columns: dict[str, Sequence[Any]] = {
        "first": first,
        "second": second,
        "reference_margin": (scores[: len(pairs)] - scores[len(pairs) :]).tolist(),
        "preference": [pair.preference for pair in pairs],
    }
    examples: dict[str, dict[str, list[Any]]] = {}
    for index, pair in enumerate(pairs):
        example = examples.setdefault(pair.prompt, {name: [] for name in columns})
        for name, column in columns.items():
            example[name].append(column[index])
    return Dataset.from_list(list(examples.values()))


def collate(examples: Sequence[Mapping[str, list[Any]]]) -> dict[str, Any]:
    """A batch of :func:`preference_data`: one layout of all sequences, first responses first."""
    pairs = {key: [x for example in examples for x in example[key]] for key in examples[0]}
    sequences = [tuple(s) for s in pairs["first"] + pairs["second"]]
    return {
        "layout": packed_by_prompt(sequences),
        "reference_margin": torch.tensor(pairs["reference_margin"]),
        "preference": torch.tensor(pairs["preference"]),
    }


def implicit_margins(model: Any, batch: Mapping[str, Any], device: Any) -> Tensor:
    """log π(a)/π_ref(a) − log π(b)/π_ref(b) of a batch's pairs in nats, differentiable."""
    first, second = sequence_logprobs(model, batch["layout"].to(device)).chunk(2)
    return first - second - batch["reference_margin"].to(device)


def expected_loss(margin: Tensor, preference: Tensor) -> Tensor:
    """−p log σ(m) − (1 − p) log σ(−m) in nats, averaged: a label's loss, expected over both.

    Args:
        margin: log-odds that a model gives the first response, shape (pairs,).
        preference: P(first preferred), shape (pairs,).
    """
    log_sigmoid = nn.functional.logsigmoid
    return -(preference * log_sigmoid(margin) + (1 - preference) * log_sigmoid(-margin)).mean()
