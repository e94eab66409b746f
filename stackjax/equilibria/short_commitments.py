"""Where a leader that measures its payoff after too few of its follower's steps ends, and how many are enough."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stackjax._constraints import has_constraints
from stackjax._core.entry import common_float
from stackjax.checks import concrete, number, whole
from stackjax.equilibria._local import Tangent, in_float64
from stackjax.equilibria.certify import check_actions
from stackjax.protocols import Action, Game
from stackjax.spaces import Arms

_STEPS = 50  # of Newton's method


class ShortCommitment(NamedTuple):
    """Where commitments of a fixed length lead.

    **Attributes:**

    - `actions`: the leader's action and the follower's best response to it.
    - `distance`: of the leader's from the point that endless commitments lead to, in units of its action.
    - `residual`: the largest entry of what should be zero there.
    """

    actions: tuple[Action, Action]
    distance: float
    residual: float


def short_commitment_point(
    game: Game, commitment: int, follower_step: float, near: tuple[Action, Action] | None = None
) -> ShortCommitment:
    """Where Hi-C converges to if all its commitments are of `commitment` rounds against a gradient-ascent follower.

    In an interval of k rounds the follower takes k - 1 steps that the last round's payoff shows, and at each gets
    nearer to its best response r(x) by the factor `I - beta C`, `C = -H_yy`. So the leader climbs
    `grad_x f1 + R' (I - (I - beta C)^(k-1)) grad_y f1` at (x, r(x)), R the Jacobian of r: with k = 1 its partial
    gradient, whose zero is Nash's condition, and for k to infinity the total one, Stackelberg's. The formula is ours;
    the source of Hi-C (Loftin et al., 2024) asks for commitments that grow. It is first order in the perturbation, and
    of a single measurement: antithetic pairs, whose intervals begin where the opposite perturbation left the follower,
    have up to 1.5 times the distance.

    **Arguments:** `game` of a leader and one follower, smooth there; `commitment` k >= 1, in rounds; `follower_step`
    beta > 0, constant; `near`: where Newton's method starts, default the game's `stackelberg()`.

    **Returns:** a `ShortCommitment`, in float64. No bound or constraint is active at what it returns.

    **Raises:** `ValueError` that names the argument: also if no zero is found from `near`, if it lies at a bound, if
    the leader's direction leads away from it, if the follower's own steps don't converge there (`beta C` has an
    eigenvalue outside of (0, 2)), or if the game has constraints beside its spaces.

    >>> from stackjax.equilibria import short_commitment_point
    >>> from stackjax.games import CournotDuopoly
    >>> round(float(short_commitment_point(CournotDuopoly(), 5, 0.05).actions[0]), 3)
    34.637
    """
    k = whole("commitment", commitment)
    search = _Search.of(game, follower_step, near)
    return search.point(k, search.zero(np.inf)[0])


def commitment_for(
    game: Game,
    follower_step: float,
    distance: float,
    near: tuple[Action, Action] | None = None,
    *,
    longest: int = 100_000,
) -> int:
    """The shortest commitment whose limit is at most `distance` from the one of endless commitments.

    By `short_commitment_point`, which says what is assumed. For Hi-C with a fixed commitment, where a schedule that
    grows (`stackjax.schedules.commitment_times`) would be slow.

    **Arguments:** `game`, `follower_step`, `near`: as there; `distance` > 0, in units of the leader's action;
    `longest`: what is tried at most.

    **Returns:** rounds, at least 2.

    **Raises:** `ValueError` as there, or if `longest` rounds aren't enough.

    >>> from stackjax.equilibria import commitment_for
    >>> from stackjax.games import CournotDuopoly
    >>> commitment_for(CournotDuopoly(), 0.25, distance=0.1)
    9
    """
    number(distance, "distance", 0.0)
    most = whole("longest", longest, 2)
    search = _Search.of(game, follower_step, near)
    end, _ = search.zero(np.inf)

    def near_enough(k: int) -> bool:
        return search.point(k, end).distance <= distance

    enough, short = 2, 1
    while not near_enough(enough):
        if enough == most:
            raise ValueError(f"distance: {most} rounds aren't enough for {distance}; the follower's step is too short")
        short, enough = enough, min(2 * enough, most)
    while enough - short > 1:  # the distance shrinks as the commitment grows, at last by a factor a round
        middle = (enough + short) // 2
        short, enough = (short, middle) if near_enough(middle) else (middle, enough)
    return enough


class _Search(NamedTuple):
    """Newton's method for one game, in coordinates around `near`."""

    game: Game
    step: float
    near: tuple[Action, ...]

    @classmethod
    def of(cls, game: Game, follower_step: Any, near: Any) -> "_Search":
        """Checked."""
        if not isinstance(game, Game) or tuple(map(tuple, game.levels)) != ((0,), (1,)):
            raise ValueError("game: expected a leader and one follower")
        if any(isinstance(space, Arms) for space in game.spaces):
            raise ValueError("game: expected actions to differentiate by, got arms")
        if has_constraints(game, common_float(game, None)):
            raise ValueError("game: expected no constraints beside the spaces; under them the answer is another")
        number(follower_step, "follower_step", 0.0)
        if not concrete(follower_step) or np.ndim(follower_step):
            raise ValueError(f"follower_step: expected a number, got {follower_step!r}")
        near = game.stackelberg() if near is None else tuple(near)
        if near is None:
            raise ValueError("near: expected a joint action, as the game doesn't know its Stackelberg equilibrium")
        check_actions(game, near)
        return cls(in_float64(game), float(follower_step), in_float64(near))

    def point(self, rounds: int, end: np.ndarray) -> ShortCommitment:
        """The zero that is found from `end`, that of endless commitments."""
        u, residual = self.zero(rounds, end)
        with jax.enable_x64(True):
            at = Tangent(self.game, self.near)
            actions = jax.tree.map(np.asarray, at.moved(*at.split(jnp.asarray(u))))
        own = self.game.spaces[0].dimension
        return ShortCommitment(actions, float(np.linalg.norm((u - end)[:own])), residual)

    def zero(self, rounds: float, start: np.ndarray | None = None) -> tuple[np.ndarray, float]:
        """The coordinates of a zero inside of the spaces at which the follower converges, and its residual."""
        with jax.enable_x64(True):
            at = Tangent(self.game, self.near)
            first = at.zero() if start is None else jnp.asarray(start)
            given = jnp.asarray(rounds, jnp.float64), jnp.asarray(self.step)
            u = _newton(at, *given, first)
            values, curvatures = (np.asarray(x) for x in _conditions(at, u, *given))
            slopes = np.asarray(_slopes(at, u, *given))
            turns = zip(self.game.spaces, at.moved(*at.split(u)), strict=True)
            inside = all(bool(jnp.all(space.contains(action))) for space, action in turns)
        residual = float(np.max(np.abs(values))) if np.all(np.isfinite(values)) else np.inf
        if not residual <= 1e-6 * max(1.0, float(np.max(np.abs(curvatures)))):
            raise ValueError(f"near: no point to which commitments of {rounds} rounds lead was found from there")
        if not inside:
            raise ValueError(f"game: commitments of {rounds} rounds lead to a bound of a space, where none of it holds")
        if not np.all((self.step * curvatures > 0) & (self.step * curvatures < 2)):
            raise ValueError(
                f"follower_step: with {self.step:g} the follower doesn't settle there: times its curvatures "
                f"({', '.join(f'{c:.4g}' for c in curvatures)}) it has to lie in (0, 2)"
            )
        own = self.game.spaces[0].dimension
        along = slopes[:own, :own] - slopes[:own, own:] @ np.linalg.solve(slopes[own:, own:], slopes[own:, :own])
        if not np.all(np.linalg.eigvals(along).real < 0):
            raise ValueError(
                f"near: commitments of {rounds} rounds rest at the point found from there, and lead away from it: the "
                "leader's direction along the response doesn't point back"
            )
        return np.asarray(u), residual


