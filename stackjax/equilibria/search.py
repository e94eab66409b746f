"""Where the differential equilibria of a game lie: Newton's method from many starts."""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from stackjax._constraints import has_constraints, violations
from stackjax._core.entry import check_levels
from stackjax.checks import number
from stackjax.equilibria import _conditions, _local, _newton
from stackjax.equilibria._text import Printed, table
from stackjax.equilibria.certify import (
    Certificate,
    Options,
    certificate,
    check_tolerances,
    differentiated,
    known_payoffs,
    prepared,
    roles_of,
)
from stackjax.protocols import Action, Game
from stackjax.spaces import Space

_STEPS = 100
_SINGULAR = 1e-7  # a smaller ratio of singular values means that a critical point isn't isolated
_EXAMPLES = 8  # points of a continuum that are kept
_KEPT = 1e-6  # relative to the largest coordinate (or 1), constraints are kept to that


@dataclass(frozen=True)
class Found(Printed):
    """What `find` found; `str` gives a table.

    **Attributes:**

    - `critical`: certificates of all critical points of the simultaneous or of the hierarchical direction: where it is
      0, or balanced by the multipliers of active constraints; and of equilibria in a kink of the leader's value.
    - `starts`, how many starts there were; `converged`: how many of them led to where the simultaneous direction is 0
      to the tolerance, or balanced, and how many to where the hierarchical one is, or to such an equilibrium.
    - `notes`: sentences about what may be missing.
    """

    critical: tuple[Certificate, ...]
    starts: int
    converged: tuple[int, int]
    notes: tuple[str, ...]

    @property
    def equilibria(self) -> tuple[Certificate, ...]:
        """Those that are differential Nash or Stackelberg equilibria."""
        return tuple(c for c in self.critical if c.is_nash or c.is_stackelberg)

    @property
    def nash(self) -> tuple[Certificate, ...]:
        """The differential Nash equilibria."""
        return tuple(c for c in self.critical if c.is_nash)

    @property
    def stackelberg(self) -> tuple[Certificate, ...]:
        """The differential Stackelberg equilibria."""
        return tuple(c for c in self.critical if c.is_stackelberg)

    @property
    def critical_simultaneous(self) -> tuple[Certificate, ...]:
        """Where all partial gradients vanish, or are balanced by active constraints."""
        return tuple(c for c in self.critical if c.simultaneous.at_rest)

    @property
    def critical_hierarchical(self) -> tuple[Certificate, ...]:
        """Where all total derivatives vanish, or are balanced by active constraints."""
        return tuple(c for c in self.critical if c.hierarchical.at_rest)

    def __str__(self) -> str:
        """A table of the critical points."""
        return table(self)


