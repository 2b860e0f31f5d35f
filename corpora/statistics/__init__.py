"""A built corpus in numbers: statistics by era, checks, and the page that shows both."""

from .check import Finding, check_corpus
from .counting import corpus_statistics
from .page import draw_samples, write_corpus_page
from .summary import CorpusStatistics

__all__ = [
    "CorpusStatistics",
    "Finding",
    "check_corpus",
    "corpus_statistics",
    "draw_samples",
    "write_corpus_page",
]
