"""Weights in oneDNN's own layout, whose products are faster than plain ones on many processors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_LAID_OUT_FOR = 1024  # tokens of a pass; the layout then serves all sizes alike


def can_pack(weight: Tensor) -> bool:
    """Is there such a layout for this weight here?"""
    return (
        weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def packed(weight: Tensor) -> Tensor:
    """A copy of a linear layer's weight in oneDNN's layout; opaque, for :func:`product` only."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, _LAID_OUT_FOR)


def product(inputs: Tensor, weight: Tensor) -> Tensor:
    """``inputs @ W.T`` for a packed weight, without gradient.

    A row's result does not depend, to the last bit, on the other rows.
    """
    tokens = inputs.numel() // inputs.shape[-1]
    if tokens == 1:  # a lone row would take another kernel, with other last bits
        twice = inputs.expand(2, *inputs.shape).reshape(2, -1)
        single = torch.ops.mkldnn._linear_pointwise(twice, weight, None, "none", [], "")
        return single[:1].view(*inputs.shape[:-1], -1)
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, None, "none", [], "")


@contextmanager
def standing_in(weights: Mapping[nn.Linear, Tensor]) -> Iterator[None]:
    """Within the block these layers, which have no bias, multiply by packed weights instead."""
    before = {layer: vars(layer).get("forward") for layer in weights}
    for layer, weight in weights.items():
        layer.forward = lambda inputs, weight=weight: product(inputs, weight)  # type: ignore[method-assign, misc]
    try:
        yield
    finally:
        for layer, forward in before.items():
            del layer.forward
            if forward is not None:  # within another such block
                layer.forward = forward  # type: ignore[method-assign]
