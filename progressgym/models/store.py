"""A two-tier memory of hidden states: the last used in memory, all on disk up to a bound.

The disk tier is a folder of segments. A segment is one safetensors file with a single tensor
"states", the rows of many keys below one another, and in its metadata an index of the keys.
Segments are written whole or not at all and never changed, so that several processes may share
a folder without a lock. Each of them may remove segments, to keep the folder within its bound or
because they are damaged: what is gone or damaged is a miss, and the caller computes it again.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
import warnings
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import ProgressGymWarning
from ..storage import PART, atomic_path, make_folder

SEGMENT_BYTES = 8 << 20  # pending rows beyond this are written
MAX_SEGMENTS = 256
_VERSION = "1"
_SUFFIX = ".safetensors"
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# What reading raises when a segment is gone, cut short or not one at all.
_UNUSABLE = (OSError, RuntimeError, SafetensorError, ValueError)
_STALE_SECONDS = 3600.0  # a temporary file this old belongs to a writer that was killed


class StateStore:
    """Tensors by key: the last used in memory, all on disk up to a bound, none trusted unchecked.

    A key names the contents (a content hash): what is once on disk under a key is not written
    again. Tensors are kept without a copy, so neither those put nor those got may be changed in
    place. What is not yet on disk is written when the store is collected and when Python exits.
    Trouble with the folder never fails a run: it is warned of once and ends the disk tier.

    Args:
        folder: folder of the disk tier, which belongs to stores alone: safetensors files of
            another kind are removed from it. It is made if need be. None: no disk tier.
        memory_bytes: bound of the memory tier; the least recently used tensors leave first.
        disk_bytes: bound of the folder; the least recently used segments leave first.
    """

    def __init__(self, folder: Path | None, memory_bytes: int, disk_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self._memory: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0
        self._forgetful = False
        self._disk = None if folder is None else _Disk(folder, disk_bytes)
        if self._disk is not None:
            weakref.finalize(self, self._disk.flush)  # refers to the disk tier, not to the store

    def get(self, key: str) -> Tensor | None:
        """The tensor of a key, or None if it is unknown, evicted or damaged.

        Returns:
            Shape (tokens, hidden): from memory on the device it was put on, from disk on the CPU.
        """
        states = self._memory.get(key)
        if states is not None:
            self._memory.move_to_end(key)
        elif self._disk is not None and (states := self._disk.read(key)) is not None:
            self._remember(key, states)
        return states

    def put(self, key: str, states: Tensor) -> None:
        """Keep a tensor; within :meth:`forgetful`, do nothing.

        Args:
            key: hash of everything that determines ``states``.
            states: shape (tokens, hidden), float64, float32, float16 or bfloat16, on any device.

        Raises:
            ValueError: another shape or dtype.
        """
        if states.dim() != 2 or states.dtype not in _DTYPES.values():
            raise ValueError(f"not states: {states.dtype} of shape {tuple(states.shape)}")
        if self._forgetful:
            return
        states = _owned(states)
        self._remember(key, states)
        if self._disk is not None:
            self._disk.write(key, states)

    def flush(self) -> None:
        """Write to disk what is not there yet."""
        if self._disk is not None:
            self._disk.flush()

    @contextlib.contextmanager
    def forgetful(self) -> Iterator[None]:
        """Keep nothing that is put: for training on a stream, where no row comes twice."""
        before, self._forgetful = self._forgetful, True
        try:
            yield
        finally:
            self._forgetful = before

    def _remember(self, key: str, states: Tensor) -> None:
        if (old := self._memory.pop(key, None)) is not None:
            self._bytes -= old.nbytes
        if states.nbytes > self.memory_bytes:
            return
        self._memory[key] = states
        self._bytes += states.nbytes
        while self._bytes > self.memory_bytes:
            self._bytes -= self._memory.popitem(last=False)[1].nbytes


class _Row(NamedTuple):
    """Where a key's rows lie."""

    path: Path
    start: int
    stop: int
    crc: int


