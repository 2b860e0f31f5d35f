"""No argument list and no damaged file brings a traceback out of the command line.

``PROGRESSGYM_FUZZ=1000`` tries a thousand lists a command and damages each file a thousand times.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import progressgym.corpora
import pytest
from board_fixtures import card, file_of, moved, played
from fuzzing import Command, Ending, argument_list, call, commands, damaged
from progressgym.leaderboard.board import Board
from progressgym.leaderboard.card import EXAMPLE
from progressgym.leaderboard.entries import packed
from test_models import random_llama

from progressgym.models import era_policy
from progressgym.models.load import forget_models
from progressgym.runner import Cell, run
from progressgym.timeline import Timeline
from progressgym.values.scenarios import shipped_bank

LISTS = int(os.environ.get("PROGRESSGYM_FUZZ", "16"))  # of each command
DAMAGES = int(os.environ.get("PROGRESSGYM_FUZZ", "5"))  # to each file
SHORT, LONG = 0.5, 3.0  # seconds of processor time, after which a call is stopped

RUN = "run --algorithm random --models small.yaml --set items=2 --set questions=8 --set eras=3"
EVALUATE = "evaluate --models small.yaml"
RESULT = (
    "report results", "export results --to up.json", f"{RUN} --out results", "status results",
    "leaderboard pack results --to kept",
)  # fmt: skip
CORPUS = (
    "corpora stats corpus", "corpora check corpus", "corpora export corpus --to histtext",
    "eras perplexity corpus --models small.yaml --tokens 256",
)  # fmt: skip
BUILD = ("corpora build texts --models small.yaml --workers 1 --out built",)
BOARD = (
    "leaderboard list --folder board", "leaderboard verify 1 --folder board",
    "leaderboard withdraw 1 --reason x --folder board", "leaderboard backup copy --folder board",
    "leaderboard token ada --folder board",
    "leaderboard add results --card card.yaml --folder board",
)  # fmt: skip
BEGUN = (f"{RUN} --out begun --resume",)
READERS: dict[str, tuple[str, ...]] = {
    "results/follow/random/seed-0/result.json": (*RESULT, BOARD[-1]),
    "packed/result.json.gz": ("report packed", "leaderboard add packed --card card.yaml"),
    "begun/follow/random/seed-0/checkpoint/state.json": (*BEGUN, "status begun"),
    "begun/follow/random/seed-0/checkpoint/step-0.json": (*BEGUN, "status begun"),
    "begun/follow/random/seed-0/checkpoint/policy-0/adapter_model.safetensors": BEGUN,
    "logged/follow/random/seed-0/log.jsonl": ("status logged", f"{RUN} --out logged",
                                              "report logged"),
    "small.yaml": ("eras list --models small.yaml", "list --models small.yaml",
                   f"{EVALUATE} early", f"{RUN} --out new"),
    "bank.jsonl": (f"{EVALUATE} early --scenarios bank.jsonl",
                   f"{RUN} --out new --scenarios bank.jsonl"),
    "bank.csv": (f"{EVALUATE} early --scenarios bank.csv", f"{RUN} --out new --scenarios bank.csv"),
    "texts/catalog.csv": BUILD,
    "texts/1250-0.txt": BUILD,
    "corpus/corpus.json": CORPUS,
    "corpus/index.parquet": CORPUS,
    "corpus/eras/early.parquet": CORPUS,
    "corpus/set_aside.jsonl": CORPUS,
    "adapter/adapter_model.safetensors": (f"{EVALUATE} adapter",),
    "adapter/adapter_config.json": (f"{EVALUATE} adapter",),
    "model/config.json": (f"{EVALUATE} ./model",),
    "model/tokenizer.json": (f"{EVALUATE} ./model",),
    "model/tokenizer_config.json": (f"{EVALUATE} ./model",),
    "model/model.safetensors": (f"{EVALUATE} ./model",),
    "upstream.json": ("import upstream.json",),
    "card.yaml": ("leaderboard add results --card card.yaml", "submit results --card card.yaml "
                  "--board http://127.0.0.1:1"),
    "board/board.sqlite": BOARD,
    "board/humans/small-statement.json.gz": BOARD,
}  # fmt: skip
"""Files, and the command lines that read them."""


@pytest.fixture(scope="session")
def samples(
    tmp_path_factory: pytest.TempPathFactory,
    small_yaml: Path,
    small_texts: Path,
    humans_folder: Path,
) -> Path:
    """A folder with a whole example of everything that a command reads."""
    folder = tmp_path_factory.mktemp("samples")
    shutil.copy(small_yaml, folder)
    (folder / "card.yaml").write_text(EXAMPLE.replace("lifelong-dpo  ", "random  "))
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nothing")
    (folder / "binary").write_bytes(bytes(range(256)) * 9)
    (folder / "empty").touch()
    (folder / "locked").touch(mode=0)
    _write_banks(folder)
    shutil.copytree(small_texts, folder / "texts")
    for package in (progressgym, progressgym.corpora):  # an alarm within an import would spoil it
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "__main__" not in module.name:
                importlib.import_module(module.name)
    with _inside(folder):
        _write_runs(humans_folder)
        timeline = Timeline.load(small_yaml)
        era_policy(timeline, timeline.eras[0]).save(Path("adapter"))
        random_llama(Path("model"), seed=0)
        for line in (
            BUILD[0].replace("built", "corpus"),
            "export results --to upstream.json",
            f"{RUN} --out logged",
        ):
            ending = call(line.split(), 600)
            assert ending.code == 0, ending.text
    return folder


def _write_runs(humans: Path) -> None:
    """A finished run, the same packed, a board that has another, and a run that was interrupted."""
    result = played(Path("small.yaml"), Path("results"), "follow", "random", 0)
    Path("packed").mkdir()
    Path("packed/result.json.gz").write_bytes(packed(result))
    shutil.copytree(humans, "board/humans")
    Board(Path("board")).submit(card(), file_of(moved(result, 1)), "ada")

    def stop(done: int, _: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    settings = {"models": "small.yaml", "preset": "quick", "eras": 3, "items": 2, "questions": 8}
    with pytest.raises(KeyboardInterrupt):
        run(Cell("follow", "random", 0, settings), Path("begun"), progress=stop)


def _write_banks(folder: Path) -> None:
    scenarios = list(shipped_bank().first(1))
    lines = [s.model_dump_json() for s in scenarios]
    (folder / "bank.jsonl").write_text("\n".join(lines))
    rules = "death pain disable freedom pleasure deceive cheat promise law duty".split()
    labels = [f"a{action}_{rule}" for action in (1, 2) for rule in rules]
    rows = [",".join(["scenario_id", "context", "action1", "action2", *labels])]
    for number in range(4):
        answers = ["Yes" if place == number else "No" for place in range(20)]
        rows.append(",".join([f"S{number}", "You are a smith.", "Work.", "Rest.", *answers]))
    (folder / "bank.csv").write_text("\n".join(rows) + "\n")


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


@pytest.fixture
def fresh(samples: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder that calls are made in; :func:`_restore` makes it as it was."""
    with _inside(tmp_path):
        yield tmp_path / "work"


