"""Whole models: folders and hub ids, in shards, one at a time, pinned, spread and offloaded."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_models import TEXTS, TIMELINE, random_llama, two_eras, write_timeline
from transformers import AutoModelForCausalLM, AutoTokenizer

from progressgym import make, make_algorithm
from progressgym.errors import UsageError
from progressgym.models import AdapterShape, Backbone, Policy, era_policy, open_backend
from progressgym.models.load import load_model
from progressgym.pairs import Pair
from progressgym.passages import Passage
from progressgym.timeline import Timeline
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.validation import Extras, validate
from progressgym.values.measure import measure
from progressgym.values.scenarios import shipped_bank

OLD, NEW = "a" * 40, "b" * 40  # commits
PROMPTS, RESPONSES = ["it is", "it is", "to be good"], [" right", " so very wise", " is evil"]


def whole_models(folder: Path, eras: int = 4) -> Timeline:
    """A timeline whose eras are model folders of their own, each in several shards."""
    lines = ["name: whole", "base: ./base", "eras:"]
    for seed, name in enumerate(["base", *(f"era{n}" for n in range(eras))]):
        model = random_llama(folder / name, seed)
        (folder / name / "model.safetensors").unlink()
        model.save_pretrained(folder / name, max_shard_size="10KB")
        assert len(list((folder / name).glob("model-*.safetensors"))) > 2
        if name != "base":
            years = f"first_year: {1000 + seed}, last_year: {1000 + seed}"
            lines.append(f"  - {{name: {name}, {years}, model: {name}}}")
    return Timeline.load(write_timeline(folder / "whole.yaml", "\n".join(lines)))


def alive(folder: Path) -> set[str]:
    """Names of the models below a folder that are in memory."""
    gc.collect()
    backbones = [item for item in gc.get_objects() if type(item) is Backbone]
    return {Path(b.name).name for b in backbones if b.name.startswith(str(folder))}


def test_models_in_shards_are_read_as_by_transformers(tmp_path: Path) -> None:
    timeline = whole_models(tmp_path, eras=2)
    policy = era_policy(timeline, timeline.eras[1])
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "era1").eval()
    prompt, response = policy.encode_pairs(["it is"], [" right"])[0]
    with torch.no_grad():
        scores = stock(torch.tensor([[*prompt, *response]])).logits[0].log_softmax(-1)
    expected = sum(float(scores[len(prompt) - 1 + i, t]) for i, t in enumerate(response))
    assert float(policy.logprobs(["it is"], [" right"])) == pytest.approx(expected, abs=1e-4)


def test_evaluating_many_whole_models_holds_one_at_a_time(tmp_path: Path) -> None:
    timeline, backend = whole_models(tmp_path), open_backend(None)
    bank = shipped_bank().split("probe").first(1)
    for era in timeline.eras:
        measure(backend.named(era.name, timeline), bank)
        assert alive(tmp_path) == {era.name}  # and not the base, which nobody asked for
    assert float(era_policy(timeline, timeline.eras[0]).base.logprobs(["it"], [" is"])) < 0


def test_validating_many_whole_models_holds_one_and_the_base(tmp_path: Path) -> None:
    timeline, held = whole_models(tmp_path), []
    texts = [Passage("era0", "one", 1001, "it is right to be good. " * 100)]
    extras = Extras(held_out={era.name: texts for era in timeline.eras}, questions=True)
    bank = shipped_bank().split("probe").first(1)
    found = validate(timeline, bank, extras, progress=lambda *told: held.append(alive(tmp_path)))
    assert len(held) == 4 * len(timeline.eras)
    assert all(len(names - {"base"}) <= 1 for names in held)
    assert found.perplexity is not None
    assert np.shape(found.perplexity.matrix) == (4, 4)
    assert len(np.unique(found.perplexity.matrix)) == 4  # models differ, texts are the same


def test_a_run_over_whole_models_holds_no_more_than_it_uses(tmp_path: Path) -> None:
    whole_models(tmp_path, eras=5)
    env = make("follow", models=str(tmp_path / "whole.yaml"), items=2, questions=8)
    algorithm = make_algorithm("lifelong-dpo")
    observation, _ = env.reset(seed=0)
    algorithm.reset(env.initial_policy(), seed=0)
    while not env.done:
        era = env.human.era
        policy = algorithm.update(observation, env.human)
        assert alive(tmp_path) <= {"base", "era0", era}
        observation, *_ = env.step(policy)
    result = env.result()
    assert len(alive(tmp_path)) <= 3  # the manifest's hashes load no weights
    assert len(set(result.manifest["humans_sha256"].values())) == 5


# The hub ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the hub's client leaves behind: two models, one of them at two commits."""
    cache = tmp_path_factory.mktemp("hub")
    for seed, (name, commit) in enumerate([("one", OLD), ("one", NEW), ("two", OLD)]):
        folder = cache / f"models--acme--{name}"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / "main").write_text(commit)
        random_llama(folder / "snapshots" / commit, seed)
    return cache


