"""The board: takes submissions in, ranks them, and answers what is on it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from progressgym.comparison import rank_ranges
from progressgym.errors import UsageError
from progressgym.results import RunResult

from .card import Card
from .checks import Check, Checked, check_submission
from .entries import can_rank, run_row, standing_rows, stored_draws, track_of, unpacked
from .humans import Humans, known_humans
from .store import Store, log, now
from .uploads import MOST_FILES, read_result

Status = Literal["received", "checked", "reproduced", "withdrawn"]
SORTABLE = (
    "rank", "name", "skill", "upstream", "gain", "persistence", "lock_in", "seeds", "seconds",
    "questions", "at", "status",
)  # fmt: skip
PAGE = 50
_SHOWN = "status IN ('checked', 'reproduced')"


class RefusedError(UsageError):
    """A submission did not pass; nothing was stored.

    Attributes:
        checks: what was checked, and why it failed.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self.checks = list(checks)
        failed = [check for check in checks if not check.passed]
        super().__init__("; ".join(f"{check.name}: {check.reason}" for check in failed))


@dataclass(frozen=True)
class View:
    """What part of a track is looked at, and in which order.

    Attributes:
        search: words that name, authors, description or submitter contain.
        status: only these, or both that rank.
        bounds: with upper bounds that cheat.
        sort: one of ``SORTABLE``.
        descending: largest first.
        page: from 1.
    """

    search: str = ""
    status: Literal["all", "reproduced"] = "all"
    bounds: bool = True
    sort: str = "skill"
    descending: bool = True
    page: int = 1


