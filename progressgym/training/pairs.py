"""Answered pairs as trainings read them: grouped by prompt, their preferences kept as such."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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


def state_contrasts(policy: Policy, pairs: Sequence[Pair]) -> Tensor:
    """A model's last state after the first response less that after the second.

    Returns:
        Shape (pairs, hidden), float64, on the CPU.
    """
    first, second = (policy.encoded_states(part).double() for part in encode_both(policy, pairs))
    return first - second


def preference_data(policy: Policy, reference: Policy, pairs: Sequence[Pair]) -> Dataset:
    """What trainings read of answered pairs: one example for each prompt, holding all its pairs.

    Pairs of one prompt share its pass. The reference's margins are computed here, once.

    Args:
        policy: whose tokenizer is used.
        reference: π_ref.
        pairs: questions and answers.

    Returns:
        Columns ``first`` and ``second`` (encoded), ``reference_first`` and ``reference_second``
        (log π_ref in nats), ``preference``.
    """
    first, second = encode_both(policy, pairs)
    scores = reference.encoded_logprobs([*first, *second])
    columns: dict[str, Sequence[Any]] = {
        "first": first,
        "second": second,
        "reference_first": scores[: len(pairs)].tolist(),
        "reference_second": scores[len(pairs) :].tolist(),
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
        "tokens": torch.tensor([float(len(response)) for _, response in sequences]),
        "reference": torch.tensor(pairs["reference_first"] + pairs["reference_second"]),
        "preference": torch.tensor(pairs["preference"]),
        "prompt": torch.tensor([i for i, e in enumerate(examples) for _ in e["preference"]]),
    }


@dataclass(frozen=True)
class Responses:
    """One response of each pair of a batch, as a model reads it; shapes (pairs,).

    Attributes:
        logprob: log π(y|x) in nats, differentiable.
        reference: log π_ref(y|x) in nats.
        tokens: length of y.
    """

    logprob: Tensor
    reference: Tensor
    tokens: Tensor

    @property
    def ratio(self) -> Tensor:
        """log π(y|x)/π_ref(y|x)."""
        return self.logprob - self.reference

    def over(self, other: Responses) -> Tensor:
        """log π(y|x)/π_ref(y|x) less the same of the other response to x."""
        return self.logprob - other.logprob - (self.reference - other.reference)


@dataclass(frozen=True)
class Batch:
    """Answered pairs, as the model that is trained reads them: what a loss is computed from.

    Attributes:
        first: the first responses.
        second: the second responses.
        preference: P(first preferred), shape (pairs,).
        prompt: number of each pair's prompt within the batch, shape (pairs,).
    """

    first: Responses
    second: Responses
    preference: Tensor
    prompt: Tensor

    def expected(self, loss: Callable[[Responses, Responses], Tensor]) -> Tensor:
        """A loss of labels, expected over the answer and averaged over the pairs.

        Args:
            loss: of the preferred and the rejected responses, shape (pairs,).
        """
        one, other = loss(self.first, self.second), loss(self.second, self.first)
        return (self.preference * one + (1 - self.preference) * other).mean()


PairLoss = Callable[[Batch, float], Tensor]
"""What a training minimises: a batch and β give a number."""


def read_batch(model: Any, batch: Mapping[str, Any], device: Any) -> Batch:
    """A collated batch as a model reads it."""
    logprobs = sequence_logprobs(model, batch["layout"].to(device))
    parts = (logprobs, batch["reference"].to(device), batch["tokens"].to(device))
    first, second = zip(*(part.chunk(2) for part in parts), strict=True)
    return Batch(
        Responses(*first),
        Responses(*second),
        batch["preference"].to(device),
        batch["prompt"].to(device),
    )


def preference_loss(batch: Batch, beta: float) -> Tensor:
    """−log σ(β·[log π/π_ref of the preferred − that of the rejected]), expected over the answer.

    Bradley and Terry's likelihood (1952), and with a policy as its model the loss of DPO
    (Rafailov et al. 2023, eq. 7).
    """
    return batch.expected(lambda won, lost: -nn.functional.logsigmoid(beta * won.over(lost)))
