"""The board: nothing acknowledged is lost, nothing is there twice, ranks follow."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from board_fixtures import (
    card,
    copy_of,
    file_of,
    files_of_seeds,
    moved,
    played,
    sealed,
    served,
)
from progressgym.leaderboard.board import Board, RefusedError, View
from progressgym.leaderboard.card import EXAMPLE
from progressgym.leaderboard.client import Session
from progressgym.leaderboard.entries import SEEDS
from progressgym.leaderboard.verify import recheck, rerun
from typer.testing import CliRunner

from progressgym.cli import app
from progressgym.errors import ProgressGymError, UsageError
from progressgym.results import RunResult

CARD = EXAMPLE.replace("lifelong-dpo  ", "random  ", 1)


def count(board: Board, table: str) -> int:
    return board.store.read(f"SELECT count(*) AS n FROM {table}")[0]["n"]


def test_a_submission_is_ranked_in_each_of_its_tracks(
    board: Board, runs: dict[str, RunResult]
) -> None:
    files = {name: file_of(result)["result.json.gz"] for name, result in runs.items()}
    number = board.submit(card(), files, "ada")
    assert board.rank() == 3
    assert board.rank() == 0
    tracks = board.tracks()
    assert {t["challenge"] for t in tracks} == set(runs)
    for track in tracks:
        (row,), total = board.rows(track["id"])
        assert total == 1
        assert (row["submission"], row["seeds"], row["status"]) == (number, 1, "checked")
        scores = runs[track["challenge"]].scores
        assert scores
        assert row["skill"] == pytest.approx(scores.skill.value)
        assert row["upstream"] == pytest.approx(scores.upstream)
        assert row["rank"] is None  # of one seed
    one = board.submission(number)
    assert [event["what"] for event in one["events"]] == ["received", "checked"]
    assert len(one["runs"]) == 3
    back = board.results(tracks[0]["id"], [number])[number][0]
    assert back == runs[tracks[0]["challenge"]]


def test_seeds_of_one_submission_make_one_row_and_several_submissions_are_ranked(
    board: Board, runs: dict[str, RunResult]
) -> None:
    three = files_of_seeds(runs["follow"])
    board.submit(card(), three, "ada")
    board.submit(card(), files_of_seeds(moved(runs["follow"], 9)), "bo")
    board.rank()
    rows, _ = board.rows(board.tracks()[0]["id"])
    assert [(row["rank"], row["seeds"]) for row in rows] == [(1, 3), (2, 3)]
    assert [row["skill"] for row in rows] == sorted((r["skill"] for r in rows), reverse=True)


def test_nobody_can_choose_the_seeds_that_rank(board: Board, runs: dict[str, RunResult]) -> None:
    three = files_of_seeds(runs["follow"])
    board.submit(card(), three, "ada")
    board.submit(card(), files_of_seeds(runs["follow"], (7, 9)), "bo")
    board.rank()
    track = board.tracks()[0]["id"]
    ranks = {row["submitter"]: row["rank"] for row in board.rows(track)[0]}
    assert ranks == {"ada": 1, "bo": None}
    board.withdraw(1, "ada", "with more seeds")
    board.submit(card(), files_of_seeds(runs["follow"], (0, 1, 2, 3)), "ada")
    board.rank()
    mine = next(row for row in board.rows(track)[0] if row["rank"])
    assert mine["seeds"] == 4
    assert mine["skill"] == pytest.approx(board.submission(1)["standings"][0]["skill"])


def test_the_same_run_and_the_same_numbers_are_taken_once(
    board: Board, runs: dict[str, RunResult]
) -> None:
    first = board.submit(card(), file_of(runs["follow"]), "ada")
    with pytest.raises(RefusedError, match=f"Submission {first} has the same run"):
        board.submit(card(), file_of(runs["follow"]), "bo")
    renamed = copy_of(runs["follow"])
    renamed.spec = renamed.spec.model_copy(update={"algorithm": "mine"})
    with pytest.raises(RefusedError, match="the same numbers, under another name"):
        board.submit(card("mine"), file_of(sealed(renamed)), "bo")
    assert count(board, "submissions") == 1
    assert count(board, "runs") == 1
    board.withdraw(first, "ada", "a mistake")
    assert board.submit(card(), file_of(runs["follow"]), "ada") == first + 1


def test_withdrawn_submissions_leave_the_ranking_but_not_the_log(
    board: Board, runs: dict[str, RunResult]
) -> None:
    first = board.submit(card(), file_of(runs["follow"]), "ada")
    second = board.submit(card(), files_of_seeds(moved(runs["follow"], 3)), "bo")
    board.withdraw(first, "keeper", "trained on the probe split")
    board.rank()
    rows, total = board.rows(board.tracks()[0]["id"])
    assert ([row["submission"] for row in rows], total) == ([second], 1)
    assert rows[0]["rank"] == 1
    last = board.submission(first)["events"][-1]
    assert (last["what"], last["who"]) == ("withdrawn", "keeper")
    assert last["reason"] == "trained on the probe split"
    with pytest.raises(UsageError, match="was withdrawn"):
        board.withdraw(first, "keeper", "again")
    with pytest.raises(UsageError, match="no submission 77"):
        board.withdraw(77, "keeper", "why not")
    with pytest.raises(UsageError, match="numbers beyond"):
        board.withdraw(10**20, "keeper", "why not")
    with pytest.raises(UsageError, match="Give a reason"):
        board.withdraw(second, "keeper", "  ")


def test_the_log_is_only_ever_appended_to(board: Board, runs: dict[str, RunResult]) -> None:
    board.submit(card(), file_of(runs["follow"]), "ada")
    for statement in ("DELETE FROM events", "UPDATE events SET who = 'nobody'"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever appended"):
            board.store._connection.execute(statement)
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        board.store._connection.execute("DELETE FROM submissions")


def test_views_filter_sort_and_page(board: Board, runs: dict[str, RunResult]) -> None:
    for seed in range(7):
        board.submit(card(), file_of(moved(runs["follow"], seed)), f"user-{seed}%")
    board.reproduced(3, "keeper", "replayed")
    board.rank()
    track = board.tracks()[0]["id"]

    def numbers(size: int | None = 50, **view: object) -> list[int]:
        return [r["submission"] for r in board.rows(track, View(**view), size)[0]]  # type: ignore

    assert numbers(search="user-4") == [5]
    assert numbers(search="USER-4% random") == [5]
    assert numbers(search="%") == numbers()
    assert numbers(search="' OR 1=1 --") == []
    assert numbers(status="reproduced") == [3]
    by_date = numbers(sort="at", descending=False)
    assert sorted(by_date) == list(range(1, 8))
    pages = [numbers(size=3, page=page, sort="skill") for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(n for page in pages for n in page) == list(range(1, 8))
    with pytest.raises(UsageError, match="can be sorted by"):
        numbers(sort="id; DROP TABLE runs")


def test_tokens_are_kept_as_hashes_and_can_be_revoked(board: Board) -> None:
    token = board.store.new_token("ada")
    assert board.store.owner_of(token) == "ada"
    assert board.store.owner_of(token + "x") is None
    assert board.store.owner_of("") is None
    assert token.encode() not in b"".join(p.read_bytes() for p in board.folder.glob("*.sqlite*"))
    with pytest.raises(UsageError, match="has a token already"):
        board.store.new_token("ada")
    board.store.revoke_token("ada")
    assert board.store.owner_of(token) is None


def test_a_backup_is_a_whole_board(
    board: Board, runs: dict[str, RunResult], tmp_path: Path
) -> None:
    board.submit(card(), file_of(runs["follow"]), "ada")
    board.store.backup(tmp_path / "copy" / "board.sqlite")
    copied = Board(tmp_path / "copy")
    assert copied.submission(1) == board.submission(1)


def test_files_that_are_no_boards(tmp_path: Path) -> None:
    (tmp_path / "board.sqlite").write_bytes(b"not a database, but long enough to be one" * 100)
    with pytest.raises(UsageError, match="cannot be used as a board"):
        Board(tmp_path)
    newer = tmp_path / "newer"
    newer.mkdir()
    with sqlite3.connect(newer / "board.sqlite") as rows:
        rows.execute("PRAGMA user_version = 999")
    with pytest.raises(UsageError, match="newer version"):
        Board(newer)


def test_many_at_once_lose_nothing_and_double_nothing(
    board: Board, runs: dict[str, RunResult]
) -> None:
    files = [file_of(moved(runs["follow"], seed)) for seed in range(24)]

    def submit(index: int) -> int | None:
        try:
            return Board(board.folder).submit(card(), files[index % 24], f"user-{index}")
        except RefusedError:
            return None

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(48)))
    accepted = [number for number in answers if number is not None]
    assert sorted(accepted) == list(range(1, 25))
    assert count(board, "runs") == 24
    assert len({row["digest"] for row in board.store.read("SELECT digest FROM runs")}) == 24


# Verification -----------------------------------------------------------------------------------


def test_a_replay_in_a_fresh_process_reproduces_a_run(
    board: Board, runs: dict[str, RunResult]
) -> None:
    number = board.submit(card(), file_of(runs["follow"]), "ada")
    recheck(board, number, "keeper")
    (compared,) = rerun(board, number, "keeper")
    assert compared.same
    one = board.submission(number)
    assert one["status"] == "reproduced"
    assert [e["what"] for e in one["events"]][-2:] == ["rechecked", "reproduced"]


def test_a_run_that_nobody_can_reproduce_is_not_reproduced(
    board: Board, runs: dict[str, RunResult], small_yaml: Path, tmp_path: Path
) -> None:
    """Another seed's numbers under this seed: no check can see it, only the replay."""
    other = played(small_yaml, tmp_path / "out", "follow", "random", 1)
    other.spec = other.spec.model_copy(update={"seed": 2})
    for step in other.steps:
        shifted = [[x + 0.3 for x in row] for row in step.policy_items[::2]]
        step.policy_items[::2] = shifted
    from board_fixtures import reward

    for step in other.steps:
        step.reward = reward(other, step)
    number = board.submit(card(), file_of(sealed(other)), "mallory")
    (compared,) = rerun(board, number, "keeper")
    assert not compared.same
    one = board.submission(number)
    assert one["status"] == "checked"
    assert one["events"][-1]["what"] == "not reproduced"