def find(
    game: Game,
    key: PRNGKeyArray,
    starts: int | tuple[Action, ...] = 256,
    *,
    tolerance: float = 1e-9,
    separation: float = 1e-4,
    limits: Any = None,
    certify_tolerance: float = 1e-6,
    curvature: float = 1e-8,
    timescale: float = 1.0,
    replies: int = 32,
) -> Found:
    """Find the differential Nash and Stackelberg equilibria of a game, and certify each.

    The zeros of both directions, the simultaneous and the hierarchical one, are searched from many starts at once with
    Newton's method (Optimistix), which is drawn to every kind of critical point, stable or not. What converged inside
    the spaces is freed of duplicates. That all are found is likely with many starts, and never certain.

    *At bounds and constraints*: if a space has a boundary or the game has constraints, the conditions with multipliers
    (see `certify`) are searched as well, from the same starts, by Newton's method with active sets that the last
    multipliers predict. With two levels and one leader its value is also climbed piece by piece, on each of which the
    followers hold the same constraints, since it has kinks between them, and ends where they have no answer, as is
    usual of linear followers. What lies there is kept if it is certified as an equilibrium. Boundaries of games with
    more than 200 coordinates and constraints together aren't searched, and the notes say so.

    Differential equilibria are local. Where the follower of a point has a better answer elsewhere (`replies`), the
    table says so, and the leader's advantage isn't counted.

    **Arguments:**

    - `game`; `key` draws the starts.
    - `starts`: how many, sampled from the spaces; or the starts themselves, one action a player with a leading axis.
    - `tolerance`: the largest norm of a direction at a critical point, in units of payoff per action.
    - `separation`: critical points that are nearer to each other, in the spaces' distance, are one.
    - `limits`: numbers (low, high), or one such pair a player, between which all coordinates are searched: starts are
      drawn uniformly there, and what lies outside isn't returned. Default: the spaces, with samples of them as starts
      (from a standard normal distribution where a space is all of R^d).
    - `certify_tolerance`, `curvature`, `timescale`, `replies`: `certify`'s.

    **Returns:** a `Found`, the points ordered by the leader's payoff, the highest first. If critical points aren't
    isolated (`find` sees it by the singular Jacobian), it keeps a few of them and says so in the notes.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """
    check_levels(game)
    check_tolerances(
        tolerance=tolerance,
        separation=separation,
        certify_tolerance=certify_tolerance,
        curvature=curvature,
        timescale=timescale,
    )
    number(replies, "replies", 0, open_low=False, whole=True)
    with jax.enable_x64(True):
        first, bounds = _starts(game, key, starts, limits)
        wide = _local.in_float64(game)
        n = jax.tree.leaves(first)[0].shape[0]
        ends: list[_Ends] = []
        for hierarchical in (False, True):
            found, good = differentiated(
                game,
                lambda: _search(wide, first, tolerance, hierarchical=hierarchical),  # noqa: B023  (called at once)
            )
            ends.append(_Ends(found, good, hierarchical=hierarchical, inside=np.ones(n, bool), start=np.arange(n)))
        notes = []
        constraints = _conditions.described(wide)
        if constraints:
            search = _newton.Search(wide, constraints, first, tolerance, _SINGULAR)
            if search.feasible:
                ends += differentiated(game, lambda: _at_boundaries(search), host=False)
            else:
                notes.append(
                    f"bounds and constraints weren't searched: more than {_newton.LARGEST} of them and of coordinates"
                )
        ends = [e.restricted(e.good & _within(e.points, bounds) & _kept(wide, e.points)) for e in ends]
        together = jax.tree.map(lambda *xs: np.concatenate(xs), *(e.points for e in ends))
        along, inside, regular = (
            np.concatenate([np.full(e.start.size, e.hierarchical) for e in ends]),
            np.concatenate([e.inside for e in ends]),
            np.concatenate([e.isolated for e in ends]),
        )
        chosen, nearest = _distinct(wide, together, separation)
        certificates, kept = [], np.zeros(chosen.size, bool)
        if chosen.size:
            at = jax.tree.map(lambda x: x[chosen], together)
            local = differentiated(game, lambda: _local.evaluate_many(wide, at))
            within = inside[chosen]
            keep, continuum, tails = _sorted_out(local, ~along[chosen], separation, within)
            edge, more = _few_of_a_continuum(~within, regular[chosen])
            if tails:
                notes.append(
                    f"{tails} points were dropped where the direction is small but has no zero nearby: it tends to 0 "
                    "towards infinity"
                )
            if continuum + more > 1:
                notes.append(
                    f"{continuum + more} of the critical points aren't isolated (the direction's Jacobian is singular "
                    f"there): there seems to be a continuum of them, of which at most {_EXAMPLES} points are listed"
                )
            options = Options(max(certify_tolerance, tolerance), curvature, timescale, replies, 0.0, None, constraints)
            known = known_payoffs(wide)

            judged = {}
            for i in sorted({*keep, *edge}):
                point, values = (jax.tree.map(lambda x: x[i], part) for part in (at, local))  # noqa: B023  (called at once)
                one = certificate(game, wide, point, values, known, options)
                if within[i] or _is_critical(one):
                    judged[i] = one
            if not known and (nash := [c.payoffs[0] for c in judged.values() if c.is_nash]):
                judged = {i: _compared(c, float(max(nash))) for i, c in judged.items()}
            certificates = list(judged.values())
            kept[list(judged)] = True
        converged = [_arrived(ends, kept, nearest, hierarchical=h) for h in (False, True)]
        # Rounded, so that mirror images with equal payoffs come in the same order whatever led to them.
        certificates.sort(key=lambda c: (*np.round(-c.payoffs[:1], 6), *np.round(_local.flat(c.actions), 6)))
        if min(converged) == 0:
            which = [name for name, c in zip(("simultaneous", "hierarchical"), converged, strict=True) if c == 0]
            notes.append(f"no start led to a critical point of the {' nor of the '.join(which)} direction")
            notes += _not_finite(wide, first)
    sham = sum(c.better_reply is not None for c in certificates if c.is_nash or c.is_stackelberg)
    if sham:
        notes.append(
            f"at {sham} of the equilibria the follower has a better answer elsewhere: they are equilibria only "
            "locally, and the leader wouldn't be paid what they say"
        )
    return Found(tuple(certificates), n, (converged[0], converged[1]), tuple(notes))


