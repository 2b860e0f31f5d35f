"""Models: the trunk is invisible, policies are independent, adapters are peft's, timelines load."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from progressgym.errors import UsageError
from progressgym.models import AdapterShape, Backbone, Policy, base_policy, era_policy, load_model
from progressgym.models.tiny import tiny_backbone
from progressgym.models.trees import Tree
from progressgym.timeline import Timeline
from progressgym.values.measure import measure
from progressgym.values.scenarios import shipped_bank

TIMELINE = Timeline.load("tiny")
TEXTS = ["it is right", "to be good or evil", "just", "we hold that it is wicked to be wise"]


def era(index: int) -> Policy:
    return era_policy(TIMELINE, TIMELINE.eras[index])


def logits(policy: Policy, ids: Tensor, mask: Tensor | None, ordinary: bool) -> Tensor:
    """Logits with the trunk, or by the ordinary way through all layers (key-value cache)."""
    with policy.active() as model, torch.no_grad():
        return model(input_ids=ids, attention_mask=mask, use_cache=ordinary).logits


def assert_trunk_is_invisible(policy: Policy, ids: Tensor, mask: Tensor | None) -> None:
    ordinary = logits(policy, ids, mask, ordinary=True)
    read = torch.ones_like(ids) if mask is None else mask
    for _ in range(2):  # computed, then remembered
        served = logits(policy, ids, mask, ordinary=False)
        torch.testing.assert_close(served[read.bool()], ordinary[read.bool()], atol=1e-4, rtol=1e-4)


def pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Right-padded ids and their mask."""
    tensors = [torch.tensor(row) for row in rows]
    masks = [torch.ones(len(row), dtype=torch.long) for row in rows]
    pad_sequence = torch.nn.utils.rnn.pad_sequence
    return pad_sequence(tensors, batch_first=True), pad_sequence(masks, batch_first=True)


def left_padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    ids, mask = pad([row[::-1] for row in rows])
    return ids.flip(1), mask.flip(1)


def plain_model(policy: Policy) -> LlamaForCausalLM:
    """The base of ``tiny`` as a stock Llama: no slot, no trunk."""
    config = LlamaConfig.from_dict(policy.backbone.model.config.to_dict())
    model = LlamaForCausalLM(config).eval()
    weights = {
        name.replace("embed_tokens.embedding.", "embed_tokens.")
        .replace(".layer.", ".")
        .replace(".base_layer.", "."): tensor
        for name, tensor in policy.backbone.model.state_dict().items()
        if "lora_" not in name
    }
    # The trunk's own and the embedding's entry are one tensor under one name.
    model.load_state_dict(weights, strict=True)
    return model


def random_llama(folder: Path, seed: int, hidden: int = 16) -> LlamaForCausalLM:
    """A full model directory in the hub's layout: config, safetensors, tokenizer."""
    tokenizer = era(0).backbone.tokenizer
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def write_timeline(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def two_eras(first: str = "", second: str = "", base: str = "tiny") -> str:
    return (
        f"name: two\nbase: {base}\neras:\n"
        f"  - {{name: old, first_year: 1801, last_year: 1900{first}}}\n"
        f"  - {{name: new, first_year: 1901, last_year: 2000{second}}}\n"
    )


# The trunk ------------------------------------------------------------------------------------


def test_trunk_is_invisible_with_right_padding() -> None:
    ids, mask = pad(era(2).encode(TEXTS))
    assert 0 in mask[:, -1]
    assert_trunk_is_invisible(era(2), ids, mask)


def test_trunk_is_invisible_with_left_padding() -> None:
    ids, mask = left_padded(era(2).encode(TEXTS))
    assert 0 in mask[:, 0]
    assert_trunk_is_invisible(era(2), ids, mask)


def test_trunk_is_invisible_without_a_mask_and_with_repeated_rows() -> None:
    row = era(2).encode(TEXTS)[0]
    ids = torch.tensor([row, row[::-1], row, row])
    assert_trunk_is_invisible(era(2), ids, None)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(2, 200), min_size=1, max_size=12), min_size=1, max_size=6),
    left=st.booleans(),
    index=st.integers(0, 8),
)
def test_trunk_is_invisible_for_any_rows(rows: list[list[int]], left: bool, index: int) -> None:
    ids, mask = left_padded(rows) if left else pad(rows)
    assert_trunk_is_invisible(era(index), ids, mask)