def test_what_rots_on_disk_is_seen(board: Board, runs: dict[str, RunResult]) -> None:
    number = board.submit(card(), file_of(runs["follow"]), "ada")
    with board.store.writing() as rows:
        content = bytearray(rows.execute("SELECT content FROM runs").fetchone()[0])
        content[len(content) // 2] ^= 1
        rows.execute("UPDATE runs SET content = ?", [bytes(content)])
    with pytest.raises(UsageError, match="does not pass today"):
        recheck(board, number, "keeper")
    assert board.submission(number)["events"][-1]["what"] == "recheck failed"


# A second process -------------------------------------------------------------------------------


def written(result: RunResult, folder: Path) -> Path:
    path = folder / f"seed-{result.spec.seed}" / "result.json"
    result.save(path)
    return path


def test_submitting_by_command_to_a_served_board(
    board: Board, runs: dict[str, RunResult], tmp_path: Path
) -> None:
    token = board.store.new_token("ada")
    card_file = tmp_path / "card.yaml"
    card_file.write_text(CARD)
    paths = [written(moved(runs["follow"], seed), tmp_path / "mine") for seed in (0, 1, 2)]
    assert len(paths) == 3
    with served(board.folder) as (address, _):
        command = ["submit", str(tmp_path / "mine"), "--card", str(card_file), "--board", address]
        done = CliRunner().invoke(app, [*command, "--token", token])
        assert done.exit_code == 0, done.output
        assert f"submission 1: {address}/algorithm?id=1" in done.output.replace("\n", "")
        again = CliRunner().invoke(app, [*command, "--token", token])
        assert again.exit_code == 2
        assert "has the same run" in again.output
        stranger = CliRunner().invoke(app, [*command, "--token", "pg-wrong"])
        assert stranger.exit_code == 2
        assert "not one of this board's" in stranger.output
        for _ in range(100):
            if board.rows(board.tracks()[0]["id"])[0][0]["rank"]:
                break
            time.sleep(0.1)
        assert board.rows(board.tracks()[0]["id"])[0][0]["rank"] == 1
        assert board.submission(1)["submitter"] == "ada"
        large = urllib.request.Request(
            f"{address}/gradio_api/upload", data=b"x", headers={"Content-Length": str(2**30)}
        )
        with pytest.raises(urllib.error.HTTPError, match="413"):
            urllib.request.urlopen(large, timeout=10)
    with pytest.raises(ProgressGymError, match="did not take the submission"):
        Session(address).submit(token, CARD, paths)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_server_loses_nothing_that_it_acknowledged(
    board: Board, runs: dict[str, RunResult], tmp_path: Path
) -> None:
    token = board.store.new_token("ada")
    submissions = [
        [written(moved(own, seed), tmp_path / f"{number}") for seed in SEEDS]
        for number in range(12)
        for own in [moved(runs["follow"], 10 * number)]
    ]
    acknowledged: list[int] = []

    def submit(paths: list[Path]) -> None:
        try:
            answer = Session(address).submit(token, CARD, paths)
        except ProgressGymError:
            return
        assert answer["accepted"], answer
        acknowledged.append(answer["submission"])

    with served(board.folder) as (address, process), ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(submit, paths) for paths in submissions]
        while len(acknowledged) < 5:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        for job in jobs:
            job.result()
    again = Board(board.folder)
    assert len(acknowledged) >= 5
    for number in acknowledged:
        assert again.submission(number)["status"] == "checked"
        recheck(again, number, "keeper")
    assert count(again, "standings") == count(again, "submissions")
    assert count(again, "runs") == len(SEEDS) * count(again, "submissions")
    again.rank()
    assert {row["rank"] for row in again.rows(again.tracks()[0]["id"])[0]} == set(
        range(1, count(again, "submissions") + 1)
    )


def test_on_a_space_visitors_sign_in_instead_of_having_tokens(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from fastapi.testclient import TestClient
from progressgym.leaderboard.board import Board
from progressgym.leaderboard.server import create_app

client = TestClient(create_app(Board(Path(sys.argv[1])), space=True))
assert client.get("/").status_code == 200
page = client.get("/submit").text
assert "Sign in with Hugging Face" in page
"""
    account = {
        "SYSTEM": "spaces", "SPACE_ID": "someone/board", "SPACE_HOST": "someone-board.example",
        "OAUTH_CLIENT_ID": "a", "OAUTH_CLIENT_SECRET": "b", "OAUTH_SCOPES": "openid profile",
        "OPENID_PROVIDER_URL": "https://huggingface.co",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, **account},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
