"""How stochastic gradient methods with decreasing steps spread around an equilibrium: central limit theorems."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_continuous_lyapunov

from stackjax.checks import flag
from stackjax.equilibria._local import evaluate, in_float64
from stackjax.equilibria.certify import check_actions, differentiated
from stackjax.protocols import Action, Game
from stackjax.schedules import PowerLaw


class AsymptoticCovariance(NamedTuple):
    """What strategies' deviations from a point tend to, each player's by the root of its own step: normal, mean 0.

    **Attributes:** `covariances`: of `(z_i - z_i*) / sqrt(step_i)`, one `[d_i, d_i]` a player, in units of squared
    action per step; `steps`, as given; `two_timescales`: whether the leader's step falls faster than the follower's.
    """

    covariances: tuple[Float[np.ndarray, "d d"], ...]
    steps: tuple[PowerLaw, PowerLaw]
    two_timescales: bool

    def at(self, rounds: int) -> tuple[Float[np.ndarray, "d d"], ...]:
        """The covariances of the strategies themselves after so many rounds, to leading order."""
        return tuple(float(s(rounds - 1)) * c for s, c in zip(self.steps, self.covariances, strict=True))

    def deviations(self, rounds: int) -> tuple[Float[np.ndarray, " d"], ...]:
        """The standard deviations of all coordinates after so many rounds."""
        return tuple(np.sqrt(np.diag(c)) for c in self.at(rounds))


def asymptotic_covariance(
    game: Game,
    point: tuple[Action, Action],
    steps: Sequence[PowerLaw],
    noise: Sequence[Any],
    *,
    hierarchical: bool = True,
) -> AsymptoticCovariance:
    """The limit law of a leader and a follower who climb noisy gradients by decreasing steps.

    `z_i <- z_i + step_i(k) (F_i(z) + w_i)`, F the total derivative of the leader (`hierarchical`) or its partial
    gradient, and the partial gradient of the follower; w independent, of mean 0 and covariance S_i. With the Jacobian J
    of F at the point, its blocks J_11, ..., J_22:

    *Two timescales*, the leader's exponent a larger than the follower's b: `cov(y) / step_2 -> Sigma_2` and `cov(x) /
    step_1 -> Sigma_1`, where `J_22 Sigma_2 + Sigma_2 J_22' + S_2 = 0` and `(D + h I) Sigma_1 + Sigma_1 (D + h I)' + S_1
    + B S_2 B' = 0`, `D = J_11 + B J_21`, `B = -J_12 J_22^-1`, and h = 1 / (2 scale_1) if a = 1, else 0 (Konda and
    Tsitsiklis, 2004; Mokkadem and Pelletier, 2006). *One timescale*, equal exponents: with M = diag(scales) J, `(M + h
    I) Sigma + Sigma (M + h I)' + diag(scales) S diag(scales) = 0`, h = 1/2 if a = 1, else 0, of `z / sqrt(k^-a)`.

    Both are local, and to leading order in the steps: what is left falls like step_1 / step_2 on two timescales, and,
    where a < 1, like k^(a - 1), which for a near 1 is slow.

    **Arguments:** `game` of a leader and one follower; `point`, where F vanishes, inside of the spaces; `steps`: a
    `PowerLaw` a player, exponents in (1/2, 1]; `noise`: for each player the variance of every coordinate of its
    direction, or a covariance `[d_i, d_i]`, in the units of squared payoff per squared action; `hierarchical`.

    **Returns:** an `AsymptoticCovariance`, in float64.

    **Raises:** `ValueError` or `TypeError` that names the argument; also if the point isn't at rest, doesn't attract,
    or if steps 1/k are too small for the limit to have this rate (where `D + h I` or `M + h I` isn't stable).

    >>> import numpy as np
    >>> from stackjax.equilibria import asymptotic_covariance
    >>> from stackjax.games import CournotDuopoly
    >>> from stackjax.schedules import PowerLaw
    >>> game = CournotDuopoly()
    >>> law = asymptotic_covariance(game, game.stackelberg(), (PowerLaw(1.0, 1.0), PowerLaw(1.0, 2 / 3)), (10.0, 10.0))
    >>> np.concatenate(law.deviations(10_000)).round(4).tolist()
    [0.0354, 0.0734]
    """
    if game.levels != ((0,), (1,)):
        raise ValueError(f"game: expected a leader and one follower, got the levels {game.levels}")
    check_actions(game, point, "point")
    along = flag("hierarchical", hierarchical)
    both = tuple(steps)
    if len(both) != 2 or not all(isinstance(step, PowerLaw) for step in both):
        raise TypeError(f"steps: expected two PowerLaws, got {steps!r}")
    a, b = (float(step.exponent) for step in both)
    if not (0.5 < b <= a <= 1):
        raise ValueError(
            f"steps: expected exponents in (1/2, 1], the leader's not the smaller one, got {a:g} and {b:g}"
        )
    if not all(float(step.scale) > 0 for step in both):
        raise ValueError("steps: expected positive scales")
    dims = [space.dimension for space in game.spaces]
    spread = [_covariance(value, d, i) for i, (value, d) in enumerate(zip(noise, dims, strict=True))]
    with jax.enable_x64(True):
        local = differentiated(game, lambda: evaluate(in_float64(game), in_float64(tuple(point))))
    d1, jacobian = dims[0], np.array(local.jacobian)
    rest = np.array(local.gradient)
    if along:
        jacobian[:d1], rest[:d1] = local.total_jacobian[:d1], local.total[:d1]
    if not np.max(np.abs(rest)) <= 1e-4 * max(1.0, float(np.max(np.abs(jacobian)))):
        raise ValueError(f"point: the direction there isn't 0 but {np.max(np.abs(rest)):.3g}")
    scales = np.repeat([float(step.scale) for step in both], dims)
    if a == b:
        driven = np.zeros_like(jacobian)
        driven[:d1, :d1], driven[d1:, d1:] = spread
        found = _limit(scales[:, None] * jacobian, 0.5 * (a == 1), scales[:, None] * driven * scales)
        ends = tuple(part / step.scale for part, step in zip((found[:d1, :d1], found[d1:, d1:]), both, strict=True))
        return AsymptoticCovariance(ends, (both[0], both[1]), False)
    fast = _limit(jacobian[d1:, d1:], 0.0, spread[1])
    carried = -np.linalg.solve(jacobian[d1:, d1:].T, jacobian[:d1, d1:].T).T
    slow = _limit(
        jacobian[:d1, :d1] + carried @ jacobian[d1:, :d1],
        (a == 1) / (2 * scales[0]),
        spread[0] + carried @ spread[1] @ carried.T,
    )
    return AsymptoticCovariance((slow, fast), (both[0], both[1]), True)


def _limit(drift: np.ndarray, shift: float, driven: np.ndarray) -> np.ndarray:
    """The solution X of `A X + X A' + driven = 0`, A = drift + shift I."""
    largest = float(np.linalg.eigvals(drift).real.max())
    if not largest < 0:
        raise ValueError(f"point: the dynamics don't lead there, an eigenvalue has the real part {largest:.3g}")
    if not largest + shift < 0:
        raise ValueError(
            f"steps: 1/k by that scale is too small: an eigenvalue has the real part {largest:.3g}, and below "
            f"-{shift:.3g} is needed; take a larger scale or a smaller exponent"
        )
    return solve_continuous_lyapunov(drift + shift * np.eye(len(drift)), -driven)


def _covariance(value: Any, d: int, player: int) -> np.ndarray:
    given = np.asarray(value, np.float64)
    matrix = given * np.eye(d) if given.ndim == 0 else given
    if matrix.shape != (d, d) or not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix).min() < -1e-12:
        raise ValueError(
            f"noise: player {player}: expected a variance or a covariance of shape {(d, d)}, got {value!r}"
        )
    return matrix
