"""Token trees: sequences that begin alike, laid out so that what they share stands once.

A causal model's state at a token depends on the tokens before it only. Sequences with a common
beginning can therefore share one row: each token attends to its own ancestors, its position is
its depth. A single sequence is the tree without branches, a *chain*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

ROOT = -1


@dataclass(frozen=True)
class Tree:
    """Tokens, parents before children.

    Attributes:
        ids: token ids.
        parents: for each token the index of the one before it; ``ROOT`` for a first token.
    """

    ids: tuple[int, ...]
    parents: tuple[int, ...]

    @classmethod
    def chain(cls, ids: Iterable[int]) -> Tree:
        """One sequence."""
        row = tuple(ids)
        return cls(row, tuple(range(ROOT, len(row) - 1)))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def is_chain(self) -> bool:
        """Has it no branches?"""
        return self.parents == tuple(range(ROOT, len(self) - 1))

    @cached_property
    def key(self) -> str:
        """Hash of the content."""
        shape = () if self.is_chain else self.parents
        content = np.array([len(self), *self.ids, *shape], dtype=np.int64)
        return hashlib.blake2b(content.tobytes(), digest_size=16).hexdigest()

    @cached_property
    def depths(self) -> np.ndarray:
        """How many tokens stand before each, shape (tokens,)."""
        depths = np.zeros(len(self), dtype=np.int64)
        for node, parent in enumerate(self.parents):
            depths[node] = 0 if parent == ROOT else depths[parent] + 1
        return depths

    @cached_property
    def ancestors(self) -> np.ndarray:
        """May the token of a row see that of a column? Itself included; (tokens, tokens)."""
        seen = np.eye(len(self), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent != ROOT:
                seen[node] |= seen[parent]
        return seen


def grow(sequences: Sequence[Sequence[int]]) -> tuple[Tree, list[list[int]]]:
    """The tree of some sequences; the same one in whatever order they come.

    Returns:
        The tree, and for each sequence the nodes along it.
    """
    nodes: dict[tuple[int, int], int] = {}
    paths: list[list[int]] = [[] for _ in sequences]
    for index in sorted(range(len(sequences)), key=lambda i: tuple(sequences[i])):
        node = ROOT
        for token in sequences[index]:
            node = nodes.setdefault((node, token), len(nodes))
            paths[index].append(node)
    return Tree(tuple(token for _, token in nodes), tuple(parent for parent, _ in nodes)), paths


def pack(sequences: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Indices of sequences in groups whose trees are about equally large, each near ``size``.

    Neighbours in alphabetical order share most, so they go together.
    """
    order = sorted(range(len(sequences)), key=lambda i: tuple(sequences[i]))
    added = []  # tokens that each sequence adds to a tree which holds the one before it
    before: Sequence[int] = ()
    for index in order:
        shared = _shared(before, sequences[index])
        added.append(len(sequences[index]) - shared)
        before = sequences[index]
    groups_wanted = max(1, round(sum(added) / size))
    share = sum(added) / groups_wanted
    groups: list[list[int]] = []
    used = 0
    for index, tokens in zip(order, added, strict=True):
        if not groups or (tokens and used >= len(groups) * share):
            groups.append([])
        groups[-1].append(index)
        used += tokens
    return groups


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    shared = 0
    while shared < min(len(first), len(second)) and first[shared] == second[shared]:
        shared += 1
    return shared


def stack(trees: Sequence[Tree]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Trees as rows of one batch, padded at the end.

    Returns:
        Ids and positions, each of shape (trees, length), and the mask of shape
        (trees, 1, length, length), true where a token may be seen; None where all are chains, for
        which causal attention is enough. The length is that of the longest, made even: of odd
        ones, the last bits depend on the thread that attends.
    """
    longest = max(map(len, trees))
    longest += longest % 2
    ids = np.zeros((len(trees), longest), dtype=np.int64)
    positions = np.zeros_like(ids)
    for row, tree in enumerate(trees):
        ids[row, : len(tree)] = tree.ids
        positions[row, : len(tree)] = tree.depths
    mask = None
    if not all(tree.is_chain for tree in trees):
        # Padding sees itself: a softmax over nothing would be NaN.
        seen = np.eye(longest, dtype=bool)[None].repeat(len(trees), axis=0)
        for row, tree in enumerate(trees):
            seen[row, : len(tree), : len(tree)] = tree.ancestors
        mask = torch.from_numpy(seen[:, None])
    return torch.from_numpy(ids), torch.from_numpy(positions), mask


def equal_batches(trees: Sequence[Tree], tokens: int) -> list[list[int]]:
    """Indices in batches of equally long trees, chains apart, each of at most ``tokens`` tokens.

    Without padding, and with the same attention kernel for the same tree, a tree's numbers do
    not depend on what else is in its batch, to the last bit.
    """
    alike: dict[tuple[int, bool], list[int]] = {}
    for index, tree in enumerate(trees):
        alike.setdefault((len(tree), tree.is_chain), []).append(index)
    batches = []
    for (length, _), members in sorted(alike.items()):
        rows = max(1, tokens // length)
        batches += [members[i : i + rows] for i in range(0, len(members), rows)]
    return batches