class _Ends:
    """Where the starts of one search led, with a leading axis; see `_newton.Ends`."""

    def __init__(
        self,
        points: tuple[Any, ...],
        good: np.ndarray,
        *,
        hierarchical: bool,
        inside: np.ndarray,
        start: np.ndarray,
        isolated: np.ndarray | None = None,
    ):
        self.points, self.good, self.hierarchical, self.inside, self.start = points, good, hierarchical, inside, start
        self.isolated = np.ones_like(good) if isolated is None else isolated

    def restricted(self, kept: np.ndarray) -> "_Ends":
        """Some of them."""
        points = jax.tree.map(lambda x: x[kept], self.points)
        rest = self.inside[kept], self.start[kept], self.isolated[kept]
        return _Ends(
            points, self.good[kept], hierarchical=self.hierarchical, inside=rest[0], start=rest[1], isolated=rest[2]
        )


def _at_boundaries(search: _newton.Search) -> list[_Ends]:
    return [
        _Ends(e.points, e.good, hierarchical=hierarchical, inside=e.inside, start=e.start, isolated=e.isolated)
        for hierarchical, ends in ((False, search.simultaneous()), (True, search.hierarchical()))
        for e in ends
    ]


def _kept(game: Game, points: tuple[Any, ...]) -> np.ndarray:
    """Which points keep the game's constraints."""
    if not has_constraints(game) or not jax.tree.leaves(points)[0].size:
        return np.ones(jax.tree.leaves(points)[0].shape[0], bool)
    broken = np.asarray(_violations(game, points))
    sizes = [np.max(np.abs(x), axis=tuple(range(1, x.ndim)), initial=1.0) for x in jax.tree.leaves(points)]
    return np.asarray(broken <= _KEPT * np.max(sizes, axis=0))


@eqx.filter_jit
def _violations(game: Game, points: Any) -> Float[Array, " n"]:
    return jax.vmap(lambda z: jnp.max(violations(game, z, jnp.float64)))(points)


def _compared(found: Certificate, nash: float) -> Certificate:
    """With the leader's advantage over this payoff."""
    return found if found.better_reply is not None else replace(found, advantage=float(found.payoffs[0] - nash))


def _is_critical(found: Certificate) -> bool:
    return found.simultaneous.at_rest or found.hierarchical.at_rest or found.is_nash or found.is_stackelberg


def _few_of_a_continuum(at_edge: np.ndarray, regular: np.ndarray) -> tuple[list[int], int]:
    """Which points at boundaries to certify, and how many of them aren't isolated."""
    loose = np.flatnonzero(at_edge & ~regular)
    return np.flatnonzero(at_edge & regular).tolist() + loose[:_EXAMPLES].tolist(), len(loose)


