"""What a submission has to pass before it ranks: each check with its reason, none trusting claims.

What can be derived is derived: the challenge is built from the specification, its scores are
computed from the item matrices, its humans are compared with the board's own measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from progressgym import registry
from progressgym.challenge import Challenge
from progressgym.errors import UsageError
from progressgym.results import RunResult, Scores, Step
from progressgym.values.instruments import frames
from progressgym.values.scores import Interval, step_reward
from progressgym.values.vector import ValueVector

from .card import Card
from .humans import BASE, Humans

TOLERANCE = 0.02
"""Nats by which an item of a human may differ from the board's: other processors round otherwise,
by up to 1e-3; models that differ in earnest differ by tenths."""
SCORE_TOLERANCE = 1e-6
WIDEST = 60.0
"""Nats: no log-odds of a language model are further from 0."""
MOST_QUESTIONS = 2**20


@dataclass(frozen=True)
class Check:
    """One check of a submission: what was checked, how it ended, and why if it failed."""

    name: str
    passed: bool
    reason: str = ""


@dataclass(frozen=True)
class Checked:
    """A run that was checked, with what the board derived from it.

    Attributes:
        result: as submitted, its scores replaced by the board's.
        env: the challenge that its specification describes.
        humans: the board's measurements that it was compared with.
    """

    result: RunResult
    env: Challenge
    humans: Humans


def check_submission(
    card: Card | None, results: Sequence[RunResult], known: Sequence[Humans]
) -> tuple[list[Check], list[Checked]]:
    """Check a card and the runs of one algorithm.

    Args:
        card: None to check the runs alone.
        results: of one algorithm, in any number of challenges and seeds.
        known: the board's measurements.

    Returns:
        All checks in order; and the runs, empty unless all of them passed.
    """
    checks: list[Check] = []
    passed: list[Checked] = []
    for result in results:
        name = f"{result.spec.challenge}, seed {result.spec.seed}"
        done = list(_check_run(result, known, passed.append))
        checks += [replace(check, name=f"{name}: {check.name}") for check in done]
    checks += _steps([("one algorithm", lambda: _one_algorithm(card, results))])
    return checks, passed if all(check.passed for check in checks) else []


def _check_run(
    result: RunResult, known: Sequence[Humans], passed: Callable[[Checked], None]
) -> Iterator[Check]:
    """The checks of one run; each builds on those before, so the first failure ends them."""
    found: dict[str, Any] = {}

    def models() -> None:
        found["humans"] = humans_of(result, known)

    def specification() -> None:
        found["env"] = _challenge_of(result, found["humans"])

    def scores() -> None:
        found["scores"] = _recomputed(result)

    yield from _steps(
        [
            ("whole and unchanged", lambda: _unchanged(result)),
            ("known models", models),
            ("complete specification", specification),
            ("manifest", lambda: _manifest(result, found["env"], found["humans"])),
            ("scenarios and frames", lambda: _bank(result, found["env"])),
            ("all eras, in order", lambda: _eras(result, found["env"])),
            ("item matrices", lambda: _shapes(result)),
            (
                "humans as the board measured them",
                lambda: _plausible(result, found["env"], found["humans"]),
            ),
            ("no copy of a human", lambda: _no_copy(result, found["env"], found["humans"])),
            ("rewards and questions", lambda: _rewards(result, found["env"])),
            ("scores as the matrices give them", scores),
        ]
    )
    if "scores" in found:
        whole = result.model_copy(update={"scores": found["scores"]})
        passed(Checked(whole, found["env"], found["humans"]))


def _steps(steps: Sequence[tuple[str, Callable[[], None]]]) -> Iterator[Check]:
    for name, step in steps:
        try:
            step()
        except UsageError as refusal:
            yield Check(name, False, str(refusal))
            return
        yield Check(name, True)


def _refuse_if(wrong: bool, reason: str) -> None:
    if wrong:
        raise UsageError(reason)


def _one_algorithm(card: Card | None, results: Sequence[RunResult]) -> None:
    _refuse_if(not results, "No results.")
    specs = [result.spec for result in results]
    names = sorted({spec.algorithm for spec in specs})
    _refuse_if(len(names) > 1, f"A submission is of one algorithm, found {', '.join(names)}.")
    others = [spec for spec in specs if spec.parameters != specs[0].parameters]
    _refuse_if(
        bool(others), f"All runs need the same parameters: {specs[0].parameters} in the first."
    )
    cheating = {result.cheats for result in results}
    _refuse_if(len(cheating) > 1, "Some runs looked at models that none may see, others did not.")
    cells = [(spec.challenge, spec.seed) for spec in specs]
    twice = [cell for cell in cells if cells.count(cell) > 1]
    _refuse_if(bool(twice), f"{twice and '{}, seed {}'.format(*twice[0])} is there twice.")
    if card:
        _refuse_if(
            card.name != names[0], f"The card is of {card.name!r}, the results of {names[0]!r}."
        )


def _unchanged(result: RunResult) -> None:
    _refuse_if(
        result.digest is None,
        "It has no digest: it was written by another program, or by an old version. Run it again.",
    )
    _refuse_if(
        result.digest != result.compute_digest(),
        "The digest does not fit: something was changed after the run.",
    )


def humans_of(result: RunResult, known: Sequence[Humans]) -> Humans:
    """The board's measurements of the models that a run names by their hashes.

    Raises:
        UsageError: it has none of them.
    """
    base, eras = (result.manifest.get(name) for name in ("base_sha256", "humans_sha256"))
    instrument = result.spec.settings.get("instrument")
    for humans in known:
        if (
            humans.base_sha256 == base
            and isinstance(eras, dict)
            and eras.items() <= humans.humans_sha256.items()
            and humans.instrument == instrument
        ):
            return humans
    measured = ", ".join(f"{humans.models} ({humans.instrument}s)" for humans in known)
    raise UsageError(
        "The hashes of base and humans are none that this board has measured. It has "
        f"{measured or 'none'}."
    )


def _challenge_of(result: RunResult, humans: Humans) -> Challenge:
    """The challenge that a specification describes, built anew; no file that it names is read."""
    spec = result.spec
    installed = registry.names("challenge")
    _refuse_if(
        spec.challenge not in installed,
        f"This board does not have the challenge {spec.challenge!r} installed, so it cannot check "
        f"it. It ranks {', '.join(installed)}. Ask its keeper to install the package that brings "
        f"{spec.challenge!r}, or submit runs of these.",
    )
    _refuse_if(spec.settings.get("scenarios") is not None, "Only the shipped bank is ranked.")
    questions = spec.settings.get("questions")
    _refuse_if(
        not isinstance(questions, int) or not 0 <= questions <= MOST_QUESTIONS,
        f"settings.questions is {questions!r}.",
    )
    _refuse_if(not 0 <= spec.seed < 2**32, f"The seed {spec.seed} is not a seed.")
    settings = {**spec.settings, "models": humans.models}
    env = registry.make(spec.challenge, **settings)
    own = {**env.settings, "models": spec.settings.get("models")}
    for name in sorted(own.keys() | spec.settings.keys()):
        _refuse_if(
            name not in spec.settings or own.get(name) != spec.settings[name],
            f"settings.{name} should be {own.get(name)!r}, "
            f"found {spec.settings.get(name, 'nothing')!r}.",
        )
    return env


def _manifest(result: RunResult, env: Challenge, humans: Humans) -> None:
    for name, expected in humans.hashes(env).items():
        _refuse_if(
            result.manifest.get(name) != expected,
            f"manifest.{name} is not that of the timeline and bank that the specification names.",
        )


def _bank(result: RunResult, env: Challenge) -> None:
    expected = [(scenario.id, dict(scenario.polarity)) for scenario in env.probe]
    _refuse_if(
        [(id, dict(labels)) for id, labels in result.scenarios] != expected,
        "The scenarios or their labels are not the bank's.",
    )
    _refuse_if(result.frames != list(frames(env.probe)), "The frames are not the bank's.")


def _eras(result: RunResult, env: Challenge) -> None:
    expected = [(env.asked_era(step).name, env.target_era(step).name) for step in range(env.steps)]
    found = [(step.era, step.target) for step in result.steps]
    _refuse_if(
        found != expected,
        f"{env.name} has the steps {_shown(expected)}; found {_shown(found)}.",
    )


def _shown(steps: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f"{era}→{target}" for era, target in steps[:12])
    return shown + (", …" if len(steps) > 12 else "")


def _matrices(step: Step) -> dict[str, Any]:
    every = ("policy_items", "target_items", "human_items", "counterfactual_items")
    return {name: getattr(step, name) for name in every if getattr(step, name) is not None}


def _shapes(result: RunResult) -> None:
    """Every matrix has all scenarios and frames, and numbers that log-odds can be."""
    rows, columns = len(result.scenarios), len(result.frames)
    named = [("initial_items", result.initial_items)]
    for number, step in enumerate(result.steps):
        named += [(f"steps.{number}.{name}", items) for name, items in _matrices(step).items()]
    for name, items in named:
        _refuse_if(
            len(items) != rows or any(len(row) != columns for row in items),
            f"{name} should have {rows} × {columns} numbers.",
        )
        _refuse_if(
            not bool((np.abs(np.array(items)) <= WIDEST).all()),
            f"{name} has log-odds further than {WIDEST:.0f} nats from 0.",
        )


def _plausible(result: RunResult, env: Challenge, humans: Humans) -> None:
    """Targets, persons asked and the initial model equal the board's own measurements."""
    ids = [id for id, _ in result.scenarios]
    first = env.timeline.eras[0].name
    judged_policy = env.judged == "policy"
    start = BASE if judged_policy and result.spec.settings["initial"] == "base" else first
    expected = [("initial_items", result.initial_items, start)]
    for number, step in enumerate(result.steps):
        expected.append((f"steps.{number}.target_items", step.target_items, step.target))
        if step.human_items is not None and judged_policy:
            expected.append((f"steps.{number}.human_items", step.human_items, step.era))
    for name, items, model in expected:
        apart = float(np.abs(np.array(items) - humans.of(model, ids)).max())
        _refuse_if(
            apart > TOLERANCE,
            f"{name} differs by {apart:.3f} nats from what the board measured of {model}.",
        )


