"""How a machine runs a base model fastest: measured in a second or two, kept in the cache."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import torch
from filelock import FileLock
from threadpoolctl import threadpool_limits
from torch import nn
from transformers import PreTrainedModel

from ..storage import (
    cache_folder,
    keeping_if_possible,
    make_folder,
    read_sealed,
    sha256_json,
    write_sealed,
)
from .packing import can_pack, packed, standing_in

Found = TypeVar("Found")

BATCHES = (512, 1024, 2048)  # tokens of one pass
LENGTH = 16  # tokens of a row while measuring: about a statement
ROUNDS, REPEATS = 4, 2
_WORTH = 0.97  # a smaller batch that reaches this share of the best rate saves its memory
_SMALL = 1 << 20  # weights of a layer that is too small to gain
_PACKED_WORTH = 1.05  # clearly faster, so that the same machine does not decide now so, now so


@dataclass(frozen=True)
class Pace:
    """What was found to be fastest.

    Attributes:
        threads: of torch; 0 leaves them as they are.
        batch_tokens: tokens of one pass.
        packed: are weights in oneDNN's layout faster? See :mod:`.packing`.
        tokens_per_second: through one layer, at that.
    """

    threads: int
    batch_tokens: int
    packed: bool
    tokens_per_second: float

    @contextmanager
    def threads_set(self) -> Iterator[None]:
        """Within the block torch uses these threads."""
        before = torch.get_num_threads()
        change = self.threads and self.threads != before
        if change:
            torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            if change:
                torch.set_num_threads(before)


def pin_threads(threads: int) -> None:
    """Compute with this many threads from now on, and with no other number where it were faster.

    Their number decides in which order sums are taken, and so the last bits of results.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)  # a number that the user set is left alone
    threadpool_limits(threads)  # numpy's and scipy's
    torch.set_num_threads(threads)


_assumed: list[Pace] = []


@contextmanager
def assuming(pace: Pace) -> Iterator[None]:
    """Within the block every base has this pace, measured or not."""
    _assumed.append(pace)
    try:
        yield
    finally:
        _assumed.pop()


def measured_pace(model: PreTrainedModel, layer: nn.Module, fingerprint: str) -> Pace:
    """The pace of a base on this machine, measured unless the cache has it.

    Neither threads nor batch size change what is computed, only how fast; packed weights change
    the last bits.

    Args:
        model: the base.
        layer: one of its layers, to measure with.
        fingerprint: stands for the base.
    """
    if _assumed:
        return _assumed[-1]
    machine = machine_key(model.device)
    key = sha256_json([fingerprint, str(model.dtype), torch.__version__, machine])
    found = calibrated(
        "pace", key, lambda: asdict(_measure(model, layer)), lambda known: Pace(**known)
    )
    return replace(found, threads=0) if _pinned() else found


def machine_key(device: torch.device) -> list[Any]:
    """What makes this machine as fast as it is."""
    if device.type == "cuda":
        return [torch.cuda.get_device_name()]
    return [torch.get_num_threads(), torch.backends.cpu.get_cpu_capability(), str(device)]


def calibrated(
    name: str, key: str, measure: Callable[[], Any], made: Callable[[Any], Found]
) -> Found:
    """Something measured of this machine, unless the cache has it.

    Args:
        name: of what it is.
        key: hash of everything that it depends on.
        measure: gives it, JSON-able.
        made: turns that into what is wanted; what it refuses is measured again.
    """
    path = cache_folder() / "calibration" / f"{name}-{key[:24]}.json"
    with ExitStack() as stack:
        with suppress(OSError):  # processes that start at once must not decide differently
            make_folder(path.parent)
            stack.enter_context(FileLock(path.with_suffix(".lock")))
        try:
            return made(read_sealed(path)[0])
        except (OSError, ValueError, TypeError, KeyError):
            measured = measure()
            with keeping_if_possible():
                write_sealed(path, measured)
            return made(measured)


def _pinned() -> bool:
    """Did the user set the number of threads?"""
    return not {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}.isdisjoint(os.environ)


def _measure(model: PreTrainedModel, layer: nn.Module) -> Pace:
    weights = {part: part.weight for part in layer.modules() if isinstance(part, nn.Linear)}
    packs = False
    if sum(w.numel() for w in weights.values()) > _SMALL and all(map(can_pack, weights.values())):
        weights = {part: packed(weight) for part, weight in weights.items()}
        plain = Pace(0, 1024, False, 0.0)
        with_packed, without = 0.0, 0.0
        for _ in range(ROUNDS):  # in turns: the machine's speed may drift
            without = max(without, _rate(model, layer, plain))
            with standing_in(weights):
                with_packed = max(with_packed, _rate(model, layer, plain))
        packs = with_packed > _PACKED_WORTH * without
    rates = {}
    with standing_in(weights if packs else {}):
        for threads in _thread_choices(model.device):
            for tokens in BATCHES:
                pace = Pace(threads, tokens, packs, 0.0)
                rates[pace] = _rate(model, layer, pace)
    best = max(rates.values())
    good = [pace for pace, rate in rates.items() if rate >= _WORTH * best]
    pace = min(good, key=lambda pace: (pace.batch_tokens, -pace.threads))
    return replace(pace, tokens_per_second=round(rates[pace], 1))


def _thread_choices(device: torch.device) -> list[int]:
    """All threads, or half of them where two share a core; what the user set is left alone."""
    if device.type != "cpu" or _pinned():
        return [0]
    threads = torch.get_num_threads()
    return sorted({threads, max(1, threads // 2)}, reverse=True)


@torch.inference_mode()
def _rate(model: PreTrainedModel, layer: nn.Module, pace: Pace) -> float:
    """Tokens a second through one layer at a pace."""
    rows = pace.batch_tokens // LENGTH
    own = torch.Generator().manual_seed(0)  # the user's random numbers stay as they are
    hidden = torch.randn(rows, LENGTH, model.config.hidden_size, generator=own)
    hidden = hidden.to(model.device, model.dtype)
    positions = torch.arange(LENGTH, device=model.device).unsqueeze(0)
    angles = model.model.rotary_emb(hidden, position_ids=positions)
    seconds = []
    with pace.threads_set():
        for _ in range(REPEATS + 1):  # the first one warms up
            start = time.perf_counter()
            layer(hidden, position_ids=positions, position_embeddings=angles)
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    return rows * LENGTH / min(seconds[1:])
