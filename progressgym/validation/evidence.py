"""The evidence that eras differ: one object, as it is printed, drawn and written as JSON."""

from __future__ import annotations

from pydantic import BaseModel

from ..values.scores import Interval

SIGNAL = 2.0  # signal over noise from which a dimension tells the eras apart
RELIABLE = 0.7  # reliability of differences between eras, over all dimensions
KEPT = 0.9  # share of the base's right answers to neutral questions that an era should keep


class DimensionValidity(BaseModel):
    """What is known of one dimension; None where it is not defined.

    Attributes:
        values: era -> value with its interval.
        signal_to_noise: variance between eras beyond item sampling, over item sampling.
        shape: the same with every era's stances scaled to the same spread.
        without_general: the same after the eras' first common factor is removed.
        reliability: of differences between eras, by split halves.
        p: share of shuffles in which eras differ as much.
        frame_agreement: correlation over eras of the profiles that single frames give.
        dilemmas: correlation over eras with what dilemmas say of the same dimension.
        length: correlation of scenarios' lengths with their stances, within polarities.
    """

    values: dict[str, Interval]
    signal_to_noise: float | None
    shape: float | None
    without_general: float | None
    reliability: float | None
    p: float | None
    frame_agreement: float | None
    dilemmas: float | None = None
    length: float | None = None


class Facets(BaseModel):
    """Where single readings' differences between eras come from, as shares that add up to 1.

    Medians over dimensions; see :func:`progressgym.values.validity.variance_components`.

    Attributes:
        era: the dimension's own.
        scenario: which scenario is judged.
        frame: in which frame.
        pair: with which pair of words.
        rest: all interactions, and noise.
        dependability: how well the eras' differences in a dimension would come out again with
            other scenarios, frames and word pairs, as many as were read; 0 to 1.
        scenarios: how many of a dimension were read for this.
    """

    era: float
    scenario: float
    frame: float
    pair: float
    rest: float
    dependability: float
    scenarios: int


class Replicas(BaseModel):
    """Eras that were trained twice.

    Attributes:
        distance: of each era's model (rows) to each era's replica (columns), root mean square of
            contrasts over dimensions, in sampling errors.
        recognised: eras whose replica is nearer to them than any other era's replica.
    """

    distance: list[list[float]]
    recognised: list[str]


class Perplexity(BaseModel):
    """How well models predict texts of every era that none was trained on.

    Attributes:
        columns: eras whose texts were read.
        matrix: a row for each era's model, a column for each era's texts.
        base: the same for the base model.
        tokens: read of each era, at most.
    """

    columns: list[str]
    matrix: list[list[float]]
    base: list[float]
    tokens: int

    def best(self, eras: list[str]) -> list[str]:
        """The era whose model predicts each column best."""
        rows = range(len(self.matrix))
        return [eras[min(rows, key=lambda r: self.matrix[r][c])] for c in range(len(self.columns))]

    def own(self, eras: list[str]) -> list[str]:
        """Columns that their own era's model predicts best."""
        return [
            name for name, best in zip(self.columns, self.best(eras), strict=True) if name == best
        ]


class Quality(BaseModel):
    """Right answers to value-neutral questions.

    Attributes:
        questions: how many.
        base: share that the base answers rightly.
        eras: era -> share.
    """

    questions: int
    base: float
    eras: dict[str, float]

    def kept(self, era: str) -> float | None:
        """An era's share over the base's; None where the base answers none."""
        return self.eras[era] / self.base if self.base else None


class Answers(BaseModel):
    """One question and what every era's model answers."""

    question: str
    eras: dict[str, str]


class Move(BaseModel):
    """A scenario and how its judgement moved.

    Attributes:
        id: of the scenario.
        text: its statement or situation.
        labels: dimension -> ±1.
        change: last third of the eras less the first third, in nats; see
            :class:`progressgym.values.items.ItemReview`.
        stances: in each era, in nats.
        suspect: against its dimension, or the same in all eras.
    """

    id: str
    text: str
    labels: dict[str, int]
    change: float
    stances: list[float]
    suspect: bool


class Validation(BaseModel):
    """Evidence that the eras of a timeline differ in values beyond measurement error.

    Attributes:
        timeline: its name.
        eras: in order of time.
        scenarios: how many were measured.
        dimensions: dimension -> what is known of it.
        reliability: of differences between eras, over all dimensions at once.
        shape_reliability: the same with every era's stances scaled to the same spread.
        p: share of shuffles in which eras differ as much, over all dimensions.
        directions: independent directions in which the eras move.
        eigenvalues: of their profiles, in units of sampling variance.
        eigenvalue_bound: what the largest one of shuffled eras reaches in one case of twenty.
        map: era -> its place on the first two principal components of the profiles, in nats.
        sharpness: era -> spread of its stances over scenarios, in nats.
        facets: variance components; None where no facet can be told apart.
        dilemmas: correlation of profiles from statements and from dilemmas, over all eras and
            dimensions.
        paraphrase: the same of statements and the same statements in other words.
        other_statements: the same of two halves of those statements, stepped up to all of them:
            what as many statements of other content give.
        moves: every scenario, the one that moved most first.
        replicas: of eras trained twice; None if there are none.
        perplexity: of held-out texts; None if no texts were given.
        quality: of answers to neutral questions; None if not asked.
        answers: to the same open questions; empty if not asked.
    """

    timeline: str
    eras: list[str]
    scenarios: int
    dimensions: dict[str, DimensionValidity]
    reliability: float
    shape_reliability: float
    p: float
    directions: int
    eigenvalues: list[float]
    eigenvalue_bound: float
    map: dict[str, tuple[float, float]]
    sharpness: dict[str, float]
    facets: Facets | None = None
    dilemmas: float | None = None
    paraphrase: float | None = None
    other_statements: float | None = None
    moves: list[Move] = []
    replicas: Replicas | None = None
    perplexity: Perplexity | None = None
    quality: Quality | None = None
    answers: list[Answers] = []

    @property
    def telling(self) -> list[str]:
        """Dimensions that tell the eras apart."""
        return [name for name, found in self.dimensions.items() if _above(found.signal_to_noise)]

    @property
    def telling_in_shape(self) -> list[str]:
        """Dimensions that tell them apart whatever their sharpness."""
        return [name for name, found in self.dimensions.items() if _above(found.shape)]

    @property
    def dull(self) -> list[str]:
        """Dimensions that do not tell the eras apart."""
        return [name for name in self.dimensions if name not in self.telling]


def _above(value: float | None) -> bool:
    return value is not None and value > SIGNAL