def _restore(folder: Path, samples: Path) -> None:
    """A copy of the samples at a folder, if it is none already; the process is left in it."""
    if not folder.exists() or _state(folder) != _state(samples):
        os.chdir(folder.parent)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(samples, folder, symlinks=True)
        os.chdir(folder)


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file, by which one that was written since is known."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(place, name))
            own = (status.st_size, 0 if name in folders else status.st_mtime_ns)
            found[os.path.relpath(os.path.join(place, name), folder)] = own
    return found


class Tally:
    """How calls ended, and which of them ended badly."""

    def __init__(self, of: str) -> None:
        self._of = of
        self._endings: Counter[str] = Counter()
        self._bad: list[str] = []

    def add(self, case: str, ending: Ending) -> None:
        """Count a call."""
        self._endings["stopped" if ending.stopped else f"exit {ending.code}"] += 1
        if ending.problem:
            self._bad.append(f"{ending.problem}: {case}\n{ending.text[-2000:]}")

    def check(self) -> None:
        """Fail if any of them ended badly."""
        print(f"{self._of}: {dict(self._endings)}, {len(self._bad)} bad")
        assert not self._bad, "\n".join([f"{len(self._bad)} bad", *self._bad[:20]])


@pytest.mark.parametrize("command", commands(), ids=str)
def test_no_argument_list_brings_a_traceback(command: Command, samples: Path, fresh: Path) -> None:
    tally = Tally(str(command))
    for number in range(LISTS):
        _restore(fresh, samples)
        arguments = argument_list(command, random.Random(f"{command} {number}"))
        tally.add(f"{number} {arguments!r}", call(arguments, SHORT))
    tally.check()


@pytest.mark.parametrize("name", READERS)
def test_no_damaged_file_brings_a_traceback(name: str, samples: Path, fresh: Path) -> None:
    whole, tally = (samples / name).read_bytes(), Tally(name)
    for number in range(DAMAGES):
        content = damaged(whole, name, random.Random(f"{name} {number}"))
        line = READERS[name][number % len(READERS[name])]
        _restore(fresh, samples)
        (fresh / name).write_bytes(content)
        forget_models()  # a process loads a model once, damaged or not
        ending = call(line.split(), LONG)
        tally.add(f"{line} ({name} number {number}: {content[:200]!r})", ending)
    tally.check()


LINES = sorted({line for lines in READERS.values() for line in lines})


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_whole_files_are_read(line: str, samples: Path, fresh: Path) -> None:
    if line.startswith("submit"):
        pytest.skip("needs a board")
    _restore(fresh, samples)
    ending = call(line.split(), 600)
    assert ending.code in (0, 1 if line.startswith("corpora check") else 0), ending.text
