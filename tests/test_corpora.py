"""Building a corpus: what enters, what is set aside, and that it is the same again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from progressgym.corpora.blocks import Slicing
from progressgym.corpora.build import Division, Report, build_corpus
from progressgym.corpora.reader import read_corpus
from progressgym.corpora.tables import INDEX, PASSAGES, era_names, read_era, read_index

from progressgym.cli import main
from progressgym.errors import UsageError
from progressgym.models.load import tokenizer_json
from progressgym.timeline import Timeline

HEADER = "file,source,source_id,title,author,creation_year,original_language,translation_year,genre"
REAL = Path(__file__).resolve().parents[1] / ".." / "shared" / "corpora"
TINY = Timeline.load("smollm2").model_copy(update={"base": "tiny"})
NOUNS = "king queen knight monk priest farmer miller baker sailor judge widow child".split()
VERBS = "loved feared helped served blamed praised followed found taught obeyed".split()
PLACES = "town church field forest castle market harbour village garden court".split()


def prose(seed: int, sentences: int = 150) -> str:
    """English that differs from seed to seed, in paragraphs."""
    state = seed * 7919 + 13
    made = []
    for number in range(sentences):
        state = (state * 1103515245 + 12345) % 2**31
        a, b, c, d = (state >> shift for shift in (3, 9, 15, 21))
        made.append(
            f"And the {NOUNS[a % 12]} {VERBS[b % 10]} the {NOUNS[c % 12]} that was in the "
            f"{PLACES[d % 10]} of the {NOUNS[(a + d) % 12]}, for it was not so with them."
            + ("\n\n" if number % 5 == 4 else " ")
        )
    return "".join(made)


def catalogue(folder: Path, texts: dict[str, tuple[object, str]]) -> Path:
    """A folder with a catalogue: file name -> (year, text)."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [HEADER]
    for name, (year, text) in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        stem = name.removesuffix(".txt")
        lines.append(f"{name},test,{stem},Title {stem},Author {stem},{year},en,,fiction")
    (folder / "catalog.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def slicing(tmp_path_factory: pytest.TempPathFactory) -> Slicing:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(tokenizer_json(TINY), encoding="utf-8")
    eras = tuple((era.name, era.first_year, era.last_year) for era in TINY.eras)
    return Slicing(eras, 512, str(path))


def build(source: Path, folder: Path, slicing: Slicing, workers: int = 1, ray: str = "") -> Report:
    division = Division(seed=0)
    return build_corpus(
        [("catalog", str(source))], folder, TINY, slicing, division, workers=workers, ray=ray
    )


def made_files(folder: Path) -> dict[str, bytes]:
    """What a corpus is to its readers."""
    paths = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    made = {f"w{n}.txt": (1250 + 100 * (n % 3), prose(n)) for n in range(12)}
    return catalogue(tmp_path / "raw", made)


def test_passages_lie_in_their_eras_and_no_work_on_both_sides(
    texts: Path, tmp_path: Path, slicing: Slicing
) -> None:
    build(texts, tmp_path / "c", slicing)
    assert era_names(tmp_path / "c") == ["C013", "C014", "C015"]
    for number, era in enumerate(era_names(tmp_path / "c")):
        table = read_era(tmp_path / "c", era)
        assert table.schema.equals(PASSAGES)
        assert set(table["year"].to_pylist()) == {1250 + 100 * number}
        sides = defaultdict(set)
        for split, work in zip(table["split"].to_pylist(), table["work"].to_pylist(), strict=True):
            sides[split].add(work)
        assert set(sides) == {"train", "validation"}
        assert not sides["train"] & sides["validation"]
        assert max(table["tokens"].to_pylist()) <= 512


def test_a_second_build_reuses_every_block_and_gives_the_same_bytes(
    texts: Path, tmp_path: Path, slicing: Slicing
) -> None:
    first = build(texts, tmp_path / "c", slicing)
    before = made_files(tmp_path / "c")
    again = build(texts, tmp_path / "c", slicing)
    assert (first.reused, again.reused) == (0, again.blocks)
    assert made_files(tmp_path / "c") == before


def test_a_changed_text_is_read_again(texts: Path, tmp_path: Path, slicing: Slicing) -> None:
    build(texts, tmp_path / "c", slicing)
    (texts / "w1.txt").write_text(prose(77), encoding="utf-8")
    report = build(texts, tmp_path / "c", slicing)
    assert report.reused < report.blocks
    build(texts, tmp_path / "fresh", slicing)
    assert made_files(tmp_path / "c") == made_files(tmp_path / "fresh")


def test_a_damaged_block_is_made_again(texts: Path, tmp_path: Path, slicing: Slicing) -> None:
    build(texts, tmp_path / "c", slicing)
    before = made_files(tmp_path / "c")
    victim = next((tmp_path / "c" / "documents").glob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:100])
    build(texts, tmp_path / "c", slicing)
    assert made_files(tmp_path / "c") == before


