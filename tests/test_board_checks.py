"""What the board refuses, and the reason that it gives."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from board_fixtures import card, copy_of, file_of, moved, played, sealed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from progressgym.leaderboard import uploads
from progressgym.leaderboard.board import Board, RefusedError
from progressgym.leaderboard.card import EXAMPLE, Card

from progressgym.errors import UsageError
from progressgym.results import RunResult


def reasons(board: Board, result: RunResult) -> str:
    """Why a board refuses a run; empty if it does not."""
    checks, runs = board.check(None, file_of(result))
    failed = [f"{check.name}: {check.reason}" for check in checks if not check.passed]
    assert bool(failed) == (not runs)
    return "; ".join(failed)


@pytest.mark.parametrize("challenge", ["follow", "predict", "coevolve"])
def test_a_real_run_passes_every_check(
    board: Board, runs: dict[str, RunResult], challenge: str
) -> None:
    checks, passed = board.check(card(), file_of(runs[challenge]))
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 12
    assert passed[0].result.scores == runs[challenge].scores


def _score(r: RunResult) -> None:
    assert r.scores
    r.scores = r.scores.model_copy(update={"upstream": 1.0})


def _item(r: RunResult) -> None:
    r.steps[1].policy_items[0][0] += 0.5


def _seed(r: RunResult) -> None:
    r.spec = r.spec.model_copy(update={"seed": 99})


def _questions(r: RunResult) -> None:
    r.steps[0].questions = 10**6


CARELESS: list[tuple[Callable[[RunResult], None], str]] = [
    (_score, "scores.upstream is 1.0 in the file; the matrices give"),
    (_item, "digest does not fit"),
    (_seed, "digest does not fit"),
    (_questions, "digest does not fit"),
    (lambda r: r.manifest.update(base_sha256="0" * 64), "digest does not fit"),
    (lambda r: setattr(r, "digest", None), "has no digest"),
]


@pytest.mark.parametrize(("change", "reason"), CARELESS)
def test_careless_changes_are_seen(
    board: Board, runs: dict[str, RunResult], change: Callable[[RunResult], None], reason: str
) -> None:
    result = copy_of(runs["follow"])
    change(result)
    assert reason in reasons(board, result)


def _swap_eras(r: RunResult) -> None:
    r.steps[1], r.steps[2] = r.steps[2], r.steps[1]


def _copy_human(r: RunResult) -> None:
    r.steps[1].policy_items = r.steps[1].target_items


def _settings(r: RunResult, **changes: Any) -> None:
    r.spec = r.spec.model_copy(update={"settings": {**r.spec.settings, **changes}})


def _drop_setting(r: RunResult) -> None:
    kept = {k: v for k, v in r.spec.settings.items() if k != "decisiveness"}
    r.spec = r.spec.model_copy(update={"settings": kept})


def _shift_target(r: RunResult) -> None:
    for row in r.steps[1].target_items:
        row[0] += 0.1


def _row_missing(r: RunResult) -> None:
    r.steps[1].policy_items = r.steps[1].policy_items[:-1]


def _huge(r: RunResult) -> None:
    r.steps[1].policy_items[0][0] = 1e300


FORGED: list[tuple[Callable[[RunResult], None], str]] = [
    (_item, "steps.1.reward should be"),
    (_questions, "steps.0.questions is 1000000, the budget 8"),
    (lambda r: r.manifest.update(base_sha256="0" * 64), "none that this board has measured"),
    (lambda r: r.manifest.update(humans_sha256={"early": "0" * 64}), "none that this board"),
    (lambda r: r.manifest.update(humans_sha256=["early"]), "none that this board"),
    (lambda r: r.manifest.update(probe_sha256="0" * 64), "manifest.probe_sha256"),
    (lambda r: r.manifest.pop("query_sha256"), "manifest.query_sha256"),
    (lambda r: r.steps.pop(1), "all eras, in order"),
    (_swap_eras, "all eras, in order"),
    (_copy_human, "the policy is the model of middle itself"),
    (lambda r: _settings(r, scenarios="/etc/passwd"), "Only the shipped bank"),
    (lambda r: _settings(r, questions=-1), "settings.questions is -1"),
    (lambda r: _settings(r, answers="all"), "answers='all' is not valid"),
    (lambda r: _settings(r, budget=3), "Unknown parameter of follow 'budget'"),
    (lambda r: _settings(r, instrument="dilemma"), "none that this board has measured"),
    (_drop_setting, "settings.decisiveness should be 4.0, found 'nothing'"),
    (_shift_target, "differs by 0.100 nats from what the board measured of middle"),
    (_row_missing, "steps.1.policy_items should have"),
    (_huge, "further than 60 nats"),
    (lambda r: r.frames.reverse(), "frames are not the bank's"),
    (lambda r: r.scenarios.reverse(), "scenarios or their labels"),
    (
        lambda r: setattr(r, "spec", r.spec.model_copy(update={"challenge": "../x"})),
        "does not have",
    ),
    (lambda r: setattr(r, "spec", r.spec.model_copy(update={"seed": -1})), "is not a seed"),
]


@pytest.mark.parametrize(("change", "reason"), FORGED)
def test_forgeries_with_a_digest_that_fits_are_seen(
    board: Board, runs: dict[str, RunResult], change: Callable[[RunResult], None], reason: str
) -> None:
    result = copy_of(runs["follow"])
    change(result)
    result.scores = None
    result.digest = result.compute_digest()
    assert reason in reasons(board, result)


def test_a_wide_log_odds_that_no_float_holds_is_no_result(
    board: Board, runs: dict[str, RunResult]
) -> None:
    text = runs["follow"].model_dump_json()
    number = str(runs["follow"].steps[0].policy_items[0][0])
    for bad in ("NaN", "Infinity", "-Infinity", "1e999", "null", "[]", '"many"'):
        changed = text.replace(number, bad, 1)
        checks, passed = board.check(None, {"a.json": changed.encode()})
        assert passed == []
        assert "a.json is not a" in checks[0].reason, bad


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a JSON result"),
        (b"\x00\xff", "not a JSON result"),
        (b"[]", "is not a result"),
        (b'{"a": 1, "a": 2}', "'a' is given twice"),
        (b"[" * 100_000, "levels of brackets"),
        (b'{"spec": ' * 50 + b"1" + b"}" * 50, "levels of brackets"),
        (gzip.compress(b"0" * (uploads.LARGEST_RESULT + 1), mtime=0), "unpacks to more than"),
        (gzip.compress(b"{}", mtime=0)[:-5], "end is missing"),
        (gzip.compress(b"{}", mtime=0) + b"more", "after its gzip stream"),
        (b"\x1f\x8b" + b"x" * 50, "not a whole gzip file"),
        (b" " * (uploads.LARGEST_UPLOAD + 1), "larger than"),
        (b"PK\x03\x04" + b"\0" * 64, "not a JSON result"),
        (b"\x80\x04\x95.", "not a JSON result"),
    ],
)
def test_files_that_are_no_results(board: Board, content: bytes, reason: str) -> None:
    checks, passed = board.check(card(), {"../../evil.json": content})
    assert passed == []
    assert reason in checks[0].reason


def test_a_submission_is_of_one_algorithm(
    board: Board, runs: dict[str, RunResult], small_yaml: Any, tmp_path: Any
) -> None:
    follow = runs["follow"]
    frozen = played(small_yaml, tmp_path / "out", "follow", "frozen", 0)

    def why(named: Card, *results: RunResult) -> str:
        files = {str(i): file_of(r)["result.json.gz"] for i, r in enumerate(results)}
        with pytest.raises(RefusedError) as refused:
            board.submit(named, files, "ada")
        return str(refused.value)

    assert "of one algorithm, found frozen, random" in why(card(), follow, frozen)
    assert "follow, seed 0 is there twice" in why(card(), follow, copy_of(follow))
    assert "The card is of 'other'" in why(card("other"), follow)
    other = copy_of(moved(follow, 7))
    other.spec = other.spec.model_copy(update={"parameters": {"scale": 3.0}})
    assert "same parameters" in why(card(), follow, sealed(other))
    assert board.store.one("SELECT count(*) AS n FROM submissions")["n"] == 0  # type: ignore[index]


def test_an_oracle_passes_only_as_one_that_cheats(
    board: Board, small_yaml: Any, tmp_path: Any
) -> None:
    oracle = played(small_yaml, tmp_path / "out", "follow", "oracle", 0)
    assert oracle.cheats
    assert reasons(board, oracle) == ""
    oracle.cheats = False
    assert "cheating" in reasons(board, sealed(oracle))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("code: https", "code: javascript"), "code: "),
        (("licence: MIT", "licence: ''"), "licence: "),
        (("revision: 4f2c1aa", "other: 1"), "revision: Field required; other: "),
        (("[Ada Example]", "[]"), "authors: "),
        (("[Ada Example]", "[&a [*a]]"), "not"),
        (("name: lifelong-dpo", "name: !!python/object/apply:os.system ['true']"), "not YAML"),
        (("none ", "x" * 100_000), "longer than"),
    ],
)
def test_cards_that_are_not_complete(change: tuple[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match="card") as error:
        Card.parse(EXAMPLE.replace(*change))
    assert reason in str(error.value)


# Fuzzing ----------------------------------------------------------------------------------------

EXAMPLES = int(os.environ.get("PROGRESSGYM_FUZZ", "150"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def mutated(draw: st.DrawFn, value: Any, depth: int = 0) -> Any:
    """A JSON value with one part of it replaced, removed or doubled."""
    if depth > 5 or not isinstance(value, list | dict) or not value or draw(st.integers(0, 6)) == 0:
        return draw(JSON)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    changed = value.copy()
    what = draw(st.integers(0, 8))
    if what == 0:
        del changed[key]
    elif what == 1 and isinstance(changed, list):
        changed.append(changed[key])
    else:
        changed[key] = mutated(draw, value[key], depth + 1)
    return changed


def check_fuzzed(board: Board, entries: dict[str, Any]) -> None:
    """Whatever comes, the board answers with checks, and takes only what computes to itself."""
    content = json.dumps(entries).encode()
    checks, passed = board.check(None, {"fuzz.json": content})
    assert checks
    for run in passed:
        assert run.result.digest == run.result.compute_digest()
        assert run.result.scores == run.result.compute_scores()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), challenge=st.sampled_from(["follow", "coevolve"]), seal=st.booleans())
def test_fuzzed_submissions_never_crash_the_board(
    board: Board, runs: dict[str, RunResult], data: st.DataObject, challenge: str, seal: bool
) -> None:
    entries = json.loads(runs[challenge].model_dump_json())

    @st.composite
    def mutation(draw: st.DrawFn) -> Any:
        return mutated(draw, entries)

    changed = data.draw(mutation())
    if seal and isinstance(changed, dict):
        changed["scores"] = None
        try:
            result = RunResult.model_validate(changed)
            changed["digest"] = result.compute_digest()
        except (ValueError, TypeError):
            pass
    check_fuzzed(board, changed)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.integers(0, 10**6),
    what=st.binary(max_size=12),
    cut=st.booleans(),
    pack=st.booleans(),
)
def test_damaged_bytes_never_crash_the_board(
    board: Board, runs: dict[str, RunResult], place: int, what: bytes, cut: bool, pack: bool
) -> None:
    whole = runs["follow"].model_dump_json().encode()
    whole = gzip.compress(whole) if pack else whole
    place %= len(whole)
    damaged = whole[:place] + what + (b"" if cut else whole[place + len(what) :])
    checks, passed = board.check(None, {"a": damaged})
    assert checks
    if passed:
        assert passed[0].result.compute_digest() == runs["follow"].digest


def test_zlib_bombs_cost_no_more_memory_than_the_limit(board: Board) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"\0" * 2**20) for _ in range(1024)) + packer.flush()
    assert len(bomb) < uploads.LARGEST_UPLOAD
    checks, _ = board.check(None, {"bomb.json.gz": bomb})
    assert "unpacks to more than" in checks[0].reason