class _Disk:
    """The disk tier: rows not yet written, and an index of those in the folder's segments."""

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder = folder.absolute()  # the exit flush may run in another working folder
        self.bound = bound
        self._opened = self._off = False
        self._rows: dict[str, _Row] = {}
        self._touched: set[Path] = set()
        self._pending: dict[str, Tensor] = {}
        self._pending_bytes = 0

    def read(self, key: str) -> Tensor | None:
        """The checked tensor of a key on the CPU, or None."""
        self._open()
        if key in self._pending:
            return self._pending[key]
        return self._load(self._rows[key]) if key in self._rows else None

    def write(self, key: str, states: Tensor) -> None:
        """Put a tensor among those to be written, unless its key is known or it is too large."""
        self._open()
        known = key in self._pending or key in self._rows
        if self._off or known or states.nbytes > self.bound:
            return
        first = next(iter(self._pending.values()), states)
        if (first.dtype, first.shape[1]) != (states.dtype, states.shape[1]):
            self.flush()  # a segment is one tensor
        self._pending[key] = states.cpu()
        self._pending_bytes += states.nbytes
        if self._pending_bytes > SEGMENT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the pending rows as a segment and hold the folder within its bounds."""
        # Taken out first: at exit this may run while another thread is still putting.
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        if not pending or self._off:
            return
        path = self.folder / f"{secrets.token_hex(16)}{_SUFFIX}"
        rows, start = {}, 0
        for key, part in list(pending.items()):
            rows[key] = _Row(path, start, start + len(part), _crc(part))
            start += len(part)
        index = json.dumps({key: row[1:] for key, row in rows.items()})
        states = torch.cat([pending[key] for key in rows])
        content = save({"states": states}, {"version": _VERSION, "index": index})
        try:
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
            self._rows.update(rows)
            self._trim(path)
        except OSError as error:
            self._stop(error)

    def _open(self) -> None:
        """On first use: index the segments, later ones over earlier ones."""
        if self._opened or self._off:
            return
        self._opened = True
        try:
            make_folder(self.folder)
            paths = [path for _, _, path in sorted(_files(self.folder, _SUFFIX))]
            for modified, _, path in _files(self.folder, PART):
                if time.time() - modified / 1e9 > _STALE_SECONDS:
                    self._remove(path)
        except OSError as error:
            self._stop(error)
            return
        for path in paths:
            try:
                self._rows.update(_index(path))
            except _UNUSABLE:
                self._remove(path)

    def _load(self, row: _Row) -> Tensor | None:
        # Opened anew each time: a mapping held open would keep removed files on disk and kill
        # the process if a file were cut short.
        try:
            with safe_open(row.path, framework="pt") as file:
                states = _owned(file.get_slice("states")[row.start : row.stop])
            if _crc(states) != row.crc:
                raise ValueError("damaged")
        except _UNUSABLE:
            self._remove(row.path)
            return None
        if row.path not in self._touched:
            self._touched.add(row.path)
            with contextlib.suppress(OSError):  # a folder of someone else's is still readable
                os.utime(row.path)
        return states

    def _trim(self, newest: Path) -> None:
        """Remove the least recently used segments until the folder is within its bounds."""
        files = sorted(_files(self.folder, _SUFFIX), key=lambda file: (file[2] == newest, file[0]))
        total = sum(size for _, size, _ in files)
        for number, (_, size, path) in enumerate(files):
            if total <= self.bound and len(files) - number <= MAX_SEGMENTS:
                break
            total -= size
            self._remove(path)

    def _remove(self, path: Path) -> None:
        self._rows = {key: row for key, row in self._rows.items() if row.path != path}
        with contextlib.suppress(OSError):
            path.unlink()

    def _stop(self, error: OSError) -> None:
        self._off = True
        self._rows, self._pending = {}, {}
        problem = error.strerror or error
        warnings.warn(
            f"Hidden states are no longer kept on disk in {self.folder}: {problem}.",
            ProgressGymWarning,
            stacklevel=2,
        )


def _files(folder: Path, suffix: str) -> list[tuple[int, int, Path]]:
    """Modification time (ns), size in bytes and path of the folder's files with a suffix."""
    found = []
    for name in os.listdir(folder):
        if name.endswith(suffix):
            with contextlib.suppress(FileNotFoundError):  # removed by another process just now
                status = (folder / name).stat()
                found.append((status.st_mtime_ns, status.st_size, folder / name))
    return found


def _index(path: Path) -> dict[str, _Row]:
    """The index of a segment; raises one of ``_UNUSABLE`` where a file is not a whole segment."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if list(file.keys()) != ["states"] or metadata.get("version") != _VERSION:
            raise ValueError("not a segment of this version")
        states = file.get_slice("states")
        shape, dtype = states.get_shape(), states.get_dtype()
    index = json.loads(metadata.get("index", ""))
    if len(shape) != 2 or dtype not in _DTYPES or not isinstance(index, dict):
        raise ValueError("wrong shape, dtype or index")
    for entry in index.values():
        whole = isinstance(entry, list) and [type(number) for number in entry] == [int] * 3
        if not whole or not 0 <= entry[0] <= entry[1] <= shape[0]:
            raise ValueError("wrong index entry")
    return {key: _Row(path, *entry) for key, entry in index.items()}


def _owned(states: Tensor) -> Tensor:
    """The tensor itself if its storage is its own, else a copy without the rest of the storage."""
    states = states.detach()
    if states.is_contiguous() and states.untyped_storage().nbytes() == states.nbytes:
        return states
    return states.clone(memory_format=torch.contiguous_format)


def _crc(states: Tensor) -> int:
    """crc32 of the bytes of a contiguous tensor on the CPU."""
    return zlib.crc32(states.view(torch.uint8).numpy().data)
