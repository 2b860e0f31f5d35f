"""The loop: one challenge, one algorithm, one seed; durable after every step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from . import registry
from .algorithm import Algorithm
from .challenge import Challenge
from .errors import UsageError, unknown_name
from .models import Policy
from .results import RunResult, RunSpec, Step
from .storage import write_json

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


def play(
    env: Challenge,
    algorithm: Algorithm,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    progress: Progress = lambda done, steps: None,
) -> Challenge:
    """Play one episode to its end: the heart of the project.

    Args:
        env: the challenge.
        algorithm: who plays.
        seed: of everything random.
        checkpoint: where to save each finished step and to continue from; None for nowhere.
        progress: told after every step.

    Returns:
        ``env``, done; ``env.result()`` has the scores.
    """
    observation, _ = env.reset(seed=seed)
    algorithm.reset(env.initial_policy(), seed=seed)
    if checkpoint:
        observation = checkpoint.restore(env, algorithm, observation)
    while not env.done:
        progress(observation["step"], env.steps)
        algorithm.curves = {}
        policy = algorithm.update(observation, env.human)
        observation, _, _, _, info = env.step(policy)
        info["record"].curves = algorithm.curves
        if checkpoint:
            checkpoint.add(info["record"], policy, env, algorithm)
    progress(env.steps, env.steps)
    return env


@dataclass
class Checkpoint:
    """The finished steps of a run, its policy, its challenge's models and its algorithm's state.

    The state file is replaced last, and the number of its steps names the models' folders, so that
    an interruption at any moment leaves the last finished step whole.
    """

    folder: Path
    spec: RunSpec
    records: list[Step] = field(default_factory=list)

    @property
    def _file(self) -> Path:
        return self.folder / "state.json"

    def restore(self, env: Challenge, algorithm: Algorithm, observation: Any) -> Any:
        """Bring environment and algorithm to where the run was left, if it was begun."""
        if not self._file.is_file():
            return observation
        state = json.loads(self._file.read_text())
        self.records = [Step.model_validate(record) for record in state["records"]]
        algorithm.restore(state["algorithm"], self._loaded("policy", env.initial_policy()))
        models = {name: self._loaded(name, model) for name, model in env.state().items()}
        return env.restore(self.records, models)

    def add(self, record: Step, policy: Policy, env: Challenge, algorithm: Algorithm) -> None:
        """Save a finished step."""
        self.records.append(record)
        for name, model in {"policy": policy, **env.state()}.items():
            model.save(self._place(name, len(self.records)))
        state = {
            "spec": self.spec.fingerprint,
            "records": [r.model_dump(mode="json") for r in self.records],
            "algorithm": algorithm.state(),
        }
        write_json(self._file, state)
        for name in ("policy", *env.state()):
            shutil.rmtree(self._place(name, len(self.records) - 1), ignore_errors=True)

    def _place(self, name: str, step: int) -> Path:
        return self.folder / f"{name}-{step}"

    def _loaded(self, name: str, model: Policy) -> Policy:
        """A model of the same base with the weights that were saved with the last step."""
        loaded = model.copy()
        loaded.weights = model.backbone.load_weights(self._place(name, len(self.records)))
        return loaded

    def fits(self) -> bool:
        """Was it written by the same specification, readably?"""
        try:
            return json.loads(self._file.read_text())["spec"] == self.spec.fingerprint
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.records = []


@dataclass(frozen=True)
class Cell:
    """One run of a grid: names, seed and what the user set."""

    challenge: str
    algorithm: str
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def folder(self, out: Path) -> Path:
        """Where its result lies."""
        return out / self.challenge / self.algorithm / f"seed-{self.seed}"


def grid(
    challenges: Sequence[str],
    algorithms: Sequence[str],
    seeds: Sequence[int],
    settings: dict[str, Any],
    changes: dict[str, Any],
) -> list[Cell]:
    """All cells, with each change given to the challenges and algorithms that know it.

    Args:
        challenges: registered names.
        algorithms: registered names.
        seeds: run seeds.
        settings: arguments of every challenge (``models``, ``preset``, …).
        changes: ``--set`` pairs.

    Raises:
        UsageError: an unknown name, a change that nothing knows, or a value of the wrong type.
    """
    named: list[tuple[registry.Kind, str]] = [("challenge", name) for name in challenges]
    named += [("algorithm", name) for name in algorithms]
    known = {key: registry.parameters(registry.find(*key)) for key in named}
    for key in changes:
        if not any(key in parameters for parameters in known.values()):
            raise unknown_name("parameter", key, {k for p in known.values() for k in p})

    def own(kind: registry.Kind, name: str) -> dict[str, Any]:
        parameters = known[kind, name]
        return {
            key: registry.convert(name, parameters[key], value)
            for key, value in changes.items()
            if key in parameters
        }

    return [
        Cell(
            challenge, algorithm, seed, {**settings, **own("challenge", challenge)},
            own("algorithm", algorithm),
        )
        for challenge in challenges
        for algorithm in algorithms
        for seed in seeds
    ]  # fmt: skip


def prepare(cell: Cell) -> tuple[Challenge, Algorithm]:
    """The challenge and the algorithm of a cell; raises UsageError if they cannot be made."""
    return (
        registry.make(cell.challenge, **cell.settings),
        registry.make_algorithm(cell.algorithm, **cell.parameters),
    )


def run(
    cell: Cell, out: Path, resume: bool = False, progress: Progress = lambda done, steps: None
) -> RunResult:
    """Run a cell into its folder; a finished equal one is read instead of run again.

    Args:
        cell: what to run.
        out: the grid's folder.
        resume: continue an interrupted run; otherwise it starts again.
        progress: told after every step.

    Raises:
        UsageError: the folder holds another run, or another process is writing it.
    """
    env, algorithm = prepare(cell)
    values = {name: getattr(algorithm, name) for name in registry.parameters(type(algorithm))}
    spec = env.run_spec(cell.algorithm, values, cell.seed)
    folder = cell.folder(out)
    path = folder / "result.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            if path.is_file():
                return _finished(path, spec)
            checkpoint = Checkpoint(folder / "checkpoint", spec)
            if not (resume and checkpoint.fits()):
                checkpoint.clear()
            play(env, algorithm, cell.seed, checkpoint, progress)
            result = env.result(cell.algorithm, values, algorithm.cheats)
            result.save(path)
            checkpoint.clear()
            return result
    except Timeout:
        raise UsageError(f"Another process is writing {folder}.") from None
    except OSError as error:
        raise UsageError(f"Cannot write {folder}: {error.strerror or error}.") from error


def _finished(path: Path, spec: RunSpec) -> RunResult:
    result = RunResult.load(path)
    if result.spec != spec:
        ours, theirs = spec.model_dump(), result.spec.model_dump()
        different = [
            f"{key}: {theirs[part].get(key)!r} there, {ours[part].get(key)!r} now"
            for part in ("settings", "parameters")
            for key in sorted(set(ours[part]) | set(theirs[part]))
            if ours[part].get(key) != theirs[part].get(key)
        ]
        raise UsageError(
            f"{path} holds another run ({'; '.join(different) or 'other seed or name'}). "
            "Choose another --out, or remove it."
        )
    return result
