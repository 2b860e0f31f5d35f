"""The command line, as people and scripts use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from progressgym.cli import main
from progressgym.results import RunResult
from progressgym.values.dimensions import DIMENSIONS
from progressgym.values.scenarios import shipped_bank


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_list_json_keeps_its_contract(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "list", "--json")
    listing = json.loads(out)
    assert code == 0
    names = [c["name"] for c in listing["challenges"]]
    assert names == ["coevolve", "follow", "predict"]
    algorithms = {a["name"]: a for a in listing["algorithms"]}
    assert {"frozen", "oracle", "random", "lifelong-dpo"} <= set(algorithms)
    assert "beta" in [p["name"] for p in algorithms["lifelong-dpo"]["parameters"]]
    assert algorithms["oracle"]["cheats"] is True
    assert [era["name"] for era in listing["eras"]] == [f"C{c:03d}" for c in range(13, 22)]
    assert [preset["name"] for preset in listing["presets"]] == ["quick", "standard", "full"]


def test_run_then_report_then_run_again(
    capsys: pytest.CaptureFixture[str], small_yaml: Path, tmp_path: Path
) -> None:
    out = tmp_path / "R"
    arguments = ["run", "--algorithm", "frozen,oracle", "--models", str(small_yaml)]
    arguments += ["--set", "items=20", "--out", str(out), "--json"]
    code, text, _ = call(capsys, *arguments)
    first = json.loads(text)
    assert code == 0
    assert [r["scores"]["skill"]["value"] for r in first["results"]] == [0, 1]
    stored = json.loads((out / "follow/oracle/seed-0/result.json").read_text())
    assert {"value", "low", "high"} <= set(stored["scores"]["skill"])
    assert isinstance(stored["scores"]["upstream"], float)
    assert json.loads(call(capsys, *arguments)[1]) == first
    code, text, _ = call(capsys, "report", str(out), "--json")
    assert code == 0
    assert Path(json.loads(text)["report"]).read_text().startswith("<!")


def test_results_fit_into_80_columns_by_challenge_with_names_in_full(
    capsys: pytest.CaptureFixture[str], small_yaml: Path, tmp_path: Path
) -> None:
    from progressgym.cli.grid import _print_results
    from progressgym.values.scores import Interval

    out = str(tmp_path)
    run = ["run", "--challenge", "follow,predict", "--models", str(small_yaml), "--out", out]
    call(capsys, *run, "--algorithm", "frozen", "--set", "items=4")
    results = []
    for path in sorted(tmp_path.rglob("result.json")):
        result = RunResult.load(path)
        spec = result.spec.model_copy(update={"algorithm": "extrapolative-rlhf-independent"})
        assert result.scores
        skill = Interval(value=-0.81, low=-1.18, high=-0.8)
        scores = result.scores.model_copy(update={"skill": skill, "gain": skill})
        long = {"spec": spec, "scores": scores}
        results += [result, result.model_copy(update=long)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        _print_results(results)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[:9] for line in lines if "skill 0" in line] == ["follow: s", "predict: "]
    rows = [line.split() for line in lines if "extrapolative" in line]
    assert [row[:5] for row in rows] == [
        ["extrapolative-rlhf-independent", "0", "-0.81", "[-1.18,", "-0.80]"]
    ] * 2


def test_report_ranks_and_results_go_to_the_prior_systems_format_and_back(
    small_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = str(tmp_path / "runs"), str(tmp_path / "[red]up[/].json")
    run = ["run", "--challenge", "follow,predict,coevolve", "--algorithm", "frozen,oracle"]
    run += ["--models", str(small_yaml), "--set", "questions=24", "--out", out]
    assert call(capsys, *run, "--set", "human_questions=24")[0] == 0
    code, text, _ = call(capsys, "report", out, "--json")
    compared = json.loads(text)["comparisons"]
    assert code == 0
    assert set(compared) == {"follow", "predict", "coevolve"}
    ranks = {s["label"]: s["rank"] for s in compared["follow"]["standings"]}
    assert ranks == {"oracle": None, "frozen": 1}
    assert "rank" in call(capsys, "report", out)[1]
    assert json.loads(call(capsys, "export", out, "--to", file, "--json")[1])["results"] == 6
    assert file in call(capsys, "export", out, "--to", file)[1]  # as it is, in one piece
    code, text, _ = call(capsys, "import", file, "--json")
    scores = {(r["algorithm"], r["challenge"]): r["score"] for r in json.loads(text)["results"]}
    assert code == 0
    assert scores["Oracle", "Follow"] == pytest.approx(1)
    assert scores["Frozen", "Follow"] < 1
    assert "LifelongDPO" not in call(capsys, "import", file)[1]
    code, _, err = call(capsys, "import", str(tmp_path))
    assert code == 2
    assert "Cannot read" in err


def test_evaluate_prints_values_with_intervals(
    capsys: pytest.CaptureFixture[str], small_yaml: Path
) -> None:
    arguments = ["evaluate", "early,base", "--models", str(small_yaml), "--json"]
    code, out, _ = call(capsys, *arguments)
    measured = json.loads(out)
    assert code == 0
    assert list(measured) == ["early", "base"]
    values = measured["early"]["values"]
    assert len(values) == 19
    assert all(v["low"] <= v["value"] <= v["high"] for v in values.values())


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["run", "--algorithm", "lifelong-dop"], "Did you mean 'lifelong-dpo'"),
        (["run", "--challenge", "folow"], "Did you mean 'follow'"),
        (["run", "--preset", "large"], "'quick', 'standard' or 'full'"),
        (["run", "--models", "smolm2"], "Did you mean 'smollm2'"),
        (["run", "--models", "missing.yaml"], "No timeline file"),
        (["run", "--seed", "zero"], "whole numbers"),
        (["run", "--set", "beta"], "NAME=VALUE"),
        (["run", "--set", "beta=much"], "valid number"),
        (["run", "--set", "betta=1"], "Did you mean 'beta'"),
        (["run", "--scenarios", "missing.jsonl"], "No scenario file"),
        (["evaluate", "C0133"], "Did you mean 'C013'"),
        (["report", "nowhere"], "No such folder"),
        (["eras", "train", "nowhere", "--out", "x"], "No such folder"),
        (["walk"], "No such command"),
        (["run", "--sed", "1"], "No such option"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, errors = call(capsys, *arguments)
    assert code == 2
    assert hint in " ".join(errors.split())
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [["list"], ["run"], ["evaluate"], ["report"]]
    commands += [["eras", name] for name in ("list", "train", "perplexity")]
    for command in commands:
        code, out, _ = call(capsys, *command, "--help")
        assert code == 0
        assert "Example: progressgym" in " ".join(out.split())


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, progressgym.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_eras_of_a_timeline_are_told_apart_with_evidence(
    capsys: pytest.CaptureFixture[str], small_yaml: Path, small_texts: Path, tmp_path: Path
) -> None:
    arguments = ["eras", "validate", "--models", str(small_yaml), "--items", "4"]
    code, text, errors = call(capsys, *arguments, "--replicas", str(small_yaml), "--json")
    assert code == 0, errors
    found = json.loads(text)
    assert found["eras"] == ["early", "middle", "late"]
    assert list(found["dimensions"]) == list(DIMENSIONS)
    assert found["replicas"]["recognised"] == found["eras"]  # each is its own replica
    assert [row[i] for i, row in enumerate(found["replicas"]["distance"])] == [0, 0, 0]
    assert found["telling"] == [
        name for name, known in found["dimensions"].items() if known["signal_to_noise"] > 2
    ]
    assert set(found["quality"]["eras"]) == set(found["eras"])
    assert len(found["answers"]) == 10
    assert {move["id"] for move in found["moves"]} == {
        scenario.id for scenario in shipped_bank().split("probe").first(4)
    }
    shares = found["facets"]
    parts = [shares[name] for name in ("era", "scenario", "frame", "pair", "rest")]
    assert sum(parts) == pytest.approx(1)
    page = tmp_path / "validation.html"
    texts = ["--texts", str(small_texts)]
    code, text, errors = call(capsys, *arguments, *texts, "--no-ask", "--to", str(page))
    assert code == 0, errors
    assert "Independent directions" in text
    assert "Best on its own held-out texts" in text
    written = page.read_text(encoding="utf-8")
    assert "<title>Validation of small</title>" in written
    assert "What moved most" in written
    assert "Held-out perplexity" in written
    assert "Ten questions" not in written
    code, _, errors = call(capsys, *arguments, "--replicas", "tiny")
    assert code == 1
    assert "other eras" in errors


def test_eras_that_are_all_alike_are_said_to_be(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    alike = tmp_path / "alike.yaml"
    eras = [
        f"  - {{name: e{n}, first_year: {n}, last_year: {n}, adapter: 'tiny:0'}}" for n in (1, 2)
    ]
    alike.write_text("\n".join(["name: alike", "base: tiny", "eras:", *eras]))
    arguments = ["--models", str(alike), "--items", "4", "--to", str(tmp_path / "page.html")]
    code, text, errors = call(capsys, "eras", "validate", *arguments)
    assert code == 0, errors
    assert "Reliability of differences between eras: 0.00" in text
    assert "nan" not in text


def test_train_and_perplexity_on_a_small_catalogue(
    capsys: pytest.CaptureFixture[str], small_yaml: Path, small_texts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "adapters"
    train = ["eras", "train", str(small_texts), "--out", str(out), "--models", str(small_yaml)]
    train += ["--tokens", "2048", "--json"]
    code, _, errors = call(capsys, *train)
    assert code == 0, errors
    manifest = json.loads((out / "early/manifest.json").read_text())
    assert manifest["era"] == "early"
    adapter = (out / "early/adapter_model.safetensors").read_bytes()
    assert call(capsys, *train)[0] == 0
    assert (out / "early/adapter_model.safetensors").read_bytes() == adapter
    arguments = ["eras", "perplexity", str(small_texts), "--models", str(small_yaml), "--json"]
    code, text, errors = call(capsys, *arguments, "--tokens", "512")
    assert code == 0, errors
    table = json.loads(text)
    assert table["eras"] == ["early", "middle", "late"]
    assert len(table["matrix"]) == 3
    assert all(len(row) == 3 and min(row) > 1 for row in table["matrix"])


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("KeyError('era')", "This is a bug: KeyError: 'era'"),
        ("MemoryError()", "Out of memory"),
        ("RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')", "Out of memory"),
        ("OSError('the disk is full')", "the disk is full"),
        ("NotImplementedError()", "This is a bug: NotImplementedError"),
    ],
)
def test_what_nobody_foresaw_is_told_in_a_line_and_its_traceback_kept(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: str,
    said: str,
) -> None:
    monkeypatch.setenv("PROGRESSGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "raising_command", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "raising_command.py").write_text(
        f"import typer\napp = typer.Typer()\n@app.command()\ndef fail():\n    raise {raised}\n"
    )
    described = tmp_path / "raising-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: raising\nVersion: 1\n")
    (described / "entry_points.txt").write_text(
        "[progressgym.commands]\nfail = raising_command:app\n"
    )
    code, _, errors = call(capsys, "fail")
    assert code == 1
    assert said in errors
    assert len(errors.splitlines()) == 1
    log = tmp_path / "cache/error.txt"
    assert log.exists() == ("This is a bug" in said)
    assert not log.exists() or f"raise {raised}" in log.read_text()
