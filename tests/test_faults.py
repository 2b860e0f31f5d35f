"""Whatever happens to a run, it ends with the bytes of an uninterrupted one, timings aside.

`PROGRESSGYM_FAULTS=50` kills fifty times, and damages files in as many ways.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faults
import pytest
from faults import Runs, disk

from progressgym.storage import is_whole

FAULTS = int(os.environ.get("PROGRESSGYM_FAULTS", "4"))

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and mounts of Unix")
New = Callable[[str], Runs]


@dataclass(frozen=True)
class Whole:
    """What uninterrupted runs gave, and how long they took."""

    results: dict[str, bytes]
    seconds: float


@pytest.fixture(scope="module")
def arguments(small_yaml: Path) -> list[str]:
    sizes = {"items": 2, "questions": 24, "human_questions": 24, "learning_rate": 0.01}
    sets = [part for name, value in sizes.items() for part in ("--set", f"{name}={value}")]
    names = ["--challenge", "follow,coevolve", "--algorithm", "extrapolative-dpo"]
    return ["run", *names, "--models", str(small_yaml), "--threads", "1", "--json", *sets]


@pytest.fixture
def new(arguments: list[str], tmp_path: Path) -> New:
    """Makes runs in a new folder of a name."""
    return lambda name="runs": Runs(tmp_path / name, arguments)


@pytest.fixture(scope="module")
def whole(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    runs = Runs(tmp_path_factory.mktemp("whole"), arguments)
    runs.start().kill()  # by now the server has imported everything
    start = time.monotonic()
    runs.finish()
    assert len(runs.results) == 2
    return Whole(runs.results, time.monotonic() - start)


def test_kills_at_random_moments(new: New, whole: Whole) -> None:
    rng, kills = random.Random(0), 0
    while kills < FAULTS:
        runs = new(f"after-{kills}")
        finished: dict[str, str] = {}
        while (command := runs.start()).wait(rng.uniform(0, whole.seconds)) is None:
            command.kill()
            kills += 1
            before, finished = finished, runs.finished
            for name, digest in before.items():  # what is finished is not even written again
                result = name.rpartition("/")[0] + "/result.json"
                assert finished.get(name, digest if result in finished else "") == digest
        assert command.wait() == 0, command.printed
        assert "Traceback" not in command.printed
        assert runs.results == whole.results
        assert not runs.parts
        assert not runs.files("state.json")
    print(f"{kills} kills")


def in_step(number: int, runs: Runs) -> Callable[[], bool]:
    """Has that step of Coevolve an update that is not scored, and a human who has learnt?"""
    folder = runs.out / "coevolve/extrapolative-dpo/seed-0/checkpoint"
    return (folder / f"taught-{number}/adapter_model.safetensors").exists


def test_a_second_process_is_refused_until_the_first_one_is_dead(new: New, whole: Whole) -> None:
    runs = new()
    first = runs.start()
    first.until(in_step(1, runs))
    first.signal(signal.SIGSTOP)
    second = Runs.start(runs)
    assert second.wait() == 2
    assert "Another process is writing" in second.printed
    assert "Traceback" not in second.printed
    first.kill()
    runs.finish()
    assert runs.results == whole.results


@pytest.mark.parametrize(
    ("number", "rounds", "more"),
    [
        (signal.SIGINT, (1, 2), ()),
        (signal.SIGTERM, (1, 2), ()),
        (signal.SIGTERM, (2,), ("--ray", "local")),  # once: tests/test_cluster.py
    ],
)
def test_a_signal_stops_in_good_order_and_a_second_one_at_once(
    new: New, whole: Whole, number: signal.Signals, rounds: tuple[int, ...], more: tuple[str, ...]
) -> None:
    if more:
        pytest.importorskip("ray", reason="ray is not installed: pip install 'progressgym[ray]'")
    runs = new()
    for times in rounds:
        command = runs.start(*more)
        command.until(in_step(times - 1, runs))
        command.signal(number)
        if times == 2:
            time.sleep(0.1)
            command.signal(number)
        assert command.wait() == 128 + number, command.printed
        assert "Traceback" not in command.printed
        if times == 1:
            (line,) = command.printed.splitlines()
            assert "interrupted" in line
            assert "--resume" in line
    runs.finish()
    assert runs.results == whole.results


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_space(
    new: New, whole: Whole
) -> None:
    runs, full = new(), 0
    with disk(runs.out) as small:
        for kilobytes in (4, 24, 64, 128, 1 << 16):
            small.resize(kilobytes)
            command = runs.start()
            if command.wait() == 0:
                break
            full += 1
            assert command.wait() == 1, command.printed
            assert "Traceback" not in command.printed
            assert "No space left on device. Free some space." in command.printed
            assert "--resume" in command.printed
            assert not runs.parts
        assert full > 1
        assert runs.results == whole.results


def test_a_folder_that_is_read_only_is_told_and_what_is_finished_there_is_read(
    new: New, whole: Whole
) -> None:
    runs = new()
    with disk(runs.out) as small:
        small.read_only()
        command = runs.start()
        assert command.wait() == 2
        assert "Traceback" not in command.printed
        assert "Read-only file system" in command.printed
        assert str(runs.out) in command.printed
    with disk(runs.out) as small:
        runs.finish()
        small.read_only()
        runs.finish()
        assert runs.results == whole.results


@pytest.mark.parametrize("what", ["full", "read-only", "closed", "a file"])
def test_a_cache_that_cannot_be_written_is_warned_of_once_and_not_needed(
    new: New, whole: Whole, what: str
) -> None:
    runs = new()
    if what == "a file":
        runs.cache.touch()
        printed = runs.finish()
    elif what == "closed":
        runs.finish()
        shutil.rmtree(runs.out)
        found = list(runs.cache.rglob("*"))
        for path in found:
            path.chmod(0o500 if path.is_dir() else 0)
        printed = runs.finish(prepare=faults.without_privileges)
        for path in found:
            path.chmod(0o700)
    else:
        with disk(runs.cache) as small:
            small.resize(16)
            if what == "read-only":
                small.read_only()
            printed = runs.finish()
    assert runs.results == whole.results
    warnings = [line for line in printed.splitlines() if line.startswith("progressgym: warning:")]
    assert sum("cannot be written" in line for line in warnings) == 1, printed
    assert sum("Hidden states" in line for line in warnings) <= 1, printed


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_a_run_without_memory_is_told_and_takes_no_other_with_it(new: New, whole: Whole) -> None:
    enough, little = new("enough"), new("little")
    enough.finish("--algorithm", "hungry", prepare=faults.hungry)
    both = ("--algorithm", "hungry,extrapolative-dpo")
    command = little.start(*both, prepare=faults.hungry_with_little_memory)
    assert command.wait() == 1, command.printed
    assert "Traceback" not in command.printed
    assert "hungry · seed 0 failed: Out of memory" in command.printed
    assert "--resume" in command.printed
    assert little.results == whole.results
    assert len(little.files("step-*.json")) == 2  # one of each challenge
    little.finish(*both, prepare=faults.hungry)
    assert little.results == whole.results | enough.results


def test_an_erratic_clock_changes_nothing(new: New, whole: Whole) -> None:
    runs, rng = new(), random.Random(0)
    for seconds in (whole.seconds * 0.4, whole.seconds * 0.7):
        command = runs.start(prepare=faults.erratic_clock)
        command.wait(seconds)
        command.kill()
        faults.scatter_times(runs.out, rng)
        faults.scatter_times(runs.cache, rng)
    runs.finish(prepare=faults.erratic_clock)
    assert runs.results == whole.results


def test_damage_to_any_file_changes_no_number(new: New, whole: Whole) -> None:
    begun = new("begun")
    command = begun.start()
    command.until(in_step(1, begun))
    command.kill()
    follow = begun.files("result.json").keys()
    assert len(follow) == 1
    rng = random.Random(0)
    for number in range(FAULTS):
        runs = new(f"damaged-{number}")
        shutil.rmtree(runs.out.parent)
        shutil.copytree(begun.out.parent, runs.out.parent)
        found = [*faults.files(runs.out), *faults.files(runs.cache)]
        found = [path for path in found if path.name not in ("result.json", "log")]
        # First a bit in every file; then anything in some of them.
        for path in found if number == 0 else rng.sample(found, rng.randint(1, len(found))):
            damage = faults.flip_a_bit if number == 0 else rng.choice(faults.DAMAGES)
            damage(path, rng)
        runs.finish()
        assert runs.results == whole.results
        shutil.rmtree(runs.out.parent)


def test_a_training_that_was_killed_goes_on_from_what_is_whole(
    small_yaml: Path, small_texts: Path, tmp_path: Path
) -> None:
    names = ["eras", "train", str(small_texts), "--models", str(small_yaml), "--eras", "early"]

    def train(out: str) -> faults.Command:
        arguments = [*names, "--tokens", str(120 * 8 * 256), "--out", str(tmp_path / out)]
        return faults.Command(arguments, tmp_path / "cache", tmp_path / "log")

    assert (command := train("whole")).wait() == 0, command.printed
    command = train("broken")
    command.until(lambda: any(tmp_path.glob("broken/early.training-*/checkpoint-50/complete.json")))
    command.kill()
    (first,) = tmp_path.glob("broken/early.training-*/checkpoint-50")
    half = first.with_name("checkpoint-100")  # as if it had been killed while it wrote
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(first, half)
    (half / "optimizer.pt").unlink()
    begun = train("broken")
    begun.until(lambda: not half.exists() or is_whole(half))  # now it is training
    begun.signal(signal.SIGSTOP)
    second = train("broken")
    assert second.wait() == 2
    assert "Another process" in second.printed
    begun.signal(signal.SIGCONT)
    assert begun.wait() == 0, begun.printed
    adapters = [tmp_path / out / "early/adapter_model.safetensors" for out in ("whole", "broken")]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["early"]
