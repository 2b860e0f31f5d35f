"""Processors by name: what their makers promise of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import unknown_name


@dataclass(frozen=True)
class Machine:
    """A number of equal processors.

    Attributes:
        name: as it is named on the command line.
        flops: peak rate of one's dense bfloat16 products, operations a second.
        bandwidth: of one's memory, bytes a second.
        memory: bytes of all of them.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float


_KNOWN = {  # TFLOP/s in bfloat16 without sparsity, TB/s, GB: the makers' data sheets
    "a100": (312, 2.04, 80),
    "h100": (989, 3.35, 80),
    "h200": (989, 4.8, 141),
    "l40s": (362, 0.864, 48),
    "rtx4090": (165, 1.01, 24),
}


def find_machine(name: str) -> Machine:
    """A machine by name: ``h100``, or ``4xh100`` for four.

    Raises:
        UsageError: no such processor.
    """
    found = re.fullmatch(r"(?:([1-9]\d*)x)?(.+)", name.strip().lower())
    count, kind = (int(found[1] or 1), found[2]) if found else (1, name)
    if kind not in _KNOWN:
        raise unknown_name("machine", kind, _KNOWN)
    flops, bandwidth, memory = _KNOWN[kind]
    return Machine(name, flops * 1e12, bandwidth * 1e12, count * memory * 1e9)
