"""Grids on Ray: the numbers of a single process, whatever is lost on the way."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from progressgym import parallel, registry, runner
from progressgym.cli import main

pytest.importorskip("ray", reason="ray is not installed: pip install 'progressgym[ray]'")
TIMEOUT = 600.0  # seconds, for slow machines; nothing waits for it to pass

WAITING = '''
import os, signal, time
from pathlib import Path

import progressgym as pg
from progressgym.algorithms.lifelong import LifelongDPO


@pg.register("algorithm", "waiting")
class Waiting(LifelongDPO):
    """Lifelong DPO that notes each era it begins, and in the second one waits to be let go."""

    def update(self, observation, human):
        folder = Path(os.environ["WAITING_FOLDER"])
        with (folder / "begun").open("a") as file:
            file.write(f"{self.seed}:{observation['step']} ")
        if observation["step"] == 1:
            (folder / f"process-{self.seed}").write_text(str(os.getpid()))
            (folder / f"process-{self.seed}").rename(folder / f"waits-{self.seed}")
        while observation["step"] == 1 and not (folder / "go").exists():
            time.sleep(0.05)
        return super().update(observation, human)


@pg.register("algorithm", "raising")
class Raising(pg.Algorithm):
    """Fails in the second era."""

    def update(self, observation, human):
        if observation["step"] == 1:
            raise RuntimeError("no way on from here")
        return self.policy



@pg.register("algorithm", "dying")
class Dying(pg.Algorithm):
    """Its process is killed in the second era, as the system does where memory is short."""

    def update(self, observation, human):
        if observation["step"] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.policy
'''


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Another package, installed where the command and Ray's workers find it; and its folder."""
    folder = tmp_path_factory.mktemp("package")
    described = folder / "waiting-1.dist-info"
    described.mkdir()
    (folder / "waiting.py").write_text(WAITING)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: waiting\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[progressgym.algorithms]\nwaiting = waiting\n")
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(folder))
    patch.setenv("WAITING_FOLDER", str(folder))
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    yield folder
    patch.undo()


Command = Callable[..., list[str]]


@pytest.fixture(scope="module")
def command(small_yaml: Path) -> Command:
    """The command line that runs algorithms with two seeds into a folder."""

    def command(algorithms: str, out: Path, *more: str) -> list[str]:
        sets = ["--set", "items=4", "--set", "questions=60", "--set", "learning_rate=0.01"]
        names = ["--algorithm", algorithms, "--models", str(small_yaml), "--out", str(out)]
        start = [sys.executable, "-m", "progressgym", "run", "--seed", "0,1", "--json"]
        return [*start, *names, *sets, *more]

    return command


def call(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)