def test_same_row_padded_on_either_side_gives_the_same_logits() -> None:
    rows = era(1).encode(TEXTS)
    right = logits(era(1), *pad(rows), ordinary=False)
    left = logits(era(1), *left_padded(rows), ordinary=False)
    for index, row in enumerate(rows):
        torch.testing.assert_close(
            right[index, : len(row)], left[index, -len(row) :], atol=1e-4, rtol=1e-4
        )


def test_trunk_gradients_of_the_adapter_are_the_ordinary_ones() -> None:
    policy = era(2).copy()
    ids, mask = pad(policy.encode(TEXTS))
    gradients = []
    for ordinary in (True, False):
        with policy.active() as model:
            model.zero_grad(set_to_none=True)
            scores = model(input_ids=ids, attention_mask=mask, use_cache=ordinary).logits
            scores[mask.bool()].pow(2).mean().backward()
            gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
            model.zero_grad(set_to_none=True)
    assert len(gradients[0]) == len(policy.weights)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_continuing_from_a_key_value_cache_gives_the_logits_of_the_whole() -> None:
    """The model's configuration asks for a cache by default, as every stock Llama's does."""
    ids = torch.tensor([era(3).encode(TEXTS)[1]])
    whole = logits(era(3), ids, None, ordinary=True)
    with era(3).active() as model, torch.no_grad():
        start = model(ids[:, :3])
        rest = model(ids[:, 3:], past_key_values=start.past_key_values)
    torch.testing.assert_close(rest.logits, whole[:, 3:], atol=1e-4, rtol=1e-4)


def test_trunk_heeds_position_ids_of_packed_sequences() -> None:
    one, two = era(3).encode(TEXTS)[:2]
    positions = torch.tensor([[*range(len(one)), *range(len(two))]])
    with era(3).active() as model, torch.no_grad():
        packed = model(torch.tensor([one + two]), position_ids=positions, use_cache=False).logits
        alone = [model(torch.tensor([row]), use_cache=True).logits for row in (one, two)]
    torch.testing.assert_close(packed, torch.cat(alone, dim=1), atol=1e-4, rtol=1e-4)


def test_trunk_heeds_a_mask_given_by_position() -> None:
    ids, mask = left_padded(era(3).encode(TEXTS))
    with era(3).active() as model, torch.no_grad():
        named = model.model(ids, attention_mask=mask, use_cache=False).last_hidden_state
        placed = model.model(ids, mask, use_cache=False).last_hidden_state
    torch.testing.assert_close(placed[mask.bool()], named[mask.bool()], atol=1e-4, rtol=1e-4)


def test_trunk_that_forgets_keeps_nothing_and_answers_right() -> None:
    policy = Policy(tiny_backbone())
    store = policy.backbone.trunk.store
    policy.backbone.fingerprint = "own"  # of which nothing is in the cache
    ids, mask = pad(policy.encode(TEXTS))
    keys = [Tree.chain(row).key for row in policy.encode(TEXTS)]
    with policy.active(remember=False):
        assert_trunk_is_invisible(policy, ids, mask)
    assert all(store.get(key) is None for key in keys)
    assert_trunk_is_invisible(policy, ids, mask)
    assert all(store.get(key) is not None for key in keys)


def test_an_error_inside_the_model_leaves_the_trunk_usable() -> None:
    policy = Policy(tiny_backbone())
    ids, mask = pad(policy.encode(TEXTS))
    before = logits(policy, ids, mask, ordinary=True)
    with pytest.raises((IndexError, RuntimeError)):
        logits(policy, torch.tensor([[10**6]]), None, ordinary=False)
    assert not policy.backbone.trunk.active
    torch.testing.assert_close(logits(policy, ids, mask, ordinary=True), before)
    assert_trunk_is_invisible(policy, ids, mask)


# Policies -------------------------------------------------------------------------------------


