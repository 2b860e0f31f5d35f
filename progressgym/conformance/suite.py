"""All checks of what is registered under a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import registry
from ..errors import unknown_name
from . import algorithm, challenge
from .findings import Check, Finding, Subject, examined


def check(
    name: str, progress: Callable[[int, int, str], None] = lambda done, total, rule: None
) -> list[Finding]:
    """Examine an algorithm or a challenge on tiny models: half a minute.

    Args:
        name: registered; an algorithm's where both have it.
        progress: told (checks done, checks in all, the next one's rule).

    Returns:
        A finding for each check.

    Raises:
        UsageError: neither has the name.
    """
    subject, checks = _subject(name)
    findings: list[Finding] = []
    progress(0, len(checks), checks[0].rule)
    for finding in examined(subject, checks):
        findings.append(finding)
        following = checks[min(len(findings), len(checks) - 1)].rule
        progress(len(findings), len(checks), following)
    return findings


def _subject(name: str) -> tuple[Subject, tuple[Check, ...]]:
    kind: Any
    algorithms, challenges = registry.names("algorithm"), registry.names("challenge")
    if name in algorithms:
        kind = registry.find("algorithm", name)
        return algorithm.Suspect(name, kind), algorithm.CHECKS
    if name in challenges:
        kind = registry.find("challenge", name)
        return challenge.Game(name, kind), challenge.CHECKS
    raise unknown_name("algorithm or challenge", name, [*algorithms, *challenges])
