"""What determines a run and what came out of it, as one JSON file."""

from __future__ import annotations

import gzip
import importlib.metadata
import os
import platform
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import UsageError, first_problem
from .storage import sha256_json, write_json
from .values.dimensions import DIMENSIONS
from .values.scores import (
    Coevolution,
    Interval,
    Trajectory,
    diversity,
    gain,
    lag,
    lock_in_index,
    noise_floor,
    skill,
    skill_by_dimension,
    skill_by_step,
    upstream_coevolve_score,
    upstream_score,
)

SCHEMA_VERSION = 1
NAME = "result.json"
NAMES = (NAME, f"{NAME}.gz")
"""Of a result's file."""
_PACKAGES = ("progressgym", "torch", "transformers", "trl", "peft", "numpy")

Items = list[list[float]]
"""Item matrix of log-odds in nats: scenarios × frames."""


class RunSpec(BaseModel):
    """Everything that determines a run.

    Attributes:
        challenge: registered name.
        settings: the challenge's arguments, defaults included.
        algorithm: registered name, or what the caller says.
        parameters: the algorithm's parameters, defaults included.
        seed: of everything random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    challenge: str
    settings: dict[str, Any] = {}
    algorithm: str = "custom"
    parameters: dict[str, Any] = {}
    seed: int = 0

    @property
    def fingerprint(self) -> str:
        """sha256 of the specification."""
        return sha256_json(self.model_dump(mode="json"))


class Step(BaseModel):
    """One step of a run. Steps are equal if they differ in nothing but their time.

    Attributes:
        era: whose human was asked.
        target: era that the step is scored against.
        policy_items: what was read of the policy after its update.
        target_items: what was read of the target.
        human_items: what was read of the step's human where that is not the target: the one who
            was asked (Predict), or the simulated one after it learnt (Coevolve).
        counterfactual_items: the same of the simulated human without any advice.
        reward: squared distance of frozen to target minus that of who is judged to target.
        questions: number of questions asked.
        revealed: was the algorithm shown a model that none may see?
        curves: what the update's training was like, by name and optimizer step, as the algorithm
            tells it.
        seconds: wall-clock time of update and measuring; not part of the result's identity.
    """

    model_config = ConfigDict(extra="forbid")

    era: str
    target: str
    policy_items: Items
    target_items: Items
    human_items: Items | None = None
    counterfactual_items: Items | None = None
    reward: float
    questions: int
    revealed: bool = False
    curves: dict[str, list[float]] = {}
    seconds: float = 0.0

    def __eq__(self, other: object) -> bool:
        untimed = {"seconds"}
        return isinstance(other, Step) and (
            self.model_dump(exclude=untimed) == other.model_dump(exclude=untimed)
        )


class Scores(BaseModel):
    """What a run is judged by; see :mod:`progressgym.values.scores`.

    Attributes:
        persistence: Predict: skill against today's human, taken as the forecast.
        lock_in: Coevolve: lock-in index.
        lag: Coevolve: in eras.
        diversity: Coevolve: relative to the human without advice.
    """

    skill: Interval
    upstream: float
    gain: Interval
    noise_floor: dict[str, float]
    skill_by_step: list[float | None]
    skill_by_dimension: dict[str, float | None]
    persistence: Interval | None = None
    lock_in: Interval | None = None
    lag: Interval | None = None
    diversity: Interval | None = None


class RunResult(BaseModel):
    """Everything that came out of a run. Its scores are a pure function of the rest.

    Attributes:
        schema_version: of this format.
        spec: what was run.
        cheats: True for upper bounds that see what no algorithm may.
        manifest: versions, hashes of models and bank, summary of the machine.
        scenarios: id and labels (dimension → ±1) of each row of the item matrices.
        frames: names of their columns.
        initial_items: what was read of who is judged, before the first step: the initial policy,
            or the simulated human where there is one.
        steps: in order.
        scores: recomputed on demand by :meth:`compute_scores`.
        digest: see :meth:`compute_digest`; None in files that have none.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    spec: RunSpec
    cheats: bool = False
    manifest: dict[str, Any]
    scenarios: list[tuple[str, dict[str, int]]]
    frames: list[str]
    initial_items: Items
    steps: list[Step] = Field(min_length=1)
    scores: Scores | None = None
    digest: str | None = None

    @model_validator(mode="after")
    def _alike(self) -> RunResult:
        for name in ("human_items", "counterfactual_items"):
            if len({getattr(step, name) is None for step in self.steps}) > 1:
                raise ValueError(f"some steps have {name}, others none")
        if self._has("counterfactual_items") and not self._has("human_items"):
            raise ValueError("counterfactual_items without human_items")
        return self

    @property
    def labels(self) -> np.ndarray:
        """Shape (scenarios, 19) of −1, 0, +1."""
        matrix = np.zeros((len(self.scenarios), len(DIMENSIONS)), dtype=np.int8)
        for row, (_, labels) in enumerate(self.scenarios):
            for dimension, label in labels.items():
                matrix[row, DIMENSIONS.index(dimension)] = label
        return matrix

    @property
    def trajectory(self) -> Trajectory:
        """The stances that the skill compares; those of the simulated human where there is one."""
        return Trajectory(
            policy=self._stances("human_items" if self.coevolution else "policy_items"),
            target=self._stances("target_items"),
            frozen=np.mean(self.initial_items, axis=1),
            labels=self.labels,
        )

    @property
    def coevolution(self) -> Coevolution | None:
        """The stances of simulated and real humans; None where no human was simulated."""
        if not self._has("counterfactual_items"):
            return None
        first = np.mean(self.initial_items, axis=1)
        human, counterfactual, real = (
            np.vstack([first, self._stances(name)])
            for name in ("human_items", "counterfactual_items", "target_items")
        )
        return Coevolution(human, counterfactual, real, self.labels)

    def compute_scores(self) -> Scores:
        """The scores, from the item matrices alone."""
        trajectory = self.trajectory
        return Scores(
            skill=skill(trajectory),
            gain=gain(trajectory),
            noise_floor=noise_floor(trajectory),
            skill_by_step=skill_by_step(trajectory),
            skill_by_dimension=skill_by_dimension(trajectory),
            **self._scores_of_challenge(trajectory),
        )

    def compute_digest(self) -> str:
        """sha256 of everything but scores and times: shows damage and careless changes.

        It is no signature: who changes a file on purpose can compute it anew.
        """
        untimed = {"__all__": {"seconds"}}
        return sha256_json(
            self.model_dump(mode="json", exclude={"scores": True, "digest": True, "steps": untimed})
        )

    def _scores_of_challenge(self, trajectory: Trajectory) -> dict[str, Any]:
        """Upstream's score and those that only some challenges have."""
        coevolution = self.coevolution
        if coevolution:
            human, _, real = coevolution.values()
            return {
                "upstream": upstream_coevolve_score(human, real),
                "lock_in": lock_in_index(coevolution),
                "lag": lag(coevolution),
                "diversity": diversity(coevolution),
            }
        scores: dict[str, Any] = {"upstream": upstream_score(*trajectory.values())}
        if self._has("human_items"):
            today = replace(trajectory, frozen=self._stances("human_items"))
            scores["persistence"] = skill(today)
        return scores

    def _has(self, name: str) -> bool:
        """Do its steps have an item matrix that not all challenges record?"""
        return getattr(self.steps[0], name) is not None

    def _stances(self, name: str) -> np.ndarray:
        """Mean over frames of an item matrix of every step, shape (steps, scenarios)."""
        return np.array([np.mean(getattr(step, name), axis=1) for step in self.steps])

    def summary(self) -> str:
        """A few lines for people."""
        scores = self.scores or self.compute_scores()
        asked = sum(step.questions for step in self.steps)
        zero = "a policy never updated" if scores.lock_in is None else "a human who never changes"
        lines = [
            ("skill", format_interval(scores.skill), f"0 = {zero}, 1 = the human"),
            *(
                (name, format_interval(interval), meaning)
                for name, interval, meaning in (
                    ("persistence", scores.persistence, "skill, 0 = today's human as forecast"),
                    ("lock-in", scores.lock_in, "0 = as far as without advice, 1 = not at all"),
                    ("lag", scores.lag, "eras behind the real human"),
                    ("diversity", scores.diversity, "of the change; 1 = as without advice"),
                )
                if interval is not None
            ),
            ("gain", format_interval(scores.gain), "1 = faithful, above 1 = amplified"),
            ("upstream", f"{scores.upstream:.4f}", "mean cosine, saturates near 1"),
            ("questions", f"{asked} over {len(self.steps)} eras", ""),
        ]
        head = f"{self.spec.challenge} · {self.spec.algorithm}{' (cheats)' if self.cheats else ''}"
        rows = [f"  {name:11} {value:19}   {meaning}".rstrip() for name, value, meaning in lines]
        return "\n".join([f"{head} · seed {self.spec.seed}", *rows])

    def save(self, path: Path) -> None:
        """Write the JSON file atomically."""
        write_json(path, self.model_dump(mode="json"), indent=None)

    @classmethod
    def load(cls, path: Path) -> RunResult:
        """Read a result file, ``result.json`` or ``result.json.gz``.

        Raises:
            UsageError: missing or malformed, naming the place.
        """
        try:
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            return cls.model_validate_json(content.decode("utf-8"))
        except FileNotFoundError:
            raise UsageError(f"No result file {path}.") from None
        except (
            UnicodeDecodeError,
            ValidationError,
            gzip.BadGzipFile,
            EOFError,
            zlib.error,
        ) as error:
            problem = first_problem(error) if isinstance(error, ValidationError) else str(error)
            raise UsageError(f"{path} is not a result of this version: {problem}.") from error


