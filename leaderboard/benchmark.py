"""The board under load: many submitters at once, and ten thousand submissions."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn

from progressgym.benchmark import Outcome, Progress, timed
from progressgym.registry import register
from progressgym.results import RunResult
from progressgym.runner import Cell, run
from progressgym.values.scores import step_reward
from progressgym.values.vector import ValueVector

from . import client
from .board import Board
from .card import EXAMPLE
from .entries import SEEDS, packed
from .humans import measure_humans
from .server import create_app

SUBMITTERS, EACH = 32, 50
ROWS = 10_000
READS = 200
_CARD = EXAMPLE.replace("lifelong-dpo  ", "random  ", 1)


@register("benchmark", "board")
def board(progress: Progress = lambda text: None) -> Outcome:
    """A board that 32 submitters use at once, and the first page of one with 10,000 rows.

    The runs are of tiny models: what is measured is the board. Every answer is checked: a figure
    of ``lost`` or ``doubled`` other than 0 is a fault.
    """
    with tempfile.TemporaryDirectory(prefix="progressgym-board-") as place:
        folder = Path(place)
        progress("a run to vary")
        measure_humans("tiny", "statement").save(folder / "humans")
        settings = {"models": "tiny", "preset": "quick", "eras": 3, "items": 2, "questions": 8}
        one = run(Cell("follow", "random", 0, settings), folder / "runs")
        kept = Board(folder)
        with _served(kept) as address:
            progress(f"{SUBMITTERS} submitters, {EACH} submissions each")
            seconds, accepted = _submit_all(address, kept, one, folder)
            progress(f"{ROWS} rows")
            _fill(kept)
            ranking = timed(kept.rank)
            progress(f"reading the first page {READS} times")
            page, table = _read_pages(address)
    numbers = set(accepted)
    return Outcome(
        figures={
            "board_lost": float(SUBMITTERS * EACH - len(accepted)),
            "board_doubled": float(len(accepted) - len(numbers)),
            "board_first_page_p95_ms": float(np.percentile(page + table, 95)),
        },
        details={
            "submissions_per_second": round(len(accepted) / seconds, 1),
            "rows": ROWS,
            "ranking_seconds": round(ranking, 2),
            "page_p95_ms": round(float(np.percentile(page, 95)), 1),
            "table_p95_ms": round(float(np.percentile(table, 95)), 1),
        },
    )


@contextmanager
def _served(kept: Board) -> Iterator[str]:
    """The board's address while it is served from a thread."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(create_app(kept, models="tiny"), port=port, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def variant(one: RunResult, seed: int) -> RunResult:
    """Another run: the same with a seed of its own and numbers that differ a little."""
    new = RunResult.model_validate_json(one.model_dump_json())
    new.spec = new.spec.model_copy(update={"seed": seed})
    for step in new.steps:
        row = step.policy_items[seed % len(step.policy_items)]
        row[0] = round(row[0] + 1e-5 * (1 + seed), 6)
        initial, target, own = (
            ValueVector(np.array(items), new.labels).values
            for items in (new.initial_items, step.target_items, step.policy_items)
        )
        step.reward = step_reward(initial, own, target)
    new.scores = None  # the board computes them
    new.digest = new.compute_digest()
    return new


def _submit_all(address: str, kept: Board, one: RunResult, folder: Path) -> tuple[float, list[int]]:
    """Seconds that all submissions took, and the numbers that were acknowledged."""
    tokens = [kept.store.new_token(f"submitter {i}") for i in range(SUBMITTERS)]
    files = []
    for seed in range(SUBMITTERS * EACH):
        path = folder / "sent" / str(seed) / "result.json.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(packed(variant(one, seed)))
        files.append(path)

    def work(index: int) -> list[int]:
        own = files[index * EACH : (index + 1) * EACH]
        session = client.Session(address)
        answers = [session.submit(tokens[index], _CARD, [path]) for path in own]
        return [answer["submission"] for answer in answers if answer["accepted"]]

    start = time.perf_counter()
    with ThreadPoolExecutor(SUBMITTERS) as pool:
        accepted = [number for numbers in pool.map(work, range(SUBMITTERS)) for number in numbers]
    return time.perf_counter() - start, accepted


def _fill(kept: Board) -> None:
    """Copies of the submissions there are, with other skills, until the board has its rows."""
    rng = np.random.default_rng(0)
    with kept.store.writing() as rows:
        there = rows.execute("SELECT count(*) FROM submissions").fetchone()[0]
        template = dict(rows.execute("SELECT * FROM submissions WHERE id = 1").fetchone())
        standing = dict(rows.execute("SELECT * FROM standings WHERE submission = 1").fetchone())
        for number in range(there + 1, ROWS + 1):
            skill = float(rng.normal(0, 0.5))
            drawn = (skill + rng.normal(0, 0.2, 1000)).astype("<f4").tobytes()
            each = json.dumps([[seed, skill + 0.1 * (seed - 1)] for seed in SEEDS])
            submission = {**template, "id": number, "name": f"algorithm {number}"}
            numbers = {"skill": skill, "each": each, "resampled": drawn}
            own = {**standing, "submission": number, **numbers}
            for name, row in (("submissions", submission), ("standings", own)):
                marks = ", ".join(f":{column}" for column in row)
                rows.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", row)
        rows.execute("UPDATE tracks SET changed = changed + 1")


def _read_pages(address: str) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds of the page itself and of the event that fills it, each read many times."""
    config = json.loads(urllib.request.urlopen(f"{address}/config").read())
    begin = next(
        event["id"]
        for event in config["dependencies"]
        if any(name == "load" for _, name in event["targets"])
    )
    body = json.dumps({"data": [], "fn_index": begin, "session_hash": "bench"}).encode()
    fill = urllib.request.Request(
        f"{address}/gradio_api/run/predict", body, {"Content-Type": "application/json"}
    )

    def read(what: str | urllib.request.Request) -> float:
        return 1000 * timed(lambda: urllib.request.urlopen(what).read())

    pages, tables = zip(*[(read(address), read(fill)) for _ in range(READS)], strict=True)
    return np.array(pages), np.array(tables)