class Board:
    """Submissions in a folder, checked and ranked.

    Args:
        folder: holds the SQLite file, and measurements of further timelines in ``humans``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "board.sqlite")
        self.known: list[Humans] = known_humans([folder / "humans"])
        self._ranking = threading.Lock()

    # Taking in ------------------------------------------------------------------------------

    def check(
        self, card: Card | None, uploads: Mapping[str, bytes]
    ) -> tuple[list[Check], list[Checked]]:
        """Check files of results and a card; see :func:`check_submission`."""
        checks, results = [], []
        if len(uploads) > MOST_FILES:
            return [Check("files", False, f"At most {MOST_FILES} files, found {len(uploads)}.")], []
        for name, content in uploads.items():
            try:
                results.append(read_result(content, name))
            except UsageError as error:
                checks.append(Check("readable", False, str(error)))
        if checks:
            return checks, []
        return check_submission(card, results, self.known)

    def submit(self, card: Card, uploads: Mapping[str, bytes], who: str) -> int:
        """Check a submission and put it on the board. When this returns, it is on disk.

        Args:
            card: says what it is.
            uploads: name → content of result files, all of one algorithm.
            who: submits.

        Returns:
            Number of the submission.

        Raises:
            RefusedError: a check failed, or the same numbers are there already.
        """
        checks, runs = self.check(card, uploads)
        if not runs:
            raise RefusedError(checks)
        rows = [run_row(run) for run in runs]
        standings = standing_rows(runs)
        first = runs[0].result
        with self.store.writing() as to:
            _refuse_known(to, rows, first.cheats)
            number = to.execute(
                "INSERT INTO submissions (at, submitter, name, card, parameters, cheats, status) "
                "VALUES (?, ?, ?, ?, ?, ?, 'checked')",
                [
                    now(), who, card.name, card.model_dump_json(),
                    json.dumps(first.spec.parameters), int(first.cheats),
                ],
            ).lastrowid  # fmt: skip
            assert number is not None
            for run in runs:
                _add_track(to, run)
            _insert(to, "runs", [{"submission": number, **row} for row in rows])
            _insert(to, "standings", [{"submission": number, **row} for row in standings])
            log(to, who, "received", number)
            log(to, "board", "checked", number, f"{len(checks)} checks passed")
            _touch(to, number)
        return number

    def withdraw(self, number: int, who: str, reason: str) -> None:
        """Take a submission off the board; what it was stays in the log.

        Raises:
            UsageError: there is no such submission, it is off already, or no reason was given.
        """
        self._change(number, who, "withdrawn", reason)

    def reproduced(self, number: int, who: str, reason: str) -> None:
        """Note that somebody replayed a submission's runs and found the same."""
        self._change(number, who, "reproduced", reason)

    def note(self, number: int, who: str, what: str, reason: str) -> None:
        """Log something about a submission that does not change it."""
        self.submission(number)
        with self.store.writing() as to:
            log(to, who, what, number, reason)

    def _change(self, number: int, who: str, status: Status, reason: str) -> None:
        if not reason.strip():
            raise UsageError("Give a reason: it is shown with the submission.")
        with self.store.writing() as to:
            row = to.execute("SELECT status FROM submissions WHERE id = ?", [number]).fetchone()
            if row is None:
                raise UsageError(f"There is no submission {number}.")
            if row["status"] == "withdrawn":
                raise UsageError(f"Submission {number} was withdrawn.")
            to.execute("UPDATE submissions SET status = ? WHERE id = ?", [status, number])
            log(to, who, status, number, reason)
            _touch(to, number)

    # Ranking --------------------------------------------------------------------------------

    def rank(self) -> int:
        """Rank every track that changed since it was ranked; gives their number."""
        with self._ranking:
            changed = self.store.read("SELECT id, changed FROM tracks WHERE ranked < changed")
            for track in changed:
                self._rank(track["id"], track["changed"])
            return len(changed)

    def _rank(self, track: str, changed: int) -> None:
        rows = self.store.read(
            "SELECT submission, cheats, each, resampled FROM standings JOIN submissions "
            f"ON submissions.id = submission WHERE track = ? AND {_SHOWN} ORDER BY skill DESC",
            [track],
        )
        found: list[tuple[Any, ...]] = []
        if rows:
            draws = [stored_draws(row) for row in rows]
            ranked = np.array(
                [can_rank(row["cheats"], one) for row, one in zip(rows, draws, strict=True)]
            )
            best, worst = rank_ranges(draws, ranked)
            places = np.cumsum(ranked)
            found = [
                (int(places[i]), int(best[i]), int(worst[i]), track, row["submission"])
                if ranked[i]
                else (None, None, None, track, row["submission"])
                for i, row in enumerate(rows)
            ]
        with self.store.writing() as to:
            to.executemany(
                "UPDATE standings SET rank = ?, best_rank = ?, worst_rank = ? "
                "WHERE track = ? AND submission = ?",
                found,
            )
            to.execute("UPDATE tracks SET ranked = max(ranked, ?) WHERE id = ?", [changed, track])

    # Looking --------------------------------------------------------------------------------

    def tracks(self) -> list[dict[str, Any]]:
        """Everything that is ranked together, with the number of its rows.

        ``standard``, on which results are compared, comes first, then what is fullest.
        """
        rows = self.store.read(
            "SELECT tracks.*, count(submissions.id) AS submissions FROM tracks "
            "LEFT JOIN standings ON track = tracks.id LEFT JOIN submissions "
            f"ON submissions.id = submission AND {_SHOWN} "
            "GROUP BY tracks.id "
            "ORDER BY preset = 'standard' DESC, submissions DESC, challenge, preset"
        )
        return [{**dict(row), "settings": json.loads(row["settings"])} for row in rows]

    def rows(
        self, track: str, view: View | None = None, size: int | None = PAGE
    ) -> tuple[list[dict[str, Any]], int]:
        """One page of a track, and how many rows all pages have.

        Args:
            track: its id.
            view: what of it, in which order.
            size: rows a page; None for all.
        """
        view = view or View()
        if view.sort not in SORTABLE:
            raise UsageError(f"Rows can be sorted by {', '.join(SORTABLE)}; not {view.sort!r}.")
        where, values = _conditions(track, view)
        source = f"FROM standings JOIN submissions ON submissions.id = submission WHERE {where}"
        order = f"{view.sort} IS NULL, {view.sort} {'DESC' if view.descending else 'ASC'}"
        columns = (
            "submission, name, submitter, at, status, cheats, card, seeds, skill, low, high, rank, "
            "best_rank, worst_rank, upstream, gain, persistence, lock_in, seconds, questions"
        )
        limit = -1 if size is None else size
        found = self.store.read(
            f"SELECT {columns} {source} ORDER BY {order}, submission LIMIT ? OFFSET ?",
            [*values, limit, 0 if size is None else (max(view.page, 1) - 1) * size],
        )
        total = self.store.read(f"SELECT count(*) AS n {source}", values)[0]["n"]
        return [{**dict(row), "card": json.loads(row["card"])} for row in found], total

    def submission(self, number: int) -> dict[str, Any]:
        """A submission with its standings, runs (without their content) and log.

        Raises:
            UsageError: there is none of this number.
        """
        row = self.store.one("SELECT * FROM submissions WHERE id = ?", [number])
        if row is None:
            raise UsageError(f"There is no submission {number}.")
        standings = self.store.read(
            "SELECT standings.*, challenge, models, preset FROM standings JOIN tracks "
            "ON tracks.id = track WHERE submission = ? ORDER BY challenge",
            [number],
        )
        runs = self.store.read(
            "SELECT runs.id, track, challenge, seed, seconds, questions, scores FROM runs "
            "JOIN tracks ON tracks.id = track WHERE submission = ? ORDER BY challenge, seed",
            [number],
        )
        events = self.store.read("SELECT * FROM events WHERE submission = ? ORDER BY id", [number])
        return {
            **dict(row),
            "card": json.loads(row["card"]),
            "parameters": json.loads(row["parameters"]),
            "standings": [
                {k: r[k] for k in r.keys() if k not in ("each", "resampled")}  # noqa: SIM118, rows of SQLite
                for r in standings
            ],
            "runs": [{**dict(r), "scores": json.loads(r["scores"])} for r in runs],
            "events": [dict(r) for r in events],
        }

    def content(self, run: int) -> bytes:
        """The file of a run, compressed, as the board keeps it.

        Raises:
            UsageError: there is none of this number.
        """
        row = self.store.one("SELECT content FROM runs WHERE id = ?", [run])
        if row is None:
            raise UsageError(f"There is no run {run}.")
        return row["content"]

    def results(self, track: str, submissions: Sequence[int]) -> dict[int, list[RunResult]]:
        """The runs of some submissions in a track."""
        marks = ", ".join("?" * len(submissions))
        rows = self.store.read(
            f"SELECT submission, content FROM runs WHERE track = ? AND submission IN ({marks}) "
            "ORDER BY seed",
            [track, *submissions],
        )
        found: dict[int, list[RunResult]] = {number: [] for number in submissions}
        for row in rows:
            found[row["submission"]].append(unpacked(row["content"]))
        return found


