"""Constitutional AI with a constitution that is read out of each era's answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from progressgym.errors import UsageError
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.values.dimensions import DIMENSIONS, title
from progressgym.values.scenarios import Scenario, read_bank, shipped_bank

from .lifelong import LifelongDPO
from .temporal import Aim, answered

_SHOWN = 3  # principles whose weights results show, the weightiest of an era
SETTINGS = tuple("household trade war court church travel craft medicine learning rule".split())
PRINCIPLES = (
    "everything",
    *(f"upholding: {title(d)}" for d in DIMENSIONS),
    *(f"violating: {title(d)}" for d in DIMENSIONS),
    *(f"in {setting}" for setting in SETTINGS),
)
"""What an article of a constitution is about; its weight says how much more than the base model
it is praised (above 0) or blamed (below), in nats."""


@register("algorithm", "constitutional")
class Constitutional(LifelongDPO):
    """Induces an era's constitution, lets it answer the same questions, and learns its answers.

    A constitution is a weight for each of :data:`PRINCIPLES`, fitted to the era's answers by sparse
    logistic regression; most weights end at 0. It is short, so it holds little of the noise of
    single answers, and nothing that is peculiar to an act. Extrapolated (``order``) are the
    articles' weights, not single questions. The policy learns what the constitution prefers.
    Results hold the number of articles and the weightiest, the log (level INFO) the whole text.

    It is told more than others: the labels of the questions, so which dimension each is about.

    Args:
        sparsity: weight of the sum of absolute weights in the fit.
        scenarios: bank file that the questions come from, where it is not a shipped one.
        epochs: passes over the constitution's answers, which hold no noise of single answers.
        settings: see :class:`~.temporal.Temporal`.

    References: Bai et al., "Constitutional AI", 2022, section 4 (learning from answers by
    principles); Findeis et al., "Inverse Constitutional AI: Compressing preferences into
    principles", 2024 (the constitution that best reconstructs the answers; principles are chosen
    here from a list instead of being written by a language model).
    """

    def __init__(
        self,
        sparsity: float = 1.0,
        scenarios: str | None = None,
        epochs: int = 2,
        **settings: Any,
    ) -> None:
        super().__init__(epochs=epochs, **settings)
        self.sparsity = sparsity
        self.scenarios = scenarios

    def align(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Induce, extend, answer, learn."""
        articles = clauses(answers, known_scenarios(self.scenarios))
        weights = induce(articles, answers, self.sparsity)
        future = self.continued(weights)
        weights = weights if future is None else future
        self.learn(answered(answers, (articles @ weights).clip(-self.clip, self.clip)), aim)
        logging.getLogger(__name__).info("%s:\n%s", aim.human.era, constitution(weights))
        self.curves["principles"] = [float(np.count_nonzero(weights))]
        for number in np.argsort(-np.abs(weights), kind="stable")[:_SHOWN]:
            self.curves[f"constitution, {PRINCIPLES[number]}"] = [float(weights[number])]


def constitution(weights: np.ndarray) -> str:
    """A constitution as people read it, the weightiest article first."""
    order = np.argsort(-np.abs(weights), kind="stable")
    return "\n".join(
        f"{'Praise' if weights[i] > 0 else 'Blame'} {PRINCIPLES[i]} ({weights[i]:+.2f})"
        for i in order
        if weights[i]
    )


def clauses(questions: Sequence[Pair], scenarios: Mapping[str, Scenario]) -> np.ndarray:
    """Which principles speak for the first response to each question.

    Returns:
        Shape (questions, principles), of 0 and 1.

    Raises:
        UsageError: a question about a scenario that is not in the bank.
    """
    rows = np.zeros((len(questions), len(PRINCIPLES)))
    rows[:, 0] = 1
    for row, question in zip(rows, questions, strict=True):
        if question.scenario not in scenarios:
            raise UsageError(
                f"No scenario {question.scenario!r} in the bank. A constitution is about labels "
                "of questions: name the bank that they come from with --set scenarios=FILE."
            )
        scenario = scenarios[question.scenario]
        for dimension, label in scenario.polarity.items():
            row[1 + DIMENSIONS.index(dimension) + (len(DIMENSIONS) if label < 0 else 0)] = 1
        for tag in set(scenario.tags) & set(SETTINGS):
            row[1 + 2 * len(DIMENSIONS) + SETTINGS.index(tag)] = 1
    return rows


def induce(articles: np.ndarray, answers: Sequence[Pair], sparsity: float) -> np.ndarray:
    """Weights in nats with which principles reconstruct the answers best, as few as will do.

    They minimise Σ|w| · sparsity − Σ_answers [p·log σ(x·w) + (1 − p)·log σ(−x·w)].
    """
    from sklearn.linear_model import LogisticRegression  # takes a second

    chances = np.array([pair.preference for pair in answers], dtype=float)
    model = LogisticRegression(
        C=1 / sparsity, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=0
    )
    labels = np.repeat([1, 0], len(answers))
    model.fit(np.tile(articles, (2, 1)), labels, np.concatenate([chances, 1 - chances]))
    return model.coef_[0]


@lru_cache(maxsize=2)
def known_scenarios(path: str | None) -> dict[str, Scenario]:
    """All scenarios by id: of a bank's file, or of the shipped banks."""
    banks = [read_bank(Path(path))] if path else [shipped_bank(), shipped_bank("dilemma")]
    return {scenario.id: scenario for bank in banks for scenario in bank}