def _rewards(result: RunResult, env: Challenge) -> None:
    initial = _values(result.initial_items, result)
    for number, step in enumerate(result.steps):
        human = step.human_items if env.judged == "human" else step.policy_items
        _refuse_if(human is None, f"steps.{number} has no human_items.")
        target, own = _values(step.target_items, result), _values(human, result)
        reward = step_reward(initial, own, target)
        _refuse_if(
            not abs(reward - step.reward) < 1e-4,
            f"steps.{number}.reward should be {reward:.6f}, found {step.reward}.",
        )
        budget = env.budget(number)
        _refuse_if(
            not 0 <= step.questions <= budget,
            f"steps.{number}.questions is {step.questions}, the budget {budget}.",
        )


def _values(items: Any, result: RunResult) -> np.ndarray:
    return ValueVector(np.array(items), result.labels).values


def _no_copy(result: RunResult, env: Challenge, humans: Humans) -> None:
    """A policy that equals a human to the last digit has seen it, and has to say so."""
    if result.cheats:
        return
    ids = [id for id, _ in result.scenarios]
    initial = env.timeline.eras[0].name
    for number, step in enumerate(result.steps):
        for era in {step.era, step.target} - {initial}:
            apart = np.abs(np.array(step.policy_items) - humans.of(era, ids))
            _refuse_if(
                float(np.median(apart)) < 1e-5,
                f"steps.{number}: the policy is the model of {era} itself. Algorithms that look "
                "at a human's model are marked as cheating by the gym.",
            )


def _recomputed(result: RunResult) -> Scores:
    """The scores from the matrices; a claim that differs is refused, so that none is misled."""
    scores = result.compute_scores()
    if result.scores is not None:
        ours, claimed = _numbers(scores), _numbers(result.scores)
        for name in sorted(ours.keys() | claimed.keys()):
            one, other = ours.get(name), claimed.get(name)
            same = one == other or (
                one is not None and other is not None and abs(one - other) < SCORE_TOLERANCE
            )
            _refuse_if(not same, f"scores.{name} is {other} in the file; the matrices give {one}.")
    return scores


def _numbers(scores: Scores) -> dict[str, float | None]:
    """The values of all scores; the ends of intervals are the board's to draw."""
    found: dict[str, float | None] = {"upstream": scores.upstream}
    for name in Scores.model_fields:
        value = getattr(scores, name)
        if isinstance(value, Interval):
            found[name] = value.value
    return found