def _arrived(ends: list[_Ends], kept: np.ndarray, nearest: np.ndarray, *, hierarchical: bool) -> int:
    """How many starts led to a critical point of a direction."""
    last = np.cumsum([e.start.size for e in ends])
    found = [
        e.start[e.inside | kept[nearest[end - e.start.size : end]]]
        for e, end in zip(ends, last, strict=True)
        if e.hierarchical == hierarchical
    ]
    return int(np.unique(np.concatenate(found)).size)


def _not_finite(game: Game, starts: tuple[Any, ...]) -> list[str]:
    """Players whose payoffs, or whose derivatives, aren't finite at any start."""
    payoffs, derivatives = (np.asarray(x) for x in _finite_at(game, starts))
    found = []
    for i, role in enumerate(roles_of(game)):
        if not payoffs[:, i].any():
            found.append(f"{role}'s payoff isn't finite at any start")
        elif not derivatives[:, i].any():
            found.append(f"the derivative of {role}'s payoff isn't finite at any start")
    return found


@eqx.filter_jit
def _finite_at(game: Game, points: tuple[Any, ...]) -> tuple[Array, Array]:
    def one(z: tuple[Any, ...]) -> tuple[Array, Array]:
        at = _local.Tangent(game, z)
        payoffs = jnp.stack([jnp.asarray(p) for p in game.payoffs(*z)])
        return jnp.isfinite(payoffs), jnp.all(jnp.isfinite(_local.derivatives(at, at.zero())), axis=1)

    found: tuple[Array, Array] = jax.vmap(one)(points)
    return found


def _starts(game: Game, key: PRNGKeyArray, starts: Any, limits: Any) -> tuple[tuple[Any, ...], np.ndarray]:
    """One action a player with a leading axis, in float64; and the limits `[players, 2]`."""
    players = len(game.spaces)
    bounds = np.asarray((-np.inf, np.inf) if limits is None else limits, np.float64)
    if bounds.shape not in ((2,), (players, 2)) or not np.all(bounds[..., 0] < bounds[..., 1]):
        raise ValueError(f"limits: expected (low, high) with low < high, or one such pair a player, got {limits!r}")
    bounds = np.broadcast_to(bounds, (players, 2))
    if isinstance(starts, tuple | list):
        sizes = {np.shape(x)[:1] for x in jax.tree.leaves(tuple(starts))}
        if len(sizes) != 1 or () in sizes or (0,) in sizes:
            raise ValueError(f"starts: expected one action a player, each with the same leading axis, got {starts!r}")
        prepared(game, jax.tree.map(lambda x: np.asarray(x)[0], tuple(starts)), "starts")
        return jax.tree.map(lambda x: np.asarray(x, np.float64), tuple(starts)), bounds
    number(starts, "starts", 1, open_low=False, whole=True)

    def draw(i: int, space: Space, k: PRNGKeyArray) -> Any:
        if limits is None:
            return space.sample(k, jnp.float64)
        leaves, structure = jax.tree.flatten(space.struct(jnp.float64))
        parts = zip(jax.random.split(k, len(leaves)), leaves, strict=True)
        drawn = [jax.random.uniform(q, s.shape, s.dtype, *bounds[i]) for q, s in parts]
        return space.project(jax.tree.unflatten(structure, drawn))

    spaces = enumerate(_local.in_float64(game).spaces)
    keys = jax.random.split(key, (players, starts))
    return tuple(jax.vmap(lambda k, i=i, s=s: draw(i, s, k))(keys[i]) for i, s in spaces), bounds


def _within(points: tuple[Any, ...], bounds: np.ndarray) -> np.ndarray:
    """Which points have all coordinates within the limits."""
    good = [
        np.all((x >= low) & (x <= high), axis=tuple(range(1, x.ndim)))
        for action, (low, high) in zip(points, bounds, strict=True)
        for x in jax.tree.leaves(action)
    ]
    return np.asarray(np.all(np.stack(good), axis=0))


