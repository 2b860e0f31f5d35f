"""The reference results, with which every board begins."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from progressgym.cli.console import err
from progressgym.errors import UsageError
from progressgym.results import RunResult, find_results
from progressgym.storage import atomic_path

from .board import Board, RefusedError
from .card import Card
from .entries import packed

FOLDER = Path(__file__).parent / "reference"
WHO = "progressgym"


def reference_files() -> dict[tuple[str, str], list[Path]]:
    """Preset and name of each algorithm → files of its results, over challenges and seeds.

    ``standard``, with which everybody compares, comes first.
    """
    files: dict[tuple[str, str], list[Path]] = {}
    for path in find_results([FOLDER]):
        files.setdefault((path.parents[3].name, path.parents[1].name), []).append(path)
    return dict(sorted(files.items(), key=lambda item: (item[0][0] != "standard", item[0])))


def add_reference(board: Board, files: Mapping[tuple[str, str], list[Path]]) -> None:
    """Put reference results on a board that lacks them; see :meth:`Board.submit`.

    Args:
        board: where to.
        files: as :func:`reference_files` gives them.

    Raises:
        UsageError: a file does not pass the checks, which means that it was changed.
    """
    known = {
        (row["preset"], row["name"])
        for row in board.store.read(
            "SELECT DISTINCT preset, name FROM submissions JOIN standings "
            "ON submission = submissions.id JOIN tracks ON tracks.id = track WHERE submitter = ?",
            [WHO],
        )
    }
    missing = [item for item in files.items() if item[0] not in known]
    card = (FOLDER / "card.yaml").read_text(encoding="utf-8")
    for _, group in groupby(missing, key=lambda item: item[0][0]):
        for (_, name), paths in group:
            uploads = {"/".join(path.parts[-5:]): path.read_bytes() for path in paths}
            try:
                board.submit(Card.parse(card.replace("NAME", name)), uploads, WHO)
            except RefusedError as error:
                raise UsageError(f"Reference results of {name}: {error}") from error
        board.rank()


def add_reference_meanwhile(board: Board) -> threading.Thread:
    """Do so in a thread: checking some hundred runs takes minutes, and the board can be seen.

    What is on the board is on disk: who stops it goes on at the next start.

    Returns:
        The thread, which ends with the process.
    """

    def work() -> None:
        try:
            add_reference(board, reference_files())
        except UsageError as error:
            err.print(str(error))

    thread = threading.Thread(target=work, name="reference", daemon=True)
    thread.start()
    return thread


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
        place = to / preset / spec.challenge / spec.algorithm / f"seed-{spec.seed}/result.json.gz"
        if not (place.is_file() and place.read_bytes() == content):
            with atomic_path(place) as partial:
                partial.write_bytes(content)
            changed += 1
    return changed
