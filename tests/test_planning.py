"""Planning: what is counted, rehearsed and told of a grid before it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

import progressgym as pg
from progressgym import registry, runner
from progressgym.cli import main
from progressgym.models import load
from progressgym.models.backbone import AdapterShape
from progressgym.models.calibration import Pace, assuming
from progressgym.models.dimensions import Dimensions
from progressgym.models.load import base_policy, era_policy
from progressgym.models.speed import measured_speed, told_speed
from progressgym.models.standin import stand_in, without_weights
from progressgym.models.work import KINDS, Work, counting
from progressgym.planning.machines import find_machine
from progressgym.planning.plan import make_plan
from progressgym.planning.rehearsal import Rehearsed, Stage
from progressgym.storage import cache_folder
from progressgym.timeline import Timeline
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.values.instruments import questions
from progressgym.values.scenarios import shipped_bank

PACE = Pace(0, 512, False, 0.0)
CHANGES = {"items": "2", "questions": "60"}
LLAMA_70B = {
    "vocab_size": 128256, "hidden_size": 8192, "intermediate_size": 28672,
    "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}  # fmt: skip


@pytest.fixture
def afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is known of any model, in memory or in the cache."""
    monkeypatch.setenv("PROGRESSGYM_CACHE", str(tmp_path / "cache"))
    load._built_in.cache_clear()
    load.forget_models()
    with assuming(PACE):
        yield
    load._built_in.cache_clear()
    load.forget_models()


def cells(models: Path, challenge: str, algorithm: str, *seeds: int) -> list[runner.Cell]:
    settings = {"models": str(models), "preset": "quick"}
    return runner.grid([challenge], [algorithm], seeds or [0], settings, CHANGES)


def rehearsed(cell: runner.Cell, folder: Path) -> Rehearsed:
    timeline = Timeline.load(cell.settings["models"])
    folder.mkdir()
    stage = Stage(stand_in(timeline, without_weights(timeline)[2], folder), folder)
    with assuming(PACE):
        return stage.rehearse(cell)


def total(plan: Rehearsed) -> Work:
    return sum((part.work for part in [*plan.steps, plan.closing]), Work())


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_work_is_counted_once_for_all_who_share_it(afresh: None, small: Timeline) -> None:
    prompt, answers = ["to help is"] * 2, [" right", " wrong"]
    first, second = (era_policy(small, era) for era in small.eras[:2])
    tokens = max(32, len(first.encode(prompt)[0]))  # few rows are filled up
    with counting() as work:
        first.logprobs(prompt, answers)
    assert work.tokens["lower"] == work.tokens["upper"] >= tokens
    assert work.tokens["head"] == 1  # both answers are one token after the same state
    with counting() as again:
        first.logprobs(prompt, answers)
    assert again == Work()
    with counting() as other:
        second.logprobs(prompt, answers)
    assert "lower" not in other.passes
    assert other.tokens["upper"] == work.tokens["upper"]


def test_training_is_counted_by_its_steps(afresh: None, small: Timeline) -> None:
    base = base_policy(small)
    pairs = [p.answered(1.0) for p in questions(shipped_bank().split("query"))[:120]]
    with counting() as work:
        losses = train_dpo(base.copy(), base, pairs, DPOSettings(batch=4))
    assert work.passes["optimizer"] == work.passes["training"] == len(losses) > 1
    assert work.tokens["head_training"] == len({p.prompt for p in pairs})
    assert work.largest["training"] < work.tokens["training"]


def test_a_training_of_ones_own_is_counted_too(afresh: None, small: Timeline) -> None:
    policy = base_policy(small).copy()
    ids = torch.tensor(policy.encode(["all are equal before the law"]))
    with counting() as work, policy.active() as model:
        optimizer = torch.optim.SGD(p for p in model.parameters() if p.requires_grad)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    assert work.tokens["training"] == work.tokens["head_training"] == ids.numel()
    assert work.passes["optimizer"] == 1


@pytest.mark.parametrize(
    ("challenge", "algorithm"),
    [("follow", "extrapolative-dpo"), ("follow", "lifelong-rlhf"), ("coevolve", "lifelong-dpo")],
)
def test_a_rehearsal_counts_what_the_run_does(
    afresh: None, small_yaml: Path, tmp_path: Path, challenge: str, algorithm: str
) -> None:
    (cell,) = cells(small_yaml, challenge, algorithm)
    plan = total(rehearsed(cell, tmp_path / "stage"))
    with counting() as work:
        runner.run(cell, tmp_path / "out")
    for planned, done in ((plan.passes, work.passes), (plan.tokens, work.tokens)):
        assert {k: v for k, v in planned.items() if k != "model"} == done  # tiny is built in