def test_policies_of_one_base_do_not_disturb_each_other() -> None:
    prompts, responses = ["it is", "it is"], [" right", " wicked"]
    one, other = era(0), era(8)
    alone = [policy.logprobs(prompts, responses) for policy in (one, other)]
    assert (alone[0] - alone[1]).abs().max() > 0.1
    for _ in range(2):
        for policy, expected in zip((one, other), alone, strict=True):
            assert torch.equal(policy.logprobs(prompts, responses), expected)


def test_a_policy_used_within_anothers_block_does_not_change_who_is_active() -> None:
    ids = torch.tensor([era(0).encode(TEXTS)[0]])
    expected = logits(era(0), ids, None, ordinary=False)
    with era(0).active() as model, torch.no_grad():
        era(8).logprobs(["it is"], [" right"])
        assert torch.equal(model(input_ids=ids, use_cache=False).logits, expected)


def test_fresh_policy_is_the_plain_base() -> None:
    base = base_policy(TIMELINE)
    ids, mask = pad(base.encode(TEXTS))
    with torch.no_grad():
        expected = plain_model(base)(input_ids=ids, attention_mask=mask).logits
    served = logits(base, ids, mask, ordinary=False)
    torch.testing.assert_close(served[mask.bool()], expected[mask.bool()], atol=1e-4, rtol=1e-4)
    assert era(4).base.fingerprint == base.fingerprint
    assert era(4).fingerprint != base.fingerprint


def test_copy_is_equal_and_then_independent() -> None:
    original = era(5)
    before = original.fingerprint
    copy = original.copy("mine")
    assert copy.fingerprint == before
    assert (copy.name, original.name) == ("mine", TIMELINE.eras[5].name)
    for tensor in copy.weights.values():
        tensor.add_(0.5)
    assert copy.fingerprint != before
    assert original.fingerprint == before
    assert original.copy().fingerprint == before


def test_training_a_copy_leaves_the_original_untouched() -> None:
    original = era(5)
    before = original.fingerprint
    copy = original.copy()
    with copy.active() as model:
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
        ids = torch.tensor([copy.encode(TEXTS)[1]])
        model(input_ids=ids, use_cache=False).logits.logsumexp(-1).mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    assert copy.fingerprint != before
    assert original.fingerprint == before


def direct_logprob(policy: Policy, prompt: list[int], response: list[int]) -> float:
    """log π(response | prompt), one sequence at a time by the ordinary way."""
    ids = torch.tensor([prompt + response])
    scores = logits(policy, ids, None, ordinary=True)[0].double().log_softmax(-1)
    return sum(float(scores[len(prompt) + i - 1, token]) for i, token in enumerate(response))


def test_logprobs_equal_a_direct_log_softmax() -> None:
    prompts = ["it is", "to be good is", "it is", "it is", "we hold that it is"]
    responses = [" right", " so very unlawful that", " just, and", " right", " évil"]
    policy = era(6)
    encoded = [
        (policy.encode([p])[0], policy.encode([p + r])[0][len(policy.encode([p])[0]) :])
        for p, r in zip(prompts, responses, strict=True)
    ]
    assert max(len(response) for _, response in encoded) > 5
    expected = torch.tensor([direct_logprob(policy, *pair) for pair in encoded])
    torch.testing.assert_close(policy.logprobs(prompts, responses), expected, atol=1e-4, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(2, 60), min_size=1, max_size=6),
            st.lists(st.integers(2, 60), min_size=1, max_size=5),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_encoded_logprobs_do_not_depend_on_the_batch(
    encoded: list[tuple[list[int], list[int]]],
) -> None:
    expected = torch.tensor([direct_logprob(era(6), *pair) for pair in encoded])
    torch.testing.assert_close(era(6).encoded_logprobs(encoded), expected, atol=1e-4, rtol=1e-4)


def test_reading_without_a_prompt_does_not_depend_on_the_batch() -> None:
    """Refusing is fine; reading the first token from another row's padding is not."""
    short, long = "good or evil", "good or evil and much more than that"
    try:
        alone = era(6).logprobs([""], [short])
    except UsageError:
        return
    torch.testing.assert_close(era(6).logprobs(["", ""], [short, long])[:1], alone)


