"""How much work models do: counted where it is done, in units that a machine's speed is known in.

Nobody counts unless somebody asks (:func:`counting`); then every way to a model is seen, that of
algorithms which train a model in a manner of their own included.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

Kind = Literal[
    "layout", "lower", "upper", "training", "head", "head_training", "switch", "optimizer", "model"
]
"""What is done, in passes of so many tokens each:

``layout`` lower layers' weights put into the machine's own layout, once for many passes;
``lower`` tokens through the layers that all models of a base share;
``upper`` tokens through the layers above, to be read;
``training`` tokens through the layers above, forward and backward;
``head``, ``head_training`` places where the probabilities of all words are wanted;
``switch`` another adapter put in place;
``optimizer`` steps of an optimizer;
``model`` whole models loaded; its tokens are the models in memory by then.
"""

KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]


@dataclass
class Work:
    """Passes and tokens of each kind, and the largest pass."""

    passes: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)

    def note(self, kind: Kind, tokens: int = 0) -> None:
        """Add a pass."""
        self.passes[kind] = self.passes.get(kind, 0) + 1
        self.tokens[kind] = self.tokens.get(kind, 0) + tokens
        self.largest[kind] = max(self.largest.get(kind, 0), tokens)

    def clear(self) -> None:
        """Begin again."""
        for counted in (self.passes, self.tokens, self.largest):
            counted.clear()

    def __add__(self, other: Work) -> Work:
        total = Work(dict(self.passes), dict(self.tokens), dict(self.largest))
        for kind, passes in other.passes.items():
            total.passes[kind] = total.passes.get(kind, 0) + passes
            total.tokens[kind] = total.tokens.get(kind, 0) + other.tokens[kind]
            total.largest[kind] = max(total.largest.get(kind, 0), other.largest[kind])
        return total

    @property
    def model_tokens(self) -> int:
        """Tokens that pass through layers: read or trained on; those below are shared."""
        return sum(self.tokens.get(kind, 0) for kind in ("upper", "training"))


_counters: list[Work] = []


def note(kind: Kind, tokens: int = 0) -> None:
    """Tell whoever is counting of a pass."""
    for work in _counters:
        work.note(kind, tokens)


def note_upper(tokens: int) -> None:
    """The same for a pass through the upper layers: is it a training's?"""
    note("training" if torch.is_grad_enabled() else "upper", tokens)


def note_head(places: int) -> None:
    """The same for a pass through the head."""
    note("head_training" if torch.is_grad_enabled() else "head", places)


@contextmanager
def counting() -> Iterator[Work]:
    """Count all work of this process within the block."""
    work = Work()

    def stepped(optimizer: Any, args: Any, kwargs: Any) -> None:
        work.note("optimizer")

    hook = register_optimizer_step_post_hook(stepped)
    _counters.append(work)
    try:
        yield work
    finally:
        _counters.remove(work)
        hook.remove()
