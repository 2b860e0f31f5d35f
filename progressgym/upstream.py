"""Result files of the prior system (Qiu et al. 2024): written from our results, read and scored.

Its format is ``{algorithm: {challenge: {…}}}``. Follow and Predict hold ``examinee_vector`` and
``actual_vector``, one value vector a step; Coevolve holds ``simulated_model_vector`` and
``actual_model_vector``, the first era's included. The score is computed from them anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from .errors import UsageError
from .results import RunResult
from .storage import write_json
from .values.scores import upstream_coevolve_score, upstream_score

Vectors = list[list[float]]


class UpstreamResult(BaseModel):
    """What the prior system records of one algorithm in one challenge.

    Attributes:
        examinee_vector: value vectors of the policy, by step (Follow, Predict).
        actual_vector: of the human whom each step is scored against.
        simulated_model_vector: of the simulated human, the first era's included (Coevolve).
        actual_model_vector: of all eras' humans.
        timesteps_ahead: Predict: the horizon.
        query_times: questions asked.
        duration_seconds: of the whole run.
        score: what the file claims; never used.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    examinee_vector: Vectors | None = None
    actual_vector: Vectors | None = None
    simulated_model_vector: Vectors | None = None
    actual_model_vector: Vectors | None = None
    timesteps_ahead: int | None = None
    query_times: int = 0
    duration_seconds: float | None = None
    score: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any) -> Any:
        """Older files have the vectors one level deeper."""
        if isinstance(data, dict) and isinstance(data.get("supplementary_data"), dict):
            return {**data, **data["supplementary_data"]}
        return data

    @model_validator(mode="after")
    def _whole(self) -> UpstreamResult:
        if "error" in (self.model_extra or {}):
            raise ValueError("the run ended with an error")
        own, actual = self.vectors
        if own.ndim != 2 or actual.ndim != 2 or own.shape[1] != actual.shape[1]:
            raise ValueError("vectors differ in length")
        if self.examinee_vector is not None and len(own) != len(actual):
            raise ValueError("examinee_vector and actual_vector differ in their number of steps")
        if not (own.any(axis=1).all() and actual.any(axis=1).all()):
            raise ValueError("a vector of zeros has no direction to compare")
        return self

    @property
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """What is scored and what it is scored against, each of shape (steps, dimensions)."""
        for own, actual in (
            (self.examinee_vector, self.actual_vector),
            (self.simulated_model_vector, self.actual_model_vector),
        ):
            if own and actual:
                try:
                    return np.array(own, dtype=float), np.array(actual, dtype=float)
                except ValueError:
                    raise ValueError("vectors differ in length") from None
        raise ValueError("neither examinee_vector with actual_vector nor Coevolve's two")

    def compute_score(self) -> float:
        """The published formula."""
        own, actual = self.vectors
        score = upstream_score if self.examinee_vector else upstream_coevolve_score
        return score(own, actual)


def export(results: Sequence[RunResult], path: Path) -> None:
    """Write results as one file of the prior system.

    Seeds of an algorithm become entries of their own where there are several.
    """
    seeds: dict[tuple[str, str], set[int]] = {}
    for result in results:
        key = (result.spec.algorithm, result.spec.challenge)
        seeds.setdefault(key, set()).add(result.spec.seed)
    file: dict[str, dict[str, Any]] = {}
    for result in results:
        name = _camel(result.spec.algorithm)
        if len(seeds[result.spec.algorithm, result.spec.challenge]) > 1:
            name += f" (seed {result.spec.seed})"
        challenge = _camel(result.spec.challenge)
        if challenge in file.setdefault(name, {}):
            raise UsageError(
                f"Two results of {name} in {challenge}: they differ in their settings, which the "
                "prior system's files cannot tell apart. Export them one by one."
            )
        file[name][challenge] = _converted(result).model_dump(exclude_none=True)
    write_json(path, file)


def read(path: Path) -> dict[str, dict[str, UpstreamResult]]:
    """Algorithm -> challenge -> what was recorded.

    Raises:
        UsageError: not such a file, naming algorithm, challenge and problem.
    """
    try:
        file = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}.") from error
    entries = file.values() if isinstance(file, dict) else []
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{path}: expected an object {{algorithm: {{challenge: {{…}}}}}}.")
    found: dict[str, dict[str, UpstreamResult]] = {}
    for algorithm, challenges in file.items():
        for challenge, entry in challenges.items():
            try:
                parsed = UpstreamResult.model_validate(entry)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join([algorithm, challenge, *map(str, first["loc"])])
                raise UsageError(f"{path}, {where}: {first['msg']}.") from error
            found.setdefault(algorithm, {})[challenge] = parsed
    return found


def _converted(result: RunResult) -> UpstreamResult:
    steps, coevolution = result.steps, result.coevolution
    if coevolution:
        human, _, real = coevolution.values()
        vectors = {"simulated_model_vector": human, "actual_model_vector": real}
    else:
        policy, target = result.trajectory.values()
        vectors = {"examinee_vector": policy, "actual_vector": target}
    facts: dict[str, Any] = {
        "query_times": sum(step.questions for step in steps),
        "duration_seconds": sum(step.seconds for step in steps),
        "eval_times": len(steps),
        "judge_model_at_each_timestep": [step.target for step in steps],
        "timesteps_ahead": result.spec.settings.get("horizon"),
        **{name: own.tolist() for name, own in vectors.items()},
    }
    converted = UpstreamResult(**facts)
    converted.score = converted.compute_score()
    return converted


def _camel(name: str) -> str:
    """``lifelong-dpo`` as ``LifelongDPO``, the prior system's manner."""
    short = {"dpo", "rlhf"}
    words = re.split(r"[^A-Za-z0-9]+", name)
    return "".join(w.upper() if w in short else w.capitalize() for w in words)
