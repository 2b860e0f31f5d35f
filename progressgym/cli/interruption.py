"""Ctrl-C and SIGTERM: the first one stops a command in good order, the second one at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block a signal raises KeyboardInterrupt, and another one ends the process.

    A signal that the parent had ignored, as shells do for commands in the background, stays so.
    """
    _received.clear()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        if not _received:  # otherwise the process is about to end, and can still be stopped
            for number, handler in before.items():
                signal.signal(number, handler)


def exit_code() -> int:
    """128 plus the number of the signal that was received first."""
    return 128 + (_received or [int(signal.SIGINT)])[0]


def _stop(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    if len(_received) > 1:
        os._exit(exit_code())  # whatever is being tidied up: all that matters is on disk
    raise KeyboardInterrupt