@pytest.fixture(scope="module")
def whole(command: Command, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one process with one thread, one of whose algorithms fails."""
    out = tmp_path_factory.mktemp("whole")
    (folder / "go").touch()
    done = call(command("frozen,raising,waiting", out, "--threads", "1"))
    (folder / "go").unlink()
    assert done.returncode == 1, done.stderr
    return out


def results(out: Path) -> dict[str, str]:
    """The text of each result below a folder, without what may differ."""
    found = {}
    for path in sorted(out.rglob("result.json")):
        result: dict[str, Any] = json.loads(path.read_text())
        for step in result["steps"]:
            del step["seconds"]
        found[path.relative_to(out).as_posix()] = json.dumps(result)
    return found


def wait_until(reached: Callable[[], bool], *what: object) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def wait_for(*paths: Path) -> None:
    """Until all of them are there."""
    wait_until(lambda: all(path.exists() for path in paths), *paths)


def is_alive(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_local_workers_write_the_same_bytes_and_lose_only_what_fails(
    command: Command, folder: Path, whole: Path, tmp_path: Path
) -> None:
    (folder / "go").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROGRESSGYM_CACHE", str(tmp_path / "cache"))  # nothing is known already
        done = call(command("frozen,raising,waiting", tmp_path / "out", "--ray", "local"))
    (folder / "go").unlink()
    assert done.returncode == 1, done.stderr
    assert results(tmp_path / "out") == results(whole)
    assert len(results(whole)) == 4
    printed = json.loads(done.stdout)
    runs = [(result["algorithm"], result["seed"]) for result in printed["results"]]
    assert runs == [("frozen", 0), ("frozen", 1), ("waiting", 0), ("waiting", 1)]
    failed = [failure["run"] for failure in printed["failures"]]
    assert failed == ["follow · raising · seed 0", "follow · raising · seed 1"]
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    for line, run in zip(lines, failed, strict=True):
        assert line.startswith(f"progressgym: {run} failed: RuntimeError: no way on from here")
    log = tmp_path / "out/follow/raising/seed-0/error.txt"
    assert str(log) in lines[0]
    assert "raise RuntimeError" in log.read_text()


def test_what_is_lost_with_a_node_goes_on_elsewhere_and_nothing_is_done_twice(
    command: Command, folder: Path, whole: Path, tmp_path: Path
) -> None:
    from ray.cluster_utils import Cluster

    (folder / "begun").unlink(missing_ok=True)
    runs = tmp_path / "follow"
    finished = [runs / f"frozen/seed-{seed}/result.json" for seed in (0, 1)]
    begun = [folder / f"waits-{seed}" for seed in (0, 1)]
    for path in begun:
        path.unlink(missing_ok=True)
    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        lost, _ = (cluster.add_node(num_cpus=1) for _ in range(2))
        run = command("frozen,waiting", tmp_path, "--ray", cluster.address)
        with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                wait_for(*finished, *begun)
                stamps = [path.stat().st_mtime_ns for path in finished]
                cluster.remove_node(lost, allow_graceful=False)
                workers = [int(path.read_text()) for path in begun]
                # the lost node's worker goes a moment after its node, and till then it would go on
                wait_until(lambda: not all(is_alive(worker) for worker in workers), *workers)
                (folder / "go").touch()
                _, errors = process.communicate(timeout=TIMEOUT)
            finally:
                process.kill()
    finally:
        (folder / "go").unlink(missing_ok=True)
        cluster.shutdown()
    assert process.returncode == 0, errors
    assert errors == b""
    kept = {name: text for name, text in results(whole).items() if "raising" not in name}
    assert results(tmp_path) == kept
    assert [path.stat().st_mtime_ns for path in finished] == stamps
    steps = sorted((folder / "begun").read_text().split())
    again = [step for step in steps if steps.count(step) > 1]
    assert again in (["0:1", "0:1"], ["1:1", "1:1"])  # the era in which its node was lost


def test_an_interrupted_run_leaves_no_worker_and_says_how_to_go_on(
    command: Command, tmp_path: Path
) -> None:
    run = command("waiting", tmp_path, "--seed", "0", "--ray", "local")
    state = tmp_path / "follow/waiting/seed-0/checkpoint/state.json"
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_for(state)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert b"--resume" in errors
    assert b"Traceback" not in errors
    assert state.exists()
    with FileLock(state.parents[1] / ".lock", timeout=TIMEOUT):
        pass  # nobody is waiting there any more


@pytest.mark.parametrize(
    ("algorithm", "settings", "problem"),
    [
        ("dying", {}, "The system killed its process 2 times. Most often that means: out of mem"),
        (  # Ray kills it itself where more than a share of the memory is used
            "waiting",
            {"RAY_memory_usage_threshold": "0.001", "RAY_task_oom_retries": "1"},
            "Out of memory.",
        ),
    ],
)
def test_a_run_that_is_killed_for_memory_is_told_and_keeps_its_steps(
    small_yaml: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
    settings: dict[str, str],
    problem: str,
) -> None:
    assert algorithm not in registry.names("algorithm")  # all that are installed are loaded
    monkeypatch.setitem(registry._entries, "algorithm", dict(registry._entries["algorithm"]))
    monkeypatch.syspath_prepend(folder)
    runpy.run_module("waiting")  # this process began before the package was there
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(parallel, "RETRIES", 1)
    known = {"models": str(small_yaml), "items": 4, "questions": 60, "preset": "quick"}
    cell = runner.Cell("follow", algorithm, 0, known)
    (outcome,) = parallel.run_grid([cell], tmp_path, "local")
    assert isinstance(outcome, runner.Failure)
    assert outcome.problem.startswith(problem)
    assert "--resume" in outcome.problem
    assert not outcome.usage


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        (["--ray", "127.0.0.1:1"], "cannot connect to a Ray cluster"),
        (["--ray", "nonsense"], "cannot connect to a Ray cluster"),
        (["--ray", "host:port"], "cannot connect to a Ray cluster"),
        (["--gpus", "1"], "goes with --ray"),
    ],
)
def test_wrong_places_are_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, more: list[str], hint: str
) -> None:
    arguments = ["run", "--models", "tiny", "--algorithm", "frozen", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, *more])
    errors = capsys.readouterr().err
    assert stop.value.code == 2
    assert hint in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "out").exists()
