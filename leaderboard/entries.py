"""What the board keeps of a checked run: its file, its digests, its numbers, its track."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from progressgym.comparison import Draws, draw_skill
from progressgym.results import RunResult
from progressgym.storage import sha256_json
from progressgym.values.scores import finite

from .checks import Checked

SEEDS = (0, 1, 2)
"""Seeds that rank: the same for all, so that nobody can choose the lucky ones."""
SEEDS_NAMED = ", ".join(map(str, SEEDS))


def packed(result: RunResult) -> bytes:
    """A result as the board keeps it: compressed JSON, equal results as equal bytes."""
    text = json.dumps(result.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0)


def unpacked(content: bytes) -> RunResult:
    """The result that :func:`packed` made these bytes of."""
    return RunResult.model_validate_json(gzip.decompress(content))


def track_of(run: Checked) -> tuple[str, dict[str, Any]]:
    """What runs need to have in common to be ranked together: its id and its description."""
    settings = {**run.result.spec.settings, "models": run.humans.models}
    challenge = run.result.spec.challenge
    identity = [challenge, settings, run.humans.hashes(run.env)]
    described = {
        "challenge": challenge,
        "models": run.env.timeline.name,
        "preset": str(settings["preset"]),
        "settings": json.dumps(settings, sort_keys=True),
    }
    return sha256_json(identity)[:16], described


def run_row(run: Checked) -> dict[str, Any]:
    """The row of ``runs`` for a run, but for its submission."""
    result = run.result
    spec = result.spec.model_dump(mode="json")
    numbers = _numbers_digest(result)
    assert result.scores is not None
    return {
        "track": track_of(run)[0],
        "seed": result.spec.seed,
        "digest": sha256_json([spec, numbers]),
        "numbers": numbers,
        "seconds": sum(step.seconds for step in result.steps),
        "questions": sum(step.questions for step in result.steps),
        "scores": result.scores.model_dump_json(),
        "content": packed(result),
    }


def _numbers_digest(result: RunResult) -> str:
    """sha256 of all that was read of policies and simulated humans."""
    digest = hashlib.sha256()
    for step in result.steps:
        for items in (step.policy_items, step.human_items or []):
            digest.update(np.array(items).tobytes())
    return digest.hexdigest()


def standing_rows(runs: Sequence[Checked]) -> list[dict[str, Any]]:
    """The rows of ``standings``, one for each track that a submission is in."""
    tracks: dict[str, list[RunResult]] = {}
    for run in runs:
        tracks.setdefault(track_of(run)[0], []).append(run.result)
    rows = []
    for track, results in tracks.items():
        draws = _ranking_draws(results)
        skill = draws.interval
        scores = [result.scores for result in results if result.scores]
        named: dict[str, Callable[[Any], Any]] = {
            "upstream": lambda s: s.upstream,
            "gain": lambda s: s.gain.value,
            "persistence": lambda s: s.persistence and s.persistence.value,
            "lock_in": lambda s: s.lock_in and s.lock_in.value,
        }
        rows.append(
            {
                "track": track,
                "seeds": len(results),
                "skill": skill.value,
                "low": skill.low,
                "high": skill.high,
                **{name: _mean([of(s) for s in scores]) for name, of in named.items()},
                "seconds": float(np.mean([sum(s.seconds for s in r.steps) for r in results])),
                "questions": float(np.mean([sum(s.questions for s in r.steps) for r in results])),
                "each": json.dumps([[seed, finite(x)] for seed, x in draws.each.items()]),
                "resampled": draws.resampled.astype("<f4").tobytes(),
            }
        )
    return rows


def _ranking_draws(results: Sequence[RunResult]) -> Draws:
    """Skill over the seeds that rank; over all if one of those is missing."""
    ranking = [result for result in results if result.spec.seed in SEEDS]
    return draw_skill(ranking if len(ranking) == len(SEEDS) else results)


def stored_draws(row: sqlite3.Row) -> Draws:
    """What a row of ``standings`` says of its skill."""
    each = {seed: np.nan if x is None else x for seed, x in json.loads(row["each"])}
    return Draws(each, np.frombuffer(row["resampled"], "<f4").astype(float))


def can_rank(cheats: bool, draws: Draws) -> bool:
    """Has it a rank? Not upper bounds, undefined skills, or chosen seeds."""
    return not cheats and bool(np.isfinite(draws.mean)) and tuple(draws.each) == SEEDS


def unranked(cheats: bool, skill: float | None) -> str:
    """Which of the reasons of :func:`can_rank` it is, in a few words."""
    if cheats:
        return "upper bounds have none"
    return "skill is undefined" if skill is None else f"needs seeds {SEEDS_NAMED}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
