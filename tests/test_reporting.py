"""Trackers: trainings report to them as TRL does, and results do not change by it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from progressgym import runner
from progressgym.cli import main
from progressgym.training import reporting
from progressgym.training.reporting import check_reporting
from progressgym.training.trainers import quiet_arguments


def cell(models: Path, algorithm: str) -> runner.Cell:
    settings = {"models": str(models), "preset": "quick"}
    changes = {"items": "2", "questions": "60", "batch": "4"}
    return runner.grid(["follow"], [algorithm], [0], settings, changes)[0]


def without_timings(folder: Path) -> dict[str, Any]:
    result = json.loads((folder / "result.json").read_text())
    for step in result["steps"]:
        step.pop("seconds")
    return result


def test_nothing_is_reported_unless_asked(tmp_path: Path) -> None:
    assert quiet_arguments(tmp_path)["report_to"] == "none"
    with reporting.reporting(["wandb"], tmp_path, "follow · frozen · seed 0"):
        asked = quiet_arguments(tmp_path)
    assert asked["report_to"] == ["wandb"]
    assert asked["run_name"] == "follow · frozen · seed 0"
    assert (asked["logging_strategy"], asked["logging_steps"]) == ("steps", 1)
    assert quiet_arguments(tmp_path)["report_to"] == "none"


@pytest.mark.parametrize(("algorithm", "trainings"), [("lifelong-dpo", 3), ("lifelong-rlhf", 6)])
def test_tensorboard_gets_every_step_of_every_training(
    small_yaml: Path, tmp_path: Path, algorithm: str, trainings: int
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain, watched = cell(small_yaml, algorithm), tmp_path / "watched"
    result = runner.run(plain, tmp_path / "plain")
    runner.run(replace(plain, report_to=("tensorboard",)), watched)
    assert without_timings(plain.folder(watched)) == without_timings(
        plain.folder(tmp_path / "plain")
    )
    boards = sorted((plain.folder(watched) / "tensorboard").iterdir())
    assert [board.name for board in boards] == [f"training-{n + 1:03d}" for n in range(trainings)]
    events = EventAccumulator(str(boards[0])).Reload()
    losses = [scalar.value for scalar in events.Scalars("train/loss")]
    assert len(losses) > 1
    if algorithm == "lifelong-dpo":
        assert losses == pytest.approx(result.steps[0].curves["loss"], abs=1e-4)
    assert not list(plain.folder(tmp_path / "plain").rglob("tensorboard"))


def test_what_is_not_installed_or_known_is_told_before_anything_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stop:
            main(["run", "--models", "tiny", "--out", str(tmp_path / "R"), *arguments])
        return int(stop.value.code or 0), capsys.readouterr().err

    code, said = call("--report-to", "tensorbord")
    assert code == 2
    assert "Did you mean 'tensorboard'?" in said
    monkeypatch.setattr(reporting, "get_available_reporting_integrations", lambda: ["mlflow"])
    code, said = call("--report-to", "mlflow,wandb")
    assert code == 2
    assert "pip install wandb" in said
    assert not (tmp_path / "R").exists()
    assert check_reporting(["all", "none"]) == ("mlflow",)