def in_hub(hub: Path, cache: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """The command line, with this hub and no network."""
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(hub),
        "HF_HUB_OFFLINE": "1",
        "PROGRESSGYM_CACHE": str(cache),
    }
    command = (sys.executable, "-m", "progressgym", *command)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def hub_run(hub: Path, folder: Path, first: str, loading: str = "") -> dict:
    text = two_eras(f", model: {first}", ", model: acme/two", base="acme/two") + loading
    path = write_timeline(folder / "hub.yaml", text)
    command = ["run", "--algorithm", "frozen", "--models", str(path), "--out", str(folder / "out")]
    done = in_hub(hub, folder / "cache", *command, "--set", "items=2", "--set", "questions=4")
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out/follow/frozen/seed-0/result.json").read_text())


def test_a_result_records_the_commits_of_hub_models(hub: Path, tmp_path: Path) -> None:
    result = hub_run(hub, tmp_path, "acme/one")
    assert result["manifest"]["revisions"] == {
        "base": f"acme/two@{OLD}",
        "old": f"acme/one@{NEW}",
        "new": f"acme/two@{OLD}",
    }


@pytest.mark.parametrize(
    ("model", "loading"),
    [(f"acme/one@{OLD}", ""), ("acme/one", f"loading: {{revision: {OLD}}}\n")],
    ids=["of the model", "of all"],
)
def test_a_pinned_commit_is_what_is_loaded(
    hub: Path, tmp_path: Path, model: str, loading: str
) -> None:
    result = hub_run(hub, tmp_path, model, loading)
    assert result["manifest"]["revisions"]["old"] == f"acme/one@{OLD}"
    folder = hub / "models--acme--one" / "snapshots" / OLD
    expected = measure(load_model(str(folder), TIMELINE), shipped_bank().split("probe").first(2))
    np.testing.assert_allclose(result["initial_items"], expected.items, atol=1e-5)


def test_a_hub_id_that_is_not_there_is_named(hub: Path, tmp_path: Path) -> None:
    done = in_hub(hub, tmp_path, "evaluate", "acme/three", "--models", "tiny")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Cannot load a language model from 'acme/three'" in done.stderr
    assert "Traceback" not in done.stderr


# Code that a model brings -----------------------------------------------------------------------