def test_processes_give_the_same_bytes(texts: Path, tmp_path: Path, slicing: Slicing) -> None:
    build(texts, tmp_path / "one", slicing)
    build(texts, tmp_path / "two", slicing, workers=2)
    assert made_files(tmp_path / "one") == made_files(tmp_path / "two")


def test_a_cluster_of_two_nodes_gives_the_same_bytes(
    texts: Path, tmp_path: Path, slicing: Slicing
) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'progressgym[ray]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        build(texts, tmp_path / "cluster", slicing, ray=cluster.address)
    finally:
        ray.shutdown()
        cluster.shutdown()
    build(texts, tmp_path / "one", slicing)
    assert made_files(tmp_path / "cluster") == made_files(tmp_path / "one")


def test_duplicates_across_sources_are_set_aside(tmp_path: Path, slicing: Slicing) -> None:
    first = catalogue(tmp_path / "a", {f"w{n}.txt": (1250, prose(n)) for n in range(3)})
    other = catalogue(
        tmp_path / "b",
        {"copy.txt": (1270, prose(1) + " And the end of it."), "own.txt": (1270, prose(9))},
    )
    sources = [("catalog", str(first)), ("catalog", str(other))]
    report = build_corpus(sources, tmp_path / "c", TINY, slicing)
    assert report.statuses == {"kept": 4, "duplicate": 1}
    index = read_index(tmp_path / "c").to_pylist()
    (gone,) = [row for row in index if row["status"] == "duplicate"]
    assert (gone["name"], gone["reason"]) == ("test/copy", "the same text as test/w1")
    assert "test/copy" not in read_era(tmp_path / "c", "C013")["document"].to_pylist()


def test_one_book_does_not_dominate_an_era(tmp_path: Path, slicing: Slicing) -> None:
    made = {f"w{n}.txt": (1250, prose(n, 60)) for n in range(12)}
    made["giant.txt"] = (1250, prose(99, 4000))
    build(catalogue(tmp_path / "raw", made), tmp_path / "c", slicing)
    table = read_era(tmp_path / "c", "C013").to_pylist()
    words: dict[str, int] = defaultdict(int)
    for row in table:
        if row["split"] == "train":
            words[row["document"]] += row["words"]
    assert 0.15 < words["test/giant"] / sum(words.values()) < 0.35


def test_what_is_unfit_is_set_aside_with_the_reason(tmp_path: Path, slicing: Slicing) -> None:
    german = "Es war einmal ein König, der hatte eine Tochter, und die war so schön wie der Tag. "
    folder = catalogue(
        tmp_path / "raw",
        {
            "good.txt": (1250, prose(1)),
            "when.txt": ("c. 1450?", prose(2)),
            "late.txt": (2950, prose(3)),
            "few.txt": (1250, "And so it was."),
            "german.txt": (1250, german * 60),
            "empty.txt": (1250, ""),
        },
    )
    build(folder, tmp_path / "c", slicing)
    lines = (tmp_path / "c" / "set_aside.jsonl").read_text(encoding="utf-8").splitlines()
    kinds = sorted(json.loads(line)["kind"] for line in lines)
    assert kinds == ["broken", "language", "outside", "short", "undated"]
    text = "\n".join(lines)
    for telling in ("c. 1450?", "2950", "empty", "german", "when"):
        assert telling in text
    assert read_index(tmp_path / "c").schema.equals(INDEX)


def test_a_folder_of_something_else_is_left_alone(
    texts: Path, tmp_path: Path, slicing: Slicing
) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "diary.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"diary\.txt"):
        build(texts, tmp_path / "c", slicing)


COMMAND = [sys.executable, "-m", "progressgym", "corpora"]


def timeline_file(folder: Path) -> str:
    """A timeline whose tokenizer needs no download."""
    path = folder / "tiny-centuries.yaml"
    eras = "\n".join(
        f"  - {{name: {e.name}, first_year: {e.first_year}, last_year: {e.last_year}}}"
        for e in TINY.eras
    )
    path.write_text(f"name: tiny-centuries\nbase: tiny\neras:\n{eras}\n")
    return str(path)


