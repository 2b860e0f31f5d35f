"""Variational preference learning: each era is a point in a small space of people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from progressgym.models import Policy
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.pairs import state_contrasts
from progressgym.values.vector import sigmoid

from .memory import Remembering
from .temporal import Aim, answered, extrapolate


@register("algorithm", "variational")
class Variational(Remembering):
    """Infers what all eras have in common and where each stands, and learns today's rewards.

    The log-odds of a question in era t are xᵀ(w_0 + W z_t): x are features of the two responses in
    the base model, z_t is the era's latent, standard normal before it is known. All eras' answers
    are explained together; an era that answers little is drawn towards the others. What the policy
    learns are the expected log-odds of today's questions. Extrapolated (``order``) is z.

    Args:
        latents: dimensions of z; those that are not needed vanish.
        features: principal components of the base model's states that make up x.
        epochs: passes over the expected answers, which hold no noise of single answers.
        settings: see :class:`~.temporal.Temporal`.

    References: Poddar et al., "Personalizing reinforcement learning from human feedback with
    variational preference learning", 2024, section 4 (latent users; the lower bound is maximised
    here in closed form instead of by an encoder, since a handful of eras needs none).
    """

    def __init__(
        self, latents: int = 2, features: int = 32, epochs: int = 2, **settings: Any
    ) -> None:
        super().__init__(epochs=epochs, **settings)
        self.latents = latents
        self.features = features
        self._known: dict[Pair, np.ndarray] = {}

    def reset(self, policy: Policy, seed: int = 0) -> None:
        """Start a run."""
        super().reset(policy, seed)
        self._known = {}

    def align(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Explain all eras, and learn what that says of today or of the future."""
        self.past.append(list(answers))
        base = aim.reference.base
        seen = state_contrasts(base, self.yardstick(aim.human)).numpy()
        axes = principal_axes(seen, self.features)
        xs = [self.described(era, base) @ axes for era in self.past]
        chances = [np.array([p.preference for p in era], dtype=float) for era in self.past]
        found = Explanation(xs, chances, self.latents, self.seed)
        self.curves["bound"] = found.bounds
        place = found.places[-1]
        if self.order and len(xs) > 1:
            place = extrapolate(found.places[-self.order - 1 :], self.ahead)
        odds = (xs[-1] @ found.weights @ np.append(1.0, place)).clip(-self.clip, self.clip)
        self.learn(answered(answers, odds), aim)

    def described(self, answers: Sequence[Pair], base: Policy) -> np.ndarray:
        """State contrasts of an era's questions, read once in a process."""
        new = [pair for pair in answers if pair not in self._known]
        if new:
            self._known |= dict(zip(new, state_contrasts(base, new).numpy(), strict=True))
        return np.array([self._known[pair] for pair in answers])


def principal_axes(rows: np.ndarray, count: int) -> np.ndarray:
    """Directions of most power, shape (hidden, count); projections on them have mean square 1.

    The rows are not centred: with the order of its responses a question's features change sign.
    """
    _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    kept = sizes[:count] > 1e-6 * sizes[0]
    scale = np.sqrt(len(rows)) / sizes[:count][kept]
    return axes[:count][kept].T * scale


