"""Packages of third parties: installed in a new environment, known to every command."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from pathlib import Path

import pytest
from board_fixtures import served
from environments import Environment
from progressgym.leaderboard.board import Board

from progressgym.errors import UsageError
from progressgym.scaffold import write_package

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--models", "tiny", "--set", "items=2", "--set", "questions=16"]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the package in examples/plugin."""
    folder = tmp_path_factory.mktemp("fresh")
    source = shutil.copytree(ROOT / "examples/plugin", folder / "plugin")  # builds leave files
    environment = Environment(folder)
    environment.install(source)
    return environment


@pytest.fixture(scope="module")
def played(fresh: Environment) -> Path:
    """Results of its algorithm in its challenge and in ours."""
    run = ["run", "--challenge", "follow,drought", "--algorithm", "momentum-dpo", *SMALL]
    found = fresh.json(*run, "--seed", "0,1,2", "--out", "results")
    assert [r["challenge"] for r in found["results"]] == ["follow"] * 3 + ["drought"] * 3
    return fresh.work / "results"


def test_every_command_knows_what_a_package_brings(fresh: Environment, played: Path) -> None:
    listing = fresh.json("list")
    assert "drought" in [entry["name"] for entry in listing["challenges"]]
    (mine,) = [entry for entry in listing["algorithms"] if entry["name"] == "momentum-dpo"]
    assert [p["name"] for p in mine["parameters"]] == ["momentum", "learning_rate"]
    result = json.loads((played / "drought/momentum-dpo/seed-0/result.json").read_text())
    assert result["spec"]["settings"]["every"] == 2
    assert [step["questions"] for step in result["steps"]] == [16, 0, 16, 0, 16]
    page = fresh.work / fresh.json("report", "results")["report"]
    assert {"momentum-dpo", "drought"} <= set(re.findall(r"[\w-]+", page.read_text()))
    told = fresh.progressgym("run", "--challenge", "drought", "--set", "every=0", code=2)
    assert "every=0: expected 1 or more" in told


def test_gymnasium_makes_a_packages_challenge(fresh: Environment) -> None:
    code = """
import gymnasium, progressgym as pg

small = {"models": "tiny", "items": 2, "questions": 4, "eras": 3}
env = gymnasium.make("progressgym/Drought-v0", **small).unwrapped
algorithm = pg.make_algorithm("momentum-dpo")
observation, info = env.reset(seed=0)
algorithm.reset(env.initial_policy(), seed=0)
while not env.done:
    policy = algorithm.update(observation, env.human)
    observation, reward, terminated, truncated, info = env.step(policy)
print(terminated, [step.questions for step in env.result().steps])
"""
    assert fresh.run("-c", code).strip() == "True [4, 0, 4]"


def test_the_example_passes_its_own_tests(fresh: Environment) -> None:
    assert "failed" not in fresh.run("-m", "pytest", "-q", cwd=fresh.work.parent / "plugin")


def test_a_board_ranks_everybodys_algorithms_in_the_challenges_that_it_has(
    fresh: Environment, played: Path
) -> None:
    """A board where the package is not installed, and one where it is."""
    folder = fresh.work / "board"
    fresh.progressgym("leaderboard", "measure", "--models", "tiny", "--folder", str(folder))
    token = fresh.progressgym("leaderboard", "token", "ada", "--folder", str(folder)).strip()
    card = str(fresh.work.parent / "plugin/card.yaml")

    def submit(challenge: str, board: str, code: int = 0) -> str:
        results = str(played / challenge / "momentum-dpo")
        options = ["--card", card, "--board", board, "--token", token]
        return " ".join(fresh.progressgym("submit", results, *options, code=code).split())

    with served(folder, sys.executable) as (address, _):
        assert "Accepted as submission 1" in submit("follow", address)
        refused = submit("drought", address, code=2)
        assert "This board does not have the challenge 'drought' installed" in refused
        assert "It ranks coevolve, follow, predict." in refused
        assert "nothing was stored" in refused
    with served(folder, fresh.python) as (address, _):
        assert "Accepted as submission 2" in submit("drought", address)
        board = Board(folder)
        for _ in range(100):
            tracks = {track["challenge"]: track["id"] for track in board.tracks()}
            ranks = {name: board.rows(id)[0][0]["rank"] for name, id in tracks.items()}
            if all(ranks.values()):
                break
            time.sleep(0.1)
    assert ranks == {"follow": 1, "drought": 1}


@pytest.mark.parametrize(("kind", "name"), [("algorithm", "patient-dpo"), ("challenge", "fading")])
def test_a_new_package_passes_its_own_tests(fresh: Environment, kind: str, name: str) -> None:
    told = fresh.progressgym("new", kind, name)
    assert f"progressgym check {name}" in " ".join(told.split())
    fresh.install(fresh.work / name)
    entries = fresh.json("list")[f"{kind}s"]
    assert name in [entry["name"] for entry in entries]
    assert "2 passed" in fresh.run("-m", "pytest", "-q", cwd=fresh.work / name)
    again = fresh.progressgym("new", kind, name, code=2)
    assert "registered already" in again


@pytest.mark.parametrize("name", ["Mine", "1st", "a--b", "-a", "a_b", "../a", "a" * 41, ""])
def test_names_that_cannot_be_used_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no name"):
        write_package("algorithm", name, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'oracle' is registered already"):
        write_package("challenge", "oracle", tmp_path / "new")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for place in ("full", "file"):
        with pytest.raises(UsageError, match="is there already"):
            write_package("algorithm", "mine", tmp_path / place)
    assert (tmp_path / "full/notes.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    made = write_package("algorithm", "mine-own", tmp_path / "empty")
    assert (made / "src/progressgym_mine_own/algorithm.py").is_file()
    assert "$" not in "".join(p.read_text() for p in made.rglob("*") if p.is_file())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]
