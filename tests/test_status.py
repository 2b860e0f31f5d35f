"""The log beside a run, and what `status` makes of it while runs go on and after they end."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import progressgym as pg
from progressgym import registry, runner
from progressgym.cli import main
from progressgym.log import NAME, RunLog, read_log
from progressgym.status import look
from progressgym.storage import alone, is_locked

CHANGES = {"items": "2", "questions": "60"}


def cells(models: Path, *algorithms: str) -> list[runner.Cell]:
    settings = {"models": str(models), "preset": "quick"}
    return runner.grid(["follow"], algorithms, [0], settings, CHANGES)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_a_run_says_what_it_does(small_yaml: Path, tmp_path: Path) -> None:
    (cell,) = cells(small_yaml, "lifelong-dpo")
    result = runner.run(cell, tmp_path)
    lines = read_log(cell.folder(tmp_path))
    events = [line["event"] for line in lines]
    assert events == ["started", *["updated", "scored"] * 3, "finished"]
    assert lines[0] | {"steps": 3, "done": 0} == lines[0]
    updated, scored = lines[1], lines[2]
    assert (updated["step"], updated["era"], updated["questions"]) == (0, "early", 60)
    losses = result.steps[0].curves["loss"]
    assert updated["curves"]["loss"] == {
        "first": losses[0], "last": losses[-1], "lowest": min(losses)
    }  # fmt: skip
    assert scored["reward"] == result.steps[0].reward
    assert result.scores
    assert lines[-1]["skill"] == result.scores.skill.value
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)


def test_a_log_outlives_torn_lines_and_odd_values(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.write("started", steps=2, done=0)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes() + b'{"event": "upda')
    log.write("updated", curves={"loss": math.nan}, what=object())
    path.write_bytes(path.read_bytes() + b"[1]\n\xff\n{}\n")
    assert [line["event"] for line in read_log(tmp_path)] == ["started", "updated"]
    assert read_log(tmp_path)[1]["curves"] == {"loss": None}
    assert read_log(tmp_path / "nowhere") == []


def test_a_log_that_cannot_be_written_stops_nothing(small_yaml: Path, tmp_path: Path) -> None:
    (cell,) = cells(small_yaml, "frozen")
    (cell.folder(tmp_path) / NAME).mkdir(parents=True)
    assert runner.run(cell, tmp_path).scores is not None


class OddCurves(pg.Algorithm):
    """Leaves curves that have no first value."""

    def update(self, observation: pg.Observation, human: pg.Human) -> pg.Policy:
        self.curves = {"nothing": []}
        if observation["step"] == 1:
            raise KeyError("lost")
        return self.policy


def test_a_failure_is_told_and_what_it_left(
    capsys: pytest.CaptureFixture[str],
    small_yaml: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(registry._entries["algorithm"], "odd", OddCurves)
    runner.run_grid(cells(small_yaml, "odd", "frozen"), tmp_path)
    odd, frozen = sorted(look(tmp_path).runs, key=lambda run: run.state, reverse=False)
    assert (odd.state, odd.done, odd.steps) == ("failed", 1, 3)
    assert (frozen.state, frozen.done, frozen.left) == ("finished", 3, 0)
    code, text, _ = call(capsys, "status", str(tmp_path))
    assert code == 0
    assert "1 failed, 1 finished" in text
    assert "KeyError: 'lost'" in text


def test_an_interrupted_run_and_one_that_never_began(small_yaml: Path, tmp_path: Path) -> None:
    def stop(done: int, steps: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    first, second = cells(small_yaml, "lifelong-dpo", "frozen")
    runner.announce([first, second], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        runner.run(first, tmp_path, progress=stop)
    status = look(tmp_path)
    states = {run.folder.parent.name: (run.state, run.done, run.left) for run in status.runs}
    assert states == {"lifelong-dpo": ("interrupted", 1, 2), "frozen": ("waiting", 0, 3)}
    (pace,) = next(run.paces for run in status.runs if run.state == "interrupted")
    assert status.seconds_left == pytest.approx(5 * pace)  # of the other kind nothing is known
    runner.run(first, tmp_path, resume=True)
    lines = read_log(first.folder(tmp_path))
    resumed = next(line for line in lines if line["event"] == "resumed")
    assert (resumed["done"], resumed["steps"]) == (1, 3)
    assert look(tmp_path).counts == {"finished": 1, "waiting": 1}
    runner.announce([first], tmp_path)
    assert read_log(first.folder(tmp_path)) == lines  # what is finished is not still to come


def test_a_lock_is_seen_without_being_taken(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not (tmp_path / ".lock").exists()
    with alone(tmp_path):
        pass
    assert not is_locked(tmp_path)
    code = "import sys; from pathlib import Path; from progressgym.storage import alone\n"
    code += "with alone(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout
        holder.stdout.readline()
        assert is_locked(tmp_path)
        with pytest.raises(pg.UsageError, match="Another process"), alone(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    assert not is_locked(tmp_path)


def test_status_of_a_grid_that_another_process_runs_and_of_its_end_by_a_kill(
    capsys: pytest.CaptureFixture[str], small_yaml: Path, tmp_path: Path
) -> None:
    out = tmp_path / "R"
    sets = [part for k, v in CHANGES.items() for part in ("--set", f"{k}={v}")]
    command = [sys.executable, "-m", "progressgym", "run", "--models", str(small_yaml), *sets]
    command += ["--algorithm", "lifelong-dpo", "--set", "epochs=200", "--seed", "0,1"]
    process = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE)

    def status() -> dict[str, Any]:
        code, text, _ = call(capsys, "status", str(out), "--json")
        return json.loads(text) if code == 0 else {"counts": {}}

    deadline = time.monotonic() + 500
    try:
        while status()["counts"] != {"running": 1, "waiting": 1}:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        process.kill()
        process.communicate()
    found = status()
    assert found["counts"] == {"interrupted": 1, "waiting": 1}
    assert [run["run"] for run in found["runs"]] == [
        "follow/lifelong-dpo/seed-0", "follow/lifelong-dpo/seed-1"
    ]  # fmt: skip
    assert (found["steps"], found["steps_done"]) == (6, found["runs"][0]["steps_done"])


def test_status_of_nothing_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(capsys, "status", str(tmp_path))[0] == 2
    assert "No folder" in call(capsys, "status", str(tmp_path / "nowhere"))[2]


def test_a_log_makes_no_difference_to_a_result(small_yaml: Path, tmp_path: Path) -> None:
    def bytes_of(out: Path) -> dict[str, Any]:
        result = json.loads((cell.folder(out) / "result.json").read_text())
        for step in result["steps"]:
            step.pop("seconds")
        return result

    (cell,) = cells(small_yaml, "lifelong-dpo")
    runner.run(cell, tmp_path / "one")
    (cell.folder(tmp_path / "two") / NAME).mkdir(parents=True)
    runner.run(replace(cell), tmp_path / "two")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    (run,) = look(tmp_path / "two").runs
    assert (run.state, run.done, run.steps) == ("finished", 3, 3)  # told by the result itself
    (cell.folder(tmp_path / "two") / "result.json").write_text("{")
    (run,) = look(tmp_path / "two").runs
    assert (run.state, run.steps) == ("finished", None)
