"""The reference results: what they say, recomputed from their matrices."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from progressgym.leaderboard import reference
from progressgym.leaderboard.board import Board
from progressgym.leaderboard.reference import FOLDER, add_reference, pack_reference, reference_files

from progressgym.comparison import Comparison, compare, draw_skill
from progressgym.results import RunResult, format_interval

FILES = {name: paths for (preset, name), paths in reference_files().items() if preset == "standard"}
PAGE = Path(__file__).parents[1] / "docs/results.md"
ZOO = Path(__file__).parents[1] / "docs/zoo.md"
README = Path(__file__).parents[1] / "README.md"
OTHER = {"follow": "gain", "predict": "persistence", "coevolve": "lock_in"}
"""Challenge -> the score beside skill in its table."""


@cache
def results(challenge: str, algorithm: str, preset: str = "standard") -> list[RunResult]:
    return [
        RunResult.load(path)
        for path in reference_files().get((preset, algorithm), [])
        if path.parents[2].name == challenge
    ]


def mean_score(runs: Sequence[RunResult], name: str) -> str:
    """A score's mean over the runs that have it."""
    found = [getattr(run.scores, name) for run in runs if run.scores]  # checked by the board
    known = [one.value for one in found if one is not None and one.value is not None]
    return f"{np.mean(known):z.2f}" if known else "–"


def missing(page: Path, rows: Sequence[str]) -> str:
    """What a page should say, if it lacks any of it."""
    lines = set(page.read_text().splitlines())
    return "" if lines.issuperset(rows) else f"{page.name} should say:\n" + "\n".join(rows)


def skill(runs: Sequence[RunResult]) -> tuple[float, float | None]:
    """Mean skill and the low end of its interval."""
    interval = draw_skill(runs).interval
    assert interval.value is not None
    return interval.value, interval.low


def test_they_are_what_their_names_say_and_unchanged() -> None:
    assert FILES
    for (_, name), paths in reference_files().items():
        for path in paths:
            one = RunResult.load(path)
            assert one.digest == one.compute_digest(), path
            assert one.spec.algorithm == name
            spec = one.spec
            place = (spec.settings["preset"], spec.challenge, name, f"seed-{spec.seed}")
            assert path.parts[-5:-1] == place


def rounded(path: Path) -> Any:
    """All of a result, scores too, whose last digits are the linear algebra's."""
    return json.loads(gzip.decompress(path.read_bytes()), parse_float=lambda n: round(float(n), 9))


def test_what_is_packed_again_is_unchanged(tmp_path: Path) -> None:
    paths = FILES["frozen"][:2]
    assert pack_reference(paths, tmp_path) == 2
    assert pack_reference(paths, tmp_path) == 0
    for path in paths:
        assert rounded(tmp_path / path.relative_to(FOLDER)) == rounded(path)


def unadvised(run: RunResult) -> RunResult:
    """A run of Coevolve in which the human hears nothing."""
    steps = [
        step.model_copy(update={"human_items": step.counterfactual_items}) for step in run.steps
    ]
    alone = run.model_copy(update={"steps": steps})
    return alone.model_copy(update={"scores": alone.compute_scores()})


@cache
def compared(challenge: str) -> tuple[dict[str, list[RunResult]], Comparison]:
    """The runs of a challenge by label, and how they compare; bounds have no rank."""
    runs = {f"`{name}`": found for name in FILES if (found := results(challenge, name))}
    bounds = [label for label, of in runs.items() if of[0].cheats]
    if challenge == "coevolve":
        runs["*no advice*"] = [unadvised(run) for run in runs["`frozen`"]]
        bounds.append("*no advice*")
    return runs, compare(runs, bounds)


@cache
def rows(challenge: str) -> list[str]:
    """The table of a challenge in the documents, from the files."""
    runs, comparison = compared(challenge)
    table = []
    for place in comparison.standings:
        other = mean_score(runs[place.label], OTHER[challenge])
        rank = f"{place.rank} ({place.best_rank} to {place.worst_rank})" if place.rank else "–"
        seeds, skill = len(runs[place.label]), format_interval(place.skill)
        table.append(f"| {place.label} | {seeds} | {skill} | {rank} | {other} |")
    return table


