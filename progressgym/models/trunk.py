"""The trunk: the frozen lower layers that all adapters of one base share, computed once.

Era and policy adapters touch only the top layers. The hidden states that enter the lowest
adapted layer therefore depend on the tokens alone. :func:`install_trunk` makes a model remember
them: its embedding returns the trunk's output for each row, and the lower layers let it pass.
Everything above sees an ordinary ``PreTrainedModel``. A forward pass that the trunk cannot serve
(key-value cache, ready-made embeddings) takes the ordinary way through all layers.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .reading import length_batches

MEMORY_BYTES = 1 << 30
_DECODER_ARGUMENTS = ("input_ids", "attention_mask", "position_ids", "past_key_values")
BATCH_TOKENS = 2048  # tokens of one trunk pass: large enough for full speed, small in memory


class _Below(nn.Module):
    """A lower layer that steps aside while the trunk speaks for it."""

    def __init__(self, layer: nn.Module, trunk: Trunk) -> None:
        super().__init__()
        self.layer = layer
        # In a tuple, so that the trunk is not registered a second time as a submodule.
        self._trunk = (trunk,)

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self._trunk[0].active:
            return hidden_states
        return self.layer(hidden_states, *args, **kwargs)


class Trunk(nn.Module):
    """Embedding plus frozen lower layers, with a least-recently-used memory of its outputs.

    Args:
        decoder: the transformer without its head, e.g. ``LlamaModel``.
        layers: number of lower layers that belong to the trunk.
        memory_bytes: bound of the memory.
    """

    def __init__(self, decoder: nn.Module, layers: int, memory_bytes: int = MEMORY_BYTES) -> None:
        super().__init__()
        self.embedding: nn.Embedding = decoder.embed_tokens  # type: ignore[assignment]
        self.memory_bytes = memory_bytes
        self.active = False
        self._decoder = (decoder,)
        self._rows: OrderedDict[bytes, Tensor] = OrderedDict()
        self._bytes = 0
        self._mask: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """The embedding matrix, to which the head may be tied."""
        return self.embedding.weight

    def prepare(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        """Forward pre-hook of the decoder: can the trunk serve this pass?"""
        given = {**dict(zip(_DECODER_ARGUMENTS, args, strict=False)), **kwargs}
        ids, use_cache = given.get("input_ids"), given.get("use_cache")
        self._mask = given.get("attention_mask")
        self.active = (
            ids is not None
            and given.get("past_key_values") is None
            and not (module.config.use_cache if use_cache is None else use_cache)  # type: ignore[union-attr]
            and not given.get("output_hidden_states")
            and (self._mask is None or self._mask.dim() == 2)
            and _consecutive(given.get("position_ids"), self._mask)
        )

    def release(self, module: nn.Module, args: tuple, output: Any) -> None:
        """Forward hook of the decoder: back to the ordinary way."""
        self.active = False
        self._mask = None

    @contextlib.contextmanager
    def forgetful(self) -> Iterator[None]:
        """Do not remember rows: for training on a stream, where no row comes twice."""
        kept, self.memory_bytes = self.memory_bytes, 0
        try:
            yield
        finally:
            self.memory_bytes = kept

    def forward(self, ids: Tensor) -> Tensor:
        """Hidden states that enter the lowest adapted layer.

        Args:
            ids: token ids, shape (rows, length), padded on either side as the mask says.

        Returns:
            Shape (rows, length, hidden); zero where the mask is zero.
        """
        if not self.active:
            return self.embedding(ids)
        mask = torch.ones_like(ids) if self._mask is None else self._mask
        rows = [row[keep.bool()] for row, keep in zip(ids.cpu(), mask.cpu(), strict=True)]
        states = self._states(rows)
        out = self.weight.new_zeros((*ids.shape, self.weight.shape[1]), dtype=states[0].dtype)
        for index, state in enumerate(states):
            out[index, mask[index].bool()] = state
        return out

    def _states(self, rows: list[Tensor]) -> list[Tensor]:
        keys = [row.numpy().tobytes() for row in rows]
        found: dict[bytes, Tensor] = {}
        missing: dict[bytes, Tensor] = {}
        for key, row in zip(keys, rows, strict=True):
            if key in self._rows:
                self._rows.move_to_end(key)
                found[key] = self._rows[key]
            else:
                missing[key] = row
        new = list(missing.items())
        for batch in length_batches([len(row) for _, row in new], BATCH_TOKENS):
            states = self._compute([new[i][1] for i in batch])
            for (key, row), state in zip((new[i] for i in batch), states, strict=True):
                found[key] = state[: len(row)].clone()
                self._remember(key, found[key])
        return [found[key] for key in keys]

    @torch.no_grad()
    def _compute(self, rows: list[Tensor]) -> Tensor:
        """Run the lower layers. Right padding needs no mask: attention is causal."""
        decoder = self._decoder[0]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.weight.device)
        hidden = self.embedding(ids)
        positions = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        angles = decoder.rotary_emb(hidden, position_ids=positions)  # type: ignore[operator]
        for below in decoder.layers:  # type: ignore[union-attr]
            if not isinstance(below, _Below):
                break
            hidden = below.layer(hidden, position_embeddings=angles, position_ids=positions)
        return hidden

    def _remember(self, key: bytes, state: Tensor) -> None:
        size = state.element_size() * state.nelement()
        if size > self.memory_bytes:
            return
        self._rows[key] = state
        self._bytes += size
        while self._bytes > self.memory_bytes:
            _, old = self._rows.popitem(last=False)
            self._bytes -= old.element_size() * old.nelement()


def _consecutive(positions: Tensor | None, mask: Tensor | None) -> bool:
    """Do the positions count up by one over each row's tokens?

    Where they start does not matter: rotary embeddings see differences only.
    """
    if positions is None:
        return True
    steps = positions[..., 1:] - positions[..., :-1] == 1
    if mask is not None:
        steps = steps | ~(mask[:, 1:] * mask[:, :-1]).bool()
    return bool(steps.all())


def install_trunk(model: PreTrainedModel, layers: int) -> Trunk:
    """Give ``model`` a trunk of its lowest ``layers`` layers, in place."""
    decoder = model.model
    trunk = Trunk(decoder, layers)
    decoder.layers = nn.ModuleList(
        _Below(layer, trunk) if index < layers else layer
        for index, layer in enumerate(decoder.layers)
    )
    decoder.embed_tokens = trunk
    decoder.register_forward_pre_hook(trunk.prepare, with_kwargs=True)
    decoder.register_forward_hook(trunk.release, always_call=True)
    return trunk
