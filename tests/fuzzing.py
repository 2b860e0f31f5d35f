"""Argument lists and damaged files for the command line, and a call that sees how it ends.

Everything is drawn from a seeded generator, so that a number names a case.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import random
import resource
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import typer
import yaml

from progressgym import cli
from progressgym.cli import app, main

MEMORY = 6 * 2**30  # bytes of address space that a call may take beyond what there is

# Argument lists ---------------------------------------------------------------------------------

GOOD: dict[str, list[str]] = {
    "algorithm": ["frozen", "random", "frozen,oracle"],
    "backend": ["", "openai:http://127.0.0.1:1"],
    "board": ["http://127.0.0.1:1"],
    "card": ["card.yaml"],
    "challenge": ["follow", "predict", "coevolve"],
    "changes": ["items=1", "questions=4", "eras=2", "scale=0.1"],
    "corpus": ["corpus"],
    "eras": ["early", "early,late"],
    "file": ["upstream.json"],
    "folder": ["board", "new"],
    "folders": ["results", "results/follow", "packed/result.json.gz"],
    "host": ["127.0.0.1"],
    "instrument": ["statement", "dilemma"],
    "items": ["2", "3"],
    "machine": ["a100", "4xh100", ""],
    "models": ["small.yaml", "tiny"],
    "models_to_measure": ["early", "base", "early,base", "adapter", "./model"],
    "names": ["nothing", "nothing,measure"],
    "name": ["frozen", "follow", "ada", "mine"],
    "number": ["1"],
    "part": ["held-out", "train", "all"],
    "port": ["-1", "65536", "70000", "99999999999999999999"],
    "preset": ["quick", "standard", "full"],
    "ray": ["127.0.0.1:1", ""],
    "replicas": ["small.yaml"],
    "results": ["results", "packed/result.json.gz"],
    "report_to": ["none", "tensorboard"],
    "scenarios": ["bank.jsonl", "bank.csv"],
    "seed": ["0", "7"],
    "source": ["corpus", "texts", "catalog:texts"],
    "sources": ["texts", "catalog:texts", "corpus"],
    "texts": ["corpus"],
    "to": ["page.html", "new/page.html"],
    "tokens": ["256", "300"],
    "workers": ["1"],
}
"""Values by a parameter's name; others are drawn by type."""

ALWAYS = {"models", "workers", "port", "names", "board"}
"""Given in every list, since their defaults mean a download, processes or hours of work."""

ONLY_GOOD = {"backend", "port", "ray", "report_to"}
"""Never anything else: other values could open a port, or start a cluster or a server."""

BY_TYPE: dict[str, list[str]] = {
    "int": ["0", "1", "2"],
    "float": ["0.1", "0.5", "1"],
    "Path": ["new", "texts", "small.yaml"],
    "str": ["a", "early"],
}

BAD = [
    "", " ", ",", ",,", "=", "a=b", "-", "--", "-1", "0", "1.5", "1e999", "nan", "-inf", "none",
    "99999999999999999999", "0x10", "１２", "é", "日本,中文", "👩‍👩‍👧", "\u202e", "\n", "a\nb",
    "\t", "\x1b[31m", "[bold]", "[/]", "[/bold]", "{}", "{0}", "%s", "%", "$HOME", "`id`", "~", "*",
    ":", "a\0b", "\udcff", "x" * 300, "x" * 5000, "1," * 2000, "/proc/self/mem", "loop",
    "nowhere", "nowhere/at/all", "card.yaml/below", "dangling", "binary", "empty", "texts",
    "locked", "caf\udce9",
    "results", "board/board.sqlite", "true", "--json", "--help", "--no-such-option", "hub/model",
]  # fmt: skip
"""Values that are seldom right for anything."""


@dataclass(frozen=True)
class Command:
    """A command of the tree: its words and its parameters."""

    words: tuple[str, ...]
    parameters: tuple[Any, ...]

    def __str__(self) -> str:
        return " ".join(self.words)


def commands() -> list[Command]:
    """Every command that there is, plug-ins' included."""

    def walk(node: Any, words: tuple[str, ...]) -> Iterator[Command]:
        if hasattr(node, "list_commands"):
            for name in node.list_commands(None):
                yield from walk(node.get_command(None, name), (*words, name))
        else:
            yield Command(words, tuple(node.params))

    return list(walk(typer.main.get_command(app), ()))


def argument_list(command: Command, rng: random.Random) -> list[str]:
    """A valid, nearly valid or wrong argument list for a command."""
    parts: list[list[str]] = []
    for parameter in command.parameters:
        given = 0.95 if parameter.required else 0.3
        if parameter.name in ALWAYS or rng.random() < given:
            parts += _given(parameter, rng)
    rng.shuffle(parts)
    always = [
        part for p in command.parameters if p.name in ALWAYS for part in parts if _is(p, part)
    ]
    what = rng.random()
    if what < 0.05:
        parts.insert(rng.randrange(len(parts) + 1), [rng.choice(BAD)])
    elif what < 0.1 and parts:
        parts.append(rng.choice(parts))  # repeated
    elif what < 0.15 and parts:
        chosen = rng.choice(parts)
        if chosen not in always:
            parts.remove(chosen)
    elif what < 0.2:
        options = [p.opts[0] for p in command.parameters if p.opts[0].startswith("-")]
        parts.append([rng.choice([*options, "--no-such-option"])])  # its value is missing
    return [*command.words, *(word for part in parts for word in part)]


