"""Models that run elsewhere: the same log-probabilities, whatever happens on the way.

The server is `completions_server.py`, a process of its own; where the command `vllm` is on the
path, vLLM's own is tried as well (`VLLM_TARGET_DEVICE=cpu` without a GPU).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from urllib3 import Retry, Timeout

from progressgym import make, make_algorithm, play
from progressgym.cli import main
from progressgym.errors import ProgressGymError, UsageError
from progressgym.models import Backend, LanguageModel, open_backend
from progressgym.models.backend import OpenAIServers
from progressgym.models.fetch import fetch_smollm2
from progressgym.models.served import ServedModel, ServerReader
from progressgym.models.server import PATIENT, Server
from progressgym.models.vllm_engine import Engine, VllmReader
from progressgym.timeline import Timeline
from progressgym.values.instruments import questions, read_items
from progressgym.values.measure import measure
from progressgym.values.scenarios import shipped_bank

HASTY = Retry(total=6, allowed_methods=None, backoff_factor=0.01, backoff_jitter=0.01)
BRIEF = Timeout(connect=1, read=1)
SMALL = {"eras": 3, "items": 2, "questions": 24, "preset": "quick"}


@dataclass
class Running:
    """A server's address, and its manners."""

    root: str
    pool: urllib3.PoolManager = field(default_factory=urllib3.PoolManager)

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def behave(self, **manners: Any) -> None:
        self.pool.request("POST", f"{self.root}/test", body=json.dumps(manners))

    def seen(self) -> dict[str, Any]:
        return self.pool.request("GET", f"{self.root}/test").json()


@pytest.fixture(scope="module")
def process(small_yaml: Path) -> Iterator[Running]:
    script = Path(__file__).with_name("completions_server.py")
    command = [sys.executable, str(script), str(small_yaml)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        yield Running(f"http://127.0.0.1:{int(server.stdout.readline())}")
        server.kill()


@pytest.fixture
def server(process: Running) -> Running:
    process.behave()
    return process


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def hasty(server: Running, timeline: Timeline, name: str) -> ServedModel:
    """A model of the server, by a client that does not wait long."""
    here = open_backend(None).named(name, timeline)
    called = timeline.base if name == "base" else name
    reader = ServerReader(Server(server.url, HASTY, BRIEF), called)
    return ServedModel(name, here.tokenizer, reader)


def both(server: Running, timeline: Timeline, name: str) -> tuple[LanguageModel, LanguageModel]:
    there = open_backend(f"openai:{server.url}")
    return there.named(name, timeline), open_backend(None).named(name, timeline)


# The same numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gathers"), [("base", True), ("late", True), ("late", False), ("early", "refuses")]
)
def test_statements_and_dilemmas_are_read_as_here(
    server: Running, small: Timeline, name: str, gathers: bool | str
) -> None:
    server.behave(gathers=gathers)
    there, here = both(server, small, name)
    for instrument in ("statement", "dilemma"):
        bank = shipped_bank(instrument).split("probe").first(1)
        np.testing.assert_allclose(read_items(there, bank), read_items(here, bank), atol=1e-4)
    assert server.seen()["rows"] > len(shipped_bank("statement").split("probe").first(1))


def test_a_row_reads_all_words_where_the_server_can(server: Running, small: Timeline) -> None:
    bank, rows = shipped_bank("statement").split("probe").first(1), []
    for gathers in (True, False):
        server.behave(gathers=gathers)
        read_items(both(server, small, "late")[0], bank)
        rows.append(server.seen()["rows"])
    assert rows[1] > 10 * rows[0]


def test_margins_are_those_of_here_for_words_and_for_sentences(
    server: Running, small: Timeline
) -> None:
    there, here = both(server, small, "middle")
    for instrument in ("statement", "dilemma"):
        asked = questions(shipped_bank(instrument).split("query"))[:30]
        np.testing.assert_allclose(there.margins(asked), here.margins(asked), atol=1e-4)
        np.testing.assert_allclose(there.base.margins(asked), here.base.margins(asked), atol=1e-4)


def test_many_rows_come_back_in_their_order(server: Running, small: Timeline) -> None:
    there, here = both(server, small, "late")
    encoded = [([2, 3 + n % 7], [5 + n % 11] * (1 + n % 3)) for n in range(300)]
    expected = here.encoded_logprobs(encoded)
    assert there.encoded_logprobs(encoded).sub(expected).abs().max() < 1e-4
    assert 1 < server.seen()["most_together"] <= 8


def test_fingerprints_tell_models_apart_and_do_not_change(server: Running, small: Timeline) -> None:
    prints = [both(server, small, name)[0].fingerprint for name in ("early", "late", "late")]
    assert prints[0] != prints[1] == prints[2]


