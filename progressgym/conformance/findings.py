"""What a check found, and how checks are run."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

NO_FAILURE = "See that it does not fail there."


class Subject(Protocol):
    """What is examined: an algorithm or a challenge, by its class."""

    kind: type


class Fault(Exception):  # noqa: N818, what a check is there to find
    """A rule that is not kept.

    Args:
        seen: what was seen, in a sentence.
        advice: what to do, in a sentence.
    """

    def __init__(self, seen: str, advice: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.advice = advice


@dataclass(frozen=True)
class Finding:
    """How one check ended.

    Attributes:
        check: the rule.
        passed: is it kept? None where it cannot be judged, because an earlier check failed.
        seen: what was seen, where that needs words.
        advice: what to do.
    """

    check: str
    passed: bool | None
    seen: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """A rule and the function that tries it.

    Attributes:
        rule: in words.
        judge: returns a note, or an empty one; raises :class:`Fault`.
        needs: rules without which it cannot be judged.
    """

    rule: str
    judge: Callable[[Any], str]
    needs: tuple[str, ...] = ()


def examined(subject: Subject, checks: Sequence[Check]) -> Iterator[Finding]:
    """Run checks in order; what is raised in one is its finding."""
    failed: set[str] = set()
    for check in checks:
        if missing := failed.intersection(check.needs):
            failed.add(check.rule)
            yield Finding(check.rule, None, f"Not judged while this fails: {min(missing)}.")
            continue
        finding = _tried(check, subject)
        if not finding.passed:
            failed.add(check.rule)
        yield finding


def _tried(check: Check, subject: Subject) -> Finding:
    try:
        return Finding(check.rule, True, check.judge(subject))
    except Fault as fault:
        return Finding(check.rule, False, fault.seen, fault.advice)
    except Exception as error:  # of code that we do not know
        return Finding(check.rule, False, described(error, subject.kind), NO_FAILURE)


def described(error: BaseException, kind: type) -> str:
    """An exception on one line, with the last place in the code of the class that was examined."""
    problem = " ".join(traceback.format_exception_only(error)[-1].split())
    # A class that was written in a notebook has no file, but its functions know their cell.
    homes = {f.__code__.co_filename for f in vars(kind).values() if inspect.isfunction(f)}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in homes]
    return f"{problem} ({frames[-1].name}, line {frames[-1].lineno})" if frames else problem
