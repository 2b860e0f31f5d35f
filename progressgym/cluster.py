"""Ray clusters: connecting to one, with a clear word where that fails. Ray is optional."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from .errors import UsageError

_ANSWER = 5.0  # seconds within which a cluster answers


@contextmanager
def connected(address: str, store: int | None = None) -> Iterator[Any]:
    """Ray, connected within the block to a cluster, unless it was connected before.

    Args:
        address: ``local`` starts a cluster on this machine for the time of the block; ``auto``
            finds one that was started on it; otherwise ``HOST:PORT`` or ``ray://HOST:PORT``.
        store: bytes of shared memory for what tasks return, of a cluster that is started here;
            None for a third of the machine's.

    Raises:
        UsageError: Ray is not installed, or no cluster answers there.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install 'progressgym[ray]'.") from error
    if ray.is_initialized():
        yield ray
        return
    _connect(ray, address, store)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str, store: int | None) -> None:
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_task_oom_retries", "10")  # Ray itself would try for ever
        options |= {"include_dashboard": False, "object_store_memory": store}
    on_termination = signal.getsignal(signal.SIGTERM)
    try:
        if port := _port(address):  # Ray itself would try for minutes
            socket.create_connection(port, timeout=_ANSWER).close()
        ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"--ray {address}: cannot connect to a Ray cluster: {error}") from error
    finally:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, on_termination)  # Ray's ends the process without a word


def _port(address: str) -> tuple[str, int] | None:
    """Host and port of an address; None if it has none."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    return (parts.hostname, parts.port) if parts.hostname and parts.port else None
