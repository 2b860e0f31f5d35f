"""The policy: a base model plus an adapter, and what can be read from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..storage import sha256_json
from .backbone import Backbone, Weights, weights_fingerprint
from .generation import generate
from .language import LanguageModel
from .reading import (
    Encoded,
    Layout,
    Plain,
    at_their_ends,
    by_prompt,
    head_of,
    in_bulk,
    passes,
    read_states,
    sequence_logprobs,
    side_by_side,
)
from .rows import filled
from .trees import pack

PACK_TOKENS = 128  # of one row when a whole bank is read: long enough to share, short to attend
_REMEMBERED = 1 << 17  # prompts whose log-probabilities are kept


class Policy(LanguageModel):
    """A language model that runs here: a shared base and its own adapter.

    Humans of all eras, the AI and the reference model are all policies. Two policies of one base
    share its weights; only their adapters differ.

    Args:
        backbone: the shared base.
        weights: adapter weights; None for a fresh adapter, which leaves the base as it is.
        name: what to call it in messages and results.
        base: gives the policy that implicit rewards are relative to, which is loaded only when it
            is asked for; None for the bare backbone.
    """

    def __init__(
        self,
        backbone: Backbone,
        weights: Weights | None = None,
        name: str = "base",
        base: Callable[[], Policy] | None = None,
    ) -> None:
        self.backbone = backbone
        self.weights = backbone.fresh_weights() if weights is None else weights
        self.name = name
        self._base = base

    def __repr__(self) -> str:
        return f"Policy({self.name!r} on {self.backbone.name!r})"

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base's tokenizer."""
        return self.backbone.tokenizer

    @property
    def base(self) -> Policy:
        """The shared base model without an adapter."""
        return self._base() if self._base else Policy(self.backbone)

    @property
    def fingerprint(self) -> str:
        """sha256 of base and adapter: equal fingerprints mean equal models."""
        return weights_fingerprint(self.backbone, self.weights)

    def copy(self, name: str | None = None) -> Policy:
        """A policy that starts equal and changes on its own."""
        weights = {key: tensor.detach().clone() for key, tensor in self.weights.items()}
        return Policy(self.backbone, weights, name or self.name, self._base)

    @contextmanager
    def active(self, remember: bool = True) -> Iterator[PreTrainedModel]:
        """The ``PreTrainedModel`` that acts as this policy within the block.

        Args:
            remember: keep what can be used again; off for texts that do not come twice.
        """
        with self.backbone.using(self.weights, remember) as model:
            yield model

    def save(self, folder: Path) -> None:
        """Write the adapter in peft's format."""
        self.backbone.save_weights(self.weights, folder)

    # What can be read ---------------------------------------------------------------------

    def encoded_logprobs(self, encoded: Sequence[Encoded]) -> Tensor:
        """:meth:`logprobs` of sequences that are tokenized already, shape (len(encoded),).

        All responses to one prompt are read together, and nothing else has a part in their
        numbers: whatever was asked before, the same question gets the same answer to the last
        bit. What an equal model was asked before is remembered.
        """
        groups = by_prompt(encoded)
        fingerprint, memory = self.fingerprint, self.backbone.logprobs
        asked = [sorted({_plain(encoded[i]) for i in group}) for group in groups]
        keys = [sha256_json([fingerprint, sequences]) for sequences in asked]
        missing = {k: s for k, s in zip(keys, asked, strict=True) if k not in memory}
        if len(memory) > _REMEMBERED:
            memory.clear()
        memory.update(self._read(missing))
        result = torch.empty(len(encoded))
        for group, sequences, key in zip(groups, asked, keys, strict=True):
            known = dict(zip(sequences, memory[key], strict=True))
            result[group] = torch.tensor([known[_plain(encoded[i])] for i in group])
        return result

    def _read(self, asked: dict[str, list[Plain]]) -> dict[str, list[float]]:
        """Log-probabilities of some groups of sequences, each group a tree of its own."""
        sequences = [sequence for group in asked.values() for sequence in group]
        groups = side_by_side(map(len, asked.values()))
        scores = torch.empty(len(sequences))
        with self.backbone.reading(self.weights) as model:
            planned = passes(sequences, groups, self.backbone.pace.batch_tokens)
            for members, layout in in_bulk(model, planned):
                scores[members] = sequence_logprobs(model, layout).cpu()
        found = scores.tolist()
        return {key: [found[i] for i in group] for key, group in zip(asked, groups, strict=True)}

    def encoded_states(self, encoded: Sequence[Encoded]) -> Tensor:
        """The state after each tokenized sequence, from which the head would go on.

        Returns:
            Shape (len(encoded), hidden), on the CPU.
        """
        result = torch.empty(len(encoded), self.backbone.model.config.hidden_size)
        ends, groups = at_their_ends(encoded), by_prompt(encoded)
        with self.backbone.reading(self.weights) as model:
            planned = passes(ends, groups, self.backbone.pace.batch_tokens)
            for members, layout in in_bulk(model, planned):
                result[members] = read_states(model, layout)[layout.reading].float().cpu()
        return result

    def next_token_logits(self, prompts: Sequence[str], tokens: Sequence[int]) -> Tensor:
        """Logits of some tokens after each prompt, shape (len(prompts), len(tokens)), on the CPU.

        Prompts that begin alike are read together. Only the head's rows of ``tokens`` are
        multiplied: log-odds do not need the normaliser.
        """
        result = torch.empty(len(prompts), len(tokens))
        with self.backbone.reading(self.weights) as model, head_of(model) as weight:
            head = weight[list(tokens)]
            pace = self.backbone.pace
            planned = _packed(self.tokenizer, tuple(prompts), pace.batch_tokens)
            for members, layout in in_bulk(model, planned):
                states = read_states(model, layout).to(head.device)
                states = states[layout.reading.to(head.device)]
                logits = (filled(states) @ head.T)[: len(states)]
                result[members] = logits.float().cpu()
        return result

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        samples: int = 1,
    ) -> list[list[str]]:
        """Continue each prompt; greedy at temperature 0, otherwise sampled from ``seed``.

        A chat model is asked through its own template. A prompt is read once, however many
        samples are drawn, and what is drawn for it does not depend on the other prompts.

        Returns:
            For each prompt, ``samples`` continuations.
        """
        tokenizer = self.backbone.tokenizer
        if tokenizer.chat_template:
            prompts = [
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": prompt}],
                    tokenize=False,
                    add_generation_prompt=True,
                )
                for prompt in prompts
            ]
        with self.backbone.reading(self.weights) as model:
            answers = generate(
                model, self.encode(prompts), max_new_tokens, temperature, seed, samples
            )
        return [tokenizer.batch_decode(drawn, skip_special_tokens=True) for drawn in answers]


def _plain(encoded: Encoded) -> Plain:
    prompt, response = encoded
    return tuple(prompt), tuple(response)


@lru_cache(maxsize=8)  # all eras are asked the same prompts
def _packed(
    tokenizer: PreTrainedTokenizerBase, prompts: tuple[str, ...], batch_tokens: int
) -> list[tuple[list[int], Layout]]:
    """How to read what follows each of many prompts."""
    rows = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    ends = at_their_ends([(row, ()) for row in rows])
    return list(passes(ends, pack(rows, PACK_TOKENS), batch_tokens))