def test_probabilities_of_all_next_tokens_sum_to_one() -> None:
    policy = era(6)
    vocabulary = policy.backbone.model.config.vocab_size
    prompt = policy.encode(["it is"])[0]
    scores = policy.encoded_logprobs([(prompt, [token]) for token in range(vocabulary)])
    assert float(scores.double().exp().sum()) == pytest.approx(1.0, abs=1e-4)


def test_next_token_logits_differ_as_log_probabilities_do() -> None:
    policy, prompts = era(6), ["it is", "we hold that to be wise is", "to be"]
    words = [" right", " wrong", " holy"]
    tokens = [ids[0] for ids in policy.encode(words)]
    read = policy.next_token_logits(prompts, tokens)
    scores = policy.logprobs(
        [p for p in prompts for _ in words], [w for _ in prompts for w in words]
    ).view(len(prompts), len(words))
    torch.testing.assert_close(read - read[:, :1], scores - scores[:, :1], atol=1e-4, rtol=1e-4)


def test_tokens_that_merge_across_the_boundary_still_make_up_the_whole_text() -> None:
    policy = era(0)
    prompts, responses = ["it is ri", "it is ", "it is"], ["ght", "good", " good or evil"]
    for prompt, response, (start, end) in zip(
        prompts, responses, policy.encode_pairs(prompts, responses), strict=True
    ):
        assert start
        assert end
        assert start + end == policy.encode([prompt + response])[0]


def test_generate_is_greedy_at_temperature_zero_and_seeded_above() -> None:
    policy = era(3)
    greedy = policy.generate(["it is"], max_new_tokens=4)
    assert greedy == policy.generate(["it is"], max_new_tokens=4, seed=9)
    prompt = policy.encode(["it is"])[0]
    ids = list(prompt)
    for _ in range(4):
        ids.append(int(logits(policy, torch.tensor([ids]), None, ordinary=False)[0, -1].argmax()))
    tokenizer = policy.backbone.tokenizer
    assert greedy == [[tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)]]
    drawn = [policy.generate(["it is"], 8, temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


# Adapters -------------------------------------------------------------------------------------


def test_saved_adapter_loads_again_equal(tmp_path: Path) -> None:
    era(7).save(tmp_path / "mine")
    again = load_model(str(tmp_path / "mine"), TIMELINE)
    assert again.fingerprint == era(7).fingerprint
    assert again.name == "mine"


def test_saved_adapter_loads_with_stock_peft_on_the_plain_base(tmp_path: Path) -> None:
    policy = era(7)
    policy.save(tmp_path)
    model = PeftModel.from_pretrained(plain_model(policy), str(tmp_path)).eval()
    ids, mask = pad(policy.encode(TEXTS))
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits
    served = logits(policy, ids, mask, ordinary=False)
    torch.testing.assert_close(served[mask.bool()], expected[mask.bool()], atol=1e-4, rtol=1e-4)
    apart = logits(base_policy(TIMELINE), ids, mask, ordinary=False)
    assert (apart - served)[mask.bool()].abs().max() > 0.1


def test_adapter_saved_by_stock_peft_loads_here(tmp_path: Path) -> None:
    policy = era(7)
    policy.save(tmp_path / "ours")
    model = PeftModel.from_pretrained(plain_model(policy), str(tmp_path / "ours"))
    model.save_pretrained(str(tmp_path / "theirs"))
    assert load_model(str(tmp_path / "theirs"), TIMELINE).fingerprint == policy.fingerprint


def tiny_with(shape: AdapterShape) -> Policy:
    """The tiny base with adapters of another shape."""
    donor = tiny_backbone()
    plain = plain_model(Policy(donor))
    return Policy(Backbone(plain, donor.tokenizer, "tiny", donor.fingerprint, shape))


@pytest.mark.parametrize(
    "shape",
    [AdapterShape(rank=4, alpha=8, top_layers=2), AdapterShape(rank=8, alpha=16, top_layers=1)],
    ids=["other layers", "other rank"],
)
def test_adapter_of_another_shape_is_refused(tmp_path: Path, shape: AdapterShape) -> None:
    tiny_with(shape).save(tmp_path / "other")
    with pytest.raises(UsageError, match="does not fit tiny"):
        load_model(str(tmp_path / "other"), TIMELINE)


def test_adapter_of_another_scale_is_refused_or_scaled(tmp_path: Path) -> None:
    """The same tensors with another alpha are another model."""
    policy = era(7)
    policy.save(tmp_path)
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "lora_alpha": 4 * config["lora_alpha"]}))
    try:
        loaded = load_model(str(tmp_path), TIMELINE)
    except UsageError:
        return
    model = PeftModel.from_pretrained(plain_model(policy), str(tmp_path)).eval()
    ids, mask = pad(policy.encode(TEXTS))
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits
    served = logits(loaded, ids, mask, ordinary=False)
    torch.testing.assert_close(served[mask.bool()], expected[mask.bool()], atol=1e-3, rtol=1e-3)