@pytest.mark.parametrize("challenge", OTHER)
def test_the_tables_of_the_page_are_of_these_files(challenge: str) -> None:
    assert not (text := missing(PAGE, rows(challenge))), text


def zoo_rows() -> list[str]:
    """The table of the zoo: seeds, skills, and Follow's gain, on ``quick``."""
    table = []
    for preset, name in reference_files():
        if preset != "quick":
            continue
        runs = {challenge: results(challenge, name, preset) for challenge in OTHER}
        seeds = "/".join(str(len(found)) for found in runs.values())
        skills = [format_interval(draw_skill(r).interval) if r else "–" for r in runs.values()]
        gain = mean_score(runs["follow"], "gain")
        table.append(f"| `{name}` | {seeds} | {' | '.join(skills)} | {gain} |")
    return table


def test_the_zoos_table_is_of_these_files() -> None:
    assert not (text := missing(ZOO, zoo_rows())), text


def test_the_readme_shows_rows_of_that_table() -> None:
    shown = [line for line in README.read_text().splitlines() if re.match(r"\| `.*\| \d \|", line)]
    assert len(shown) > 3
    assert set(shown) <= set(rows("follow"))


def test_frozen_is_0_and_the_oracle_1_by_definition() -> None:
    assert skill(results("follow", "frozen"))[0] == pytest.approx(0, abs=1e-9)
    assert skill(results("follow", "oracle"))[0] >= 0.95


def test_lifelong_dpo_follows_clear_of_0() -> None:
    runs = results("follow", "lifelong-dpo")
    assert len(runs) >= 3
    value, low = skill(runs)
    assert low is not None
    assert value > low > 0


def test_who_answers_as_the_first_era_locks_in_more_than_the_oracle() -> None:
    def index(algorithm: str) -> float:
        found = [run.compute_scores().lock_in for run in results("coevolve", algorithm)]
        return float(np.mean([one.value for one in found if one and one.value is not None]))

    assert index("frozen") > index("oracle") + 0.5


def test_a_new_board_begins_with_them(tmp_path: Path) -> None:
    board = Board(tmp_path)
    found = reference_files()
    quick = next(key for key in found if key[0] == "quick")
    files = {key: paths for key, paths in found.items() if key[0] == "standard" or key == quick}
    add_reference(board, files)
    add_reference(board, files)  # only once
    submissions = board.store.read("SELECT name, status FROM submissions")
    assert sorted(row["name"] for row in submissions) == sorted(name for _, name in files)
    assert {row["status"] for row in submissions} == {"checked"}
    standard = board.tracks()[: len(OTHER)]
    assert {track["preset"] for track in standard} == {"standard"}
    rows, _ = board.rows(next(t["id"] for t in standard if t["challenge"] == "follow"))
    assert [row["name"] for row in rows if row["rank"] == 1] == ["lifelong-rlhf-independent"]
    assert {row["name"] for row in rows if row["rank"] is None} == {"oracle", "persistence"}


def test_a_board_begins_while_it_is_seen_and_says_what_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = RunResult.load(FILES["random"][0])
    changed.steps[0].reward += 1
    changed.save(tmp_path / "result.json")
    files = {
        ("standard", "frozen"): FILES["frozen"][:1],
        ("standard", "random"): [tmp_path / "result.json"],
    }
    monkeypatch.setattr(reference, "reference_files", lambda: files)
    board = Board(tmp_path)
    thread = reference.add_reference_meanwhile(board)
    thread.join(timeout=300)
    assert not thread.is_alive()
    assert [row["name"] for row in board.store.read("SELECT name FROM submissions")] == ["frozen"]
    assert capsys.readouterr().err.startswith("Reference results of random: ")
