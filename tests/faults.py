"""What the fault tests do to a run: real processes that are killed, small disks, wrong clocks.

A process is forked from a server that has imported everything, so that it starts in no time; it
is as mortal as any other.
"""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import os
import random
import re
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from progressgym.storage import read_sealed

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "progressgym.cli",
        "progressgym.parallel",
        "progressgym.challenges.coevolve",
        "progressgym.challenges.follow",
        "progressgym.algorithms.extrapolative",
        "progressgym.training.eras",
        "faults",
    ]
)
TIMEOUT = 600.0  # seconds, for slow machines; nothing waits for it to pass
MEMORY = 2 << 30  # bytes that the hungry algorithm wants

Prepare = Callable[[], None]
"""Called in the process before the command."""


class Command:
    """``progressgym ARGUMENTS`` in a process of its own, leader of its own process group.

    Args:
        arguments: of the command line.
        cache: folder of its cache.
        log: file that takes what it prints.
        prepare: called in it first.
    """

    def __init__(
        self, arguments: Sequence[str], cache: Path, log: Path, prepare: Prepare | None = None
    ) -> None:
        self._log = log
        self.process = _CONTEXT.Process(target=_main, args=(list(arguments), cache, log, prepare))
        self.process.start()

    def wait(self, seconds: float = TIMEOUT) -> int | None:
        """Its exit code; None if it is still running after so many seconds."""
        self.process.join(seconds)
        return self.process.exitcode

    def kill(self) -> None:
        """As ``kill -9`` does."""
        self.process.kill()
        self.process.join()

    def signal(self, number: int) -> None:
        """Send a signal to the whole group, as a terminal does."""
        assert self.process.pid is not None
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(self.process.pid, number)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something while it is running."""
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert self.process.is_alive(), self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.005)

    @property
    def printed(self) -> str:
        """All that it wrote to standard output and standard error."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _main(arguments: list[str], cache: Path, log: Path, prepare: Prepare | None) -> None:
    os.setsid()
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    os.environ["PROGRESSGYM_CACHE"] = str(cache)
    gc.freeze()  # trainers collect garbage, and what was imported is most of what they look at
    if prepare:
        prepare()
    from progressgym.cli import main

    main(arguments)


class Runs:
    """A small grid of runs in a folder of its own, with a cache of its own."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self.out, self.cache = folder / "out", folder / "cache"
        self._folder, self._arguments = folder, arguments
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *more: str, prepare: Prepare | None = None) -> Command:
        """Start or continue them."""
        arguments = [*self._arguments, "--out", str(self.out), "--resume", *more]
        return Command(arguments, self.cache, self._folder / "log", prepare)

    def finish(self, *more: str, prepare: Prepare | None = None) -> str:
        """Continue them to the end: what was printed."""
        command = self.start(*more, prepare=prepare)
        assert command.wait() == 0, command.printed
        assert "Traceback" not in command.printed
        return command.printed

    @property
    def results(self) -> dict[str, bytes]:
        """The bytes of each result, timings aside."""
        return {name: _untimed(content) for name, content in self.files("result.json").items()}

    def files(self, name: str) -> dict[str, bytes]:
        """The bytes of each file of that name, by path."""
        found = sorted(self.out.rglob(name)) if self.out.exists() else []
        return {p.relative_to(self.out).as_posix(): p.read_bytes() for p in found}

    @property
    def finished(self) -> dict[str, str]:
        """Hashes of what is finished: each result, and of the other runs each step."""
        results = {
            p: sha256(content).hexdigest() for p, content in self.files("result.json").items()
        }
        steps = {}
        for path in self.files("state.json"):
            cell = path.removesuffix("checkpoint/state.json")
            if cell + "result.json" not in results:
                state, _ = read_sealed(self.out / path)
                steps |= {f"{cell}step {n}": digest for n, digest in enumerate(state["steps"])}
        return results | steps

    @property
    def parts(self) -> list[Path]:
        """What writers left half done in the folder of results."""
        return list(self.out.rglob(".*.part"))


def _untimed(content: bytes) -> bytes:
    for step in json.loads(content)["steps"]:
        assert step["seconds"] >= 0
    return re.sub(rb'"seconds":[0-9.e+-]+', b'"seconds":0', content)


# Disks ------------------------------------------------------------------------------------------


class Disk:
    """A file system in memory, mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "tmpfs", str(folder))

    def resize(self, kilobytes: int) -> None:
        """Let it hold so much."""
        _mount("-o", f"remount,size={kilobytes}k", str(self.folder))

    def read_only(self) -> None:
        """Let it be written no more."""
        _mount("-o", "remount,ro", str(self.folder))


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """A disk of one's own within the block; the test is skipped where none can be mounted."""
    mounted = Disk(folder)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"cannot mount a file system: {done.stderr.strip()}")


# Preparations -----------------------------------------------------------------------------------


def erratic_clock() -> None:
    """From now on the wall clock jumps by years, forwards and backwards, whenever it is read."""
    rng, real, real_ns = random.Random(os.getpid()), time.time, time.time_ns

    def jump() -> int:
        return rng.randint(-(10**9), 10**9)

    time.time = lambda: real() + jump()
    time.time_ns = lambda: real_ns() + jump() * 10**9


def hungry() -> None:
    """Register an algorithm that wants much memory in its second era."""
    import torch
    from progressgym.algorithms.lifelong import LifelongDPO

    import progressgym as pg

    @pg.register("algorithm", "hungry")
    class Hungry(LifelongDPO):
        def update(self, observation: pg.Observation, human: pg.Human) -> pg.Policy:
            if observation["step"] == 1:
                torch.empty(MEMORY, dtype=torch.uint8)
            return super().update(observation, human)


def hungry_with_little_memory() -> None:
    """The same, in a process that may hardly grow."""
    hungry()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY // 2
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def without_privileges() -> None:
    """Lose the superuser's right to read and write what the permissions of files forbid."""
    header = struct.pack("Ii", 0x20080522, 0)  # version of the interface; this process
    ctypes.CDLL(None).capset(header, bytes(24))


# Damage -----------------------------------------------------------------------------------------

Damage = Callable[[Path, random.Random], None]
"""Does harm to a file."""


def scatter_times(folder: Path, rng: random.Random) -> None:
    """Give every file below a folder a time between 1970 and 2100."""
    for path in files(folder):
        seconds = rng.uniform(0, 4.1e9)
        os.utime(path, (seconds, seconds))


def flip_a_bit(path: Path, rng: random.Random) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)


def cut_short(path: Path, rng: random.Random) -> None:
    """Keep only a file's beginning."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) + 1)])


def fill_with_noise(path: Path, rng: random.Random) -> None:
    """Replace a file's bytes by others."""
    path.write_bytes(rng.randbytes(path.stat().st_size))


def put_a_folder_there(path: Path, rng: random.Random) -> None:
    """Replace a file by a folder that is not empty."""
    path.unlink()
    (path / "something").mkdir(parents=True)


def remove(path: Path, rng: random.Random) -> None:
    """Remove a file."""
    path.unlink()


DAMAGES = (flip_a_bit, cut_short, fill_with_noise, put_a_folder_there, remove)


def files(folder: Path) -> list[Path]:
    """All files below a folder that hold anything of a run, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and ".lock" not in path.name)
