"""Runs on disk: finished ones are kept, interrupted ones continue to the same bytes."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import progressgym as pg
from progressgym import registry, runner
from progressgym.results import find_results

CHANGES = {"items": "4", "questions": "120", "learning_rate": "0.01"}


def cell(small_yaml: Path, algorithm: str = "lifelong-dpo", **changes: str) -> runner.Cell:
    settings = {"models": str(small_yaml), "preset": "quick"}
    return runner.grid(["follow"], [algorithm], [0], settings, {**CHANGES, **changes})[0]


def without_timings(path: Path) -> dict[str, Any]:
    result = json.loads(path.read_text())
    for step in result["steps"]:
        step.pop("seconds")
    return result


def test_finished_results_are_read_not_run_again(small_yaml: Path, tmp_path: Path) -> None:
    first = runner.run(cell(small_yaml), tmp_path)
    path = tmp_path / "follow/lifelong-dpo/seed-0/result.json"
    stamp = path.stat().st_mtime_ns
    assert runner.run(cell(small_yaml), tmp_path) == first
    assert path.stat().st_mtime_ns == stamp
    assert not (path.parent / "checkpoint").exists()


def test_a_folder_with_another_run_is_refused_and_left_alone(
    small_yaml: Path, tmp_path: Path
) -> None:
    runner.run(cell(small_yaml), tmp_path)
    before = without_timings(tmp_path / "follow/lifelong-dpo/seed-0/result.json")
    with pytest.raises(pg.UsageError, match=r"learning_rate: 0\.01 there, 0\.02 now"):
        runner.run(cell(small_yaml, learning_rate="0.02"), tmp_path)
    assert without_timings(tmp_path / "follow/lifelong-dpo/seed-0/result.json") == before


def test_compressed_results_are_found_and_read(small_yaml: Path, tmp_path: Path) -> None:
    result = runner.run(cell(small_yaml), tmp_path)
    (plain,) = find_results([tmp_path])
    packed = plain.with_suffix(".json.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert find_results([tmp_path]) == [packed]
    assert pg.RunResult.load(packed) == result
    for broken in (packed.read_bytes()[:-40], b"not compressed", b"\x1f\x8b" + bytes(40)):
        packed.write_bytes(broken)
        with pytest.raises(pg.UsageError, match="not a result of this version"):
            pg.RunResult.load(packed)


class InterruptedRunError(Exception):
    """Stands for any sudden end."""


@pytest.mark.parametrize("steps_done", [1, 2])
def test_resume_ends_with_the_bytes_of_an_uninterrupted_run(
    small_yaml: Path, tmp_path: Path, steps_done: int
) -> None:
    def stop(done: int, steps: int) -> None:
        if done == steps_done:
            raise InterruptedRunError

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    runner.run(cell(small_yaml), whole)
    with pytest.raises(InterruptedRunError):
        runner.run(cell(small_yaml), broken, progress=stop)
    seen: list[int] = []
    runner.run(cell(small_yaml), broken, resume=True, progress=lambda done, _: seen.append(done))
    assert seen[0] == steps_done
    name = "follow/lifelong-dpo/seed-0/result.json"
    assert without_timings(broken / name) == without_timings(whole / name)


def test_without_resume_an_interrupted_run_starts_again(small_yaml: Path, tmp_path: Path) -> None:
    def stop(done: int, steps: int) -> None:
        if done == 1:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        runner.run(cell(small_yaml), tmp_path, progress=stop)
    seen: list[int] = []
    runner.run(cell(small_yaml), tmp_path, progress=lambda done, _: seen.append(done))
    assert seen[0] == 0


def test_a_damaged_checkpoint_is_not_used(small_yaml: Path, tmp_path: Path) -> None:
    folder = cell(small_yaml).folder(tmp_path) / "checkpoint"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"spec": ')
    runner.run(cell(small_yaml), tmp_path, resume=True)
    assert pg.RunResult.load(folder.parent / "result.json").scores is not None


def test_an_interrupted_run_is_not_resumed_with_other_settings(
    small_yaml: Path, tmp_path: Path
) -> None:
    def stop(done: int, steps: int) -> None:
        if done == 1:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        runner.run(cell(small_yaml), tmp_path, progress=stop)
    with pytest.raises(pg.UsageError, match="other settings"):
        runner.run(cell(small_yaml, learning_rate="0.02"), tmp_path, resume=True)
    assert cell(small_yaml).steps_done(tmp_path) == 1


def test_a_damaged_result_is_not_believed(small_yaml: Path, tmp_path: Path) -> None:
    runner.run(cell(small_yaml), tmp_path)
    path = cell(small_yaml).folder(tmp_path) / "result.json"
    result = json.loads(path.read_text())
    result["steps"][0]["reward"] += 1
    path.write_text(json.dumps(result))
    with pytest.raises(pg.UsageError, match="damaged"):
        runner.run(cell(small_yaml), tmp_path)


def test_two_processes_never_write_one_run(small_yaml: Path, tmp_path: Path) -> None:
    folder = cell(small_yaml).folder(tmp_path)
    folder.mkdir(parents=True)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, filelock, time\n"
            "with filelock.FileLock(sys.argv[1]): print('held', flush=True); time.sleep(60)",
            str(folder / ".lock"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(pg.UsageError, match="Another process"):
            runner.run(cell(small_yaml), tmp_path)
    finally:
        holder.kill()
        holder.wait()
    with FileLock(folder / ".lock", timeout=5):
        pass


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_command_resumes_to_the_same_result(
    small_yaml: Path, tmp_path: Path, how: signal.Signals
) -> None:
    def command(out: Path) -> list[str]:
        sets = [part for k, v in CHANGES.items() for part in ("--set", f"{k}={v}")]
        names = ["--models", str(small_yaml), "--out", str(out), "--resume", "--json"]
        return [sys.executable, "-m", "progressgym", "run", *names, *sets]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(whole), check=True, capture_output=True)
    process = subprocess.Popen(command(broken), stderr=subprocess.PIPE, text=True)
    state = broken / "follow/lifelong-dpo/seed-0/checkpoint/state.json"
    deadline = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    _, errors = process.communicate()
    assert "Traceback" not in errors
    if how == signal.SIGINT and process.returncode:
        assert process.returncode == 130
        assert "--resume" in errors
    subprocess.run(command(broken), check=True, capture_output=True, env={**os.environ})
    name = "follow/lifelong-dpo/seed-0/result.json"
    assert without_timings(broken / name) == without_timings(whole / name)


class Failing(pg.Algorithm):
    """Fails in the second era."""

    def update(self, observation: pg.Observation, human: pg.Human) -> pg.Policy:
        if observation["step"] == 1:
            raise KeyError("lost")
        return self.policy


@pytest.fixture
def failing(small_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> runner.Cell:
    monkeypatch.setitem(registry._entries["algorithm"], "failing", Failing)
    return replace(cell(small_yaml), algorithm="failing", parameters={})


def test_a_grid_keeps_what_does_not_fail_and_says_what_does(
    failing: runner.Cell, tmp_path: Path
) -> None:
    other = replace(failing, algorithm="frozen")
    told: list[tuple[int, int]] = []
    failure, result = runner.run_grid(
        [failing, other], tmp_path, progress=lambda number, done: told.append((number, done))
    )
    assert isinstance(failure, runner.Failure)
    assert not failure.usage
    log = failing.folder(tmp_path) / "error.txt"
    assert failure.problem == f"KeyError: 'lost' (see {log})"
    assert 'raise KeyError("lost")' in log.read_text()
    assert isinstance(result, pg.RunResult)
    assert told == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3), (1, 3)]
    assert failing.steps_done(tmp_path) == 1
    changed = replace(other, settings={**other.settings, "items": 5})
    (wrong,) = runner.run_grid([changed], tmp_path)
    assert isinstance(wrong, runner.Failure)
    assert wrong.usage
    assert "items: 4 there, 5 now" in wrong.problem


def test_what_was_interrupted_can_be_forgotten(failing: runner.Cell, tmp_path: Path) -> None:
    runner.forget(failing, tmp_path)  # there is nothing yet
    runner.run_grid([failing], tmp_path)
    with (
        FileLock(failing.folder(tmp_path) / ".lock"),
        pytest.raises(pg.UsageError, match="Another process"),
    ):
        runner.forget(failing, tmp_path)
    runner.forget(failing, tmp_path)
    assert failing.steps_done(tmp_path) == 0


def test_grid_gives_each_change_to_those_who_know_it(small_yaml: Path) -> None:
    cells = runner.grid(["follow"], ["frozen", "lifelong-dpo"], [0, 1], {}, {"epochs": "3"})
    assert [(c.algorithm, c.seed, c.parameters) for c in cells] == [
        ("frozen", 0, {}),
        ("frozen", 1, {}),
        ("lifelong-dpo", 0, {"epochs": 3}),
        ("lifelong-dpo", 1, {"epochs": 3}),
    ]
    twice = runner.grid(["follow"], ["frozen", "frozen"], [1, 0, 1], {}, {})
    assert [c.seed for c in twice] == [1, 0]
    with pytest.raises(pg.UsageError, match="Did you mean 'epochs'"):
        runner.grid(["follow"], ["lifelong-dpo"], [0], {}, {"epoch": "3"})


def test_grid_takes_patterns() -> None:
    cells = runner.grid(["*"], ["oracle", "lifelong-dpo*", "oracle"], [0], {}, {})
    assert {"follow", "predict", "coevolve"} <= {c.challenge for c in cells}
    assert [c.algorithm for c in cells if c.challenge == "follow"] == [
        "oracle",
        "lifelong-dpo",
        "lifelong-dpo-independent",
    ]
    with pytest.raises(pg.UsageError, match="Unknown algorithm 'lifelng-"):
        runner.grid(["follow"], ["frozen", "lifelng-*"], [0], {}, {})