def test_steps_beyond_those_that_are_played_are_like_the_last(tmp_path: Path) -> None:
    settings = {"models": "tiny", "preset": "standard"}
    (cell,) = runner.grid(["follow"], ["lifelong-dpo"], [0], settings, CHANGES)
    plan = rehearsed(cell, tmp_path / "stage")
    assert len(plan.steps) == 9
    assert plan.steps[4:] == [plan.steps[3]] * 5
    assert plan.steps[2] != plan.steps[3]
    assert plan.result_bytes > 1000


def test_a_plan_knows_what_is_finished_and_what_is_shared(small_yaml: Path, tmp_path: Path) -> None:
    every = cells(small_yaml, "follow", "lifelong-dpo", 0, 1, 2, 3)
    whole = make_plan(every, tmp_path)
    first, second, third, fourth = whole.cells
    assert first.part.work.tokens["lower"] > second.part.work.tokens["lower"]
    assert second.part == third.part == fourth.part
    runner.run(every[0], tmp_path)
    rest = make_plan(every, tmp_path)
    assert [p.finished for p in rest.cells] == [True, False, False, False]
    assert rest.flops(rest.left) < whole.flops(whole.left)
    assert list(tmp_path.rglob("seed-1")) == []  # planning leaves no trace


def test_what_is_resumed_costs_only_its_rest(small_yaml: Path, tmp_path: Path) -> None:
    def stop(done: int, steps: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    (cell,) = cells(small_yaml, "follow", "lifelong-dpo")
    with pytest.raises(KeyboardInterrupt):
        runner.run(cell, tmp_path, progress=stop)
    (anew,) = make_plan([cell], tmp_path).cells
    (rest,) = make_plan([cell], tmp_path, resume=True).cells
    assert (anew.done, rest.done) == (0, 2)
    assert rest.part.work.passes["optimizer"] < anew.part.work.passes["optimizer"]


def test_whole_models_that_come_and_go_are_counted(tmp_path: Path) -> None:
    eras = "".join(
        f"  - {{name: e{n}, first_year: {1000 + n}, last_year: {1000 + n}, model: m{n}}}\n"
        for n in range(4)
    )
    (tmp_path / "whole.yaml").write_text(f"name: whole\nbase: base\neras:\n{eras}")
    config, _, tokenizer = without_weights(Timeline.load("tiny"))
    for name in ("base", "m0", "m1", "m2", "m3"):
        config.save_pretrained(tmp_path / name)  # without weights: nothing but this is looked at
        tokenizer.save_pretrained(tmp_path / name)
    (cell,) = cells(tmp_path / "whole.yaml", "follow", "lifelong-dpo")
    plan = make_plan([cell], tmp_path / "out")
    assert plan.cells[0].part.work.passes["model"] >= 5
    assert 2 <= plan.models < 5


class Idle(pg.Algorithm):
    """Asks one question and forgets the answer."""

    def update(self, observation: pg.Observation, human: pg.Human) -> pg.Policy:
        human.prefer(human.questions[:1])
        return self.policy


def test_an_unknown_algorithm_is_planned_like_others(
    small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._entries["algorithm"], "idle", Idle)
    (idle,) = make_plan(cells(small_yaml, "follow", "idle"), tmp_path).cells
    assert "optimizer" not in idle.part.work.passes
    assert idle.part.work.tokens["head"] > 0


def test_dry_run_prints_a_plan_and_computes_nothing(
    capsys: pytest.CaptureFixture[str], small_yaml: Path, tmp_path: Path
) -> None:
    arguments = ["run", "--models", str(small_yaml), "--algorithm", "frozen,lifelong-dpo"]
    arguments += ["--seed", "0,1", "--set", "items=2", "--set", "questions=60"]
    arguments += ["--out", str(tmp_path / "R"), "--dry-run"]
    code, text, _ = call(capsys, *arguments, "--json")
    plan = json.loads(text)
    assert code == 0
    assert not (tmp_path / "R").exists()
    assert [kind["algorithm"] for kind in plan["kinds"]] == ["frozen", "lifelong-dpo"]
    assert plan["total"]["cells"] == 4
    assert plan["total"]["hours"] > 0
    assert plan["machine"] == {
        "name": "this one", "measured": True, "memory_bytes": plan["machine"]["memory_bytes"],
        "fits": True,
    }  # fmt: skip
    for name in ("tokens", "flops", "memory_bytes", "seconds", "results_bytes", "cache_bytes"):
        assert plan["total"][name] > 0
    code, text, _ = call(capsys, *arguments)
    assert code == 0
    assert "follow lifelong-dpo" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_model_too_large_for_here_is_planned_for_a_machine_that_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    without_weights(Timeline.load("tiny"))[2].save_pretrained(tmp_path / "large")
    LlamaConfig(**LLAMA_70B).save_pretrained(tmp_path / "large")
    timeline = tmp_path / "large.yaml"
    timeline.write_text(
        "name: large\nbase: large\neras:\n"
        "  - {name: early, first_year: 1201, last_year: 1300, adapter: early}\n"
        "  - {name: late, first_year: 1301, last_year: 1400, adapter: late}\n"
    )
    command = ["run", "--models", str(timeline), "--algorithm", "frozen", "--set", "items=2"]

    def planned(machine: str) -> dict[str, Any]:
        code, text, _ = call(capsys, *command, "--dry-run", "--machine", machine, "--json")
        assert code == 0
        return json.loads(text)

    one, four = planned("h100"), planned("4xh100")
    assert one["model"]["weights"] == pytest.approx(70.6e9, rel=0.01)
    assert one["total"]["memory_bytes"] == four["total"]["memory_bytes"] > 141e9
    assert (one["machine"]["fits"], four["machine"]["fits"]) == (False, True)
    assert one["machine"]["measured"] is False
    assert any("not measured" in line for line in one["assumes"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--machine", "h100"], "--machine goes with --dry-run"),
        (["--dry-run", "--machine", "h10"], "Did you mean 'h100'?"),
        (["--dry-run", "--models", "nowhere.yaml"], "No timeline file"),
    ],
)
def test_wrong_usage_of_planning_is_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, _, errors = call(capsys, "run", "--models", "tiny", *arguments)
    assert code == 2
    assert said in errors


def test_dimensions_are_those_of_the_model(small: Timeline) -> None:
    backbone = base_policy(small).backbone
    size = Dimensions.of(backbone.model.config, backbone.shape, torch.float32)
    parts = dict(backbone.model.named_parameters())
    assert size.adapter_weights == sum(p.numel() for n, p in parts.items() if ".lora_" in n)
    assert size.weights == sum(p.numel() for n, p in parts.items() if ".lora_" not in n)
    large = Dimensions.of(LlamaConfig(**LLAMA_70B), AdapterShape(top_layers=26), torch.bfloat16)
    assert large.bytes == pytest.approx(141e9, rel=0.01)
    assert large.flops("lower") + large.flops("upper") + large.flops("head") == pytest.approx(
        2 * (large.weights - large.vocabulary * large.hidden), rel=0.01
    )


def test_speed_is_measured_once_and_told_for_all_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Timeline
) -> None:
    monkeypatch.setenv("PROGRESSGYM_CACHE", str(tmp_path))
    config, shape, _ = without_weights(small)
    speed = measured_speed(config, shape, torch.float32)
    assert measured_speed(config, shape, torch.float32) == speed
    assert len(list((cache_folder() / "calibration").glob("speed-*.json"))) == 1
    some = Work()
    for kind in ("lower", "upper", "training", "head", "head_training"):
        alone = Work()
        for work in (some, alone):
            work.note(kind, 100)  # type: ignore[arg-type]
        assert speed.seconds(alone) > 0
    assert speed.training_bytes > 0
    assert speed.seconds(some + some) == pytest.approx(2 * speed.seconds(some))
    size = Dimensions.of(config, shape, torch.float32)
    slow, fast = (told_speed(size, rate, rate) for rate in (1e9, 2e9))
    assert slow.seconds(some) == pytest.approx(2 * fast.seconds(some))
    assert set(slow.per_pass) == set(KINDS)


def test_several_processors_have_the_memory_of_all_and_the_speed_of_one() -> None:
    one, two = find_machine("a100"), find_machine("2xA100")
    assert (two.memory, two.flops) == (2 * one.memory, one.flops)
    with pytest.raises(pg.UsageError, match="Unknown machine"):
        find_machine("0xa100")
