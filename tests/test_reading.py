"""Reading: trees, packed weights and batches change how fast numbers come, never which."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from progressgym.models import Policy, base_policy, era_policy
from progressgym.models.calibration import Pace, measured_pace
from progressgym.models.packing import can_pack, packed, product, standing_in
from progressgym.models.reading import (
    Encoded,
    packed_by_prompt,
    passes,
    sequence_logprobs,
    token_logprobs,
)
from progressgym.models.tiny import tiny_backbone
from progressgym.models.trees import Tree, equal_batches, grow, pack
from progressgym.storage import cache_folder
from progressgym.timeline import Timeline

TIMELINE = Timeline.load("tiny")
SEQUENCES = st.lists(
    st.lists(st.integers(2, 6), min_size=1, max_size=7).map(tuple), min_size=1, max_size=12
)
ASKED: list[Encoded] = [
    ((5, 6, 7, 8), (9, 10, 11)),
    ((5, 6, 7, 8), (9, 12)),
    ((5, 6, 7, 8), (13,)),
    ((20, 21), (22, 23, 24, 25)),
    ((20, 21), (30,)),
    ((5, 6), (7, 40, 41)),
]
to_the_last_bit = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="only x86-64 libraries are known to be this regular"
)


def era(index: int) -> Policy:
    return era_policy(TIMELINE, TIMELINE.eras[index])


def directly(model: nn.Module, encoded: Sequence[Encoded]) -> Tensor:
    """Log-probabilities one sequence at a time, by the ordinary way, differentiable."""
    scores = []
    for prompt, response in encoded:
        ids = torch.tensor([[*prompt, *response]])
        chances = model(input_ids=ids, use_cache=True).logits[0].log_softmax(-1)
        places = range(len(prompt) - 1, ids.shape[1] - 1)
        scores.append(chances[list(places), list(response)].sum())
    return torch.stack(scores)


# Trees ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(SEQUENCES)
def test_a_tree_holds_every_sequence_and_each_beginning_once(
    sequences: list[tuple[int, ...]],
) -> None:
    tree, paths = grow(sequences)
    for sequence, path in zip(sequences, paths, strict=True):
        assert tuple(tree.ids[node] for node in path) == sequence
        assert set(tree.ancestors[path[-1]].nonzero()[0]) == set(path)
        assert [tree.depths[node] for node in path] == list(range(len(path)))
    beginnings = {s[: i + 1] for s in sequences for i in range(len(s))}
    assert len(tree) == len(beginnings)
    assert tree.is_chain == (len(tree) == max(map(len, sequences)))


@given(SEQUENCES, st.randoms(use_true_random=False))
def test_the_order_of_the_sequences_does_not_matter(
    sequences: list[tuple[int, ...]], random: object
) -> None:
    shuffled = list(sequences)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert grow(shuffled)[0] == grow(sequences)[0]


@given(SEQUENCES, SEQUENCES)
def test_keys_tell_trees_apart(first: list[tuple[int, ...]], second: list[tuple[int, ...]]) -> None:
    one, other = grow(first)[0], grow(second)[0]
    assert (one.key == other.key) == (one == other)


@given(SEQUENCES, st.integers(1, 30))
def test_packs_hold_every_sequence_once_and_are_about_equally_large(
    sequences: list[tuple[int, ...]], size: int
) -> None:
    groups = pack(sequences, size)
    assert sorted(i for group in groups for i in group) == list(range(len(sequences)))
    assert all(groups)
    sizes = [len(grow([sequences[i] for i in group])[0]) for group in groups]
    assert max(sizes) <= 2 * (size + max(map(len, sequences)))


def test_equal_sequences_do_not_open_a_pack_of_their_own() -> None:
    assert len(pack([(1, 2, 3), (1, 2, 4), (1, 2, 4), (1, 2, 4)], 100)) == 1


@given(SEQUENCES, st.integers(1, 40))
def test_batches_hold_trees_of_one_length_within_their_bound(
    sequences: list[tuple[int, ...]], tokens: int
) -> None:
    trees = [Tree.chain(sequence) for sequence in sequences]
    batches = equal_batches(trees, tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(trees)))
    for batch in batches:
        lengths = {len(trees[i]) for i in batch}
        assert len(lengths) == 1
        assert len(batch) == 1 or len(batch) * lengths.pop() <= tokens


# Numbers --------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    asked=st.lists(
        st.tuples(
            st.lists(st.integers(2, 9), min_size=1, max_size=5).map(tuple),
            st.lists(st.integers(2, 9), min_size=1, max_size=4).map(tuple),
        ),
        min_size=1,
        max_size=8,
    ),
    size=st.sampled_from([4, 16, 256]),
)
def test_packed_log_probabilities_are_the_direct_ones(asked: list[Encoded], size: int) -> None:
    with era(6).active() as model, torch.no_grad():
        expected = directly(model, asked)
        found = sequence_logprobs(model, packed_by_prompt(asked, size))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(era(6).encoded_logprobs(asked), expected, atol=1e-4, rtol=1e-4)


def test_packed_gradients_are_the_direct_ones() -> None:
    policy, weights = era(3).copy(), torch.tensor([1.0, -2.0, 0.5, 0.7, -0.3, 1.1])
    gradients = []
    for read in (lambda m: sequence_logprobs(m, packed_by_prompt(ASKED)), None):
        with policy.active() as model:
            model.zero_grad(set_to_none=True)
            scores = directly(model, ASKED) if read is None else read(model)
            (scores * weights).sum().backward()
            gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
            model.zero_grad(set_to_none=True)
    assert len(gradients[0]) == len(policy.weights)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_head_in_parts_is_a_log_softmax_with_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("progressgym.models.reading._HeadLogprobs.WORDS", 37)
    model = base_policy(TIMELINE).backbone.model
    head = model.get_output_embeddings().weight
    reading, token = torch.tensor([0, 0, 2, 1]), torch.tensor([5, 5, 599 % len(head), 0])
    upstream = torch.tensor([1.0, -0.5, 2.0, 0.3])
    found, expected = (torch.randn(3, head.shape[1], generator=torch.manual_seed(0)) * 40,) * 2
    found, expected = found.clone().requires_grad_(), expected.clone().requires_grad_()
    ours = token_logprobs(model, found, reading, token)
    theirs = (expected @ head.T).log_softmax(1)[reading, token]
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)
    (ours * upstream).sum().backward()
    (theirs * upstream).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad, atol=1e-3, rtol=1e-4)


@to_the_last_bit
def test_an_answer_does_not_depend_on_what_else_is_asked() -> None:
    policy = era(4)
    together = policy.encoded_logprobs(ASKED)
    for prompt in {prompt for prompt, _ in ASKED}:
        policy.backbone.logprobs.clear()
        alone = [i for i, (p, _) in enumerate(ASKED) if p == prompt]
        assert torch.equal(policy.encoded_logprobs([ASKED[i] for i in alone]), together[alone])


@to_the_last_bit
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_nor_does_it_where_few_tokens_are_read_and_by_many_threads(threads: int) -> None:
    policy = Policy(tiny_backbone(), era(4).weights)
    backbone = policy.backbone
    backbone.pace = backbone.trunk.pace = Pace(threads, 1024, False, 0.0)
    encoded = [
        ((start, *range(5, 5 + length)), response)
        for length in range(1, 40)
        for start in range(2, 3 + length % 8)
        for response in ((50,), (60, 70, 80)[: 1 + length % 3])
    ]
    together = policy.encoded_logprobs(encoded)
    chains = [Tree.chain(prompt) for prompt, _ in encoded[::2]]
    with backbone.pace.threads_set():
        states = backbone.trunk.compute(chains)
        for chain, state in zip(chains, states, strict=True):
            assert torch.equal(backbone.trunk.compute([chain])[0], state)
    for first in range(0, len(encoded), 2):
        backbone.logprobs.clear()
        alone = policy.encoded_logprobs(encoded[first : first + 2])
        assert torch.equal(alone, together[first : first + 2])


@to_the_last_bit
def test_the_size_of_batches_does_not_change_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [f"it is {a} to be {b}" for a in "abcdefg" for b in "hijk"]
    tokens = [t[0] for t in era(4).encode([" right", " wrong"])]
    found = []
    for batch_tokens in (1, 64, 4096):
        monkeypatch.setenv("PROGRESSGYM_CACHE", str(tmp_path / str(batch_tokens)))
        policy = Policy(tiny_backbone(), era(4).weights)
        policy.backbone.pace = policy.backbone.trunk.pace = Pace(0, batch_tokens, False, 0.0)
        found.append(policy.next_token_logits(prompts, tokens))
    assert found[0].abs().max() > 0.1
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[2])


def test_every_prompt_has_a_place_in_exactly_one_pass() -> None:
    members = [i for part, _ in passes(ASKED, [[0, 1, 2], [3], [4, 5]], 8) for i in part]
    assert sorted(members) == list(range(len(ASKED)))


def test_reading_leaves_the_model_as_it_was() -> None:
    backbone = tiny_backbone()
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    with pytest.raises(ZeroDivisionError), backbone.reading(era(5).weights):
        raise ZeroDivisionError
    for name, tensor in backbone.model.state_dict().items():
        assert torch.equal(tensor, before[name])
    for module in backbone.model.modules():
        assert "forward" not in vars(module)
        assert not getattr(module, "merged_adapters", [])


def test_what_one_process_computed_the_next_one_finds_on_disk() -> None:
    first, second = tiny_backbone(), tiny_backbone()
    tree = Tree.chain([17, 18, 19, 20, 21])
    assert first.trunk.store.get(tree.key) is None
    (states,) = first.trunk.states([tree])
    first.trunk.store.flush()
    kept = second.trunk.store.get(tree.key)
    assert kept is not None
    assert torch.equal(kept, states)
    assert second.trunk.store.get(Tree.chain([17, 18]).key) is None


# Packed weights and calibration ---------------------------------------------------------------


@pytest.mark.skipif(not can_pack(torch.zeros(1, 1)), reason="oneDNN is not in this torch")
@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 70), inner=st.sampled_from([16, 48, 96]), seed=st.integers(0, 99))
def test_packed_products_are_the_plain_ones_whatever_the_other_rows(
    rows: int, inner: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(inner, 32, bias=False)
    inputs = torch.randn(rows, inner, generator=generator)
    with torch.inference_mode():
        weight = packed(layer.weight)
        found = product(inputs, weight)
        torch.testing.assert_close(found, layer(inputs), atol=1e-5, rtol=1e-4)
        assert product(inputs[:1], weight).shape == (1, 32)
        torch.testing.assert_close(product(inputs[:1], weight), found[:1], atol=1e-6, rtol=0)
        with standing_in({layer: weight}):
            assert torch.equal(layer(inputs), found)
    assert "forward" not in vars(layer)


def test_calibration_is_kept_and_a_broken_one_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGRESSGYM_CACHE", str(tmp_path))
    model = tiny_backbone().model
    layer = model.model.layers[0].layer
    pace = measured_pace(model, layer, "own")
    assert pace.batch_tokens > 0
    assert not pace.packed  # far too small to gain
    assert measured_pace(model, layer, "own") == pace
    for path in (cache_folder() / "calibration").glob("*.json"):
        path.write_text(json.dumps({"threads": 1}))
    assert measured_pace(model, layer, "own").batch_tokens > 0


def test_threads_are_set_back_after_a_block() -> None:
    before = torch.get_num_threads()
    with Pace(before + 1, 1024, False, 0.0).threads_set():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


# Generation -----------------------------------------------------------------------------------


def test_samples_differ_and_do_not_depend_on_the_other_prompts() -> None:
    policy, prompts = era(3), ["it is", "to be good or evil is", "we hold that it is"]
    together = policy.generate(prompts, 6, temperature=1.5, seed=3, samples=4)
    assert [len(drawn) for drawn in together] == [4, 4, 4]
    assert len({text for drawn in together for text in drawn}) > 4
    for prompt, drawn in zip(prompts, together, strict=True):
        assert policy.generate([prompt], 6, temperature=1.5, seed=3, samples=4) == [drawn]
    assert policy.generate(prompts[:1], 6, temperature=1.5, seed=3) == [together[0][:1]]


def test_what_another_era_read_before_changes_no_answer() -> None:
    prompts = ["it is", "to be good or evil is"]
    alone = Policy(tiny_backbone(), era(3).weights).generate(prompts, 5)
    shared = tiny_backbone()
    other = Policy(shared, era(8).weights).generate(prompts, 5)
    assert Policy(shared, era(3).weights).generate(prompts, 5) == alone
    assert Policy(shared, era(8).weights).generate(prompts, 5) == other


def test_an_end_token_ends_a_sample_and_no_other() -> None:
    policy = era(3)
    prompts = ["it is", "to be good or evil is"]
    whole = policy.generate(prompts, 8)
    with policy.active() as model, torch.no_grad():
        likeliest = int(model(torch.tensor(policy.encode(prompts[:1]))).logits[0, -1].argmax())
    config = policy.backbone.model.generation_config
    before = config.eos_token_id
    config.eos_token_id = [likeliest]
    try:
        cut = policy.generate(prompts, 8)
    finally:
        config.eos_token_id = before
    assert cut[0] == [""]
    assert whole[1][0].startswith(cut[1][0])