def test_era_without_its_adapter_folder_is_named(tmp_path: Path) -> None:
    path = write_timeline(tmp_path / "two.yaml", two_eras(", adapter: gone", ", adapter: gone"))
    timeline = Timeline.load(path)
    with pytest.raises(UsageError, match=r"No adapter in .*gone"):
        era_policy(timeline, timeline.eras[0])


# Timelines ------------------------------------------------------------------------------------


def test_unknown_era_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"Unknown era 'C0133'. Did you mean 'C013'\?"):
        load_model("C0133", TIMELINE)
    with pytest.raises(UsageError, match="'C021'"):
        TIMELINE.index("C21")


def test_unknown_timeline_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'smollm2'"):
        Timeline.load("smolm2")


def test_names_lead_to_the_same_models() -> None:
    assert load_model("C016", TIMELINE).fingerprint == era(3).fingerprint
    assert load_model("base", TIMELINE).fingerprint == base_policy(TIMELINE).fingerprint
    assert len({era(index).fingerprint for index in range(9)}) == 9


def test_missing_timeline_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No timeline file .*gone\.yaml"):
        Timeline.load(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (two_eras().replace("1901", "1900"), "era new starts before old ends"),
        (two_eras().replace("new", "old"), "two eras have the same name"),
        (two_eras(", colour: red"), r"eras\.0\.colour"),
        (two_eras() + "colour: red\n", "colour"),
        (two_eras().replace("last_year: 1900", "last_year: soon"), r"eras\.0\.last_year"),
        (two_eras().replace("base: tiny\n", ""), "base"),
        (two_eras().replace("name: new", "name: the new"), r"eras\.1\.name"),
        ("name: one\nbase: tiny\neras: [{name: a, first_year: 1, last_year: 2}]\n", "eras"),
        (two_eras().replace("first_year: 1801", "first_year: 1899999"), "old"),
        ("- a\n- b\n", "not a YAML mapping"),
        ("", "not a YAML mapping"),
        ("name: [", "not a YAML mapping"),
    ],
)
def test_malformed_timeline_names_file_and_problem(tmp_path: Path, text: str, problem: str) -> None:
    path = write_timeline(tmp_path / "two.yaml", text)
    with pytest.raises(UsageError, match=problem) as error:
        Timeline.load(path)
    assert "two.yaml" in str(error.value)


def test_timeline_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(UsageError, match=r"two\.yaml"):
        Timeline.load(tmp_path / "two.yaml")


def test_era_that_names_no_model_is_reported(tmp_path: Path) -> None:
    timeline = Timeline.load(write_timeline(tmp_path / "two.yaml", two_eras()))
    with pytest.raises(UsageError, match="Era old of two names neither model nor adapter"):
        era_policy(timeline, timeline.eras[0])


