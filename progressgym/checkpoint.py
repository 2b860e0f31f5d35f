"""What an interrupted run goes on from: its finished steps and updates, models and state."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from .algorithm import Algorithm
from .challenge import Challenge
from .errors import ProgressGymWarning, UsageError
from .models import Policy, era_policy
from .results import RunSpec, Step
from .storage import read_sealed, sha256_file, sha256_json, write_sealed

_OWN = "algorithm-"  # before the names of an algorithm's models, beside the challenge's


class _Saved(BaseModel):
    """A model's folder in the checkpoint, and the hash of what is in it."""

    folder: str
    sha256: str


class _Update(BaseModel):
    """What an update left besides its policy: kept until its step is scored.

    Attributes:
        curves: of its training.
        questions: how many it asked.
        revealed: was it shown a model that none may see?
        seconds: how long it took.
    """

    curves: dict[str, list[float]]
    questions: int
    revealed: bool
    seconds: float


class _State(BaseModel):
    """Where a run is, and what its other files must be.

    Attributes:
        spec: fingerprint of the run's specification.
        steps: hash of each finished step's record.
        models: by name.
        base: fingerprint of the base that the policy is an adapter of.
        algorithm: what the algorithm remembers besides its policy.
        update: of a step that is not scored yet.
    """

    spec: str
    steps: list[str] = []
    models: dict[str, _Saved] = {}
    base: str = ""
    algorithm: dict[str, Any] = {}
    update: _Update | None = None


class Checkpoint:
    """The finished steps of a run, and what is finished of the step that it is in.

    The state file is replaced last and knows all others by their hashes: an interruption at any
    moment leaves what was finished whole, and damage is seen.

    Args:
        folder: of the checkpoint.
        spec: of the run.
    """

    def __init__(self, folder: Path, spec: RunSpec) -> None:
        self.folder = folder
        self.spec = spec
        self.clear_memory()

    def clear_memory(self) -> None:
        """As at the beginning of a run."""
        self._state = _State(spec=self.spec.fingerprint)
        self._records: list[Step] = []

    def open(self, resume: bool) -> None:
        """Take up what the folder holds, or forget it; of damage there is a warning.

        Raises:
            UsageError: another run is to be resumed.
        """
        if resume and self._file.is_file():
            try:
                self._read()
                return
            except (OSError, ValueError) as error:
                warnings.warn(
                    f"The checkpoint cannot be used, the run starts again: {error}",
                    ProgressGymWarning,
                    stacklevel=2,
                )
        self.clear()

    def restore(
        self, env: Challenge, algorithm: Algorithm, observation: Any
    ) -> tuple[Any, Policy | None]:
        """Bring environment and algorithm to where the run was left, if it was begun.

        Returns:
            The observation of the step that is next, and its policy if it was updated already.
        """
        env.keep = self.keep
        if "policy" not in self._state.models:
            return observation, None
        known = self._state.models
        policy = self._loaded("policy", _model_on(self._state.base, env))
        own = {name.removeprefix(_OWN): name for name in known if name.startswith(_OWN)}
        algorithm.models = {name: self._loaded(saved, policy) for name, saved in own.items()}
        algorithm.restore(self._state.algorithm, policy)
        models = {n: self._loaded(n, m) for n, m in env.state().items() if n in known}
        observation = env.restore(self._records, models)
        if (update := self._state.update) is None:
            return observation, None
        algorithm.curves = update.curves
        env.continue_step(update.questions, update.revealed, update.seconds)
        return observation, policy

    def updated(self, policy: Policy, env: Challenge, algorithm: Algorithm) -> None:
        """Save an update, before its step is scored."""
        for name in [name for name in self._state.models if name.startswith(_OWN)]:
            del self._state.models[name]
        self._save("policy", policy, len(self._records))
        for name, model in algorithm.models.items():
            self._save(_OWN + name, model, len(self._records))
        self._state.base = policy.backbone.fingerprint
        self._state.algorithm = algorithm.state()
        self._state.update = _Update(
            curves=algorithm.curves,
            questions=env.human.asked,
            revealed=env.human.revealed,
            seconds=env.seconds,
        )
        self._write()

    def keep(self, name: str, like: Policy, make: Callable[[], Policy]) -> Policy:
        """A model that the step made before an interruption; otherwise make it and save it.

        Args:
            name: unlike the others of the step.
            like: a model on the same base.
            make: makes it.
        """
        if name in self._state.models:
            return self._loaded(name, like)
        made = make()
        self._save(name, made, len(self._records))
        self._write()
        return made

    def scored(self, record: Step, env: Challenge) -> None:
        """Save a finished step, and forget what only this step needed."""
        path = self._step_file(len(self._records))
        self._state.steps.append(write_sealed(path, record.model_dump(mode="json")))
        self._records.append(record)
        self._state.models = {
            name: saved
            for name, saved in self._state.models.items()
            if name == "policy" or name.startswith(_OWN)
        }
        for name, model in env.state().items():
            self._save(name, model, len(self._records))
        self._state.update = None
        self._write()

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.clear_memory()

    @property
    def records(self) -> list[Step]:
        """Of the finished steps."""
        return list(self._records)

    @property
    def _file(self) -> Path:
        return self.folder / "state.json"

    def _step_file(self, number: int) -> Path:
        return self.folder / f"step-{number}.json"

    def _read(self) -> None:
        state = _State.model_validate(read_sealed(self._file)[0])
        if state.spec != self.spec.fingerprint:
            raise UsageError(
                f"{self.folder} holds an interrupted run with other settings. Choose another "
                "--out, or forget it: run without --resume."
            )
        records = []
        for number, digest in enumerate(state.steps):
            value, found = read_sealed(self._step_file(number))
            if found != digest:
                raise ValueError(f"{self._step_file(number)} is of another run.")
            records.append(Step.model_validate(value))
        for saved in state.models.values():
            if _sha256(self.folder / saved.folder) != saved.sha256:
                raise ValueError(f"{self.folder / saved.folder} is damaged.")
        self._state, self._records = state, records

    def _write(self) -> None:
        write_sealed(self._file, self._state.model_dump(mode="json"))
        known = {saved.folder for saved in self._state.models.values()}
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in known:
                shutil.rmtree(path, ignore_errors=True)

    def _save(self, name: str, model: Policy, step: int) -> None:
        place = f"{name}-{step}"  # another one than before: what the state names stays as it is
        model.save(self.folder / place)
        self._state.models[name] = _Saved(folder=place, sha256=_sha256(self.folder / place))

    def _loaded(self, name: str, like: Policy) -> Policy:
        loaded = like.copy()
        loaded.weights = like.backbone.load_weights(self.folder / self._state.models[name].folder)
        return loaded


def steps_saved(folder: Path) -> int:
    """Number of finished steps in a checkpoint's folder; 0 where it is none."""
    return len(list(folder.glob("step-*.json")))


def _sha256(folder: Path) -> str:
    return sha256_json({path.name: sha256_file(path) for path in folder.iterdir()})


def _model_on(base: str, env: Challenge) -> Policy:
    """A model of a challenge's timeline on a base.

    Raises:
        UsageError: there is none.
    """
    eras = (era_policy(env.timeline, era) for era in env.timeline.eras)  # loaded where needed
    for model in chain([env.initial_policy()], eras):
        if model.backbone.fingerprint == base:
            return model
    raise UsageError("The saved policy's base is not of this timeline: run without --resume.")