def _is(parameter: Any, part: list[str]) -> bool:
    return part[0] in parameter.opts or parameter.param_type_name == "argument"


def _given(parameter: Any, rng: random.Random) -> list[list[str]]:
    """A parameter as words, once or several times."""
    if parameter.param_type_name == "argument":
        times = rng.choice([1, 1, 1, 2, 3]) if parameter.nargs == -1 else 1
        return [[_value(parameter, rng)] for _ in range(times)]
    if parameter.is_flag:
        return [[rng.choice([*parameter.opts, *parameter.secondary_opts])]]
    times = rng.choice([1, 2, 3]) if parameter.multiple else 1
    return [[parameter.opts[0], _value(parameter, rng)] for _ in range(times)]


def _value(parameter: Any, rng: random.Random) -> str:
    annotation = parameter.type_descriptor.annotation
    kind = next((name for name in BY_TYPE if name in str(annotation)), "str")
    good = rng.choice(GOOD.get(parameter.name) or BY_TYPE[kind])
    what = rng.random()
    if what < 0.6 or parameter.name in ONLY_GOOD:
        return good
    if what < 0.9 or not good:
        return rng.choice(BAD) or "-" if parameter.name == "names" else rng.choice(BAD)
    place = rng.randrange(len(good))  # nearly right
    return rng.choice(
        [good[:place] + good[place + 1 :] or "x", good[:place] + "é" + good[place:], good.upper(),
         f"{good},{good}", f" {good} ", f"{good}/{good}"]
    )  # fmt: skip


# Damaged files ----------------------------------------------------------------------------------

ODD: list[Any] = [
    None, True, 0, -1, 10**30, 1e308, float("nan"), float("inf"), "", "x", "é\0", "NaN", "1" * 400,
    [], {}, [[]], [None], {"a": {"b": [1]}}, [[[[[[[[[[]]]]]]]]]],
]  # fmt: skip
"""Values that stand for another."""