def test_another_model_under_the_same_name_is_measured_anew(
    server: Running, small: Timeline
) -> None:
    bank = shipped_bank("statement").split("probe").first(1)
    reader = ServerReader(Server(server.url), "early")
    tokenizer = open_backend(None).named("early", small).tokenizer
    first = measure(ServedModel("human", tokenizer, reader), bank)
    reader = ServerReader(Server(server.url), "late")
    second = measure(ServedModel("human", tokenizer, reader), bank)
    assert np.abs(first.items - second.items).max() > 0.1


# A bad hour -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["500", "502", "503", "garbage", "list", "cut", "close", "hang"])
def test_a_request_that_fails_is_repeated(server: Running, small: Timeline, fault: str) -> None:
    there = hasty(server, small, "late")
    expected = there.logprobs(["it is", "it is"], [" right", " so very wise"])
    server.behave(faults=[fault, fault])
    assert there.logprobs(["it is", "it is"], [" right", " so very wise"]).equal(expected)
    assert server.seen()["requests"] == 3


def test_a_server_says_when_to_come_back(server: Running, small: Timeline) -> None:
    server.behave(faults=["429"])
    begun = time.monotonic()
    hasty(server, small, "late").logprobs(["it is"], [" right"])
    assert time.monotonic() - begun >= 1  # Retry-After, though backoff would take no time at all
    assert server.seen()["requests"] == 2


def test_waiting_times_grow_and_differ() -> None:
    retry, waits = PATIENT, []
    for _ in range(8):
        retry = retry.increment("POST", "http://x/v1")
        waits.append(retry.get_backoff_time())
    assert waits[0] == 0
    assert all(2**n <= wait <= 2**n + 1 for n, wait in enumerate(waits[1:6], start=1))
    assert max(waits) <= 60
    assert len({PATIENT.increment().increment().get_backoff_time() for _ in range(5)}) > 1


def test_giving_up_says_where_how_often_and_what_to_do(server: Running, small: Timeline) -> None:
    server.behave(faults=["503"] * 50)
    with pytest.raises(ProgressGymError) as error:
        hasty(server, small, "late").logprobs(["it is"], [" right"])
    for part in (f"{server.url}/completions", "7 tries", "503", "on purpose", "--resume"):
        assert part in str(error.value)
    assert not isinstance(error.value, UsageError)
    assert server.seen()["requests"] == 7


def test_one_request_that_fails_for_good_ends_all_others(server: Running, small: Timeline) -> None:
    server.behave(faults=["503"] * 10_000)
    encoded = [([2, 3], [n % 500 + 1, 4]) for n in range(64 * 100)]
    with pytest.raises(ProgressGymError):
        hasty(server, small, "late").encoded_logprobs(encoded)
    assert server.seen()["requests"] < 7 * 30


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ProgressGymError, match="refused"):
        Server(url, HASTY, BRIEF).ask("GET", "/models")


# What cannot work -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manners", "problem"),
    [
        ({"silent": True}, "gives no log-probabilities for late"),
        ({"adds": [1]}, "does not take token ids as they are"),
        ({"key": "secret"}, "wants a key, and PROGRESSGYM_API_KEY is not set"),
        ({"faults": ["400"]}, "refuses the request: 400 Bad Request on purpose"),
    ],
)
def test_what_cannot_work_is_said_at_once(
    server: Running, small: Timeline, manners: dict[str, Any], problem: str
) -> None:
    server.behave(**manners)
    with pytest.raises(UsageError, match=problem):
        hasty(server, small, "late").logprobs(["it is"], [" very right"])
    assert server.seen()["requests"] == 1


