"""Words of eras: how they are counted, how far apart two eras are, what is typical of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MOST_WORDS = 400_000  # different words that are held at once for an era: some 50 MB
_LEAST_DOCUMENTS = 3  # a word in fewer of them is a matter of a text, not of its time
_LEAST_LETTERS = 3
_LEAST_RATIO = 2  # times as frequent as elsewhere
_BREAK = r"[^\p{L}]+"


def count_words(texts: pa.Array) -> Counter[str]:
    """Words of texts in lower case: runs of letters, ``don't`` as ``dont``, the long s as s."""
    plain = pc.replace_substring(pc.utf8_lower(texts), "ſ", "s")
    plain = pc.replace_substring_regex(plain, r"n['’]t\b", "nt")
    words = pc.list_flatten(pc.split_pattern_regex(plain, _BREAK))
    found = pc.value_counts(words)
    counts = Counter(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))
    counts.pop("", None)
    return counts


def prune(counts: Counter[str], most: int = MOST_WORDS) -> None:
    """Forget the rarest words, in place, once there are more than the most.

    Words come back when they are met again, so that what is lost are words of some ten
    occurrences in tens of millions of passages; what is said of frequent ones stays right.
    """
    least = 1
    while len(counts) > most:
        for word in [word for word, count in counts.items() if count <= least]:
            del counts[word]
        least *= 2


def frequencies(counts: Sequence[Mapping[str, int]]) -> tuple[list[str], np.ndarray]:
    """All words in order, and how often each occurs, shape (distributions, words)."""
    words = sorted(set().union(*counts))
    rows = [np.fromiter((own.get(word, 0) for word in words), float) for own in counts]
    return words, np.array(rows).reshape(len(counts), len(words))


def divergence(first: np.ndarray, second: np.ndarray) -> float:
    """Jensen–Shannon divergence (Lin 1991) of two rows of counts, in bits.

    0 for equal proportions, 1 where no word is shared; nan where one has no words.
    """
    if not first.sum() or not second.sum():
        return float("nan")
    shares = np.stack([first / first.sum(), second / second.sum()])
    own = [_entropy(row) for row in shares]
    return float(np.clip(_entropy(shares.mean(axis=0)) - (own[0] + own[1]) / 2, 0, 1))


def _entropy(shares: np.ndarray) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log2(present)).sum())


def halves(sizes: Mapping[str, int]) -> set[str]:
    """Works that make one of two halves with about as many words each.

    Args:
        sizes: words of each work.
    """
    chosen: set[str] = set()
    lead = 0  # of the other half
    for work in sorted(sizes, key=lambda work: (-sizes[work], work)):
        if lead > 0:
            chosen.add(work)
        lead += -sizes[work] if lead > 0 else sizes[work]
    return chosen


def characteristic(
    words: Sequence[str],
    counts: np.ndarray,
    era: int,
    documents: Mapping[str, int],
    most: int = 25,
) -> Iterator[tuple[str, int, float, float]]:
    """Words that an era uses at least twice as much as all others together.

    Ranked by the log-likelihood ratio G² of Dunning 1993, "Accurate methods for the statistics
    of surprise and coincidence". It takes each occurrence for a draw of its own, which a name in
    one book is not (Kilgarriff 2001): words in fewer than three documents do not count.

    Args:
        words: of the columns.
        counts: shape (eras, words).
        era: whose words.
        documents: word -> documents of the era with it.
        most: how many.

    Yields:
        Word, occurrences, how many times more frequent than elsewhere (inf if only here), G².
    """
    own, rest = counts[era], counts.sum(axis=0) - counts[era]
    if not own.sum() or not rest.sum():
        return
    scores = likelihood_ratio(own, rest)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (own / own.sum()) / (rest / rest.sum())
    least = min(_LEAST_DOCUMENTS, max(documents.values(), default=0))
    left = most
    for index in np.argsort(-np.where(ratios >= _LEAST_RATIO, scores, -1), kind="stable"):
        word = words[index]
        if left == 0 or not ratios[index] >= _LEAST_RATIO:
            return
        if len(word) >= _LEAST_LETTERS and documents.get(word, 0) >= least:
            left -= 1
            yield word, int(own[index]), float(ratios[index]), float(scores[index])


def likelihood_ratio(own: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Dunning's G² of each word between two columns of counts, in nats times two."""
    observed = np.stack([own, rest, own.sum() - own, rest.sum() - rest])
    total = own.sum() + rest.sum()
    word, other = own + rest, total - own - rest
    sides = own.sum(), rest.sum()
    expected = np.stack([column * side / total for column in (word, other) for side in sides])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(observed > 0, observed * np.log(observed / expected), 0)
    return 2 * terms.sum(axis=0)
