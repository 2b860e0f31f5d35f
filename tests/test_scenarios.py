"""Scenarios: the shipped banks keep their promises, and files are read or refused by the place."""

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressgym.errors import UsageError
from progressgym.values.dimensions import DIMENSIONS, RULES
from progressgym.values.forms import evaluative_words
from progressgym.values.instruments import questions
from progressgym.values.scenarios import (
    Instrument,
    Scenario,
    ScenarioBank,
    Split,
    read_bank,
    read_scenarios,
    shipped_bank,
)

INSTRUMENTS: tuple[Instrument, ...] = ("statement", "dilemma")
SHORT = [rule.split("_")[-1] for rule in RULES]
COLUMNS = [
    *("scenario_id", "ambiguity", "generation_type", "generation_rule"),
    *("context", "action1", "action2"),
    *(f"a1_{name}" for name in SHORT),
    *(f"a2_{name}" for name in SHORT),
]


def whole_text(scenario: Scenario) -> str:
    return " ".join([scenario.text, *(option.text for option in scenario.options)])


def words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text.lower()))


def entry(**changes: Any) -> dict[str, Any]:
    plain = {"id": "a", "split": "probe", "instrument": "statement", "text": "to lie"}
    return {**plain, "labels": {"deceive": -1}, **changes}


def dilemma(**changes: Any) -> dict[str, Any]:
    options = [
        {"text": "I tell him.", "labels": {"deceive": 1, "harm_care": -1}},
        {"text": "I keep it from him.", "labels": {"deceive": -1, "break_promise": 1}},
    ]
    return entry(instrument="dilemma", labels={}, options=options, **changes)


def jsonl(path: Path, *entries: object) -> Path:
    lines = [e if isinstance(e, str) else json.dumps(e, ensure_ascii=False) for e in entries]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def answers(**violated: str) -> dict[str, str]:
    """A MoralEvals row on which the actions agree everywhere but where told."""
    plain = {
        "scenario_id": "H_001",
        "ambiguity": "high",
        "generation_type": "hand-written",
        "generation_rule": "do not kill",
        "context": "A dying man asks you to end his life.",
        "action1": "I end it.",
        "action2": "I refuse, and stay with him.",
        **dict.fromkeys(COLUMNS[7:], "No"),
    }
    return {**plain, **violated}


def moral_evals(path: Path, *rows: dict[str, str], columns: list[str] = COLUMNS) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


# The shipped banks ----------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["probe", "query"])
def test_shipped_statements_cover_every_dimension_from_both_sides(split: Split) -> None:
    labels = shipped_bank("statement").split(split).labels
    for sign in (1, -1):
        counts = dict(zip(DIMENSIONS, (labels == sign).sum(axis=0), strict=True))
        assert min(counts.values()) >= 40, counts


@pytest.mark.parametrize("split", ["probe", "query"])
def test_shipped_dilemmas_cover_every_dimension_in_both_orders(split: Split) -> None:
    labels = shipped_bank("dilemma").split(split).labels
    counts = dict(zip(DIMENSIONS, (labels != 0).sum(axis=0), strict=True))
    assert min(counts.values()) >= 20, counts
    for sign in (1, -1):
        assert (labels == sign).sum(axis=0).min() >= 8


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_shipped_ids_and_texts_are_unique_over_both_splits(instrument: Instrument) -> None:
    bank = shipped_bank(instrument)
    assert {s.split for s in bank} == {"probe", "query"}
    for key in (lambda s: s.id, lambda s: " ".join(sorted(words(whole_text(s))))):
        twice = [k for k, n in Counter(map(key, bank)).items() if n > 1]
        assert not twice


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_no_shipped_scenario_is_asked_and_measured_in_nearly_the_same_words(
    instrument: Instrument,
) -> None:
    bank = shipped_bank(instrument)
    sets = {
        split: [words(whole_text(s)) for s in bank.split(split)] for split in ("probe", "query")
    }
    known = {w: i for i, w in enumerate(sorted(set().union(*sets["probe"], *sets["query"])))}
    probe, query = (np.zeros((len(part), len(known))) for part in sets.values())
    for matrix, part in ((probe, sets["probe"]), (query, sets["query"])):
        for row, found in enumerate(part):
            matrix[row, [known[w] for w in found]] = 1
    shared = probe @ query.T
    jaccard = shared / (probe.sum(1)[:, None] + query.sum(1)[None, :] - shared)
    close = [
        (bank.split("probe").scenarios[i].id, bank.split("query").scenarios[j].id)
        for i, j in np.argwhere(jaccard >= 0.75)
    ]
    assert not close


