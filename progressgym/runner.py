"""The loop: one challenge, one algorithm, one seed; durable after every step."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import registry
from .algorithm import Algorithm
from .challenge import Challenge
from .checkpoint import Checkpoint, steps_saved
from .errors import KEPT, ProgressGymError, UsageError, trouble, unknown_name
from .log import RunLog, summary
from .results import NAME, RunResult, RunSpec
from .storage import alone, write_text
from .training.reporting import reporting

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""

GridProgress = Callable[[int, int], None]
"""Called with (number of the cell from 0, its steps done)."""


def play(
    env: Challenge,
    algorithm: Algorithm,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    progress: Progress = lambda done, steps: None,
    log: RunLog = RunLog(),  # noqa: B008, keeps nothing
) -> Challenge:
    """Play one episode to its end: the heart of the project.

    Args:
        env: the challenge.
        algorithm: who plays.
        seed: of everything random.
        checkpoint: where to save each update and step, and to continue from; None for nowhere.
        progress: told after every step.
        log: told of every update and step.

    Returns:
        ``env``, done; ``env.result()`` has the scores.
    """
    observation, _ = env.reset(seed=seed)
    algorithm.reset(env.initial_policy(), seed=seed)
    policy = None
    if checkpoint:
        observation, policy = checkpoint.restore(env, algorithm, observation)
    while not env.done:
        progress(observation["step"], env.steps)
        if policy is None:
            algorithm.curves = {}
            policy = algorithm.update(observation, env.human)
            if checkpoint and env.action_space.contains(policy):
                checkpoint.updated(policy, env, algorithm)
            log.write(
                "updated",
                step=observation["step"],
                era=env.human.era,
                questions=env.human.asked,
                curves=summary(algorithm.curves),
            )
        step = observation["step"]
        observation, _, _, _, info = env.step(policy)
        record = info["record"]
        record.curves = algorithm.curves
        if checkpoint:
            checkpoint.scored(record, env)
        log.write("scored", step=step, era=record.era, reward=record.reward)
        policy = None
    progress(env.steps, env.steps)
    return env


@dataclass(frozen=True)
class Cell:
    """One run of a grid: names, seed and what the user set.

    Its trainings report to ``report_to``, which changes no result.
    """

    challenge: str
    algorithm: str
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    report_to: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.challenge} · {self.algorithm} · seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Where its result lies."""
        return out / self.challenge / self.algorithm / f"seed-{self.seed}"

    def result_file(self, out: Path) -> Path:
        """Where its result is written last."""
        return self.folder(out) / NAME

    def steps_done(self, out: Path) -> int:
        """Steps of it that are saved, as long as it is not finished."""
        return steps_saved(self.folder(out) / "checkpoint")


@dataclass(frozen=True)
class Failure:
    """Why a cell of a grid has no result.

    Attributes:
        problem: for people.
        usage: is it wrong input or usage?
    """

    problem: str
    usage: bool = False


Outcome = RunResult | Failure
"""What came out of a cell."""


def grid(
    challenges: Sequence[str],
    algorithms: Sequence[str],
    seeds: Sequence[int],
    settings: dict[str, Any],
    changes: dict[str, Any],
) -> list[Cell]:
    """All cells, with each change given to the challenges and algorithms that know it.

    Args:
        challenges: registered names, or patterns such as ``*``.
        algorithms: likewise.
        seeds: run seeds.
        settings: arguments of every challenge (``models``, ``preset``, …).
        changes: ``--set`` pairs.

    Raises:
        UsageError: an unknown name, a change that nothing knows, or a value of the wrong type.
    """
    challenges = registry.match("challenge", challenges)
    algorithms = registry.match("algorithm", algorithms)
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
        for seed in dict.fromkeys(seeds)  # named twice, run once
    ]  # fmt: skip


def prepare(cell: Cell) -> tuple[Challenge, Algorithm]:
    """The challenge and the algorithm of a cell; raises UsageError if they cannot be made."""
    return (
        registry.make(cell.challenge, **cell.settings),
        registry.make_algorithm(cell.algorithm, **cell.parameters),
    )


