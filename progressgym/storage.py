"""The user's cache folder, content hashes, durable writes, and one writer at a time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from .errors import ProgressGymWarning, UsageError, full_disk, trouble

PART = ".part"  # suffix of a file that is being written
SEALS = "complete.json"  # written last: a sealed folder without it was interrupted
_GLANCE = 0.5  # seconds: whoever only looks whether a folder is locked is gone by then
_HEAD, _MIDDLE, _TAIL = b'{"sha256":"', b'","value":', b"}\n"


def cache_folder() -> Path:
    """Folder for models and measurements; the variable ``PROGRESSGYM_CACHE`` overrides it."""
    override = os.environ.get("PROGRESSGYM_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("progressgym"))


@contextlib.contextmanager
def keeping_if_possible() -> Iterator[None]:
    """Within the block the cache is written; one that cannot be is warned of and stops nothing."""
    try:
        yield
    except OSError as error:
        _warn_of_cache(cache_folder(), error.strerror or str(error))


@functools.cache  # once
def _warn_of_cache(folder: Path, problem: str) -> None:
    warnings.warn(
        f"The cache in {folder} cannot be written ({problem}): what is computed now will be "
        "computed again next time. PROGRESSGYM_CACHE names another folder.",
        ProgressGymWarning,
        stacklevel=4,
    )


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON-able value in canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(_canonical(value)).hexdigest()


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


# Durable writes ---------------------------------------------------------------------------------


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it if the block ends well.

    A reader sees the old file or the whole new one, never a part, and after the block the new one
    outlives a power cut: file and folder are flushed to disk. The temporary file is removed when
    the block raises.

    Raises:
        OSError: it cannot be written; names ``path``.
    """
    name = os.fspath(path)
    try:
        make_folder(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            flush_to_disk(temporary)
            temporary.chmod(0o644)  # mkstemp's 0600 would hide a shared result from its readers
            temporary.replace(path)
            flush_to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.filename in (None, name):
            error.filename, error.filename2 = os.fspath(path), None
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and its parents where they are missing, durably."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush_to_disk(folder.parent)


def flush_to_disk(path: Path) -> None:
    """Wait until a file's bytes, or a folder's entries, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write a JSON file atomically, with sorted keys so that equal values give equal bytes."""
    separators = None if indent else (",", ":")
    text = json.dumps(
        value, sort_keys=True, indent=indent, separators=separators, ensure_ascii=False
    )
    write_text(path, text + "\n")


# What is believed only whole --------------------------------------------------------------------


def write_sealed(path: Path, value: Any) -> str:
    """Write a JSON file that carries its own hash, atomically; returns the hash."""
    content = _canonical(value)
    digest = hashlib.sha256(content).hexdigest()
    with atomic_path(path) as temporary:
        temporary.write_bytes(_HEAD + digest.encode() + _MIDDLE + content + _TAIL)
    return digest


def read_sealed(path: Path) -> tuple[Any, str]:
    """What :func:`write_sealed` wrote, and its hash.

    Raises:
        OSError: it cannot be read.
        ValueError: a byte of it is not as it was written.
    """
    content = path.read_bytes()
    start = len(_HEAD) + 64
    value = content[start + len(_MIDDLE) : -len(_TAIL)]
    digest = hashlib.sha256(value).hexdigest()
    if content != _HEAD + digest.encode() + _MIDDLE + value + _TAIL:
        raise ValueError(f"{path} is damaged.")
    return json.loads(value), digest


def seal_folder(folder: Path) -> None:
    """Record every file directly in a folder that is whole, durably."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:
        flush_to_disk(path)
    write_json(folder / SEALS, {path.name: (_stamp(path), sha256_file(path)) for path in files})


def is_whole(folder: Path) -> bool:
    """Are all files those that were sealed? Hashes are taken only where a time stamp changed."""
    try:
        recorded = json.loads((folder / SEALS).read_text())
        return all(
            _stamp(folder / name) == stamp or sha256_file(folder / name) == digest
            for name, (stamp, digest) in recorded.items()
        )
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}"


# One writer -------------------------------------------------------------------------------------


def is_locked(folder: Path) -> bool:
    """Does a process write a folder now, within :func:`alone`? Nothing is written to find out."""
    try:
        handle = os.open(folder / ".lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lockable(handle)
    finally:
        os.close(handle)  # and with it what was locked, for a moment


def _lockable(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def alone(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Within the block no other process writes a folder; the system frees a dead one's.

    What killed processes left half written in it is removed.

    Args:
        folder: is made where it is missing.
        patience: seconds to wait for another process.

    Raises:
        UsageError: another process is writing it, or it cannot be written.
        ProgressGymError: the disk is full.
    """
    try:
        make_folder(folder)
        held = FileLock(folder / ".lock").acquire(timeout=max(patience, _GLANCE))
    except Timeout:
        raise UsageError(f"Another process is writing {folder}.") from None
    except OSError as error:
        if full_disk(error):
            raise (trouble(error) or error) from error
        raise UsageError(f"Cannot write {folder}: {error.strerror or error}.") from error
    with held:
        for left in folder.glob(f".*{PART}"):
            left.unlink(missing_ok=True)
        yield