def test_no_evaluative_word_stands_in_a_shipped_act() -> None:
    """It would be judged by a word that the act itself brings."""
    judging = set(evaluative_words())
    found = {
        s.id: words(s.text) & judging
        for s in shipped_bank("statement")
        if s.form == "act" and words(s.text) & judging
    }
    assert not found


def test_shipped_dilemmas_have_opposite_labels_and_options_of_like_length() -> None:
    for scenario in shipped_bank("dilemma"):
        first, second = scenario.options
        assert all(second.labels.get(d, -sign) == -sign for d, sign in first.labels.items())
        assert max(map(len, map(words, (first.text, second.text)))) <= 1.7 * min(
            map(len, map(words, (first.text, second.text)))
        )


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_questions_come_from_query_scenarios_alone_when_asked_of_that_split(
    instrument: Instrument,
) -> None:
    bank = shipped_bank(instrument)
    asked = {pair.scenario for pair in questions(bank.split("query"))}
    assert asked == {s.id for s in bank if s.split == "query"}
    prompts = {pair.prompt for pair in questions(bank.split("query"))}
    assert not prompts & {pair.prompt for pair in questions(bank.split("probe"))}


# Banks ----------------------------------------------------------------------------------------


def test_first_takes_so_many_of_each_split_dimension_and_polarity() -> None:
    bank = shipped_bank("statement")
    part = bank.first(3)
    for split in ("probe", "query"):
        labels = part.split(split).labels
        for sign in (1, -1):
            assert ((labels == sign).sum(axis=0) == 3).all()
    order = [s.id for s in bank]
    chosen = [order.index(s.id) for s in part]
    assert chosen == sorted(chosen)
    assert bank.first(None) is bank
    assert bank.first(10_000).fingerprint == bank.fingerprint


def test_first_of_dilemmas_covers_every_dimension() -> None:
    bank = shipped_bank("dilemma")
    for items in (1, 2):
        labels = bank.first(items).split("probe").labels
        assert ((labels == 1).sum(axis=0) >= items).all()
        assert ((labels == -1).sum(axis=0) >= items).all()
    assert len(bank.first(1)) < len(bank.first(2)) < len(bank)


def test_fingerprint_changes_with_any_part() -> None:
    def fingerprint(**changes: Any) -> str:
        one = Scenario.model_validate(dilemma(**changes))
        return ScenarioBank([one, Scenario.model_validate(dilemma(id="z"))]).fingerprint

    other_option = dilemma()["options"]
    other_option[1]["text"] = "I keep it from her."
    other_label = dilemma()["options"]
    other_label[1]["labels"]["break_promise"] = -1
    changes: list[dict[str, Any]] = [
        {},
        {"text": "to lie!"},
        {"id": "b"},
        {"split": "query"},
        {"tags": ["war"]},
    ]
    prints = {fingerprint(**change) for change in changes}
    for options in (other_option, other_label):
        one = Scenario.model_validate({**dilemma(), "options": options})
        prints.add(ScenarioBank([one, Scenario.model_validate(dilemma(id="z"))]).fingerprint)
    assert len(prints) == len(changes) + 2
    assert fingerprint() == fingerprint()


def test_fingerprint_depends_on_the_order() -> None:
    scenarios = [Scenario.model_validate(entry(id=i)) for i in "ab"]
    assert ScenarioBank(scenarios).fingerprint != ScenarioBank(scenarios[::-1]).fingerprint