def run(
    cell: Cell,
    out: Path,
    resume: bool = False,
    progress: Progress = lambda done, steps: None,
    patience: float = 0.0,
) -> RunResult:
    """Run a cell into its folder; a finished equal one is read instead of run again.

    Args:
        cell: what to run.
        out: the grid's folder.
        resume: continue an interrupted run; otherwise it starts again.
        progress: told after every step.
        patience: seconds to wait for another process that is writing the folder.

    Raises:
        UsageError: the folder holds another run, or another process is writing it.
        ProgressGymError: the folder cannot be written.
    """
    env, algorithm = prepare(cell)
    spec = _spec(env, algorithm, cell)
    path = cell.result_file(out)
    checkpoint = Checkpoint(path.parent / "checkpoint", spec)
    if path.is_file():  # without the lock: the folder may be read-only
        return _finished(path, spec, checkpoint)
    with alone(path.parent, patience):
        if path.is_file():
            return _finished(path, spec, checkpoint)
        checkpoint.open(resume)
        log, done = RunLog(path.parent), len(checkpoint.records)
        log.write("resumed" if done else "started", steps=env.steps, done=done)
        with reporting(cell.report_to, path.parent, str(cell)):
            play(env, algorithm, cell.seed, checkpoint, progress, log)
        result = env.result(cell.algorithm, spec.parameters, algorithm.cheats)
        result.save(path)
        log.write("finished", skill=result.scores and result.scores.skill.value)
        checkpoint.clear()
        return result


def attempt(
    cell: Cell,
    out: Path,
    resume: bool = False,
    progress: Progress = lambda done, steps: None,
    patience: float = 0.0,
) -> Outcome:
    """:func:`run` a cell of a grid, whose other cells must not be lost if this one fails.

    The traceback of what no message is written for is kept as ``error.txt`` in its folder.
    """
    trace = cell.folder(out) / "error.txt"
    try:
        result = run(cell, out, resume, progress, patience)
    except ProgressGymError as error:
        return _failed(cell, out, Failure(str(error), isinstance(error, UsageError)))
    except Exception as error:
        if told := trouble(error):
            return _failed(cell, out, Failure(f"{told} {KEPT}"))
        problem = traceback.format_exception_only(error)[-1].strip()
        with suppress(OSError):
            write_text(trace, traceback.format_exc())
            problem += f" (see {trace})"
        return _failed(cell, out, Failure(problem))
    with suppress(OSError):  # mostly there is none
        trace.unlink()
    return result


def _failed(cell: Cell, out: Path, failure: Failure) -> Failure:
    if not failure.usage:  # what is refused leaves the folder as it is: it may be another's
        RunLog(cell.folder(out)).write("failed", problem=failure.problem)
    return failure


def announce(cells: Sequence[Cell], out: Path) -> None:
    """Note in the log of every run that is still to come that it is, so that its grid is known."""
    for cell in cells:
        if not cell.result_file(out).is_file():
            RunLog(cell.folder(out)).write("planned", steps=prepare(cell)[0].steps)


def run_grid(
    cells: Sequence[Cell],
    out: Path,
    resume: bool = False,
    progress: GridProgress = lambda number, done: None,
) -> list[Outcome]:
    """Run cells one after the other: the outcome of each. `parallel.py` runs them in parallel.

    Args:
        cells: what to run.
        out: the grid's folder.
        resume: continue interrupted runs.
        progress: told after every step.
    """
    announce(cells, out)
    outcomes = []
    for number, cell in enumerate(cells):
        outcome = attempt(cell, out, resume, lambda done, _, n=number: progress(n, done))  # type: ignore[misc]
        if isinstance(outcome, RunResult):  # it may have been finished before
            progress(number, len(outcome.steps))
        outcomes.append(outcome)
    return outcomes


def forget(cell: Cell, out: Path) -> None:
    """Remove the checkpoint of a cell, so that what is found there later is new.

    Raises:
        UsageError: another process is writing it.
    """
    checkpoint = cell.folder(out) / "checkpoint"
    if checkpoint.is_dir():
        with alone(checkpoint.parent):
            shutil.rmtree(checkpoint)


def finished(cell: Cell, out: Path) -> RunResult | None:
    """The result that a cell has already.

    Raises:
        UsageError: it cannot be made, or its folder holds another run.
    """
    path = cell.result_file(out)
    if not path.is_file():
        return None
    spec = _spec(*prepare(cell), cell)
    return _finished(path, spec, Checkpoint(path.parent / "checkpoint", spec))


def _spec(env: Challenge, algorithm: Algorithm, cell: Cell) -> RunSpec:
    values = {name: getattr(algorithm, name) for name in registry.parameters(type(algorithm))}
    return env.run_spec(cell.algorithm, values, cell.seed)


def _finished(path: Path, spec: RunSpec, checkpoint: Checkpoint) -> RunResult:
    """A result that is there already; whoever wrote it may have died before it tidied up."""
    result = RunResult.load(path)
    if result.digest not in (None, result.compute_digest()):
        raise UsageError(f"{path} is damaged: it is not what was written. Remove it, run again.")
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
    checkpoint.clear()
    return result
