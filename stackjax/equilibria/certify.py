"""What a joint action is: residuals, curvatures, the definitions that hold, and the stability of the dynamics there."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from stackjax._entry import check_levels
from stackjax.equilibria import _local
from stackjax.equilibria._local import Local
from stackjax.protocols import Action, Game, level_of, same_structure
from stackjax.schedules import number

_SMOOTH_UP_TO = 64  # coordinates: beyond that the differences that tell kinks would cost more than all the rest
_KINK = 1e-4  # differences of gradients that are this far from a second derivative of 1 count
_EDGE = 1e-6  # nearer to a boundary than this is at it
_SEARCH = 500  # steps of a search for a best response


@dataclass(frozen=True)
class Dynamics:
    """A dynamic at a point, `dz/dt = F(z)`, F the players' ascent directions.

    **Attributes:** `jacobian` of F `[d, d]`, in coordinates of the spaces' tangents, in order of play; its
    `eigenvalues` `[d]`, complex, by ascending real part; `stable`: whether all real parts are negative; `at_rest`:
    whether F vanishes, to the certificate's tolerance. Where F isn't at rest, stability says nothing.
    """

    jacobian: np.ndarray
    eigenvalues: np.ndarray
    stable: bool
    at_rest: bool


@dataclass(frozen=True)
class Certificate:
    """What `certify` found; `str` makes it readable.

    **Attributes:**

    - `actions`; `payoffs` `[players]`.
    - `nash_residuals` `[players]`: norms of the partial gradients of the players' own payoffs. `own_spectra`: for each
      player the eigenvalues, ascending, of the Hessian of its own payoff in its own action.
    - `stackelberg_residuals` `[players]`: norms of the total derivatives along the response of later levels.
      `total_spectra`: for each player the eigenvalues of the total Hessian, the one of `x -> f_i(x, r(x))`; in the last
      level both are the own ones.
    - `is_nash`, `is_stackelberg`; `why_not_nash`, `why_not_stackelberg`: sentences, none if it is one.
    - `simultaneous`, `hierarchical`: the `Dynamics` of the partial and of the total derivatives.
    - `advantage`: the leader's payoff here minus its payoff at the best known Nash equilibrium, None if none is known.
    - `other_replies`: other local best responses that pay the last level's players at least as much, as tuples (player,
      action, payoff).
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
    simultaneous: Dynamics
    hierarchical: Dynamics
    advantage: float | None
    other_replies: tuple[tuple[int, Any, float], ...]
    notes: tuple[str, ...]
    tolerance: float
    curvature: float
    timescale: float
    roles: tuple[str, ...] = field(repr=False)
    game: str = field(repr=False)

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

    def __str__(self) -> str:
        """The certificate as text."""
        from stackjax.equilibria._text import certificate

        return certificate(self)


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
    lacks the follower's second-order condition, and takes `D_x` for the total Hessian.) Both definitions are local, and
    about points inside their spaces.

    The stability of the two dynamics is reported and decides nothing: in general-sum games a stable hierarchical
    dynamic needn't be at an equilibrium, nor an equilibrium stable.

    Everything is computed in float64, whatever JAX's default type is, from dense matrices `[d, d]`, d all players'
    coordinates together.

    **Arguments:**

    - `game`; `actions`: one a player, in order of play, in the shapes of the spaces.
    - `tolerance`: the largest norm of a first-order residual that counts as 0, in units of payoff per action. To it is
      added what rounding the actions to the type in which they are given can account for (float32 results would
      otherwise never pass).
    - `curvature`: an eigenvalue of a Hessian counts as negative below `-curvature max(1, largest |eigenvalue|)`.
    - `timescale`: tau > 0, the ratio of the steps of each level and of the level before it, in both dynamics: the rows
      of level l are multiplied by `tau^l`.
    - `replies`: if the action of a player who is alone in the last level is a best response locally, others are
      searched from so many starts (0: none); `key` draws them (default: `jax.random.key(0)`).
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
        options = Options(tolerance, curvature, timescale, replies, eps, key)
        return certificate(game, wide, at, local, known, options)


class Options(NamedTuple):
    """How a certificate is made; see `certify`. `eps` is the resolution of the actions' type."""

    tolerance: float
    curvature: float
    timescale: float
    replies: int
    eps: float
    key: Any


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


def differentiated(game: Game, evaluate: Any) -> Any:
    """The result of `evaluate`, on the host; what can't be differentiated is reported with the player."""
    try:
        return jax.tree.map(np.asarray, evaluate())
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


