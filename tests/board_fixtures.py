"""A board of tiny models, and real runs to submit to it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from progressgym.leaderboard.board import Board
from progressgym.leaderboard.card import EXAMPLE, Card
from progressgym.leaderboard.entries import SEEDS, packed
from progressgym.leaderboard.humans import measure_humans

from progressgym.results import RunResult, Step
from progressgym.runner import Cell, run
from progressgym.values.scores import step_reward
from progressgym.values.vector import ValueVector


def card(name: str = "random") -> Card:
    return Card.parse(EXAMPLE.replace("lifelong-dpo  ", f"{name}  ", 1))


def played(models: Path, out: Path, challenge: str, algorithm: str, seed: int) -> RunResult:
    settings = {"models": str(models), "preset": "quick", "eras": 3, "items": 2, "questions": 8}
    return run(Cell(challenge, algorithm, seed, settings), out)


def sealed(result: RunResult) -> RunResult:
    """As a forger would: with scores and digest that fit."""
    result.scores = result.compute_scores()
    result.digest = result.compute_digest()
    return result


def copy_of(result: RunResult) -> RunResult:
    return RunResult.model_validate_json(result.model_dump_json())


def moved(result: RunResult, seed: int) -> RunResult:
    """Another run: the same with a seed of its own and numbers that differ a little."""
    new = copy_of(result)
    new.spec = new.spec.model_copy(update={"seed": seed})
    for step in new.steps:
        step.policy_items[0][0] = round(step.policy_items[0][0] + 1e-5 * (1 + seed), 6)
        step.reward = reward(new, step)
    return sealed(new)


def files_of_seeds(result: RunResult, seeds: Sequence[int] = SEEDS) -> dict[str, bytes]:
    """Files of runs like this one, by default of the seeds that rank."""
    return {str(seed): file_of(moved(result, seed))["result.json.gz"] for seed in seeds}


def reward(result: RunResult, step: Step) -> float:
    initial, target, own = (
        ValueVector(np.array(items), result.labels).values
        for items in (result.initial_items, step.target_items, step.policy_items)
    )
    return step_reward(initial, own, target)


@pytest.fixture(scope="session")
def runs(small_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunResult]:
    """A run of each challenge, by its name."""
    out = tmp_path_factory.mktemp("runs")
    return {c: played(small_yaml, out, c, "random", 0) for c in ("follow", "predict", "coevolve")}


@pytest.fixture(scope="session")
def humans_folder(small_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measurements of the small timeline."""
    folder = tmp_path_factory.mktemp("measured")
    measure_humans(str(small_yaml), "statement").save(folder / "humans")
    return folder / "humans"


@pytest.fixture
def board(tmp_path: Path, humans_folder: Path) -> Board:
    """An empty board that knows the small timeline."""
    (tmp_path / "humans").symlink_to(humans_folder)
    return Board(tmp_path)


def file_of(result: RunResult) -> dict[str, bytes]:
    return {"result.json.gz": packed(result)}


@contextmanager
def served(
    folder: Path, python: str = sys.executable
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A real server of a board, until the block ends; its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [python, "-m", "progressgym", "leaderboard", "serve", "--empty"]
    command += ["--folder", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/board.json", timeout=5)
            except urllib.error.HTTPError:
                break  # it answers: there is nothing on the board
            except OSError:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.1)
            else:
                break
        yield address, process
    finally:
        process.kill()
        process.wait()