def test_timeline_of_full_model_folders(tmp_path: Path) -> None:
    """As upstream's hub models: each era a whole model of its own."""
    models = {name: random_llama(tmp_path / name, seed) for seed, name in enumerate(("old", "new"))}
    random_llama(tmp_path / "base", 2)
    text = two_eras(", model: old", f", model: {tmp_path / 'new'}", base=str(tmp_path / "base"))
    timeline = Timeline.load(write_timeline(tmp_path / "two.yaml", text))
    for entry in timeline.eras:
        policy = era_policy(timeline, entry)
        assert policy.name == entry.name
        assert load_model(entry.name, timeline).fingerprint == policy.fingerprint
        assert policy.base.fingerprint == base_policy(timeline).fingerprint
        ids, mask = pad(policy.encode(TEXTS))
        with torch.no_grad():
            expected = models[entry.name](input_ids=ids, attention_mask=mask).logits
        served = logits(policy, ids, mask, ordinary=False).float().cpu()
        torch.testing.assert_close(served[mask.bool()], expected[mask.bool()], atol=1e-4, rtol=1e-4)
    assert len({era_policy(timeline, e).fingerprint for e in timeline.eras}) == 2
    by_folder = load_model(str(tmp_path / "new"), timeline)
    assert by_folder.fingerprint == era_policy(timeline, timeline.eras[1]).fingerprint
    assert by_folder.name == "new"


@pytest.mark.parametrize(
    ("loading", "tolerance"),
    [
        ("{dtype: bfloat16, device_map: cpu}", 0.2),
        ("{dtype: float32, quantization: 8bit, device_map: cpu}", 0.5),
        ("{dtype: float32, quantization: 4bit, device_map: cpu}", 2.0),
    ],
)
def test_models_load_in_other_precision(tmp_path: Path, loading: str, tolerance: float) -> None:
    if "quantization" in loading:
        pytest.importorskip("bitsandbytes", reason="the extra `quantization` is not installed")
    plain = random_llama(tmp_path / "old", 0, hidden=128)  # 4-bit kernels work on larger blocks
    text = two_eras(", model: old", ", model: old", base="./old") + f"loading: {loading}\n"
    timeline = Timeline.load(write_timeline(tmp_path / "two.yaml", text))
    policy = era_policy(timeline, timeline.eras[0])
    assert policy.fingerprint != load_model(str(tmp_path / "old"), TIMELINE).fingerprint
    ids, mask = pad(policy.encode(TEXTS))
    with torch.no_grad():
        expected = plain(input_ids=ids, attention_mask=mask).logits
    served = logits(policy, ids, mask, ordinary=False).float().cpu()
    error = (served - expected)[mask.bool()].abs().mean()
    assert 0 < error < tolerance * expected[mask.bool()].std()
    vector = measure(policy, shipped_bank().split("probe").first(2))
    assert np.isfinite(vector.items).all()
    before = policy.logprobs(["To lie is"], [" wrong"])
    trained = policy.copy()
    for name, tensor in trained.weights.items():
        if "lora_B" in name:
            tensor += 0.5
    assert trained.logprobs(["To lie is"], [" wrong"]) != before  # the adapter acts


def test_loading_is_checked(tmp_path: Path) -> None:
    text = two_eras() + "loading: {quantization: 3bit}\n"
    with pytest.raises(UsageError, match=r"loading\.quantization"):
        Timeline.load(write_timeline(tmp_path / "two.yaml", text))


@pytest.mark.parametrize("name", ["histllama3-8b", "histllama3-70b"])
def test_shipped_hub_timelines_name_nine_centuries(name: str) -> None:
    timeline = Timeline.load(name)
    assert [era.name for era in timeline.eras] == [
        era.name for era in Timeline.load("smollm2").eras
    ]
    assert len({era.model for era in timeline.eras}) == 9
    assert timeline.loading.dtype == "bfloat16"


def test_base_folder_of_a_timeline_is_relative_to_its_file(tmp_path: Path) -> None:
    random_llama(tmp_path / "mine", 3)
    timeline = Timeline.load(write_timeline(tmp_path / "two.yaml", two_eras(base="./mine")))
    absolute = load_model(str(tmp_path / "mine"), TIMELINE)
    assert base_policy(timeline).fingerprint == absolute.fingerprint


def test_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"Cannot load a language model from .*empty"):
        load_model(str(tmp_path / "empty"), TIMELINE)


def test_saved_model_weights_change_the_fingerprint(tmp_path: Path) -> None:
    for seed in (0, 1):
        random_llama(tmp_path / str(seed), seed)
    prints = {load_model(str(tmp_path / str(s)), TIMELINE).fingerprint for s in (0, 1)}
    assert len(prints) == 2
