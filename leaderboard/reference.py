"""The reference results, with which every board begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from progressgym.errors import UsageError
from progressgym.results import RunResult, find_results
from progressgym.storage import atomic_path

from .board import Board, RefusedError
from .card import Card
from .entries import packed

FOLDER = Path(__file__).parent / "reference"
WHO = "progressgym"


def reference_files() -> dict[str, list[Path]]:
    """Name of each algorithm → files of its results, over all presets, challenges and seeds."""
    files: dict[str, list[Path]] = {}
    for path in find_results([FOLDER]):
        files.setdefault(path.parents[1].name, []).append(path)
    return dict(sorted(files.items()))


def add_reference(
    board: Board, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Put the reference results on a board that lacks them; see :meth:`Board.submit`.

    Args:
        board: where to.
        progress: told (algorithms done, algorithms in all).

    Raises:
        UsageError: a file does not pass the checks, which means that it was changed.
    """
    known = {
        row["name"]
        for row in board.store.read("SELECT name FROM submissions WHERE submitter = ?", [WHO])
    }
    files = {name: paths for name, paths in reference_files().items() if name not in known}
    card = (FOLDER / "card.yaml").read_text(encoding="utf-8")
    for done, (name, paths) in enumerate(files.items()):
        progress(done, len(files))
        uploads = {"/".join(path.parts[-5:]): path.read_bytes() for path in paths}
        try:
            board.submit(Card.parse(card.replace("NAME", name)), uploads, WHO)
        except RefusedError as error:
            raise UsageError(f"Reference results of {name}: {error}") from error
    board.rank()


def pack_reference(paths: list[Path], to: Path = FOLDER) -> int:
    """Keep results as reference results, compressed; equal ones are left alone.

    Args:
        paths: results' files; scores and digest are computed anew.
        to: the folder to keep them in.

    Returns:
        How many files are new or changed.

    Raises:
        UsageError: a file is no result.
    """
    changed = 0
    for path in paths:
        result = RunResult.load(path)
        result.scores, result.digest = result.compute_scores(), result.compute_digest()
        spec, content = result.spec, packed(result)
        preset = str(spec.settings.get("preset", "custom"))
        run = to / preset / spec.challenge / spec.algorithm / f"seed-{spec.seed}"
        place = run / "result.json.gz"
        if not (place.is_file() and place.read_bytes() == content):
            with atomic_path(place) as partial:
                partial.write_bytes(content)
            changed += 1
    return changed
