"""DPO's kin: the same pairs, other losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from progressgym.registry import register
from progressgym.training.pairs import Batch, Responses

from .lifelong import LifelongDPO


@register("algorithm", "ipo")
class IPO(LifelongDPO):
    """Identity preference optimisation: the margin is regressed on the preference itself.

    (m − 1/2τ)² expected over the answer is least at m = (2p − 1)/2τ: bounded, where DPO's
    log-odds/β is not. τ = β/4 makes both equal for weak preferences.

    Args: see :class:`~.temporal.Temporal`.

    References: Azar et al., "A General Theoretical Paradigm to Understand Learning from Human
    Preferences", 2023, eq. 17.
    """

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """(m − 1/2τ)²."""
        return batch.expected(lambda won, lost: (won.over(lost) - 2 / beta).square())


@register("algorithm", "kto")
class KTO(LifelongDPO):
    """Kahneman-Tversky optimisation: each response is good or bad by itself.

    A response gains or loses against z₀, the KL from the reference; it is estimated, as in the
    paper, by responses of other prompts, which here are the same words: by the mean of a batch.

    Args:
        desirable: λ_D, weight of preferred responses.
        undesirable: λ_U, weight of rejected ones.
        settings: see :class:`~.temporal.Temporal`.

    References: Ethayarajh et al., "KTO: Model Alignment as Prospect Theoretic Optimization", 2024,
    § 4.
    """

    def __init__(self, desirable: float = 1.0, undesirable: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.desirable = desirable
        self.undesirable = undesirable

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """λ_D·(1 − σ(β(r − z₀))) + λ_U·(1 − σ(β(z₀ − r)))."""
        known = torch.cat([batch.first.ratio, batch.second.ratio]).detach()
        z0 = known.mean().clamp(min=0)
        return batch.expected(
            lambda won, lost: (
                self.desirable * torch.sigmoid(beta * (z0 - won.ratio))
                + self.undesirable * torch.sigmoid(beta * (lost.ratio - z0))
            )
        )


@register("algorithm", "orpo")
class ORPO(LifelongDPO):
    """SFT with a penalty on the odds ratio, without a reference.

    Args:
        weight: λ, of the odds ratio.
        settings: see :class:`~.temporal.Temporal`.

    References: Hong et al., "ORPO: Monolithic Preference Optimization without Reference Model",
    2024, eqs. 4, 6 and 7.
    """

    def __init__(self, weight: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.weight = weight

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """−log π(preferred) − λ·log σ(log of the odds ratio)."""

        def odds(responses: Responses) -> Tensor:
            mean = responses.logprob / responses.tokens
            return mean - torch.log1p(-mean.exp())

        return batch.expected(
            lambda won, lost: (
                -won.logprob / won.tokens
                - self.weight * nn.functional.logsigmoid(odds(won) - odds(lost))
            )
        )


@register("algorithm", "simpo")
class SimPO(LifelongDPO):
    """DPO by mean log-likelihood a token and a target margin, without a reference.

    Args:
        margin: γ in the paper, by which the preferred response has to lead, in nats.
        settings: see :class:`~.temporal.Temporal`.

    References: Meng et al., "SimPO: Simple Preference Optimization with a Reference-Free Reward",
    2024, eq. 6.
    """

    def __init__(self, margin: float = 0.5, **settings: Any) -> None:
        super().__init__(**settings)
        self.margin = margin

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """−log σ(β·(mean log π(preferred) − mean log π(rejected)) − margin)."""
        return batch.expected(
            lambda won, lost: (
                -nn.functional.logsigmoid(
                    beta * (won.logprob / won.tokens - lost.logprob / lost.tokens) - self.margin
                )
            )
        )