class Explanation:
    """What the answers of all eras say: mean-field inference of q(w_0, W) · Π_t q(z_t).

    σ is bounded from below by a Gaussian (Jaakkola & Jordan 2000, "Bayesian parameter estimation
    via variational methods", eq. 7), so that each factor has a closed form. Each column of (w_0, W)
    has a variance of its own, set to what makes the bound greatest (Bishop 1999, "Variational
    principal components"); columns that explain nothing vanish.

    Args:
        xs: features of each era's questions, each of shape (questions, features).
        chances: P(first preferred) of each.
        latents: dimensions of z.
        seed: of the first guess of z, without which no direction would be preferred.
        rounds: how often every factor is updated.

    Attributes:
        weights: expected (w_0, W), shape (features, 1 + latents).
        places: expected z of each era, shape (eras, latents).
        bounds: the evidence lower bound in nats after each round; it never falls.
    """

    def __init__(
        self,
        xs: Sequence[np.ndarray],
        chances: Sequence[np.ndarray],
        latents: int,
        seed: int = 0,
        rounds: int = 60,
    ) -> None:
        self._xs, self._width, self._size = xs, xs[0].shape[1], 1 + latents
        self._pulls = [x.T @ (p - 0.5) for x, p in zip(xs, chances, strict=True)]
        self.places = np.random.default_rng([seed, 2**21]).normal(0, 1, (len(xs), latents))
        self._spreads = np.tile(np.eye(latents), (len(xs), 1, 1))
        self._precision = np.ones(self._size)
        self._slack = [np.ones(len(x)) for x in xs]
        self.bounds: list[float] = []
        for _ in range(rounds):
            curved = [
                (x * _curvature(s)[:, None]).T @ x for x, s in zip(xs, self._slack, strict=True)
            ]
            self._update_weights(curved)
            self._update_places(curved)
            self._precision = self._width / np.einsum("idid->i", self._moments)
            self._tighten()
            self.bounds.append(self._bound())

    def _latents(self) -> tuple[np.ndarray, np.ndarray]:
        """E[z̃] and E[z̃z̃ᵀ] of every era, with z̃ = (1, z)."""
        full = np.concatenate([np.ones((len(self._xs), 1)), self.places], axis=1)
        second = np.einsum("ti,tj->tij", full, full)
        second[:, 1:, 1:] += self._spreads
        return full, second

    def _update_weights(self, curved: list[np.ndarray]) -> None:
        full, second = self._latents()
        tight = np.kron(np.diag(self._precision), np.eye(self._width))
        pull = np.zeros(len(tight))
        for z, zz, a, b in zip(full, second, curved, self._pulls, strict=True):
            tight += 2 * np.kron(zz, a)
            pull += np.kron(z, b)
        self._loose = np.linalg.inv(tight)
        mean = self._loose @ pull
        shape = (self._size, self._width)
        self.weights = mean.reshape(shape).T
        self._moments = (np.outer(mean, mean) + self._loose).reshape(*shape, *shape)

    def _update_places(self, curved: list[np.ndarray]) -> None:
        for t, (a, b) in enumerate(zip(curved, self._pulls, strict=True)):
            crossed = np.einsum("idje,de->ij", self._moments, a)
            self._spreads[t] = np.linalg.inv(np.eye(self._size - 1) + 2 * crossed[1:, 1:])
            self.places[t] = self._spreads[t] @ (self.weights[:, 1:].T @ b - 2 * crossed[1:, 0])

    def _tighten(self) -> None:
        """Bound σ where the log-odds are: ξ² = E[ℓ²]."""
        _, second = self._latents()
        for t, (x, zz) in enumerate(zip(self._xs, second, strict=True)):
            power = np.einsum("ij,idje->de", zz, self._moments)
            self._slack[t] = np.sqrt(((x @ power) * x).sum(1))

    def _bound(self) -> float:
        """E[log P(answers)], bounded, less the divergence of posteriors from priors, in nats."""
        full, _ = self._latents()
        explained = sum(
            float(np.log(sigmoid(s)).sum() - s.sum() / 2 + (self.weights @ z) @ b)
            for s, b, z in zip(self._slack, self._pulls, full, strict=True)
        )
        spread, places = self._spreads, self.places
        of_places = (places**2).sum() + np.trace(spread.sum(0)) - places.size
        of_places -= np.linalg.slogdet(spread)[1].sum()
        # The columns' variances are the expected ones, so their squares and sizes cancel.
        of_weights = -self._width * np.log(self._precision).sum()
        of_weights -= np.linalg.slogdet(self._loose)[1]
        return explained - 0.5 * float(of_places + of_weights)


def _curvature(slack: np.ndarray) -> np.ndarray:
    """λ(ξ) = tanh(ξ/2) / 4ξ."""
    return np.tanh(slack / 2) / (4 * slack.clip(1e-9))
