"""How much each weight matters for what a policy prefers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..models import Policy
from ..models.backbone import Weights
from ..pairs import Pair
from .pairs import collate, preference_data, read_batch


def fisher_diagonal(
    policy: Policy, reference: Policy, beta: float, pairs: Sequence[Pair], seed: int
) -> Weights:
    """Diagonal of the Fisher information of a policy's adapter about its own answers.

    F_i = E[(∂ log P(answer) / ∂θ_i)²], P(first) = σ(β·m), with m the policy's margin less the
    reference's and the answers drawn from the policy itself (Kunstner et al. 2019, "Limitations of
    the empirical Fisher approximation", eq. 3). Answers to the questions of one prompt are drawn
    apart and differentiated together: what they have in common cancels in the mean.

    Args:
        policy: whose weights.
        reference: π_ref.
        beta: of the implicit reward.
        pairs: questions; their answers are not read, but there must be some.
        seed: of the drawn answers.

    Returns:
        A tensor for each of the policy's weights: mean over the questions, in nats.
    """
    generator = torch.Generator().manual_seed(seed)
    found = {name: torch.zeros_like(tensor) for name, tensor in policy.weights.items()}
    with policy.active() as model:
        adapter = policy.backbone.adapter
        for example in preference_data(policy, reference, pairs):
            batch = read_batch(model, collate([example]), model.device)
            odds = beta * batch.first.over(batch.second)
            chances = odds.detach().sigmoid().cpu()
            signs = 2 * torch.bernoulli(chances, generator=generator) - 1
            likelihood = torch.nn.functional.logsigmoid(odds * signs.to(odds)).sum()
            gradients = torch.autograd.grad(likelihood, list(adapter.values()))
            for name, gradient in zip(adapter, gradients, strict=True):
                found[name] += gradient**2
    return {name: total / len(pairs) for name, total in found.items()}
