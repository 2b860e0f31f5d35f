"""Errors that are written for people: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
# What torch and C++ say instead of raising MemoryError.
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")

OUT_OF_MEMORY = "Out of memory. Free some, or run fewer at once (--ray: with more --threads each)."
KEPT = "What is finished is kept: continue with --resume."


class ProgressGymError(Exception):
    """Something the user can act on. The command line prints its text and exits with 1."""


class UsageError(ProgressGymError):
    """Wrong input or usage. The command line prints its text and exits with 2."""


class BudgetExceededError(ProgressGymError):
    """An algorithm asked a human more questions than the challenge allows in one step."""


class ProgressGymWarning(UserWarning):
    """Something the user should know that stops nothing. The command line prints its text."""


def trouble(error: BaseException) -> ProgressGymError | None:
    """The error for people where the machine is at fault, not the program; None elsewhere."""
    if out_of_memory(error):
        return ProgressGymError(OUT_OF_MEMORY)
    if isinstance(error, OSError) and error.errno in _FULL + _REFUSED:
        where = f"Cannot use {error.filename}: " if error.filename else ""
        advice = " Free some space." if full_disk(error) else ""
        return ProgressGymError(f"{where}{error.strerror}.{advice}")
    return None


def full_disk(error: BaseException) -> bool:
    """Is there no space left?"""
    return isinstance(error, OSError) and error.errno in _FULL


def out_of_memory(error: BaseException) -> bool:
    """Is there no memory left, on the machine or on its GPU?"""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    told = isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
    return isinstance(error, MemoryError) or told


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not registered, with the nearest one that is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UsageError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names) or 'none'}.")


def first_problem(error: ValidationError) -> str:
    """Where a file's content is not as it should be, and why: the first of all places."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"