def format_interval(interval: Interval) -> str:
    """``0.52 [0.41, 0.60]``; ``n/a`` where undefined, ``0.52 (n/a)`` where only the interval is."""
    if interval.value is None:
        return "n/a"
    if interval.low is None or interval.high is None:
        return f"{interval.value:z.2f} (n/a)"
    return f"{interval.value:z.2f} [{interval.low:z.2f}, {interval.high:z.2f}]"


def manifest(hashes: dict[str, Any]) -> dict[str, Any]:
    """Versions, the given hashes, and a summary of the machine without names or paths."""
    return {
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        **hashes,
    }


def find_results(folders: Sequence[Path]) -> list[Path]:
    """All results below some folders (or the files themselves), compressed or not, sorted."""
    found: set[Path] = set()
    for folder in folders:
        found |= {folder} if folder.is_file() else {p for name in NAMES for p in folder.rglob(name)}
    return sorted(found)


def required_results(folders: Sequence[Path]) -> list[Path]:
    """The same, of which there has to be at least one.

    Raises:
        UsageError: a folder is missing, or there are no results.
    """
    for folder in folders:
        if not folder.exists():
            raise UsageError(f"No such folder or file: {folder}.")
    if found := find_results(folders):
        return found
    raise UsageError(f"No result.json below {', '.join(map(str, folders))}.")