def test_a_model_that_no_server_has_is_named_with_those_that_it_has(
    server: Running, small: Timeline
) -> None:
    other = Timeline.load("tiny")
    with pytest.raises(UsageError, match=r"No server has a model called C013 .*early, middle"):
        open_backend(f"openai:{server.url}").named("C013", other)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("openai", "needs an address"),
        ("openai:", "needs an address"),
        ("openai:localhost:8000", "is no address of a server"),
        ("openai:http://user:secret@localhost/v1", "PROGRESSGYM_API_KEY"),
        ("vlm", "Did you mean 'vllm'"),
        ("local:here", "Unknown backend"),
    ],
)
def test_backends_are_checked(name: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as error:
        open_backend(name)
    assert "secret" not in str(error.value)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_vllm_that_is_missing_is_named(small: Timeline) -> None:
    with pytest.raises(UsageError, match=r"pip install 'progressgym\[vllm\]'"):
        VllmReader(Engine("x", None, "auto", False, False))
    with pytest.raises(UsageError, match="tiny has neither"):
        open_backend("vllm").named("early", small)


# Runs -----------------------------------------------------------------------------------------


def run_with(backend: str | None, yaml: Path, **changes: Any) -> Any:
    env = make("follow", models=str(yaml), backend=backend, **{**SMALL, **changes})
    return play(env, make_algorithm("lifelong-dpo"), seed=1).result("lifelong-dpo")


def test_a_run_whose_humans_are_served_ends_as_one_with_humans_here(
    server: Running, small_yaml: Path
) -> None:
    here = run_with(None, small_yaml, answers="graded")
    there = run_with(f"openai:{server.url}", small_yaml, answers="graded")
    first = np.array(here.initial_items)
    for one, other in zip(here.steps, there.steps, strict=True):
        np.testing.assert_allclose(one.target_items, other.target_items, atol=1e-4)
        # AdamW makes more of the last digits where little is to be learnt, as in the first era.
        apart = np.abs(np.subtract(one.policy_items, other.policy_items)).mean()
        assert apart < 0.1 * max(np.abs(first - s.target_items).mean() for s in here.steps)


def test_a_result_says_who_answered_and_not_where(
    server: Running, small_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGRESSGYM_API_KEY", "a-secret-key")
    server.behave(key="a-secret-key")
    result = run_with(f"openai:{server.url}", small_yaml, questions=4)
    assert server.seen()["authorization"] == "Bearer a-secret-key"
    assert result.spec.settings["backend"] == "openai"
    assert result.manifest["backend"] == {
        "name": "openai",
        "models": {"base": "tiny", "early": "early", "middle": "middle", "late": "late"},
    }
    text = result.model_dump_json()
    assert "a-secret-key" not in text
    assert "127.0.0.1" not in text
    assert (
        result.manifest["base_sha256"]
        == run_with(None, small_yaml, questions=4).manifest["base_sha256"]
    )


def test_coevolve_and_predict_read_their_humans_there(server: Running, small_yaml: Path) -> None:
    for challenge in ("predict", "coevolve"):
        results = []
        for backend in (None, f"openai:{server.url}"):
            env = make(challenge, models=str(small_yaml), backend=backend, **SMALL)
            results.append(play(env, make_algorithm("frozen"), seed=1).result("frozen"))
        for one, other in zip(results[0].steps, results[1].steps, strict=True):
            np.testing.assert_allclose(one.target_items, other.target_items, atol=1e-4)
            np.testing.assert_allclose(one.human_items, other.human_items, atol=1e-2)
    assert server.seen()["rows"] > 0


def test_who_copies_a_human_needs_it_here(server: Running, small_yaml: Path) -> None:
    env = make("follow", models=str(small_yaml), backend=f"openai:{server.url}", **SMALL)
    with pytest.raises(UsageError, match="can only be read"):
        play(env, make_algorithm("oracle"), seed=0)


def test_evaluate_reads_a_server(
    server: Running, small_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank = tmp_path / "bank.jsonl"
    few = shipped_bank("statement").split("probe").first(1)
    bank.write_text("\n".join(scenario.model_dump_json() for scenario in few))
    command = ["evaluate", "early,late,base", "--models", str(small_yaml), "--json"]
    command += ["--scenarios", str(bank)]
    here = call(capsys, *command)
    there = call(capsys, *command, "--backend", f"openai:{server.url}")
    assert there[0] == 0, there
    one, other = json.loads(here[1]), json.loads(there[1])
    for name in ("early", "late", "base"):
        for dimension, found in one[name]["values"].items():
            assert other[name]["values"][dimension]["value"] == pytest.approx(
                found["value"], abs=1e-4
            )


def test_the_command_line_says_what_is_wrong_with_a_server(
    server: Running, small_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--models", str(small_yaml), "--backend"]
    code, out, err = call(capsys, "evaluate", "early", *models, "openai:x")
    assert (code, out) == (2, "")
    assert "no address of a server" in err
    server.behave(silent=True)
    code, _, err = call(
        capsys, "run", "--algorithm", "frozen", *models, f"openai:{server.url}",
        "--set", "questions=4", "--set", "items=2", "--out", str(tmp_path),
    )  # fmt: skip
    assert (code, err.count("\n")) == (2, 1)
    assert "gives no log-probabilities" in err


# vLLM itself ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vllm_server() -> Iterator[str]:
    program = shutil.which("vllm")
    if program is None:
        pytest.skip("the command vllm is not on the path")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PROGRESSGYM_CACHE", raising=False)
        folder = fetch_smollm2()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "serve", str(folder), "--served-model-name", "smollm2"]
    command += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "1024"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}) as server:
        url = f"http://127.0.0.1:{port}/v1"
        patient = Retry(total=60, allowed_methods=None, backoff_factor=5, backoff_max=5)
        Server(url, patient).ask("GET", "/models")
        yield url
        server.terminate()


@pytest.mark.real
def test_vllm_gives_the_log_probabilities_of_here(
    vllm_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROGRESSGYM_CACHE", raising=False)
    timeline = Timeline.load("smollm2")
    there = OpenAIServers(vllm_server).named("base", timeline)
    here = Backend().named("base", timeline)
    for instrument in ("statement", "dilemma"):
        bank = shipped_bank(instrument).split("probe").first(1)
        np.testing.assert_allclose(read_items(there, bank), read_items(here, bank), atol=1e-4)
        asked = questions(shipped_bank(instrument).split("query"))[:20]
        np.testing.assert_allclose(there.margins(asked), here.margins(asked), atol=1e-4)
