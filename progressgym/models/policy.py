"""The policy: a base model plus an adapter, and what can be read from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..errors import UsageError
from .backbone import Backbone, Weights, weights_fingerprint
from .reading import Encoded, length_batches, pad, plan_readings, sequence_logprobs

READ_TOKENS = 1024  # tokens of one batch when reading probabilities: more is slower on CPUs


class Policy:
    """A language model: a shared base and its own adapter.

    Humans of all eras, the AI and the reference model are all policies. Two policies of one base
    share its weights; only their adapters differ.

    Args:
        backbone: the shared base.
        weights: adapter weights; None for a fresh adapter, which leaves the base as it is.
        name: what to call it in messages and results.
        base: the policy that implicit rewards are relative to; None for the bare backbone.
    """

    def __init__(
        self,
        backbone: Backbone,
        weights: Weights | None = None,
        name: str = "base",
        base: Policy | None = None,
    ) -> None:
        self.backbone = backbone
        self.weights = backbone.fresh_weights() if weights is None else weights
        self.name = name
        self._base = base

    def __repr__(self) -> str:
        return f"Policy({self.name!r} on {self.backbone.name!r})"

    @property
    def base(self) -> Policy:
        """The shared base model without an adapter."""
        return self._base or Policy(self.backbone)

    @property
    def fingerprint(self) -> str:
        """sha256 of base and adapter: equal fingerprints mean equal models."""
        return weights_fingerprint(self.backbone, self.weights)

    def copy(self, name: str | None = None) -> Policy:
        """A policy that starts equal and changes on its own."""
        weights = {key: tensor.detach().clone() for key, tensor in self.weights.items()}
        return Policy(self.backbone, weights, name or self.name, self._base)

    @contextmanager
    def active(self) -> Iterator[PreTrainedModel]:
        """The ``PreTrainedModel`` that acts as this policy within the block."""
        with self.backbone.using(self.weights) as model:
            yield model

    def save(self, folder: Path) -> None:
        """Write the adapter in peft's format."""
        self.backbone.save_weights(self.weights, folder)

    # What can be read ---------------------------------------------------------------------

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        return self.backbone.tokenizer(list(texts), add_special_tokens=False)["input_ids"]

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

    def encoded_logprobs(self, encoded: Sequence[Encoded]) -> Tensor:
        """:meth:`logprobs` of sequences that are tokenized already.

        What an equal model was asked before is remembered: every era is compared with one base.
        """
        fingerprint, memory = self.fingerprint, self.backbone.logprobs
        keys = [(fingerprint, tuple(prompt), tuple(response)) for prompt, response in encoded]
        missing = [key for key in dict.fromkeys(keys) if key not in memory]
        rows: dict[tuple[int, ...], list[int]] = {}
        for index, (_, prompt, response) in enumerate(missing):
            rows.setdefault((prompt + response)[:-1], []).append(index)
        sequences = list(rows.values())
        with self.active() as model, torch.inference_mode():
            for batch in length_batches([len(row) for row in rows], READ_TOKENS):
                asked = [missing[index] for line in batch for index in sequences[line]]
                readings = plan_readings([(prompt, response) for _, prompt, response in asked])
                scores = sequence_logprobs(model, readings.to(model.device)).tolist()
                memory.update(zip(asked, scores, strict=True))
        return torch.tensor([memory[key] for key in keys])

    def next_token_logits(self, prompts: Sequence[str], tokens: Sequence[int]) -> Tensor:
        """Logits of some tokens after each prompt; differences of them are log-odds.

        Only the head's rows of ``tokens`` are multiplied: log-odds do not need the normaliser.

        Returns:
            Shape (len(prompts), len(tokens)), on the CPU.
        """
        rows = self.encode(prompts)
        result = torch.empty(len(rows), len(tokens))
        with self.active() as model, torch.inference_mode():
            head = model.get_output_embeddings().weight[list(tokens)]
            for batch in length_batches([len(row) for row in rows], READ_TOKENS):
                ids, mask = (part.to(model.device) for part in pad([rows[i] for i in batch]))
                states = model.model(
                    input_ids=ids, attention_mask=mask, use_cache=False
                ).last_hidden_state
                last = states[torch.arange(len(batch)), mask.sum(1) - 1]
                result[batch] = (last @ head.T).float().cpu()
        return result

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """Continue each prompt; greedy at temperature 0, otherwise sampled from ``seed``.

        A chat model is asked through its own template.
        """
        tokenizer = self.backbone.tokenizer
        answers = []
        with self.active() as model, torch.inference_mode():
            torch.manual_seed(seed)
            for prompt in prompts:
                if tokenizer.chat_template:
                    prompt = tokenizer.apply_chat_template(
                        [{"role": "user", "content": prompt}],
                        tokenize=False,
                        add_generation_prompt=True,
                    )
                ids, mask = (part.to(model.device) for part in pad(self.encode([prompt])))
                sampling = {"do_sample": True, "temperature": temperature} if temperature else {}
                out = model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=max_new_tokens,
                    pad_token_id=tokenizer.pad_token_id or 0,
                    **(sampling or {"do_sample": False}),
                )
                answers.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
        return answers
