"""Several processes train one adapter: two of them here, on CPUs, by `accelerate launch` (DDP)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from test_models import random_llama, two_eras, write_timeline

from progressgym.models import era_policy
from progressgym.timeline import Timeline

RUN = ["run", "--algorithm", "lifelong-dpo"]
CONFIGURATIONS = Path(__file__).parents[1] / "progressgym" / "training" / "accelerate"


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", *command], env=own, capture_output=True, text=True, check=False
    )


def test_two_processes_train_the_adapter_that_one_does(small_texts: Path, tmp_path: Path) -> None:
    random_llama(tmp_path / "base", 0, hidden=32)
    text = two_eras(", adapter: two/old", ", adapter: two/new", base="./base")
    path = write_timeline(
        tmp_path / "two.yaml", text.replace("1801", "1201").replace("1900", "1300")
    )
    train = ["progressgym", "eras", "train", str(small_texts), "--models", str(path)]
    train += ["--eras", "old", "--tokens", "8192", "--json"]
    alone = run(*train, "--out", str(tmp_path / "one"))
    assert alone.returncode == 0, alone.stderr
    launch = ["accelerate.commands.launch", "--config_file", str(CONFIGURATIONS / "ddp.yaml")]
    launch += ["--main_process_port", "0", "-m"]
    together = run(*launch, *train, "--out", str(tmp_path / "two"))
    assert together.returncode == 0, together.stderr
    assert json.loads(together.stdout) == {"adapters": {"old": str(tmp_path / "two" / "old")}}
    one, two = (
        load_file(tmp_path / name / "old" / "adapter_model.safetensors") for name in ("one", "two")
    )
    assert max(tensor.abs().max() for name, tensor in two.items() if "lora_B" in name) > 1e-4
    torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-2)
    manifests = [(tmp_path / n / "old" / "manifest.json").read_text() for n in ("one", "two")]
    assert manifests[0] == manifests[1]
    timeline = Timeline.load(path)
    trained = era_policy(timeline, timeline.eras[0])  # what several wrote, one reads
    assert float(trained.logprobs(["it is"], [" so"])) != float(
        trained.base.logprobs(["it is"], [" so"])
    )


def test_a_killed_training_goes_on_from_its_last_checkpoint(
    small_texts: Path, tmp_path: Path
) -> None:
    random_llama(tmp_path / "base", 0, hidden=32)
    text = two_eras(", adapter: two/old", ", adapter: two/new", base="./base")
    path = write_timeline(
        tmp_path / "two.yaml", text.replace("1801", "1201").replace("1900", "1300")
    )
    command = ["accelerate.commands.launch", "--config_file", str(CONFIGURATIONS / "ddp.yaml")]
    command += ["--main_process_port", "0", "-m"]
    command += ["progressgym", "eras", "train", str(small_texts), "--models", str(path)]
    command += ["--eras", "old", "--tokens", str(2048 * 120), "--json", "--out"]
    whole = run(*command, str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    out = tmp_path / "killed"
    killed = subprocess.Popen(
        [sys.executable, "-m", *command, str(out)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 300
        while not list(out.glob("old.training-*/checkpoint-50/complete.json")):
            assert killed.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        for process in [killed, *psutil.Process(killed.pid).children(recursive=True)]:
            process.kill()
        killed.wait()
    assert not (out / "old").exists()
    (checkpoint,) = (folder for folder in out.glob("old.training-*/checkpoint-*"))
    assert checkpoint.name == "checkpoint-50"
    again = run(*command, str(out))
    assert again.returncode == 0, again.stderr
    name = "old/adapter_model.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(out.glob("old.training-*"))


@pytest.mark.parametrize(
    ("command", "processes", "problem"),
    [
        ([*RUN, "--set", "items=2", "--set", "questions=4"], "2", "trains in one process"),
        (["eras", "train", "{texts}", "--tokens", "2048"], "2", "tiny is neither"),
        (["eras", "train", "{texts}", "--tokens", "2048"], "3", "cannot share batches of 8"),
    ],
)
def test_what_several_processes_cannot_do_is_said(
    tmp_path: Path,
    small_yaml: Path,
    small_texts: Path,
    command: list[str],
    processes: str,
    problem: str,
) -> None:
    command = [part.format(texts=small_texts) for part in command]
    out = ["--out", str(tmp_path / "out"), "--models", str(small_yaml)]
    done = run("progressgym", *command, *out, WORLD_SIZE=processes)
    assert done.returncode == 2, done.stderr
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_configurations_are_shipped_and_read_by_accelerate() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    kinds = {p.stem: load_config_from_file(str(p)) for p in CONFIGURATIONS.glob("*.yaml")}
    assert {name: str(c.distributed_type.value) for name, c in kinds.items()} == {
        "ddp": "MULTI_GPU",
        "fsdp": "FSDP",
    }
    assert kinds["fsdp"].fsdp_config["fsdp_version"] == 2
