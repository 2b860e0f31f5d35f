"""What the board keeps of a checked run: its file, its digests, its numbers, its track."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from progressgym.comparison import draw_skill, interval_of
from progressgym.results import RunResult
from progressgym.storage import sha256_json

from .checks import Checked


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
        mean, resampled = draw_skill(results)
        skill = interval_of(mean, resampled)
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
                "resampled": resampled.astype("<f4").tobytes(),
            }
        )
    return rows


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
