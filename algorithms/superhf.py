"""SuperHF: imitate the best of one's own responses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.training.pairs import Batch

from .lifelong import LifelongRLHF
from .temporal import Aim


@register("algorithm", "superhf")
class SuperHF(LifelongRLHF):
    """Supervised learning on the best of ``samples`` responses of the policy, with a KL penalty.

    In each step the policy answers its questions anew, the reward model says which response is
    best, and the loss is the cross-entropy to that one plus β·KL(π ‖ π_ref). The best of n choices
    is the better response unless none of them is, so its probability is taken instead of samples:
    1 − (1 − π)^n.

    The best of many says which response is better but not by how much. Where the samples are many
    the optimum is (m − m_ref)·σ(m) = 1/β for every question, with m the margin towards the better
    response: the reward's sign decides, and its size is lost.

    Args: see :class:`~.lifelong.LifelongRLHF`.

    References: Mukobi et al., "SuperHF: Supervised Iterative Learning from Human Feedback", 2023,
    section 3 (algorithm; cross-entropy with a KL-divergence prior).
    """

    def optimise(self, questions: Sequence[Pair], rewards: Tensor, aim: Aim) -> None:
        """Imitation instead of RLOO."""
        better = (rewards[:, 0] > rewards[:, 1]).double().tolist()
        labelled = [pair.answered(p) for pair, p in zip(questions, better, strict=True)]
        settings = DPOSettings(aim.beta, self.learning_rate, self.epochs, self.batch, aim.seed)
        self.curves["loss"] = train_dpo(
            self.policy, aim.reference, labelled, settings, self.imitation
        )

    def imitation(self, batch: Batch, beta: float) -> Tensor:
        """Cross-entropy to the best of n choices and β·KL, in nats; preferences say the better."""
        margin = batch.first.logprob - batch.second.logprob
        reference = batch.first.reference - batch.second.reference
        chances = _choice(margin.detach()).exp()
        failing = (1 - chances) ** self.samples  # no sample is the first; and none the second
        better = batch.preference
        best = better * (1 - failing[:, 0]) + (1 - better) * failing[:, 1]
        own = _choice(margin)
        entropy = -best * own[:, 0] - (1 - best) * own[:, 1]
        kl = (own.exp() * (own - _choice(reference))).sum(1)
        return (entropy + beta * kl).mean()


def _choice(margin: Tensor) -> Tensor:
    """Log-probabilities of choosing first and second response, shape (pairs, 2)."""
    log_sigmoid = nn.functional.logsigmoid
    return torch.stack([log_sigmoid(margin), log_sigmoid(-margin)], dim=1)
