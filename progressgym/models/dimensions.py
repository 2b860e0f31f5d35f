"""What a base is made of, told from its configuration alone: no weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig

from .backbone import TARGETS, AdapterShape
from .work import Kind

_BYTES = {"4bit": 0.55, "8bit": 1.05}  # of a quantised weight, its scales included


@dataclass(frozen=True)
class Dimensions:
    """Sizes of a base with its adapter.

    Attributes:
        layers: of the transformer.
        upper: how many of them, the last ones, the adapter touches.
        hidden: width of a state.
        vocabulary: words that the head knows.
        layer_weights: numbers in a layer.
        weights: numbers in all.
        adapter_weights: numbers in an adapter.
        weight_bytes: of one number of the base.
        state_bytes: of one number of a state.
    """

    layers: int
    upper: int
    hidden: int
    vocabulary: int
    layer_weights: int
    weights: int
    adapter_weights: int
    weight_bytes: float
    state_bytes: int

    @classmethod
    def of(
        cls,
        config: PretrainedConfig,
        shape: AdapterShape,
        dtype: torch.dtype,
        quantization: str | None = None,
    ) -> Dimensions:
        """Those of a configuration, an adapter's shape and how the weights are loaded."""
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        layer = model.model.layers[0]
        linears = [
            part
            for name, part in layer.named_modules()
            if isinstance(part, nn.Linear) and name.split(".")[-1] in TARGETS
        ]
        return cls(
            layers=config.num_hidden_layers,
            upper=shape.top_layers,
            hidden=config.hidden_size,
            vocabulary=config.vocab_size,
            layer_weights=sum(p.numel() for p in layer.parameters()),
            weights=sum(p.numel() for p in model.parameters()),
            adapter_weights=shape.top_layers
            * shape.rank
            * sum(part.in_features + part.out_features for part in linears),
            weight_bytes=_BYTES.get(quantization or "", dtype.itemsize),
            state_bytes=dtype.itemsize,
        )

    def flops(self, kind: Kind) -> float:
        """Floating-point operations of a token (of a pass, where a kind has no tokens).

        Two for each weight it meets; as many again for the way back, whose base is frozen.
        Attention among tokens adds a few percent at the lengths that the gym reads and is left out.
        """
        head = 2.0 * self.vocabulary * self.hidden
        below = 2.0 * self.layer_weights * (self.layers - self.upper)
        above = 2.0 * self.layer_weights * self.upper
        own = 2.0 * self.adapter_weights
        per: Mapping[str, float] = {
            "lower": below,
            "upper": above,
            "training": 2 * above + 3 * own,
            "head": head,
            "head_training": 2 * head,
            "optimizer": 12.0 * self.adapter_weights,
        }
        return per.get(kind, 0.0)

    @property
    def bytes(self) -> float:
        """Of the weights in memory."""
        return self.weights * self.weight_bytes

    @property
    def merged_bytes(self) -> float:
        """Of the copy of the upper layers to which the adapter is added for reading."""
        plain = self.weight_bytes == self.state_bytes == 4
        return 4.0 * self.layer_weights * self.upper if plain else 0.0

    @property
    def guessed_training_bytes(self) -> float:
        """What a token of a training pass keeps for the way back, where it was not measured.

        Of Llama's layers: some twelve states and five of the wider ones between its products.
        """
        wide = (self.layer_weights - 2.5 * self.hidden**2) / (3 * self.hidden)
        return self.upper * self.state_bytes * (12 * self.hidden + 5 * wide)

    def read_bytes(self, kind: Kind) -> float:
        """Bytes of weights that a pass has to bring from memory."""
        above = self.layer_weights * self.upper * self.weight_bytes
        below = self.layer_weights * (self.layers - self.upper) * self.weight_bytes
        head = self.vocabulary * self.hidden * self.weight_bytes
        per = {
            "lower": below,
            "upper": above,
            "training": 2 * above,
            "head": head,
            "head_training": 2 * head,
            "optimizer": 4.0 * 4 * self.adapter_weights,
        }
        return per.get(kind, 0.0)