@eqx.filter_jit
def _conditions(
    at: Tangent, u: Float[Array, " d"], rounds: Array, step: Array
) -> tuple[Float[Array, " d"], Float[Array, " d2"]]:
    """What vanishes at the point, and the eigenvalues of the follower's curvature."""
    d1 = at.game.spaces[0].dimension

    def paid(u: Array) -> Array:
        return jnp.asarray(at.payoffs(*at.split(u))[0])

    leader, follower = jax.grad(paid)(u), at.gradient(u)[d1:]
    jacobian = jax.jacfwd(lambda u: at.gradient(u)[d1:])(u)
    curvatures, axes = jnp.linalg.eigh(-(jacobian[:, d1:] + jacobian[:, d1:].T) / 2)
    # R' (I - (I - beta C)^(k-1)) with R = C^-1 H_yx, in the axes of C; endless commitments leave nothing
    left = jnp.where(jnp.isinf(rounds), 0.0, (1 - step * curvatures) ** jnp.where(jnp.isinf(rounds), 1, rounds - 1))
    seen = jacobian[:, :d1].T @ (axes @ ((1 - left) / curvatures * (axes.T @ leader[d1:])))
    return jnp.concatenate([leader[:d1] + seen, follower]), curvatures


@eqx.filter_jit
def _slopes(at: Tangent, u: Float[Array, " d"], rounds: Array, step: Array) -> Float[Array, "d d"]:
    """The Jacobian of what vanishes."""
    return jax.jacfwd(lambda u: _conditions(at, u, rounds, step)[0])(u)


@eqx.filter_jit
def _newton(at: Tangent, rounds: Array, step: Array, start: Float[Array, " d"]) -> Float[Array, " d"]:
    def conditions(u: Array) -> Array:
        return _conditions(at, u, rounds, step)[0]

    def one(u: Array, _: None) -> tuple[Array, None]:
        return u - jnp.linalg.solve(_slopes(at, u, rounds, step), conditions(u)), None

    return jax.lax.scan(one, start, None, length=_STEPS)[0]