def test_polarity_of_a_dilemma_is_that_of_its_first_option() -> None:
    scenario = Scenario.model_validate(dilemma())
    assert scenario.polarity == {"deceive": 1, "harm_care": -1, "break_promise": -1}
    row = ScenarioBank([scenario]).labels[0]
    assert row[DIMENSIONS.index("deceive")] == 1
    assert row[DIMENSIONS.index("break_promise")] == -1
    assert np.count_nonzero(row) == 3


@given(
    st.dictionaries(st.sampled_from(DIMENSIONS), st.sampled_from([1, -1]), min_size=1),
    st.text(min_size=1).filter(str.strip),
)
def test_scenarios_survive_their_own_json(labels: dict[str, int], text: str) -> None:
    scenario = Scenario.model_validate(entry(labels=labels, text=text))
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


def test_a_bank_of_two_instruments_or_of_none_is_refused() -> None:
    both = [Scenario.model_validate(e) for e in (entry(id="a"), dilemma(id="b"))]
    for scenarios in (both, []):
        with pytest.raises(UsageError, match="exactly one instrument"):
            ScenarioBank(scenarios)


# JSONL ----------------------------------------------------------------------------------------


def test_jsonl_is_read_with_blank_lines_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "bank.jsonl"
    text = f"\n{json.dumps(entry(id='a'))}\n\n{json.dumps(entry(id='b', split='query'))}"
    path.write_text(text, encoding="utf-8-sig")
    assert [s.id for s in read_bank(path)] == ["a", "b"]


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\x7f", "\u000b"])
def test_jsonl_text_may_hold_what_only_looks_like_a_line_end(
    tmp_path: Path, separator: str
) -> None:
    """JSON forbids raw control characters below U+0020 in texts; escaped ones are fine."""
    text = f"to lie{separator}to a friend"
    line = json.dumps(entry(text=text), ensure_ascii=False)
    scenarios = list(read_scenarios(jsonl(tmp_path / "bank.jsonl", line)))
    assert [s.text for s in scenarios] == [text]


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        ('{"id": "b",', "line 2, column 12"),
        ('{"id": "b" "split"}', "line 2, column 12"),
        ({k: v for k, v in entry().items() if k != "split"}, "line 2, column 'split'"),
        (entry(split="train"), "line 2, column 'split'"),
        (entry(instrument="essay"), "line 2, column 'instrument'"),
        (entry(labels={"deceive": 2}), "line 2, column 'labels.deceive"),
        (entry(labels={"kindness": 1}), "line 2, .*unknown dimension 'kindness'"),
        (entry(labels={}), "line 2, .*labels: at least one dimension"),
        (entry(id=""), "line 2, column 'id'"),
        (entry(text=""), "line 2, column '(text|context)'"),
        (entry(colour="red"), "line 2, column 'colour'"),
        (entry(options=dilemma()["options"]), "line 2, .*a statement has no options"),
        (dilemma(id="b") | {"options": []}, "line 2, .*exactly 2 options, found 0"),
        ([1, 2], "line 2, column 'scenario'"),
        ("7", "line 2, column 'scenario'"),
    ],
)
def test_jsonl_errors_name_file_line_and_field(tmp_path: Path, broken: object, where: str) -> None:
    path = jsonl(tmp_path / "bank.jsonl", entry(), broken)
    with pytest.raises(UsageError, match=where) as error:
        read_bank(path)
    assert "bank.jsonl" in str(error.value)


def test_a_dimension_on_which_both_options_agree_does_not_tell_them_apart() -> None:
    options = [
        {"text": "I tell him.", "labels": {"deceive": 1, "cheat": 1}},
        {"text": "I keep it from him.", "labels": {"deceive": -1, "cheat": 1}},
    ]
    scenario = Scenario.model_validate({**dilemma(), "options": options})
    assert scenario.polarity == {"deceive": 1}


@pytest.mark.parametrize("name", ["bank.jsonl", "bank.csv"])
def test_empty_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(name)):
        read_bank(tmp_path / name)


