"""What a joint action is: residuals, curvatures, the definitions that hold, and the stability of the dynamics there."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from stackjax._core.entry import check_levels
from stackjax.checks import number
from stackjax.equilibria import _boundary, _conditions, _local
from stackjax.equilibria._boundary import ActiveConstraint
from stackjax.equilibria._conditions import Constraint
from stackjax.equilibria._local import Local
from stackjax.equilibria._text import Printed, certificate_text
from stackjax.protocols import Action, Game, level_of, same_structure

_SMOOTH_UP_TO = 64  # coordinates: beyond that the differences that tell kinks would cost more than all the rest
_KINK = 1e-4  # differences of gradients that are this far from a second derivative of 1 count
_EDGE = 1e-6  # nearer to a boundary than this is at it
_SEARCH = 500  # steps of a search for a best response


@dataclass(frozen=True)
class LocalDynamics:
    """A dynamic at a point, `dz/dt = F(z)`, F the players' ascent directions.

    **Attributes:** `jacobian` of F `[d, d]`, in coordinates of the spaces' tangents, in order of play; its
    `eigenvalues` `[d]`, complex, by ascending real part; `stable`: whether all real parts are negative; `at_rest`:
    whether F vanishes, to the certificate's tolerance. Where F isn't at rest, stability says nothing.

    Where constraints are active, F is ascent that is projected to the directions in which it can move, and d the number
    of directions that no constraint with a multiplier holds: what is held stays, under small disturbances too, and has
    no row.
    """

    jacobian: np.ndarray
    eigenvalues: np.ndarray
    stable: bool
    at_rest: bool


@dataclass(frozen=True)
class Certificate(Printed):
    """What `certify` found; `str` makes it readable.

    **Attributes:**

    - `actions`; `payoffs` `[players]`.
    - `nash_residuals` `[players]`: norms of the partial gradients of the players' own payoffs, of what the multipliers
      of active constraints leave of them. `own_spectra`: for each player the eigenvalues, ascending, of the Hessian of
      its own payoff in its own action; where constraints are active, of its Lagrangian, along the directions in which
      no constraint with a multiplier holds it, and none if there is no such direction.
    - `stackelberg_residuals` `[players]`: norms of the total derivatives along the response of later levels, again of
      what multipliers leave. `total_spectra`: for each player the eigenvalues of the total Hessian, the one of
      `x -> f_i(x, r(x))`, or of the Lagrangian's; in the last level both are the own ones. Where that value has a kink,
      the side with the largest residual, and the one with the largest eigenvalue.
    - `active`: an `ActiveConstraint` for each constraint that is reached, once with the multiplier that it has in the
      Nash conditions and once with that of the Stackelberg conditions.
    - `is_nash`, `is_stackelberg`; `why_not_nash`, `why_not_stackelberg`: sentences, none if it is one.
    - `simultaneous`, `hierarchical`: the `LocalDynamics` of the partial and of the total derivatives.
    - `advantage`: the leader's payoff here minus its payoff at the best known Nash equilibrium, None if none is known,
      and if the follower has a better answer elsewhere, as the leader wouldn't be paid that.
    - `other_replies`: other local best responses that pay the last level's players at least as much, as tuples (player,
      action, payoff). `better_reply`: the best of them if it pays more than the action that is certified, else None.
    - `notes`: sentences about what makes the verdict doubtful.
    - `tolerance`, `curvature`, `timescale`: as given to `certify`.
    """

    actions: tuple[Any, ...]
    payoffs: np.ndarray
    nash_residuals: np.ndarray
    own_spectra: tuple[np.ndarray, ...]
    stackelberg_residuals: np.ndarray
    total_spectra: tuple[np.ndarray, ...]
    why_not_nash: tuple[str, ...]
    why_not_stackelberg: tuple[str, ...]
    simultaneous: LocalDynamics
    hierarchical: LocalDynamics
    advantage: float | None
    other_replies: tuple[tuple[int, Any, float], ...]
    notes: tuple[str, ...]
    tolerance: float
    curvature: float
    timescale: float
    roles: tuple[str, ...] = field(repr=False)
    game: str = field(repr=False)
    active: tuple[ActiveConstraint, ...] = ()

    @property
    def is_nash(self) -> bool:
        """Whether it is a differential Nash equilibrium."""
        return not self.why_not_nash

    @property
    def is_stackelberg(self) -> bool:
        """Whether it is a differential Stackelberg equilibrium."""
        return not self.why_not_stackelberg

    @property
    def kind(self) -> str:
        """One of "Nash and Stackelberg", "Nash", "Stackelberg" and "neither"."""
        kinds = [name for name, is_it in (("Nash", self.is_nash), ("Stackelberg", self.is_stackelberg)) if is_it]
        return " and ".join(kinds) or "neither"

    @property
    def better_reply(self) -> tuple[int, Any, float] | None:
        """What would pay a player of the last level more than its action, which is a best response only locally."""
        best = next(iter(self.other_replies), None)
        return best if best is not None and _boundary.more(best[2], float(self.payoffs[best[0]])) else None

    def __str__(self) -> str:
        """The certificate as text."""
        return certificate_text(self)


def certify(
    game: Game,
    *actions: Action,
    tolerance: float = 1e-6,
    curvature: float = 1e-8,
    timescale: float = 1.0,
    replies: int = 32,
    key: PRNGKeyArray | None = None,
    nash: tuple[Action, ...] | None = None,
) -> Certificate:
    """Certify what a joint action is: a differential Nash or Stackelberg equilibrium, both, or neither and why.

    *Differential Nash*: every player's partial gradient of its own payoff vanishes and its own Hessian is negative
    definite. *Differential Stackelberg*: every player's total derivative along the response of later levels vanishes
    and its total Hessian is negative definite; in the last level these are the partial gradient and the own Hessian.
    With a leader and a follower: `D = grad_x f1 - H_yx^T H_yy^-T grad_y f1 = 0`, `grad_y f2 = 0`, `H_yy < 0` and the
    Hessian of `x -> f1(x, r(x))`, which is `D_x + D_y dr/dx`, negative definite. (Definition 4 of Fiez et al., 2019,
    lacks the follower's second-order condition, and takes `D_x` for the total Hessian.) Both definitions are local.

    *At bounds and constraints*, those of the spaces and those of the game, gradients needn't vanish: they are
    non-negative multiples of the gradients of the constraints that are reached (of any sign for equalities), and the
    Hessian of the Lagrangian is negative on the critical cone, the directions that keep every constraint with a
    multiplier and enter none of those that are *weakly active*, reached without a multiplier (Nocedal & Wright, 2006,
    Numerical Optimization, Theorem 12.6). That is sufficient for a strict local maximum; at a vertex at which all
    directions are held nothing is left to check. The followers' response moves along what they hold, and takes their
    multipliers along. A leader whose own constraints depend on the followers' actions keeps to them as they answer.

    Where a constraint of a follower is weakly active, the leader's value `x -> f1(x, r(x))` has one-sided derivatives:
    on each side some of those constraints are held and the others free. The same goes for a *vertex*, where more
    constraints are reached than the follower can hold at once, so that its multipliers aren't unique, as is usual where
    it is linear: each way to hold independent ones of them with non-negative multipliers is a side. Sides end where a
    free constraint would be broken, or a multiplier negative. The point is a differential Stackelberg equilibrium here
    if the leader satisfies these conditions on every side, which includes *kinks*, at which its value falls to all
    sides at first order, such as a firm that sells just enough to keep another out, and points beyond which the
    follower has no answer nearby. That goes beyond the definition by derivatives, and the notes say so. It is
    undecided, and no equilibrium, if there are more than 16 sides or two levels, or if gradients of a follower's
    constraints depend on each other at the point and change with it (they may be independent nearby).

    The stability of the two dynamics is reported and decides nothing: in general-sum games a stable hierarchical
    dynamic needn't be at an equilibrium, nor an equilibrium stable.

    Everything is computed in float64, whatever JAX's default type is, from dense matrices `[d, d]`, d all players'
    coordinates together.

    **Arguments:**

    - `game`; `actions`: one a player, in order of play, in the shapes of the spaces.
    - `tolerance`: the largest norm of a first-order residual that counts as 0, in units of payoff per action. To it is
      added what rounding the actions to the type in which they are given can account for (float32 results would
      otherwise never pass). A multiplier counts as 0 up to the same. Constraints are reached, and kept, to 1e-6 times
      the largest coordinate (or 1), or that rounding if it is more.
    - `curvature`: an eigenvalue of a Hessian counts as negative below `-curvature max(1, largest |eigenvalue|)`.
    - `timescale`: tau > 0, the ratio of the steps of each level and of the level before it, in both dynamics: the rows
      of level l are multiplied by `tau^l`.
    - `replies`: if the action of a player who is alone in the last level is a best response locally, others are
      searched from so many starts (0: none), within its space and its constraints; `key` draws them (default:
      `jax.random.key(0)`).
    - `nash`: the joint action to which the leader's payoff is compared; default: the known Nash equilibrium that is
      best for it.

    **Raises:** `ValueError` or `TypeError` that names the argument, or the player whose payoff can't be differentiated
    twice at all. Where a derivative doesn't exist *at the point*, the certificate's notes say where.
    """
    check_levels(game)
    check_tolerances(tolerance=tolerance, curvature=curvature, timescale=timescale)
    number(replies, "replies", 0, open_low=False, whole=True)
    with jax.enable_x64(True):
        wide, at = prepared(game, actions)
        eps = max([_eps(x) for x in jax.tree.leaves(actions)], default=0.0)
        local = differentiated(game, lambda: _local.evaluate(wide, at))
        known = known_payoffs(wide) if nash is None else [_payoffs(wide, prepared(game, nash, "nash")[1])]
        options = Options(tolerance, curvature, timescale, replies, eps, key, _conditions.described(wide))
        return certificate(game, wide, at, local, known, options)


class Options(NamedTuple):
    """How a certificate is made; see `certify`. `eps` is the resolution of the actions' type."""

    tolerance: float
    curvature: float
    timescale: float
    replies: int
    eps: float
    key: Any
    constraints: tuple[Constraint, ...]


def _eps(x: Any) -> float:
    dtype = getattr(x, "dtype", np.dtype(float))
    return float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0


def check_tolerances(**values: Any) -> None:
    """Positive numbers."""
    for name, value in values.items():
        number(value, name, 0.0)


def prepared(game: Game, actions: tuple[Action, ...], name: str = "actions") -> tuple[Game, tuple[Any, ...]]:
    """The game and a joint action in float64, their shapes checked."""
    check_actions(game, actions, name)
    found = []
    for i, action in enumerate(actions):
        try:
            action = jax.tree.map(lambda x: np.asarray(x, np.float64), action)
        except (TypeError, ValueError):
            raise TypeError(f"{name}: player {i}: expected numbers, got {action!r}") from None
        if not all(np.all(np.isfinite(x)) for x in jax.tree.leaves(action)):
            raise ValueError(f"{name}: player {i}: expected finite numbers, got {action}")
        found.append(action)
    return _local.in_float64(game), tuple(found)


def check_actions(game: Game, actions: tuple[Action, ...], name: str = "actions") -> None:
    """Is it one action a player, in the shapes of the spaces?"""
    if not isinstance(actions, tuple | list) or len(actions) != len(game.spaces):
        got = len(actions) if isinstance(actions, tuple | list) else repr(actions)
        raise ValueError(f"{name}: expected one a player ({len(game.spaces)}), got {got}")
    for i, (space, action) in enumerate(zip(game.spaces, actions, strict=True)):
        struct = space.struct(np.float64)
        shapes = jax.tree.map(lambda s: s.shape, struct), jax.tree.map(np.shape, action)
        if not same_structure(struct, action) or shapes[0] != shapes[1]:
            raise ValueError(f"{name}: player {i}: expected an action of shape {shapes[0]}, got {shapes[1]}")


def differentiated(game: Game, evaluate: Any, *, host: bool = True) -> Any:
    """The result of `evaluate`, brought to the host; what can't be differentiated is reported with the player."""
    try:
        return jax.tree.map(np.asarray, evaluate()) if host else evaluate()
    except NotImplementedError:
        raise
    except Exception as error:  # a user's payoff may raise anything; it goes on, with the player if that can be told
        culprit = _culprit(game)
        if culprit is not None:
            raise ValueError(
                f"game: the payoff of player {culprit} of {type(game).__name__} can't be differentiated twice: {error}"
            ) from error
        raise


def _culprit(game: Game) -> int | None:
    """The first player whose payoff can be evaluated but not differentiated twice."""
    wide = _local.in_float64(game)
    blank = jax.tree.map(lambda s: jnp.zeros(s.shape), tuple(space.struct(np.float64) for space in game.spaces))
    at = _local.Tangent(wide, blank)

    def own(i: int) -> Any:
        return lambda u: jnp.asarray(at.payoffs(*at.split(u))[i])

    for i in range(len(game.spaces)):
        try:
            jax.eval_shape(own(i), at.zero())
        except Exception:  # the user's payoff itself fails, with an error that says more
            return None
        try:
            jax.eval_shape(jax.hessian(own(i)), at.zero())
        except Exception:  # what differentiation raises depends on what the user's payoff calls
            return i
    return None


def _payoffs(game: Game, actions: tuple[Action, ...]) -> np.ndarray:
    return np.asarray([float(p) for p in game.payoffs(*actions)])


def known_payoffs(wide: Game) -> list[np.ndarray]:
    """The payoffs at the game's known Nash equilibria."""
    found = [_payoffs(wide, point) for point in wide.nash_equilibria()]
    return [payoffs for payoffs in found if np.all(np.isfinite(payoffs))]


def roles_of(game: Game) -> tuple[str, ...]:
    """How sentences call the players."""
    if game.levels == ((0,), (1,)):
        return "the leader", "the follower"
    return tuple(f"player {i}" for i in range(len(game.spaces)))


class _Judged(NamedTuple):
    """The two sets of conditions as verdicts are made of them: all but `jacobian` and `owners` with one entry a player.

    `curved`: whether the second-order condition holds, None if that is undecided.
    """

    residuals: np.ndarray
    limits: np.ndarray
    spectra: tuple[np.ndarray, ...]
    curved: tuple[bool | None, ...]
    jacobian: np.ndarray
    owners: np.ndarray


def certificate(
    game: Game, wide: Game, actions: tuple[Any, ...], local: Local, nash: list[np.ndarray], options: Options
) -> Certificate:
    """The certificate of a joint action from the derivatives there. Inside `jax.enable_x64(True)`."""
    from stackjax.equilibria import _notes

    tolerance, curvature, timescale, replies, eps, key, constraints = options
    levels, roles = [level_of(game, i) for i in range(len(game.spaces))], roles_of(game)
    ends = np.cumsum([space.dimension for space in game.spaces])
    own = [slice(end - space.dimension, end) for end, space in zip(ends, game.spaces, strict=True)]

    def spectrum(matrix: np.ndarray) -> np.ndarray:
        finite = np.all(np.isfinite(matrix))
        return np.linalg.eigvalsh((matrix + matrix.T) / 2) if finite else np.full(matrix.shape[0], np.nan)

    def total_hessian(i: int) -> np.ndarray:
        matrix: np.ndarray = local.total_jacobian[own[i], own[i]]
        later = slice(min((own[j].start for j, k in enumerate(levels) if k > levels[i]), default=ends[-1]), ends[-1])
        below = local.total_jacobian[later, later]
        if not below.size:
            return matrix
        if not np.all(np.isfinite(local.total_jacobian[own[i]])) or not np.all(np.isfinite(below)):
            return np.full_like(matrix, np.nan)
        try:
            answer = -np.linalg.solve(below, local.total_jacobian[later, own[i]])
        except np.linalg.LinAlgError:  # the later levels have no response of their own here
            return np.full_like(matrix, np.nan)
        return matrix + local.total_jacobian[own[i], later] @ answer

    size = max([1.0, *(float(np.max(np.abs(x), initial=0.0)) for x in jax.tree.leaves(actions))])
    edge = max(_EDGE, 4 * eps) * size
    boundary = None
    if constraints:
        tolerances = _boundary.Tolerances(tolerance, curvature, edge, eps * size)
        boundary = differentiated(
            wide, lambda: _boundary.examine(wide, actions, local, levels, constraints, tolerances), host=False
        )

    def allowed(jacobian: np.ndarray) -> np.ndarray:
        rounding = eps * size * np.sum(np.where(np.isfinite(jacobian), np.abs(jacobian), 0.0), axis=1)
        return tolerance + np.asarray([np.linalg.norm(rounding[o]) for o in own])

    def negative(values: np.ndarray) -> bool:
        return bool(np.all(values < -curvature * max(1.0, float(np.max(np.abs(values), initial=0.0)))))

    def inside(gradient: np.ndarray, jacobian: np.ndarray, hessians: list[np.ndarray]) -> _Judged:
        spectra = tuple(spectrum(h) for h in hessians)
        residuals = np.asarray([np.linalg.norm(gradient[o]) for o in own])
        return _Judged(residuals, allowed(jacobian), spectra, tuple(negative(s) for s in spectra), jacobian, everyone)

    everyone = np.repeat(np.arange(len(own)), [space.dimension for space in game.spaces])
    if boundary is None:
        judged = (
            inside(local.gradient, local.jacobian, [local.jacobian[o, o] for o in own]),
            inside(local.total, local.total_jacobian, [total_hessian(i) for i in range(len(own))]),
        )
    else:

        def held(c: Any) -> _Judged:
            return _Judged(c.residuals, c.limits, c.spectra, c.curved, c.jacobian, c.owners)

        judged = held(boundary.nash), held(boundary.stackelberg)
    nash_, stackelberg_ = judged

    bounded = any(space.bounded for space in wide.spaces)
    apart = np.asarray(_conditions.apart(wide, actions)) if bounded else np.zeros(len(own))
    outside = {int(i): float(apart[i]) for i in np.flatnonzero(apart > edge)}
    unfit = [f"{roles[i]}'s action is outside of its space, by {a:.3g}" for i, a in outside.items()]
    unfit += _notes.violated(boundary, roles, outside)
    unpaid = [
        f"{role}'s payoff isn't finite here" for role, p in zip(roles, local.payoffs, strict=True) if not np.isfinite(p)
    ]
    why: list[list[str]] = []
    for each, words in zip(judged, (("gradient", "own Hessian"), ("total derivative", "total Hessian")), strict=True):
        reasons = [*unfit, *unpaid]
        for i, role in enumerate(roles):
            # The last level has no response to take along.
            last_level = levels[i] == max(levels)
            first, second = ("gradient", "own Hessian") if last_level else words
            sides = [] if boundary is None or each is nash_ else [s for s in boundary.sides if s.player == i]
            reasons += _notes.first_order(each.residuals[i], each.limits[i], role, first, boundary, i, sides)
            reasons += _notes.second_order(each.spectra[i], each.curved[i], role, second, boundary, i, sides)
            if boundary is not None and each is stackelberg_ and i in boundary.undecided:
                reasons.append(f"whether {role}'s value is at its maximum isn't decided: {boundary.undecided[i]}")
        why.append(reasons)

    def dynamics(each: _Judged) -> LocalDynamics:
        speeds = np.asarray([timescale ** levels[i] for i in each.owners])
        jacobian = speeds[:, None] * each.jacobian
        finite = bool(np.all(np.isfinite(jacobian)))
        values = np.sort_complex(np.linalg.eigvals(jacobian)) if finite else np.full(len(jacobian), np.nan + 0j)
        kinked = boundary is not None and each is stackelberg_ and _notes.is_kink(boundary)
        rest = bool(np.all(each.residuals <= each.limits)) and not unfit and not unpaid and not kinked
        return LocalDynamics(jacobian, values.astype(complex), finite and bool(np.all(values.real < 0)), rest)

    others: tuple[tuple[int, Any, float], ...] = ()
    notes = [f"{roles[i]}'s action is outside of its space" for i in outside]
    notes += _notes.at_the_boundary(boundary, roles)
    rough = _notes.kinks(wide, actions, local, roles, _KINK) if ends[-1] <= _SMOOTH_UP_TO else []
    notes += rough
    notes += _notes.follower_curvature(levels, own, local, nash_.spectra, roles, curvature, boundary)
    notes += _notes.joint_response(levels, own, local, roles, curvature, boundary)
    notes += _notes.sides(boundary, roles, not why[1])
    last = [i for i, level in enumerate(levels) if level == max(levels)]
    if replies and len(last) == 1 and len(levels) > 1 and not unfit and not rough:
        (j,) = last
        if nash_.residuals[j] <= nash_.limits[j] and nash_.curved[j]:
            others = _notes.other_replies(wide, j, actions, local, replies, _SEARCH, key)
            notes += _notes.about_replies(others, local, roles)
    counts = nash and not (others and _boundary.more(others[0][2], float(local.payoffs[others[0][0]])))
    return Certificate(
        actions=actions,
        payoffs=np.asarray(local.payoffs),
        nash_residuals=nash_.residuals,
        own_spectra=nash_.spectra,
        stackelberg_residuals=stackelberg_.residuals,
        total_spectra=stackelberg_.spectra,
        why_not_nash=tuple(why[0]),
        why_not_stackelberg=tuple(why[1]),
        simultaneous=dynamics(nash_),
        hierarchical=dynamics(stackelberg_),
        advantage=float(local.payoffs[0] - max(p[0] for p in nash)) if counts else None,
        other_replies=others,
        notes=tuple(notes),
        tolerance=float(tolerance),
        curvature=float(curvature),
        timescale=float(timescale),
        roles=roles,
        game=type(game).__name__,
        active=_boundary.listed(boundary),
    )
