"""A Kalman filter of preferences: where values are, and where they go, told from their noise."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from progressgym.registry import register

from .chronicle import Chronicle

_SPREAD = (
    4.0  # of the prior of log variances: so wide that it decides only what the data leave open
)
_LEAST = 1e-14  # variance as a share of the observed one


@register("algorithm", "kalman")
class Kalman(Chronicle):
    """Aligns with the forecast of a local linear trend of each preference's log-odds.

    An era's log-odds are a level and noise; the level moves by a slope and at random; the slope
    changes at random. All questions have the same variances, estimated from all of them by maximum
    likelihood; each has its own level and slope. Finite differences are the special case without
    noise.

    Args:
        order: 1 with a slope, 0 without one: then the forecast is the level.
        ahead: eras to forecast; 0 is the filtered level of today.
        settings: see :class:`~.chronicle.Chronicle`.

    References: Harvey, "Forecasting, structural time series models and the Kalman filter", 1989;
    Durbin & Koopman, "Time series analysis by state space methods", 2012, eq. 3.2 (the model) and
    4.24 (the filter).
    """

    def __init__(self, order: int = 1, ahead: int = 1, **settings: Any) -> None:
        super().__init__(order=order, ahead=ahead, **settings)

    def target(self, history: np.ndarray) -> np.ndarray:
        """The forecast; of the first era itself."""
        if len(history) == 1:
            return history[0]
        variances = most_likely(history, slope=self.order > 0)
        self.curves |= {f"variance: {name}": [value] for name, value in asdict(variances).items()}
        return forecast(history, variances, self.ahead)


@register("algorithm", "kalman-filter")
class KalmanFilter(Kalman):
    """The same for today: its log-odds, cleaned by those of earlier eras."""

    def __init__(self, ahead: int = 0, **settings: Any) -> None:
        super().__init__(ahead=ahead, **settings)


@dataclass(frozen=True)
class Variances:
    """Of one step, in squared nats: of the noise, the level's and the slope's changes, and of the
    first slope."""

    noise: float
    level: float
    slope: float
    first_slope: float


def forecast(history: np.ndarray, variances: Variances, ahead: int) -> np.ndarray:
    """Levels some eras ahead, shape (questions,); 0 for the filtered level of the last era."""
    (level, slope), _ = run_filter(history, variances)
    return level + ahead * slope


def run_filter(history: np.ndarray, variances: Variances) -> tuple[np.ndarray, float]:
    """Filter all questions at once: their variances are equal, so their gains are.

    The first era's level is unknown before (a diffuse prior), the first slope is 0 ± its variance.

    Args:
        history: shape (eras, questions), the latest last.
        variances: of all questions.

    Returns:
        Level and slope of the last era, shape (2, questions), and the log-likelihood in nats.
    """
    step = np.array([[1.0, 1.0], [0.0, 1.0]])
    change = np.diag([variances.level, variances.slope])
    state = np.stack([history[0], np.zeros_like(history[0])])
    spread = np.diag([variances.noise, variances.first_slope])
    likelihood = 0.0
    for observed in history[1:]:
        state, spread = step @ state, step @ spread @ step.T + change
        surprise, expected = observed - state[0], spread[0, 0] + variances.noise
        gain = spread[:, 0] / expected
        state = state + np.outer(gain, surprise)
        spread = spread - np.outer(gain, spread[0])
        likelihood -= 0.5 * float((np.log(2 * np.pi * expected) + surprise**2 / expected).sum())
    return state, likelihood


def most_likely(history: np.ndarray, slope: bool = True) -> Variances:
    """The variances that make the history most likely.

    Two eras cannot tell noise from change. A wide prior (all variances alike) decides where the
    likelihood does not.

    Args:
        history: two eras or more, shape (eras, questions).
        slope: is there one?
    """
    scale = float(np.mean(np.diff(history, axis=0) ** 2)) or 1.0
    free = 4 if slope else 2

    def variances(logs: np.ndarray) -> Variances:
        noise, level, *slopes = scale * np.exp(logs)
        return Variances(*map(float, (noise, level, *(slopes or (0.0, 0.0)))))

    def cost(logs: np.ndarray) -> float:
        return 0.5 * float(np.sum((logs / _SPREAD) ** 2)) - run_filter(history, variances(logs))[1]

    limits = [(np.log(_LEAST), 5.0)] * free
    starts = [np.full(free, -1.0), *(np.full(free, -5.0) + 4 * np.eye(free))]
    found = [minimize(cost, start, method="L-BFGS-B", bounds=limits) for start in starts]
    return variances(min(found, key=lambda result: result.fun).x)