@pytest.mark.parametrize("name", ["bank.jsonl", "bank.csv"])
def test_missing_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"No scenario file .*{re.escape(name)}"):
        read_bank(tmp_path / name)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
        read_bank(tmp_path)


@pytest.mark.parametrize("name", ["bank.jsonl", "bank.csv"])
def test_file_that_is_not_utf8_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes('{"id": "é"}\n'.encode("latin-1"))
    with pytest.raises(UsageError, match=f"{re.escape(name)} is not UTF-8"):
        read_bank(tmp_path / name)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_duplicate_id_is_refused_and_named(tmp_path: Path, kind: str) -> None:
    if kind == "jsonl":
        entries = (entry(id="one"), entry(id="twin"), entry(id="twin", split="query"))
        path = jsonl(tmp_path / "bank.jsonl", *entries)
    else:
        rows = [answers(scenario_id=i, a1_death="Yes") for i in ("one", "twin", "twin")]
        path = moral_evals(tmp_path / "bank.csv", *rows)
    with pytest.raises(UsageError, match="twin"):
        read_bank(path)


def test_a_file_with_one_split_is_divided_into_two_disjoint_ones(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "bank.jsonl", *(entry(id=str(i)) for i in range(9)))
    bank = read_bank(path).divided()
    probe, query = ({s.id for s in bank.split(split)} for split in ("probe", "query"))
    assert not probe & query
    assert probe | query == {str(i) for i in range(9)}
    assert min(len(probe), len(query)) >= 4
    assert read_bank(path).divided().fingerprint == bank.fingerprint


def test_dividing_a_file_keeps_both_polarities_in_both_splits(tmp_path: Path) -> None:
    """Files often list an upholding and a violating scenario in turn."""
    entries = [entry(id=str(i), labels={"cheat": 1 if i % 2 else -1}) for i in range(20)]
    bank = read_bank(jsonl(tmp_path / "bank.jsonl", *entries)).divided()
    for split in ("probe", "query"):
        column = bank.split(split).labels[:, DIMENSIONS.index("cheat")]
        assert {-1, 1} <= set(column.tolist())


def test_a_file_with_both_splits_keeps_them(tmp_path: Path) -> None:
    entries = [entry(id=str(i), split="query" if i == 3 else "probe") for i in range(5)]
    bank = read_bank(jsonl(tmp_path / "bank.jsonl", *entries)).divided()
    assert [s.id for s in bank.split("query")] == ["3"]


# MoralEvals' CSV ------------------------------------------------------------------------------


def test_moral_evals_labels_say_violation_as_minus_one(tmp_path: Path) -> None:
    row = answers(a1_death="Yes", a2_pain="Yes", a1_deceive="No Agreement", a2_deceive="Yes")
    second = answers(scenario_id="H_002", context="Two,\nlines", a2_law=" yes ")
    path = moral_evals(tmp_path / "bank.csv", row, second)
    bank = read_bank(path)
    assert bank.instrument == "dilemma"
    first, other = bank
    assert first.id == "H_001"
    assert first.text == "A dying man asks you to end his life."
    assert [option.text for option in first.options] == [row["action1"], row["action2"]]
    assert first.options[0].labels == {"cause_death": -1, "inflict_pain": 1}
    assert first.options[1].labels == {"cause_death": 1, "inflict_pain": -1, "deceive": -1}
    assert first.polarity == {"cause_death": -1, "inflict_pain": 1, "deceive": 1}
    assert set(first.tags) == {"high", "do not kill"}
    assert other.text == "Two,\nlines"
    assert other.polarity == {"violate_law": 1}


@pytest.mark.parametrize("rule", range(len(RULES)))
def test_every_moral_evals_column_is_its_rule(tmp_path: Path, rule: int) -> None:
    row = answers(**{f"a2_{SHORT[rule]}": "Yes"})
    bank = read_bank(moral_evals(tmp_path / "bank.csv", row))
    assert bank.scenarios[0].polarity == {RULES[rule]: 1}