def _add_track(to: sqlite3.Connection, run: Checked) -> None:
    track, described = track_of(run)
    to.execute(
        "INSERT INTO tracks (id, challenge, models, preset, settings) "
        "VALUES (:id, :challenge, :models, :preset, :settings) ON CONFLICT (id) DO NOTHING",
        {"id": track, **described},
    )


def _touch(to: sqlite3.Connection, submission: int) -> None:
    """Note that the tracks of a submission have to be ranked again."""
    to.execute(
        "UPDATE tracks SET changed = changed + 1 WHERE id IN "
        "(SELECT track FROM standings WHERE submission = ?)",
        [submission],
    )


def _refuse_known(to: sqlite3.Connection, rows: Sequence[Mapping[str, Any]], cheats: bool) -> None:
    """The same run, or the same numbers under another name, are taken only once.

    Upper bounds, which do not rank, may have the same numbers: two can copy the same human.
    """
    for row in rows:
        twin = to.execute(
            "SELECT submission, digest FROM runs JOIN submissions ON submissions.id = submission "
            "WHERE (digest = ? OR (numbers = ? AND NOT ?)) AND status != 'withdrawn' LIMIT 1",
            [row["digest"], row["numbers"], cheats],
        ).fetchone()
        if twin:
            same = "run" if twin["digest"] == row["digest"] else "numbers, under another name,"
            reason = f"Submission {twin['submission']} has the same {same} as seed {row['seed']}."
            raise RefusedError([Check("not there already", False, reason)])


def _insert(to: sqlite3.Connection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(rows[0])
    marks = ", ".join(f":{column}" for column in columns)
    to.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", rows)


def _conditions(track: str, view: View) -> tuple[str, list[Any]]:
    """Condition and values of a query for the rows of a view."""
    parts, values = ["track = ?", _SHOWN], [track]
    if view.status == "reproduced":
        parts.append("status = 'reproduced'")
    if not view.bounds:
        parts.append("cheats = 0")
    for word in view.search.split()[:8]:
        parts.append("(name || ' ' || submitter || ' ' || card) LIKE ? ESCAPE '\\'")
        escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values.append(f"%{escaped}%")
    return " AND ".join(parts), values