def certificate(
    game: Game, wide: Game, actions: tuple[Any, ...], local: Local, nash: list[np.ndarray], options: Options
) -> Certificate:
    """The certificate of a joint action from the derivatives there. Inside `jax.enable_x64(True)`."""
    tolerance, curvature, timescale, replies, eps, key = options
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

    own_spectra = tuple(spectrum(local.jacobian[o, o]) for o in own)
    total_spectra = tuple(spectrum(total_hessian(i)) for i in range(len(own)))
    residuals = np.asarray([np.linalg.norm(local.gradient[o]) for o in own])
    total_residuals = np.asarray([np.linalg.norm(local.total[o]) for o in own])

    size = max([1.0, *(float(np.max(np.abs(x), initial=0.0)) for x in jax.tree.leaves(actions))])

    def allowed(jacobian: np.ndarray) -> np.ndarray:
        rounding = eps * size * np.sum(np.where(np.isfinite(jacobian), np.abs(jacobian), 0.0), axis=1)
        return tolerance + np.asarray([np.linalg.norm(rounding[o]) for o in own])

    limits = allowed(local.jacobian), allowed(local.total_jacobian)

    def negative(values: np.ndarray) -> bool:
        return bool(np.all(values < -curvature * max(1.0, float(np.max(np.abs(values), initial=0.0)))))

    outside = [i for i, s in enumerate(wide.spaces) if not bool(s.contains(actions[i]))]
    why: list[list[str]] = []
    for norms, limit, spectra, words in (
        (residuals, limits[0], own_spectra, ("gradient", "own Hessian")),
        (total_residuals, limits[1], total_spectra, ("total derivative", "total Hessian")),
    ):
        reasons = [f"{roles[i]}'s action is outside of its space" for i in outside]
        for i, role in enumerate(roles):
            # The last level has no response to take along.
            first, second = ("gradient", "own Hessian") if levels[i] == max(levels) else words
            if np.isnan(norms[i]):
                reasons.append(f"{role}'s {first} isn't defined here")
            elif norms[i] > limit[i]:
                reasons.append(f"{role}'s {first} isn't 0: its norm is {norms[i]:.3g} (tolerance {limit[i]:.3g})")
            if np.all(np.isnan(spectra[i])) and spectra[i].size:
                reasons.append(f"{role}'s {second} isn't defined here")
            elif not negative(spectra[i]):
                most = spectra[i].max()
                reasons.append(f"{role}'s {second} isn't negative definite: its largest eigenvalue is {most:.3g}")
        why.append(reasons)

    def dynamics(norms: np.ndarray, limit: np.ndarray, jacobian: np.ndarray) -> Dynamics:
        speeds = np.concatenate([np.full(s.dimension, timescale ** levels[i]) for i, s in enumerate(game.spaces)])
        jacobian = speeds[:, None] * jacobian
        finite = bool(np.all(np.isfinite(jacobian)))
        values = np.sort_complex(np.linalg.eigvals(jacobian)) if finite else np.full(len(jacobian), np.nan + 0j)
        rest = bool(np.all(norms <= limit))
        return Dynamics(jacobian, values.astype(complex), finite and bool(np.all(values.real < 0)), rest)

    from stackjax.equilibria import _notes

    others: tuple[tuple[int, Any, float], ...] = ()
    notes = _notes.outside_or_at_the_edge(wide, actions, roles, outside, _EDGE)
    rough = _notes.kinks(wide, actions, local, roles, _KINK) if ends[-1] <= _SMOOTH_UP_TO else []
    notes += rough
    notes += _notes.follower_curvature(levels, own, local, own_spectra, roles, curvature)
    notes += _notes.joint_response(levels, own, local, roles, curvature)
    last = [i for i, level in enumerate(levels) if level == max(levels)]
    if replies and len(last) == 1 and len(levels) > 1 and not outside and not rough:
        (j,) = last
        if residuals[j] <= limits[0][j] and negative(own_spectra[j]):
            others = _notes.other_replies(wide, j, actions, local, replies, _SEARCH, key)
            notes += _notes.about_replies(others, local, roles)
    return Certificate(
        actions=actions,
        payoffs=np.asarray(local.payoffs),
        nash_residuals=residuals,
        own_spectra=own_spectra,
        stackelberg_residuals=total_residuals,
        total_spectra=total_spectra,
        why_not_nash=tuple(why[0]),
        why_not_stackelberg=tuple(why[1]),
        simultaneous=dynamics(residuals, limits[0], local.jacobian),
        hierarchical=dynamics(total_residuals, limits[1], local.total_jacobian),
        advantage=float(local.payoffs[0] - max(p[0] for p in nash)) if nash else None,
        other_replies=others,
        notes=tuple(notes),
        tolerance=float(tolerance),
        curvature=float(curvature),
        timescale=float(timescale),
        roles=roles,
        game=type(game).__name__,
    )
