"""Errors that are written for people: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ProgressGymError(Exception):
    """Something the user can act on. The command line prints its text and exits with 1."""


class UsageError(ProgressGymError):
    """Wrong input or usage. The command line prints its text and exits with 2."""


class BudgetExceededError(ProgressGymError):
    """An algorithm asked a human more questions than the challenge allows in one step."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not registered, with the nearest one that is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UsageError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names) or 'none'}.")