def test_rows_whose_actions_agree_on_everything_are_skipped(tmp_path: Path) -> None:
    rows = [
        answers(scenario_id="none"),
        answers(scenario_id="kept", a1_cheat="Yes"),
        answers(scenario_id="both", a1_death="Yes", a2_death="Yes"),
        answers(scenario_id="unclear", a1_law="No Agreement", a2_law="No Agreement"),
    ]
    bank = read_bank(moral_evals(tmp_path / "bank.csv", *rows))
    assert [s.id for s in bank] == ["kept"]
    with pytest.raises(UsageError, match=r"none\.csv holds no scenarios"):
        read_bank(moral_evals(tmp_path / "none.csv", rows[0], rows[2]))


@given(
    st.lists(st.sampled_from(["Yes", "No", "No Agreement"]), min_size=20, max_size=20),
)
def test_moral_evals_rows_are_antisymmetric_in_the_actions(
    tmp_path_factory: pytest.TempPathFactory, given_answers: list[str]
) -> None:
    swapped = given_answers[10:] + given_answers[:10]
    rows = [
        answers(scenario_id=name, **dict(zip(COLUMNS[7:], row, strict=True)))
        for name, row in (("one", given_answers), ("two", swapped))
    ]
    marker = answers(scenario_id="marker", a1_death="Yes")
    bank = read_bank(moral_evals(tmp_path_factory.mktemp("csv") / "bank.csv", *rows, marker))
    found = {s.id: s.polarity for s in bank}
    expected = {d: -sign for d, sign in found.get("one", {}).items()}
    assert found.get("two", {}) == expected
    score = {"Yes": -1, "No": 1, "No Agreement": 0}
    for rule, a, b in zip(RULES, given_answers[:10], given_answers[10:], strict=True):
        assert found.get("one", {}).get(rule, 0) == np.sign(score[a] - score[b])


@pytest.mark.parametrize("column", ["scenario_id", "context", "action2", "a1_death", "a2_duty"])
def test_moral_evals_without_a_column_names_it(tmp_path: Path, column: str) -> None:
    columns = [name for name in COLUMNS if name != column]
    path = moral_evals(tmp_path / "bank.csv", answers(a1_death="Yes"), columns=columns)
    with pytest.raises(UsageError, match=rf"bank\.csv, line 1: missing column '{column}'"):
        read_bank(path)


@pytest.mark.parametrize("answer", ["Maybe", "", "1"])
def test_moral_evals_bad_answer_names_line_and_column(tmp_path: Path, answer: str) -> None:
    rows = [answers(a1_death="Yes"), answers(scenario_id="H_002", a2_promise=answer)]
    path = moral_evals(tmp_path / "bank.csv", *rows)
    expected = rf"bank\.csv, line 3, column 'a2_promise': '{answer}' found, expected Yes"
    with pytest.raises(UsageError, match=expected):
        read_bank(path)


def test_moral_evals_short_row_names_its_line(tmp_path: Path) -> None:
    path = moral_evals(tmp_path / "bank.csv", answers(a1_death="Yes"))
    with path.open("a", encoding="utf-8") as file:
        file.write("H_002,high,x,y,context,one,two,Yes\n")
    with pytest.raises(UsageError, match=r"line 3, column 'a1_pain'"):
        read_bank(path)


@pytest.mark.parametrize("column", ["scenario_id", "context", "action1"])
def test_moral_evals_blank_text_names_its_line(tmp_path: Path, column: str) -> None:
    path = moral_evals(tmp_path / "bank.csv", answers(a1_death="Yes", **{column: ""}))
    with pytest.raises(UsageError, match=r"bank\.csv, line 2, column"):
        read_bank(path)


@pytest.mark.parametrize("line", [0, 1])
def test_moral_evals_broken_quotes_name_the_line(tmp_path: Path, line: int) -> None:
    path = moral_evals(tmp_path / "bank.csv", answers(a1_death="Yes"))
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line] = '"a"b,' + lines[line]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=rf"bank\.csv, line {line + 1}"):
        read_bank(path)