@eqx.filter_jit
def _search(
    game: Game, starts: tuple[Any, ...], tolerance: Any, *, hierarchical: bool
) -> tuple[tuple[Any, ...], Bool[Array, " n"]]:
    """Where each start leads, and whether that is a critical point inside the spaces."""
    import lineax  # here, as they take long to import
    import optimistix

    # Singular Jacobians are met on the way, and at the end if critical points aren't isolated.
    solver = lineax.AutoLinearSolver(well_posed=False)
    newton: Any = optimistix.Newton(rtol=1e-13, atol=1e-13, linear_solver=solver)

    def one(start: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
        at = _local.Tangent(game, start)

        def direction(u: Float[Array, " d"], _: Any = None) -> Float[Array, " d"]:
            return at.total_gradient(u) if hierarchical else at.gradient(u)

        best: Any = optimistix.root_find(direction, newton, at.zero(), max_steps=_STEPS, throw=False)
        u = best.value
        moved = at.moved(*at.split(u))
        inside = jnp.all(jnp.stack([s.contains(a) for s, a in zip(game.spaces, moved, strict=True)]))
        end = tuple(s.project(a) for s, a in zip(game.spaces, moved, strict=True))
        # The derivative of a payoff that is NaN may be 0.
        paid = jnp.all(jnp.isfinite(jnp.stack([jnp.asarray(p) for p in game.payoffs(*end)])))
        return end, inside & paid & (jnp.linalg.norm(direction(u)) <= tolerance)

    return jax.vmap(one)(starts)


def _distinct(game: Game, points: tuple[Any, ...], separation: float) -> tuple[np.ndarray, np.ndarray]:
    """The indices of points that no earlier one of them is near to; and, of every point, which of these is near."""

    @jax.jit
    def distances(one: tuple[Any, ...], all_: tuple[Any, ...]) -> Array:
        def apart(other: tuple[Any, ...]) -> Array:
            return jnp.sqrt(sum(s.distance(a, b) ** 2 for s, a, b in zip(game.spaces, one, other, strict=True)))

        return jax.vmap(apart)(all_)

    left = np.ones(jax.tree.leaves(points)[0].shape[0], bool)
    chosen: list[int] = []
    nearest = np.zeros(left.size, int)
    while left.any():
        i = int(np.argmax(left))
        same = np.asarray(distances(jax.tree.map(lambda x: x[i], points), points)) <= separation  # noqa: B023  (called at once)
        same[i] = True
        nearest[left & same] = len(chosen)
        chosen.append(i)
        left &= ~same
    return np.asarray(chosen, int), nearest


def _sorted_out(
    local: Any, simultaneous: np.ndarray, separation: float, inside: np.ndarray
) -> tuple[list[int], int, int]:
    """Which points inside to keep, how many of them aren't isolated, and how many are no zeros at all."""
    jacobians = np.nan_to_num(np.where(simultaneous[:, None, None], local.jacobian, local.total_jacobian))
    fields = np.where(simultaneous[:, None], local.gradient, local.total)
    # A direction that is small but doesn't come nearer to 0 in steps (an exponential's tail) has no zero there.
    steps = np.linalg.pinv(jacobians, rcond=np.finfo(float).eps) @ fields[..., None]
    zeros = inside & (np.linalg.norm(steps[..., 0], axis=-1) <= separation)
    values = np.linalg.svd(jacobians, compute_uv=False)
    singular = zeros & (values[:, -1] <= _SINGULAR * np.maximum(values[:, 0], np.finfo(float).tiny))
    examples = np.flatnonzero(singular)
    keep = sorted({*np.flatnonzero(zeros & ~singular).tolist(), *examples[:_EXAMPLES].tolist()})
    return keep, len(examples), int(np.sum(inside & ~zeros))