def model_with_code(folder: Path) -> Path:
    """A model whose folder brings Python code, which leaves a trace when it is run."""
    random_llama(folder, 0)
    trace = folder / "trace"
    (folder / "configuration_own.py").write_text(
        f"import pathlib\npathlib.Path({str(trace)!r}).touch()\n"
        "from transformers import LlamaConfig\n\n\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
    )
    (folder / "modeling_own.py").write_text(
        "from transformers import LlamaForCausalLM\n"
        "from .configuration_own import OwnConfig\n\n\n"
        "class OwnForCausalLM(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["model_type"] = "own"
    config["auto_map"] = {
        "AutoConfig": "configuration_own.OwnConfig",
        "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
    }
    path.write_text(json.dumps(config))
    return trace


def test_code_that_a_model_brings_runs_only_where_the_timeline_says_so(tmp_path: Path) -> None:
    trace = model_with_code(tmp_path / "own")
    text = two_eras(", model: own", ", model: own", base="./own")
    careful = Timeline.load(write_timeline(tmp_path / "careful.yaml", text))
    with pytest.raises(UsageError, match="trust_remote_code: true"):
        era_policy(careful, careful.eras[0])
    assert not trace.exists()
    text += "loading: {trust_remote_code: true}\n"
    trusting = Timeline.load(write_timeline(tmp_path / "trusting.yaml", text))
    assert era_policy(trusting, trusting.eras[0]).logprobs(["it is"], [" right"]) < 0
    assert trace.exists()


def test_no_shipped_timeline_runs_code_of_models() -> None:
    for name in ("histllama3-8b", "histllama3-70b", "smollm2", "tiny"):
        timeline = Timeline.load(name)
        assert timeline.loading.trust_remote_code is False
        # What says nothing is no part of the hash: results of earlier versions keep theirs.
        assert "trust_remote_code" not in timeline.model_dump_json()


# Spread and offloaded ---------------------------------------------------------------------------

PLACES = {
    "upper half on disk": ["cpu", "cpu", "disk", "disk", "disk"],
    "lower layers on disk": ["cpu", "disk", "cpu", "cpu", "cpu"],
}


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_a_model_that_is_offloaded_is_read_as_a_whole_one(
    tmp_path: Path, places: list[str]
) -> None:
    """By accelerate's hooks, as where a model is larger than the GPUs (`device_map: auto`)."""
    random_llama(tmp_path / "model", 0).save_pretrained(tmp_path / "model", max_shard_size="10KB")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    parts = [f"model.layers.{n}" for n in range(3)]
    spread = dict(zip([*parts, "model.norm", "lm_head"], places, strict=True))
    spread |= {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu"}
    policies = []
    for number, device_map in enumerate((None, spread)):
        model = AutoModelForCausalLM.from_pretrained(
            tmp_path / "model",
            device_map=device_map,
            offload_folder=str(tmp_path / "offloaded"),
            attn_implementation="sdpa",
        )
        assert any(p.is_meta for p in model.parameters()) == bool(device_map)
        shape = AdapterShape(rank=4, alpha=8, top_layers=1)
        backbone = Backbone(model, tokenizer, "model", f"{tmp_path}-{number}", shape)
        policies.append(Policy(backbone, backbone.fresh_weights(seed=1)))
    for name, tensor in policies[0].weights.items():
        if "lora_B" in name:
            tensor += 0.1 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0))
            policies[1].weights[name].copy_(tensor)
    whole, offloaded = policies
    assert whole.logprobs(PROMPTS, RESPONSES).isfinite().all()
    torch.testing.assert_close(
        offloaded.logprobs(PROMPTS, RESPONSES), whole.logprobs(PROMPTS, RESPONSES),
        atol=1e-5, rtol=1e-5,
    )  # fmt: skip
    torch.testing.assert_close(
        offloaded.next_token_logits(TEXTS, [5, 9]), whole.next_token_logits(TEXTS, [5, 9]),
        atol=1e-5, rtol=1e-5,
    )  # fmt: skip
    assert offloaded.generate(TEXTS, 5) == whole.generate(TEXTS, 5)
    asked = [Pair("it is", " right", " wrong", preference=0.9)]
    before = offloaded.margins(asked)
    train_dpo(offloaded, offloaded.base, asked * 4, DPOSettings(epochs=3))
    assert offloaded.margins(asked) > before
