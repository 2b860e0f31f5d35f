"""Humans: the people of an era, who answer preference questions within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from .errors import BudgetExceededError, UsageError
from .models import LanguageModel, Policy
from .pairs import Pair
from .values.vector import sigmoid

Answers = Literal["binary", "graded"]
Preference = Literal["implicit", "likelihood"]


class Human:
    """Answers which of two responses the people of an era prefer.

    P(a ≻ b | x) = σ(γ · [r(x, a) − r(x, b)]), where r(x, y) = log π(y | x) − log π_base(y | x) is
    the era model's implicit reward (Rafailov et al. 2024, "From r to Q*") and γ its decisiveness.
    With ``preference="likelihood"`` r is log π(y | x) alone, which makes algorithms amplify.

    Args:
        era: name of the era.
        model: the era's language model.
        base: the model that rewards are relative to.
        questions: pairs that may be asked; never any that are measured.
        budget: number of questions that can be asked.
        answers: ``graded`` tells the probability, ``binary`` one label sampled from it.
        decisiveness: γ.
        preference: see above.
        rng: source of the sampled labels.
        target: gives the model that this step is scored against, for upper bounds; None for
            ``model``.
        measured: texts of the scenarios that measure; whoever quotes one in a question is refused.
    """

    def __init__(
        self,
        era: str,
        model: LanguageModel,
        base: LanguageModel,
        questions: Sequence[Pair],
        budget: int,
        answers: Answers = "binary",
        decisiveness: float = 1.0,
        preference: Preference = "implicit",
        rng: np.random.Generator | None = None,
        target: Callable[[], LanguageModel] | None = None,
        measured: Sequence[str] = (),
    ) -> None:
        self.era = era
        self.questions = tuple(questions)
        self.budget = budget
        self.asked = 0
        self.revealed = False
        self.answers = answers
        self.decisiveness = decisiveness
        self.preference = preference
        self._model = model
        self._base = base
        self._rng = rng or np.random.default_rng(0)
        self._target = target or (lambda: model)
        self._measured = [text.casefold() for text in measured]
        self._known = {pair.prompt for pair in self.questions}

    @property
    def remaining(self) -> int:
        """How many questions can still be asked."""
        return self.budget - self.asked

    def draw(self, count: int, rng: np.random.Generator) -> list[Pair]:
        """Random questions to ask, without repetition.

        Questions with the same prompt are drawn together: they cost one question each, but
        hardly more computing than one.
        """
        prompts: dict[str, list[Pair]] = {}
        for pair in self.questions:
            prompts.setdefault(pair.prompt, []).append(pair)
        groups = list(prompts.values())
        drawn = [pair for i in rng.permutation(len(groups)) for pair in groups[i]]
        return drawn[:count]

    def prefer(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Ask; each pair costs one question.

        Args:
            pairs: any pairs: from ``questions`` or of one's own.

        Returns:
            The pairs in the same order with ``preference`` filled in.

        Raises:
            BudgetExceededError: more pairs than questions remain; nothing was asked.
            UsageError: a pair quotes a scenario that measures; nothing was asked.
        """
        if len(pairs) > self.remaining:
            raise BudgetExceededError(
                f"Asked {len(pairs)} questions, but the human of {self.era} answers only "
                f"{self.remaining} more ({self.budget} a step). Ask fewer, or raise the budget "
                "with --set questions=N."
            )
        if not pairs:
            return []
        self._refuse_measured(pairs)
        self.asked += len(pairs)
        chances = self._chances(pairs)
        if self.answers == "binary":
            chances = (self._rng.random(len(pairs)) < chances).astype(float)
        return [pair.answered(float(p)) for pair, p in zip(pairs, chances, strict=True)]

    def reveal(self) -> Policy:
        """The model that answers. For baselines that cheat, such as ``persistence``; recorded."""
        return self._shown(self._model)

    def reveal_target(self) -> Policy:
        """The model that this step is scored against. For the upper bound ``oracle``; recorded."""
        return self._shown(self._target())

    def _refuse_measured(self, pairs: Sequence[Pair]) -> None:
        own = [pair for pair in pairs if pair.prompt not in self._known]
        for pair in own:
            words = f"{pair.prompt} {pair.first} {pair.second}".casefold()
            quoted = next((text for text in self._measured if text in words), None)
            if quoted is not None:
                raise UsageError(
                    f"Asked about {quoted!r}, which is one of the scenarios that measure. Ask the "
                    "questions of human.questions, or others of your own."
                )

    def _shown(self, model: LanguageModel) -> Policy:
        if not isinstance(model, Policy):
            raise UsageError(
                f"The model of {model.name} runs elsewhere and can only be read: algorithms that "
                "copy a human, such as oracle and persistence, need the backend local."
            )
        self.revealed = True
        return model

    def _chances(self, pairs: Sequence[Pair]) -> np.ndarray:
        """P(first preferred) of each pair, shape (pairs,)."""
        margins = self._model.margins(pairs)
        if self.preference == "implicit":
            margins = margins - self._base.margins(pairs)
        return sigmoid(self.decisiveness * margins)
