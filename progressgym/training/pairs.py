"""Answered pairs as trainings read them: grouped by prompt, their preferences kept as such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ..errors import UsageError
from ..models import Policy
from ..models.reading import Encoded
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


def examples_by_prompt(
    pairs: Sequence[Pair], columns: Mapping[str, Sequence[Any]]
) -> list[dict[str, list[Any]]]:
    """One example for each prompt, holding all of its pairs: they share the prompt's pass.

    Args:
        pairs: whose prompts group them.
        columns: what is to be known of each pair.
    """
    groups: dict[str, dict[str, list[Any]]] = {}
    for index, pair in enumerate(pairs):
        group = groups.setdefault(pair.prompt, {name: [] for name in columns})
        for name, column in columns.items():
            group[name].append(column[index])
    return list(groups.values())


def joined(examples: Sequence[Mapping[str, list[Any]]]) -> dict[str, list[Any]]:
    """The pairs of some examples, one after the other."""
    return {key: [x for example in examples for x in example[key]] for key in examples[0]}


def expected_loss(margin: Tensor, preference: Tensor) -> Tensor:
    """−p log σ(m) − (1 − p) log σ(−m) in nats, averaged: a label's loss, expected over both.

    Args:
        margin: log-odds that a model gives the first response, shape (pairs,).
        preference: P(first preferred), shape (pairs,).
    """
    log_sigmoid = nn.functional.logsigmoid
    return -(preference * log_sigmoid(margin) + (1 - preference) * log_sigmoid(-margin)).mean()