def test_a_killed_build_goes_on(texts: Path, tmp_path: Path, slicing: Slicing) -> None:
    arguments = [str(texts), "--out", str(tmp_path / "c"), "--models", timeline_file(tmp_path)]
    command = [*COMMAND, "build", *arguments, "--tokens", "512", "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "c").glob("documents/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [*command[:-2], "--workers", "2", "--out", str(tmp_path / "whole")],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = {k: v for k, v in made_files(tmp_path / "c").items() if not k.endswith(".part")}
    assert after == made_files(tmp_path / "whole")


def test_strict_is_the_only_thing_that_fails_on_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {
        "good.txt": (1250, prose(1)),
        "when.txt": ("1450?", prose(2)),
        "w.txt": (1350, prose(3)),
    }
    folder = catalogue(tmp_path / "raw", made)
    arguments = ["corpora", "build", str(folder), "--out", str(tmp_path / "c"), "--json"]
    arguments += ["--models", timeline_file(tmp_path), "--workers", "1"]
    codes = []
    for extra in ([], ["--strict"]):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, *extra])
        codes.append(stop.value.code)
    assert codes == [0, 1]
    captured = capsys.readouterr()
    assert "1 inputs are broken or undated" in captured.err
    assert json.loads(captured.out[: captured.out.index("}\n{") + 2])["documents"] == {
        "kept": 2,
        "undated": 1,
    }


def test_an_unknown_folder_is_told_with_what_could_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["corpora", "build", str(tmp_path), "--out", str(tmp_path / "c")])
    assert stop.value.code == 2
    assert "gutenberg" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["lxml", "ijson", "py3langid"])
def test_a_missing_extra_is_named_with_its_remedy(module: str, texts: Path, tmp_path: Path) -> None:
    arguments = ["corpora", "build", str(texts), "--out", str(tmp_path / "c"), "--workers", "1"]
    arguments += ["--models", timeline_file(tmp_path)]
    program = f"import sys; sys.modules[{module!r}] = None\n"
    program += f"from progressgym.cli import main; main({arguments!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode in (1, 2)
    assert f"needs {module}: pip install 'progressgym[corpora]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_era_models_read_raw_folders_and_corpora_alike(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slicing: Slicing
) -> None:
    monkeypatch.setenv("PROGRESSGYM_CACHE", str(tmp_path / "cache"))
    build_corpus([("catalog", str(texts))], tmp_path / "c", TINY, slicing)
    for folder in (texts, tmp_path / "c"):
        training, held_out = read_corpus(folder, TINY)
        assert {p.era for p in training} == {"C013", "C014", "C015"}
        assert not {p.work for p in training} & {p.work for p in held_out}
        assert held_out


def test_a_corpus_goes_out_as_histtext_and_comes_back_equal(
    texts: Path, tmp_path: Path, slicing: Slicing
) -> None:
    build(texts, tmp_path / "c", slicing)
    for source, target in (("c", "out"), ("out", "again")):
        with pytest.raises(SystemExit) as stop:
            main(["corpora", "export", str(tmp_path / source), "--to", str(tmp_path / target)])
        assert stop.value.code == 0
    build_corpus([("histtext", str(tmp_path / "out"))], tmp_path / "built", TINY, slicing)
    with pytest.raises(SystemExit):
        main(["corpora", "export", str(tmp_path / "built"), "--to", str(tmp_path / "third")])
    assert made_files(tmp_path / "out") == made_files(tmp_path / "third")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["C013", "C014", "C015"]
    assert (tmp_path / "out" / "C013" / "Y01250.json").is_file()
    assert made_files(tmp_path / "out") == made_files(tmp_path / "again")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (REAL / "catalog.csv").is_file():
        pytest.skip("the texts are not here: no ../shared/corpora beside the repository")
    folder = tmp_path_factory.mktemp("real")
    path = folder / "tokenizer.json"
    path.write_text(tokenizer_json(TINY), encoding="utf-8")
    eras = tuple((era.name, era.first_year, era.last_year) for era in TINY.eras)
    build_corpus([("catalog", str(REAL))], folder / "c", TINY, Slicing(eras, 768, str(path)))
    return folder / "c"


def test_real_passages_are_the_authors(real: Path) -> None:
    for era in era_names(real):
        for row in read_era(real, era, ["document", "text"]).to_pylist():
            for unwanted in ("Project Gutenberg", "electronic text", "Transcriber", "www."):
                assert unwanted not in row["text"], row["document"]


def test_every_real_century_has_text_on_both_sides(real: Path) -> None:
    assert era_names(real) == [era.name for era in TINY.eras]
    for era in era_names(real):
        table = read_era(real, era, ["split", "words"]).to_pylist()
        words: dict[str, int] = defaultdict(int)
        for row in table:
            words[row["split"]] += row["words"]
        assert words["train"] > 10_000
        assert words["validation"] > 1_000


def test_parquet_metadata_names_no_folder(texts: Path, tmp_path: Path, slicing: Slicing) -> None:
    build(texts, tmp_path / "c", slicing)
    for path in (tmp_path / "c").rglob("*.parquet"):
        metadata = pq.read_schema(path).metadata or {}
        assert not any(str(tmp_path).encode() in value for value in metadata.values())
    assert str(tmp_path) not in (tmp_path / "c" / "corpus.json").read_text()
