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
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from .calibration import Pace
from .packing import packed, standing_in
from .rows import ENOUGH, filled, repeated
from .store import StateStore
from .trees import Tree, equal_batches, stack
from .work import note, note_head, note_upper

PREFILL_BYTES = 128 << 20  # of prompts' keys and values, kept for the next policy that reads them
_DECODER_ARGUMENTS = ("input_ids", "attention_mask", "position_ids", "past_key_values")


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


class _AtReadings:
    """Lets a module that treats each token alone work only where something is read."""

    def __init__(self, module: nn.Module, trunk: Trunk) -> None:
        self.trunk = trunk
        self.shape: torch.Size = torch.Size()
        module.register_forward_pre_hook(self.narrow)
        module.register_forward_hook(self.widen)

    def narrow(self, module: nn.Module, args: tuple) -> tuple | None:
        """Give the module the read tokens, as one row."""
        if self.trunk.read is None:
            return None
        self.shape = args[0].shape[:-1]
        read = self.trunk.read.to(args[0].device)
        return (filled(args[0].flatten(0, 1)[read]).unsqueeze(0), *args[1:])

    def widen(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        """Put its answers back in their places; the others are zero and never looked at."""
        if self.trunk.read is None:
            return None
        wide = output.new_zeros((self.shape.numel(), output.shape[-1]))
        wide[self.trunk.read.to(wide.device)] = output[0, : len(self.trunk.read)]
        return wide.view(*self.shape, -1)


class Trunk(nn.Module):
    """Embedding plus frozen lower layers, with a memory of their outputs.

    Args:
        decoder: the transformer without its head, e.g. ``LlamaModel``.
        layers: number of lower layers that belong to the trunk.
        store: the memory.
        pace: how this machine runs the base fastest.
    """

    def __init__(self, decoder: nn.Module, layers: int, store: StateStore, pace: Pace) -> None:
        super().__init__()
        self.embedding: nn.Embedding = decoder.embed_tokens  # type: ignore[assignment]
        self.store = store
        self.pace = pace
        self.active = False
        self.read: Tensor | None = None
        self._layers = layers
        self._decoder = (decoder,)
        self._mask: Tensor | None = None
        self._prefills: OrderedDict[bytes, list[Tensor]] = OrderedDict()

    @property
    def weight(self) -> Tensor:
        """The embedding matrix, to which the head may be tied."""
        return self.embedding.weight

    @property
    def lower_layers(self) -> list[nn.Module]:
        """The trunk's own layers."""
        return [below.layer for below in self._decoder[0].layers[: self._layers]]  # type: ignore[index]

    @property
    def upper_layers(self) -> list[nn.Module]:
        """The layers above, which adapters touch."""
        return list(self._decoder[0].layers[self._layers :])  # type: ignore[index]

    # As part of an ordinary model --------------------------------------------------------------

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
        inputs = given.get("inputs_embeds") if ids is None else ids
        if inputs is not None:
            tokens = inputs.shape[0] * inputs.shape[1]
            note_upper(tokens)
            if not self.active:
                note("lower", tokens)

    def release(self, module: nn.Module, args: tuple, output: Any) -> None:
        """Forward hook of the decoder: back to the ordinary way."""
        self.active = False
        self._mask = None

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
        keeps = mask.bool()
        rows = [row[keep].tolist() for row, keep in zip(ids.cpu(), keeps.cpu(), strict=True)]
        states = self.states([Tree.chain(row) for row in rows])
        out = self.weight.new_zeros((*ids.shape, self.weight.shape[1]), dtype=states[0].dtype)
        for index, state in enumerate(states):
            out[index, keeps[index]] = state
        return out

    # As a memory -------------------------------------------------------------------------------

    def states(self, trees: Sequence[Tree]) -> list[Tensor]:
        """Hidden states that enter the lowest adapted layer: (tokens, hidden) of each tree."""
        device = self.weight.device
        found: dict[str, Tensor] = {}
        missing: dict[str, Tree] = {}
        for tree in trees:
            if tree.key in found or tree.key in missing:
                continue
            if (known := self.store.get(tree.key)) is not None:
                found[tree.key] = known.to(device)
            else:
                missing[tree.key] = tree
        for tree, state in zip(missing.values(), self.compute(list(missing.values())), strict=True):
            found[tree.key] = state
            self.store.put(tree.key, state)
        return [found[tree.key] for tree in trees]

    @torch.no_grad()
    def compute(self, trees: Sequence[Tree]) -> list[Tensor]:
        """Run the lower layers over trees: (tokens, hidden) of each.

        Layer by layer over all batches, so that only one layer's weights are packed at a time.
        In the base's own precision, whatever precision the layers above are trained in: the
        states are kept for everyone.
        """
        with torch.autocast(self.weight.device.type, enabled=False):
            return self._compute(trees)

    def _compute(self, trees: Sequence[Tree]) -> list[Tensor]:
        device = self.weight.device
        batches = equal_batches(trees, self.pace.batch_tokens)
        stacked = []
        for batch in batches:
            parts = stack([trees[i] for i in batch])
            tokens = parts[0].numel()
            stacked.append([p if p is None else repeated(p.to(device), tokens) for p in parts])
            note("lower", tokens * max(1, -(-ENOUGH // tokens)))
        if batches:
            note("layout")
        hidden = [self.embedding(ids) for ids, _, _ in stacked]
        for layer in self.lower_layers if batches else ():
            linears = [part for part in layer.modules() if isinstance(part, nn.Linear)]
            weights = {part: packed(part.weight) for part in linears if self.pace.packed}
            with standing_in(weights):
                for number, (_, positions, mask) in enumerate(stacked):
                    hidden[number] = self._run([layer], hidden[number], positions, mask)
        states = {
            index: state[: len(trees[index])]
            for batch, part in zip(batches, hidden, strict=True)
            for index, state in zip(batch, part, strict=False)
        }
        return [states[index] for index in range(len(trees))]

    @torch.no_grad()
    def prefill(self, ids: Tensor, mask: Tensor, positions: Tensor) -> tuple[Tensor, DynamicCache]:
        """Run the lower layers over prompts that are to be continued.

        Args:
            ids: shape (rows, length).
            mask: what each token sees, shape (rows, 1, length, length).
            positions: shape (rows, length).

        Returns:
            The states that enter the lowest adapted layer, shape (rows, length, hidden), and a
            cache that holds the lower layers' keys and values.
        """
        key = ids.cpu().numpy().tobytes() + mask.cpu().numpy().tobytes()
        cache = DynamicCache(config=self._decoder[0].config)
        if key in self._prefills:
            self._prefills.move_to_end(key)
            hidden, *known = self._prefills[key]
            for number in range(self._layers):
                cache.update(known[2 * number], known[2 * number + 1], number)
            return hidden, cache
        note("lower", ids.numel())
        hidden = self._run(self.lower_layers, self.embedding(ids), positions, mask, cache)
        filled = cache.layers[: self._layers]
        self._prefills[key] = [hidden, *(part for f in filled for part in (f.keys, f.values))]
        while sum(t.nbytes for kept in self._prefills.values() for t in kept) > PREFILL_BYTES:
            self._prefills.popitem(last=False)
        return hidden, cache

    def _run(
        self,
        layers: Sequence[nn.Module],
        hidden: Tensor,
        positions: Tensor | None,
        mask: Tensor | None,
        cache: DynamicCache | None = None,
    ) -> Tensor:
        angles = self._decoder[0].rotary_emb(hidden, position_ids=positions)  # type: ignore[operator]
        for layer in layers:
            hidden = layer(
                hidden,
                attention_mask=mask,
                position_ids=positions,
                position_embeddings=angles,
                past_key_values=cache,
                use_cache=cache is not None,
            )
        return hidden

    def run_upper(
        self,
        hidden: Tensor,
        positions: Tensor,
        mask: Tensor | None,
        read: Tensor,
        cache: DynamicCache | None = None,
    ) -> Tensor:
        """The layers above and the final norm, from the trunk's states; differentiable.

        Args:
            hidden: shape (rows, length, hidden).
            positions: shape (rows, length).
            mask: what each token sees, shape (rows, 1, length, length); None for causal.
            read: the tokens whose states are wanted, as indices into rows × length; the last
                layer leaves out what only the others need.
            cache: to be filled with keys and values.

        Returns:
            Shape (readings, hidden).
        """
        if cache is None:
            tokens = positions.numel()
            hidden, positions = repeated(hidden, tokens), repeated(positions, tokens)
            mask = mask if mask is None else repeated(mask, tokens)
        note_upper(positions.numel())
        *inner, last = self.upper_layers
        hidden = self._run(inner, hidden, positions, mask, cache)
        self.read = read
        try:
            hidden = self._run([last], hidden, positions, mask, cache)
        finally:
            self.read = None
        return self._decoder[0].norm(hidden.flatten(0, 1)[read.to(hidden.device)])  # type: ignore[operator]


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


def _note_head(module: nn.Module, args: tuple) -> None:
    note_head(args[0].shape[:-1].numel())


def install_trunk(model: PreTrainedModel, layers: int, store: StateStore, pace: Pace) -> Trunk:
    """Give ``model`` a trunk of its lowest ``layers`` layers, in place."""
    decoder = model.model
    trunk = Trunk(decoder, layers, store, pace)
    decoder.layers = nn.ModuleList(
        _Below(layer, trunk) if index < layers else layer
        for index, layer in enumerate(decoder.layers)
    )
    decoder.embed_tokens = trunk
    decoder.register_forward_pre_hook(trunk.prepare, with_kwargs=True)
    decoder.register_forward_hook(trunk.release, always_call=True)
    model.get_output_embeddings().register_forward_pre_hook(_note_head)
    last = decoder.layers[-1]
    for name in ("self_attn.q_proj", "self_attn.o_proj", "mlp"):
        with contextlib.suppress(AttributeError):  # another architecture: its layer does it all
            _AtReadings(last.get_submodule(name), trunk)
    return trunk
