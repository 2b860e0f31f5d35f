"""What measuring and asking need of a language model, wherever it runs: its log-probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..errors import UsageError
from ..pairs import Pair
from .reading import Encoded


class LanguageModel(ABC):
    """A model whose log-probabilities can be read.

    A :class:`~.policy.Policy` runs here and can be trained as well; a
    :class:`~.served.ServedModel` runs elsewhere.

    Attributes:
        name: what to call it in messages and results.
    """

    name: str

    @property
    @abstractmethod
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""

    @property
    @abstractmethod
    def base(self) -> LanguageModel:
        """The model that its implicit rewards are relative to."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256: equal fingerprints mean equal models."""

    @abstractmethod
    def encoded_logprobs(self, encoded: Sequence[Encoded]) -> Tensor:
        """:meth:`logprobs` of sequences that are tokenized already."""

    @abstractmethod
    def next_token_logits(self, prompts: Sequence[str], tokens: Sequence[int]) -> Tensor:
        """Logits of some tokens after each prompt; differences of them are log-odds.

        Returns:
            Shape (len(prompts), len(tokens)), on the CPU.
        """

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        return self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]

    def encode_pairs(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Encoded]:
        """(prompt ids, response ids) whose concatenation is the tokenized text.

        Raises:
            UsageError: an empty prompt or response, or a response that changes the prompt's
                first token: there would be nothing to predict it from.
        """
        starts = self.encode(prompts)
        wholes = self.encode([p + r for p, r in zip(prompts, responses, strict=True)])
        pairs: list[Encoded] = []
        for start, whole in zip(starts, wholes, strict=True):
            shared = 0
            while shared < min(len(start), len(whole) - 1) and start[shared] == whole[shared]:
                shared += 1  # tokens may merge across the boundary: split where they diverge
            if shared == 0 or len(start) == 0 or shared == len(whole):
                raise UsageError("Nothing to score: prompt and response need a token each.")
            pairs.append((whole[:shared], whole[shared:]))
        return pairs

    def logprobs(self, prompts: Sequence[str], responses: Sequence[str]) -> Tensor:
        """log π(response | prompt) in nats, summed over the response's tokens.

        Returns:
            Shape (len(prompts),), on the CPU.
        """
        return self.encoded_logprobs(self.encode_pairs(prompts, responses))

    def margins(self, pairs: Sequence[Pair]) -> np.ndarray:
        """log π(first) − log π(second) of each pair, in nats, shape (len(pairs),)."""
        prompts = [pair.prompt for pair in pairs] * 2
        responses = [pair.first for pair in pairs] + [pair.second for pair in pairs]
        first, second = self.logprobs(prompts, responses).double().numpy().reshape(2, -1)
        return first - second
