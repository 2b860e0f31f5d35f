"""The registered reader: training and held-out passages for whoever trains era models."""

from __future__ import annotations

from pathlib import Path

from progressgym import registry
from progressgym.errors import UsageError
from progressgym.passages import Passage
from progressgym.registry import register
from progressgym.storage import cache_folder, sha256_json
from progressgym.timeline import Timeline

from .tables import era_names, is_corpus, read_era

TOKENS = 256  # of a passage, where a raw folder is read


@register("corpus", "passages")
def read_corpus(
    folder: Path, timeline: Timeline, seed: int = 0
) -> tuple[list[Passage], list[Passage]]:
    """Training and held-out passages of a corpus; no work is in both.

    Args:
        folder: a corpus that ``progressgym corpora build`` made, or a folder of raw texts of a
            kind that is recognised; that is built in the user's cache first.
        timeline: whose eras the passages are sorted into.
        seed: of the division of raw texts.

    Raises:
        UsageError: a folder of nothing that is known, or a corpus without any era of the timeline.
    """
    corpus = folder if is_corpus(folder) else _built(folder, timeline, seed)
    known = [era.name for era in timeline.eras if era.name in era_names(corpus)]
    if not known:
        raise UsageError(f"{folder} has no passages of any era of {timeline.name}.")
    sides: dict[str, list[Passage]] = {"train": [], "validation": []}
    for era in known:
        rows = read_era(corpus, era, ["split", "era", "work", "year", "text"]).to_pylist()
        for row in rows:
            sides[row.pop("split")].append(Passage(**row))
    return sides["train"], sides["validation"]


def _built(folder: Path, timeline: Timeline, seed: int) -> Path:
    """The corpus of a raw folder, in the cache; what has not changed is not read again."""
    from progressgym.models.load import tokenizer_json

    from .blocks import Slicing
    from .build import Division, build_corpus

    tokenizer = tokenizer_json(timeline)
    eras = [[era.name, era.first_year, era.last_year] for era in timeline.eras]
    origin = sha256_json([str(folder.resolve()), eras, tokenizer, seed])
    cached = cache_folder() / "corpora" / origin[:24]
    cached.mkdir(parents=True, exist_ok=True)
    path = cached / "tokenizer.json"
    path.write_text(tokenizer, encoding="utf-8")
    slicing = Slicing.of(timeline, TOKENS, path)
    source, division = recognised(folder), Division(seed)
    build_corpus([source], cached / "corpus", timeline, slicing, division, wait=True)
    return cached / "corpus"


def recognised(folder: Path) -> tuple[str, str]:
    """The kind of source that a folder is, and the folder.

    Raises:
        UsageError: there is no such folder, or it is of no kind that is surely known.
    """
    if not folder.exists():
        raise UsageError(
            f"No such folder: {folder}. For what is no folder, name the kind of source: "
            f"{', '.join(f'{known}:…' for known in registry.names('source'))}."
        )
    for known in registry.names("source"):
        if registry.find("source", known).recognises(folder):  # type: ignore[attr-defined]
            return known, str(folder)
    raise UsageError(
        f"{folder} is no kind of source that is recognised. Name it, as in gutenberg:{folder}; "
        f"known: {', '.join(registry.names('source'))}."
    )