def damaged(content: bytes, name: str, rng: random.Random) -> bytes:
    """A file's content with something wrong in it, as its ending suggests."""
    if name.endswith(".gz") and rng.random() < 0.7:
        return gzip.compress(
            damaged(gzip.decompress(content), name.removesuffix(".gz"), rng), mtime=0
        )
    ways: list[Callable[[bytes, random.Random], bytes]] = [_cut, _flipped, _spliced, _emptied]
    if name.endswith((".json", ".jsonl", ".yaml", ".csv", ".txt", ".xml")):
        ways += [_reencoded, _renumbered]
    if name.endswith((".json", ".yaml")):
        ways += [_restructured(name)] * 6 + [_nested, _doubled]
    if name.endswith(".jsonl"):
        ways += [_line_restructured] * 6 + [_nested]
    return rng.choice(ways)(content, rng)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _flipped(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return b"\xff"
    changed = bytearray(content)
    reach = len(changed) if rng.random() < 0.5 else min(len(changed), 400)  # a header is short
    for _ in range(rng.choice([1, 3, 50])):
        changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _spliced(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    middle = rng.choice([b"", b"\0" * 9, rng.randbytes(20), content[start:end] * 2, b"\xff\xfe"])
    return content[:start] + middle + content[end:]


def _emptied(content: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        [b"", b"\0", b"\n", b" ", b"{}", b"[]", b"null", b"1", b'"x"', b"\xef\xbb\xbf"]
    )


def _reencoded(content: bytes, rng: random.Random) -> bytes:
    text = content.decode("utf-8", "replace") + "é\u202e"
    return text.encode(rng.choice(["utf-16", "latin-1", "utf-8-sig", "utf-32", "cp037"]), "replace")


def _renumbered(content: bytes, rng: random.Random) -> bytes:
    digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    if not digits:
        return content
    place = rng.choice(digits)
    new = rng.choice(
        [b"NaN", b"-Infinity", b"1e999", b"9" * 40, b"-1", b"", b"null", b"0x1", b"9" * 5000]
    )
    return content[:place] + new + content[place + 1 :]


def _restructured(name: str) -> Callable[[bytes, random.Random], bytes]:
    def change(content: bytes, rng: random.Random) -> bytes:
        if name.endswith(".yaml"):
            changed = _changed(yaml.safe_load(content), rng)
            return yaml.safe_dump(changed, allow_unicode=True).encode("utf-8", "replace")
        return json.dumps(_changed(json.loads(content), rng)).encode()

    return change


def _line_restructured(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines() or [b"{}"]
    number = rng.randrange(len(lines))
    lines[number] = json.dumps(_changed(json.loads(lines[number]), rng)).encode()
    return b"\n".join(lines)


def _changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with one of its parts replaced, removed, renamed or doubled."""
    if not isinstance(value, list | dict) or not value or rng.random() < 0.15:
        return rng.choice(ODD)
    changed = value.copy()
    key: Any = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    what = rng.random()
    if what < 0.1:
        del changed[key]
    elif what < 0.2 and isinstance(changed, list):
        changed += changed
    elif what < 0.2:
        changed[f"{key}x"] = changed.pop(key)
    else:
        changed[key] = _changed(value[key], rng)
    return changed


def _nested(content: bytes, rng: random.Random) -> bytes:
    depth = rng.choice([100, 2000, 50_000])
    deep = rng.choice(
        [b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth]
    )
    place = content.find(b":", rng.randrange(len(content) + 1)) + 1
    return rng.choice([deep, content[:place] + deep + content[place:]])


def _doubled(content: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        [content * 2, content.replace(b"{", b'{"name": 1, "name": 2, ', 1),
         content + b"\n- &a [*a]\n", b"&a [*a, *a]", b"<<: 1\n" + content,
         b"? [a]\n: b\n" + content, b"!!binary x\n" + content,
         b"2020-99-99: 1\n" + content, b"a: &a [x,x]\nb: &b [*a,*a]\nname: [*b,*b]\n" + content]
    )  # fmt: skip


# Calls ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ending:
    """How a call ended.

    Attributes:
        code: exit code; None if something escaped, which being stopped may do.
        text: everything that it printed, with the traceback of what escaped.
        stopped: was its time over?
    """

    code: int | None
    text: str
    stopped: bool = False

    @property
    def problem(self) -> str:
        """What is wrong with it; empty if nothing is."""
        if self.stopped:
            return ""
        if "Traceback" in self.text or "This is a bug" in self.text or self.code is None:
            return "a traceback"
        if self.code not in (0, 1, 2, 130):
            return f"exit code {self.code}"
        return "" if self.code == 0 or self.text.strip() else "no message"


class _TimeIsOver(BaseException):
    """Raised by the alarm."""


class _Alarm:
    """Raises in the main thread after some processor time, or ten times as much on the clock."""

    def __init__(self) -> None:
        self._on, self._rang = False, 0.0
        self._before = {n: signal.getsignal(n) for n in (signal.SIGPROF, signal.SIGALRM)}

    def start(self, seconds: float) -> None:
        """Raise after so long, and again every half second: a library may swallow it."""
        self._on = True
        for number in self._before:
            signal.signal(number, self._ring)
        signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)
        signal.setitimer(signal.ITIMER_REAL, 10 * seconds, 0.5)

    def stop(self) -> None:
        """Raise no more."""
        self._on = False
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def rang(self) -> bool:
        """Was the time over? What comes of it may be another error: NumPy hides it in its own."""
        return self._rang > 0

    def _ring(self, _: int, frame: FrameType | None) -> None:
        # A module whose import is broken off would be a ruin for all calls to come.
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return
            frame = frame.f_back
        now = time.process_time()
        # Both timers may ring during one long step of C: the second must not disturb the clearing.
        if self._on and now - self._rang > 0.2:
            self._rang = now
            raise _TimeIsOver


_tree = typer.main.get_command(app)
_tree.get_command = functools.cache(_tree.get_command)  # type: ignore[attr-defined]


def call(arguments: list[str], seconds: float) -> Ending:
    """Run the command line in this process, as a terminal would.

    Args:
        arguments: of the command line.
        seconds: of processor time, and a tenth of the time on the clock, after which it is stopped.
    """
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)
        for errors in ("strict", "backslashreplace")
    )
    code: int | None = None
    escaped, alarm = "", _Alarm()
    with redirect_stdout(out), redirect_stderr(err), _limits():
        cli.app = _tree  # type: ignore[assignment]  # built once: that takes longer than most calls
        try:
            alarm.start(seconds)
            main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            escaped = traceback.format_exc()
        finally:
            alarm.stop()
            cli.app = app
    texts = [stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err)]  # type: ignore[attr-defined]
    return Ending(code, "\n".join([*texts, escaped]), alarm.rang)


@contextmanager
def _limits() -> Iterator[None]:
    """Within the block: a limit of memory, no host but this one; at its end all is put back."""
    import torch

    environment, threads, folder = dict(os.environ), torch.get_num_threads(), Path.cwd()
    at_termination = signal.getsignal(signal.SIGTERM)  # the command line sets its own
    look_up, memory = socket.getaddrinfo, resource.getrlimit(resource.RLIMIT_AS)

    def at_home(host: Any, *more: Any, **options: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", "::1"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *more, **options)

    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    socket.getaddrinfo = at_home
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, memory[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, memory)
        socket.getaddrinfo = look_up
        signal.signal(signal.SIGTERM, at_termination)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        torch.set_num_threads(threads)
