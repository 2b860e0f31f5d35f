"""What is said of a built corpus: its eras in numbers, as JSON-able models."""

from __future__ import annotations

from pydantic import BaseModel


class Split(BaseModel):
    """One side of the split of an era."""

    passages: int = 0
    words: int = 0
    tokens: int = 0
    works: int = 0


class Quality(BaseModel):
    """Shares of words that look like words, 0 to 1: mean weighted by words, and of the worst."""

    mean: float
    least: float


class Anachronism(BaseModel):
    """A word that is younger than a text.

    Attributes:
        word: of the list.
        first_year: from which English has it.
        gap: years by which it is younger than the text; the most, if there are several.
        count: occurrences.
        documents: name -> occurrences, of the ten with the most.
    """

    word: str
    first_year: int
    gap: int
    count: int
    documents: dict[str, int]


class Anachronisms(BaseModel):
    """Words that are younger than texts of one kind.

    Attributes:
        per_million: occurrences in a million words of that kind of text; 0 where there is none.
        count: occurrences of all.
        words: the hundred most frequent.
    """

    per_million: float = 0.0
    count: int = 0
    words: list[Anachronism] = []


class Characteristic(BaseModel):
    """A word that an era uses more than the others.

    Attributes:
        word: in lower case.
        count: occurrences in the era.
        ratio: to its frequency in all other eras; None where it occurs in no other.
        g2: log-likelihood ratio (Dunning 1993).
    """

    word: str
    count: int
    ratio: float | None
    g2: float


class EraStatistics(BaseModel):
    """An era in numbers; words of texts are those of passages.

    Attributes:
        name: of the era.
        first_year: inclusive.
        last_year: inclusive.
        documents: with a passage in the era.
        works: editions and volumes of a work count as one.
        authors: named ones.
        passages: in both splits.
        words: separated by spaces.
        tokens: of the corpus's tokenizer.
        splits: "train" and "validation".
        genres: genre -> words.
        original_words: in the author's own English.
        translated_words: in a translation.
        quality: None where no document has a score.
        set_aside: kind -> documents of the era's years that were left out.
        largest_work: the one with most words.
        largest_share: its share of the era's words.
        originals: words younger than the era in texts of the author's own English.
        translations: words younger than the year of the translation.
        expected: words of translations between the era and the year of the translation: a
            translator's language, no error.
        vocabulary: different words (frequent ones, in a large corpus).
        noise_floor: divergence between two halves of the era's works, in bits: a divergence from
            another era that is no larger may come from the choice of works. None for fewer than
            two works.
        characteristic: words that the era uses more than the others, most telling first.
    """

    name: str
    first_year: int
    last_year: int
    documents: int = 0
    works: int = 0
    authors: int = 0
    passages: int = 0
    words: int = 0
    tokens: int = 0
    splits: dict[str, Split] = {}
    genres: dict[str, int] = {}
    original_words: int = 0
    translated_words: int = 0
    quality: Quality | None = None
    set_aside: dict[str, int] = {}
    largest_work: str = ""
    largest_share: float = 0.0
    originals: Anachronisms = Anachronisms()
    translations: Anachronisms = Anachronisms()
    expected: Anachronisms = Anachronisms()
    vocabulary: int = 0
    noise_floor: float | None = None
    characteristic: list[Characteristic] = []


class Cleaning(BaseModel):
    """What cleaning did to the documents of one kind of source.

    Attributes:
        documents: that were cleaned and not set aside for it.
        kept: characters that are left.
        removed: step -> characters that it took out.
    """

    documents: int = 0
    kept: int = 0
    removed: dict[str, int] = {}


class CorpusStatistics(BaseModel):
    """A corpus in numbers.

    Attributes:
        eras: in order of time; those of the timeline without passages included.
        set_aside: kind -> documents or inputs that were left out, outside all eras too.
        cleaning: by kind of source.
        drift: Jensen–Shannon divergence of the words of each pair of eras, in bits; None where
            an era is empty.
    """

    eras: list[EraStatistics]
    set_aside: dict[str, int]
    cleaning: dict[str, Cleaning]
    drift: list[list[float | None]]
