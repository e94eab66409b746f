"""What convergence theorems assume of a game, by samples: constants of its derivatives, and Rosen's condition."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from stackjax.checks import whole
from stackjax.equilibria._local import Tangent, evaluate_many, in_float64
from stackjax.equilibria.certify import differentiated
from stackjax.protocols import Game
from stackjax.spaces import Arms, Space


class Assumptions(NamedTuple):
    """Constants of a game of a leader and a follower over sampled joint actions, in the spaces' tangent coordinates.

    **Sampled means one-sided.** Every bound is the largest sampled value, at most the true constant; `concavity` is the
    smallest sampled curvature, at least the true one. A violation that is seen is one; none that is seen proves
    nothing.

    **Attributes:**

    - `leader_lipschitz`: of the norm of the gradient of f_1 in all actions, L_1. `leader_smoothness`: of the spectral
      norm of its Hessian, K_1.
    - `follower_smoothness`, `concavity`: the largest and the smallest eigenvalue of `-H_yy`, K_2 and mu. A follower
      that isn't concave everywhere has a negative one.
    - `response_lipschitz`: of the spectral norm of `H_yy^-1 H_yx`, L_r.
    - `total_bound`, `total_lipschitz`: of the norm of the total derivative D, and of that of its Jacobian, M_1 and the
      Lipschitz constant of D.
    - `samples`: how many were taken; `finite`: at how many all of this is finite. The others are left out.
    """

    leader_lipschitz: float
    leader_smoothness: float
    follower_smoothness: float
    concavity: float
    response_lipschitz: float
    total_bound: float
    total_lipschitz: float
    samples: int
    finite: int

    def contraction(self, step: float) -> float:
        """By which factor a gradient-ascent follower of that step comes nearer an update: `max |1 - step lambda|`.

        Over the sampled curvatures lambda; below 1 it settles, if it is so everywhere.
        """
        return max(abs(1 - step * self.concavity), abs(1 - step * self.follower_smoothness))


def assumptions(game: Game, region: Sequence[Space] | None, key: PRNGKeyArray, *, samples: int = 1024) -> Assumptions:
    """Sample the constants that theorems about two timescales and about Hi-C assume to exist.

    Assumptions 4.1, 4.3 and 4.8 of Loftin et al. (2024), A1a and 2 of Fiez et al. (2019).

    **Arguments:** `game` of a leader and one follower, twice differentiable; `region`: a space a player from which
    actions are drawn, None for the game's own (of which samples of a `Euclidean` are normal); `key`; `samples`.

    **Returns:** an `Assumptions`, in float64.

    **Raises:** `ValueError` or `TypeError` that names the argument, also if nothing is finite anywhere.

    >>> import jax
    >>> from stackjax.equilibria import assumptions
    >>> from stackjax.games import CournotDuopoly
    >>> found = assumptions(CournotDuopoly(), None, jax.random.key(0))
    >>> found.follower_smoothness, found.concavity, found.response_lipschitz
    (2.0, 2.0, 0.5)
    """
    if game.levels != ((0,), (1,)):
        raise ValueError(f"game: expected a leader and one follower, got the levels {game.levels}")
    with jax.enable_x64(True):
        wide, points = _drawn(game, region, key, samples)
        local = differentiated(game, lambda: evaluate_many(wide, points))
        slopes, hessians = differentiated(game, lambda: _of_the_leader(wide, points))
    d1 = game.spaces[0].dimension
    own = -(local.jacobian[:, d1:, d1:] + np.swapaxes(local.jacobian[:, d1:, d1:], 1, 2)) / 2
    values = (slopes, hessians, own, local.jacobian, local.total, local.total_jacobian)
    finite = np.all([np.isfinite(v).reshape(len(v), -1).all(1) for v in values], axis=0)
    finite[finite] &= np.linalg.matrix_rank(own[finite]) == own.shape[-1]
    if not finite.any():
        raise ValueError("game: at none of the samples all derivatives and the follower's response are finite")
    slopes, hessians, own, jacobian, total, total_jacobian = (v[finite] for v in values)
    curvature = np.linalg.eigvalsh(own)
    response = np.linalg.solve(own, jacobian[:, d1:, :d1])

    def steepest(matrices: np.ndarray) -> float:
        return float(np.linalg.norm(matrices, 2, axis=(1, 2)).max())

    return Assumptions(
        leader_lipschitz=float(np.linalg.norm(slopes, axis=1).max()),
        leader_smoothness=steepest(hessians),
        follower_smoothness=float(curvature.max()),
        concavity=float(curvature.min()),
        response_lipschitz=steepest(response),
        total_bound=float(np.linalg.norm(total[:, :d1], axis=1).max()),
        total_lipschitz=steepest(total_jacobian[:, :d1]),
        samples=len(finite),
        finite=int(finite.sum()),
    )


def diagonal_concavity(
    game: Game,
    region: Sequence[Space] | None,
    key: PRNGKeyArray,
    *,
    players: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
    samples: int = 1024,
) -> float:
    """Sample Rosen's condition among players who move together: the least eigenvalue of `-(G + G') / 2`.

    G is the Jacobian of their weighted partial gradients, `weight_i grad_i f_i`, in their own actions. If it is
    positive everywhere, payoffs are diagonally strictly concave: whatever the others do, these players have one Nash
    equilibrium, and their simultaneous gradient ascent leads to it (Rosen, 1965; what App. C.2 of Fiez et al., 2019,
    rests on). A negative value refutes it; a positive one is a largest lower bound that the samples allow, no proof.

    **Arguments:** `game`, `region`, `key`, `samples` as of `assumptions`, with any number of players; `players`: who
    move together, default those of the last level; `weights` > 0, one for each of these, default 1.

    **Returns:** the smallest eigenvalue over the samples, in units of payoff per squared action.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """
    chosen = game.levels[-1] if players is None else tuple(players)
    if not chosen or len(set(chosen)) != len(chosen) or not all(i in range(len(game.spaces)) for i in chosen):
        raise ValueError(f"players: expected some of {list(range(len(game.spaces)))}, each once, got {players!r}")
    each = np.ones(len(chosen)) if weights is None else np.asarray(weights, np.float64)
    if each.shape != (len(chosen),) or not np.all((each > 0) & np.isfinite(each)):
        raise ValueError(f"weights: expected {len(chosen)} positive numbers, one a player, got {weights!r}")
    with jax.enable_x64(True):
        wide, points = _drawn(game, region, key, samples)
        jacobian = differentiated(game, lambda: evaluate_many(wide, points)).jacobian
    ends = np.cumsum([0, *(space.dimension for space in game.spaces)])
    rows = np.concatenate([np.arange(ends[i], ends[i + 1]) for i in chosen])
    scale = np.concatenate([np.full(game.spaces[i].dimension, w) for i, w in zip(chosen, each, strict=True)])
    own = scale[:, None] * jacobian[:, rows[:, None], rows]
    if not np.all(np.isfinite(own)):
        raise ValueError("game: second derivatives aren't finite at some samples")
    return float(np.linalg.eigvalsh(-(own + np.swapaxes(own, 1, 2)) / 2).min())


def _drawn(game: Game, region: Sequence[Space] | None, key: PRNGKeyArray, samples: int) -> tuple[Game, tuple[Any, ...]]:
    """The game in float64, and joint actions with a leading axis."""
    n = whole("samples", samples)
    spaces = game.spaces if region is None else tuple(region)
    if len(spaces) != len(game.spaces) or not all(isinstance(space, Space) for space in spaces):
        raise ValueError(f"region: expected one space a player ({len(game.spaces)}), got {region!r}")
    for i, (given, own) in enumerate(zip(spaces, game.spaces, strict=True)):
        if isinstance(own, Arms):
            raise ValueError(f"game: player {i} has arms, which have no derivatives")
        if given.struct(np.float64) != own.struct(np.float64):
            raise ValueError(f"region: player {i}: expected actions like those of {own}, got {given}")
    keys = jax.random.split(key, len(spaces))
    points = tuple(
        jax.vmap(lambda k, s=space: s.sample(k, jnp.float64))(jax.random.split(k, n))
        for space, k in zip(spaces, keys, strict=True)
    )
    return in_float64(game), points


@eqx.filter_jit
def _of_the_leader(game: Game, points: Any) -> tuple[Float[Array, "n d"], Float[Array, "n d d"]]:
    """The gradient and the Hessian of the leader's payoff in all coordinates."""

    def one(actions: Any) -> tuple[Array, Array]:
        at = Tangent(game, actions)

        def paid(u: Array) -> Array:
            return jnp.asarray(at.payoffs(*at.split(u))[0])

        return jax.grad(paid)(at.zero()), jax.hessian(paid)(at.zero())

    return jax.vmap(one)(points)
