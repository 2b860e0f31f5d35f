"""A passage of historical text, the unit of training and of evaluation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Passage:
    """A stretch of one work's text.

    `era` is the name of the era of the timeline the work belongs to, `work` a stable id of
    the work (such as `gutenberg/1151`), `year` the year the work was written.
    """

    era: str
    work: str
    year: int
    text: str
