"""Models that run elsewhere: in a server or in another engine. They are read, never trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..errors import UsageError
from ..storage import sha256_json
from .language import LanguageModel
from .reading import Encoded, Plain
from .server import IN_FLIGHT, RefusedError, Server

ROWS = 64  # sequences of a request
FEW = 64  # next tokens that are read together; vLLM takes 128
_SAMPLE = (
    "It is right to keep a promise, and wrong to break it.",
    "A good man obeys the law of his land and the custom of his fathers.",
    "We hold that every man is born free and may think as he will.",
    "The king, the church and the people must live in peace with one another.",
)
"""What a model says of these tells it from others."""


class Reader(Protocol):
    """How the log-probabilities of one model are read elsewhere, in nats."""

    def sequences(self, encoded: Sequence[Encoded]) -> list[float]:
        """log π(response | prompt) of each."""

    def next_tokens(
        self, prompts: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[list[float]]:
        """log π(token | prompt), for each prompt a list in the order of ``tokens``."""


class ServedModel(LanguageModel):
    """A model that runs elsewhere.

    Args:
        name: what to call it in messages and results.
        tokenizer: its tokenizer, here: what is sent are token ids.
        reader: how it is read.
        base: gives the model that its implicit rewards are relative to; None for itself.
    """

    def __init__(
        self,
        name: str,
        tokenizer: PreTrainedTokenizerBase,
        reader: Reader,
        base: Callable[[], LanguageModel] | None = None,
    ) -> None:
        self.name = name
        self._tokenizer = tokenizer
        self._reader = reader
        self._base = base

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        return self._tokenizer

    @property
    def base(self) -> LanguageModel:
        """The model that its implicit rewards are relative to."""
        return self._base() if self._base else self

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of what it says of a few sentences, to two decimals: its weights are out of sight.

        Another model under the same name has another fingerprint. An engine whose numbers differ
        from one time to the next by more than that is only measured again.
        """
        encoded = [(ids[:1], ids[1:]) for ids in self.encode(_SAMPLE)]
        said = self._reader.sequences(encoded)
        return sha256_json([self.name, [f"{score:.2f}" for score in said]])

    def encoded_logprobs(self, encoded: Sequence[Encoded]) -> Tensor:
        """log π(response | prompt), shape (len(encoded),), in nats; equal ones are read once."""
        plain = [(tuple(prompt), tuple(response)) for prompt, response in encoded]
        distinct = sorted(set(plain))
        known = self._words(distinct)
        if known is None:
            known = dict(zip(distinct, self._reader.sequences(distinct), strict=True))
        return torch.tensor([known[sequence] for sequence in plain])

    def _words(self, distinct: Sequence[Plain]) -> dict[Plain, float] | None:
        """Responses of one token, a few in all, are read together: a row for each prompt."""
        tokens = sorted({response for _, response in distinct})
        if len(tokens) > FEW or any(len(response) > 1 for response in tokens):
            return None
        prompts = sorted({prompt for prompt, _ in distinct})
        read = self._reader.next_tokens(prompts, [token for (token,) in tokens])
        return {
            (prompt, token): score
            for prompt, scores in zip(prompts, read, strict=True)
            for token, score in zip(tokens, scores, strict=True)
        }

    def next_token_logits(self, prompts: Sequence[str], tokens: Sequence[int]) -> Tensor:
        """Log-probabilities of some tokens after each prompt, shape (len(prompts), len(tokens))."""
        return torch.tensor(self._reader.next_tokens(self.encode(prompts), tokens))


class ServerReader:
    """Reads a model of an OpenAI-compatible server by its completions API.

    Sequences are sent as token ids with ``echo`` and ``logprobs``: the server returns the
    log-probabilities of what it was sent. Next tokens are asked for by ``logprob_token_ids``, which
    new versions of vLLM know: one row reads them all. Other servers are sent a row for each.

    Args:
        server: which.
        model: the model's name there.
    """

    def __init__(self, server: Server, model: str) -> None:
        self.server = server
        self.model = model
        self._gathers = True  # as far as is known

    def sequences(self, encoded: Sequence[Encoded]) -> list[float]:
        """log π(response | prompt) of each, in nats."""
        return self._in_flight(self._echoed, encoded)

    def next_tokens(
        self, prompts: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[list[float]]:
        """log π(token | prompt) of each prompt and token, in nats."""
        if self._gathers:
            try:
                return self._in_flight(lambda rows: self._gathered(rows, tokens), prompts)
            except RefusedError:
                self._gathers = False
        scores = self.sequences([(prompt, (token,)) for prompt in prompts for token in tokens])
        return [scores[n : n + len(tokens)] for n in range(0, len(scores), len(tokens))]

    def _in_flight(self, read: Callable[[Any], list], rows: Sequence[Any]) -> list:
        """Read rows, some requests at a time; one that fails for good ends them all."""
        parts = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            return [score for part in pool.map(read, parts) for score in part]

    def _echoed(self, encoded: Sequence[Encoded]) -> list[float]:
        rows = [[*prompt, *response] for prompt, response in encoded]
        choices = self._complete(rows, max_tokens=0, echo=True)
        scores = []
        for (prompt, _), row, choice in zip(encoded, rows, choices, strict=True):
            said = choice["token_logprobs"]
            if len(said) != len(row) or None in said[len(prompt) :]:
                raise UsageError(
                    f"{self.server.url} was sent {len(row)} tokens and gave log-probabilities of "
                    f"{len(said)}: it does not take token ids as they are, or does not echo them."
                )
            scores.append(sum(said[len(prompt) :]))
        return scores

    def _gathered(self, rows: Sequence[Sequence[int]], tokens: Sequence[int]) -> list[list[float]]:
        wanted = {"logprob_token_ids": list(tokens), "return_tokens_as_token_ids": True}
        try:
            return [
                [choice["top_logprobs"][0][f"token_id:{token}"] for token in tokens]
                for choice in self._complete(rows, max_tokens=1, **wanted)
            ]
        except (KeyError, IndexError, TypeError):
            raise RefusedError("It does not know logprob_token_ids.") from None

    def _complete(self, rows: Sequence[Sequence[int]], **wanted: Any) -> list[dict[str, Any]]:
        """The log-probabilities in the answers to some rows, in their order.

        Raises:
            UsageError: the server gives none.
        """
        body = {"model": self.model, "prompt": [list(row) for row in rows], "logprobs": 1}
        answer = self.server.ask("POST", "/completions", {**body, "temperature": 0, **wanted})
        try:
            choices = sorted(answer["choices"], key=lambda choice: choice["index"])
            found = [choice["logprobs"] for choice in choices]
        except (KeyError, TypeError):
            found = [None]
        if len(found) != len(rows) or None in found:
            raise UsageError(
                f"{self.server.url} gives no log-probabilities for {self.model}. Measuring needs "
                "them: vLLM's server gives them, that of `transformers serve` does not."
            )
        return found
