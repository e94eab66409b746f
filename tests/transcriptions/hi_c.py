"""Hi-C (Loftin et al., AAMAS 2024, arXiv 2302.03438, Algorithm 1) in plain NumPy, payoffs maximised."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Box = tuple[ArrayLike, ArrayLike]


def commitment_times(n: float, delta_n: float, rate: float, bound: float, exponent: float) -> int:
    """Eq. 28 with its guards: k_n = max(2, ceil(2 (ln delta_n - ln B - p ln(n + 1)) / ln(1 - beta mu))).

    `rate` is beta * mu, `bound` B, `exponent` p. ln(n + 1) replaces the printed ln n (k_0 = -inf);
    at k = 1 the follower hasn't moved when the leader reads its payoff, hence at least 2.
    """
    if not 0.0 < rate < 1.0:
        raise ValueError(f"beta * mu must lie in (0, 1), got {rate}")
    numerator = math.log(delta_n) - math.log(bound) - exponent * math.log(n + 1)
    return max(2, math.ceil(2.0 * numerator / math.log(1.0 - rate)))


def hi_c(
    leader_payoff: Callable[[Array, Array], float],
    follower_gradient: Callable[[Array, Array], ArrayLike],
    x0: ArrayLike,
    y0: ArrayLike,
    signs: ArrayLike,
    payoff_noise: ArrayLike,
    *,
    step: Callable[[float], float],
    perturbation: Callable[[float], float],
    commitment: Callable[[int], int],
    follower_step: float,
    rounds: int,
    baseline: float | None = 0.9,
    measurements: int = 1,
    box: Box | None = None,
    follower_box: Box | None = None,
) -> dict[str, Array]:
    """Algorithm 1 against the gradient-ascent follower of Eq. 21.

    Play x~_n = x_n + delta_n Delta_n for k_n rounds, read s = f1(x~_n, y_t) + w_t in the last of them, and
    x_{n+1} = x_n + alpha_n (s - b) / (delta_n Delta_n) (Algorithm 1 has b = 0: `baseline=None`).
    With two measurements: k_n rounds of x_n + delta_n Delta_n, k_n of x_n - delta_n Delta_n, and
    x_{n+1} = x_n + alpha_n (s_plus - s_minus) / (2 delta_n Delta_n); n counts pairs.

    An interval (or pair) that starts in round t takes its Delta from signs[t], shape [rounds + 1, d1].
    Every x_n, x_0 included, is projected to [low + delta_n, high - delta_n], so that x~_n never leaves the box.
    Returns the mean strategy "x" [rounds, d1], "y" [rounds, d2] and the counter "n" [rounds], each as it
    stands after the round, and what the leader "played" in it [rounds, d1].
    """
    if measurements not in (1, 2):
        raise ValueError(f"measurements must be 1 or 2, got {measurements}")
    signs, payoff_noise = np.asarray(signs, float), np.asarray(payoff_noise, float)

    def project_leader(x: Array, n: int) -> Array:
        if box is None:
            return x
        low, high, delta = np.asarray(box[0], float), np.asarray(box[1], float), perturbation(float(n))
        if np.any(2.0 * delta > high - low):
            raise ValueError(f"delta_{n} = {delta} exceeds the half-width of the box")
        return np.clip(x, low + delta, high - delta)

    def project_follower(y: Array) -> Array:
        return y if follower_box is None else np.clip(y, *(np.asarray(side, float) for side in follower_box))

    n = 0  # the leader's own updates
    x = project_leader(np.array(x0, float), n)
    y = project_follower(np.array(y0, float))
    signs_n = signs[0]
    half = 0  # 1 in the second half of an antithetic pair
    held = 0  # rounds for which the current action has been played
    reading_plus = math.nan
    average: float | None = None
    out: dict[str, list] = {"x": [], "played": [], "y": [], "n": []}

    for t in range(rounds):
        alpha, delta, k = step(float(n)), perturbation(float(n)), commitment(n)
        played = x + (delta if half == 0 else -delta) * signs_n
        reading = leader_payoff(played, y) + payoff_noise[t]
        # The follower played y before it saw the leader's action of this round.
        y = project_follower(y + follower_step * np.asarray(follower_gradient(played, y), float))
        held += 1

        if held == k:  # the reading of every earlier round is discarded
            held = 0
            if measurements == 2 and half == 0:
                reading_plus, half = reading, 1
            else:
                if measurements == 2:
                    estimate = (reading_plus - reading) / (2.0 * delta * signs_n)
                elif baseline is None:
                    estimate = reading / (delta * signs_n)
                else:
                    # The average starts at the first reading: the first update is zero.
                    average = reading if average is None else average
                    estimate = (reading - average) / (delta * signs_n)
                    average = baseline * average + (1.0 - baseline) * reading
                n, half = n + 1, 0
                x = project_leader(x + alpha * estimate, n)
                signs_n = signs[t + 1]

        for key, value in (("x", x), ("played", played), ("y", y), ("n", n)):
            out[key].append(value)
    return {key: np.array(values) for key, values in out.items()}
