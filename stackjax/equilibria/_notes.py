"""What makes a verdict doubtful, in sentences."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # of whose parts only those that are used are imported, when they are
from jaxtyping import PRNGKeyArray

from stackjax._constraints import is_constrained
from stackjax.equilibria import _local
from stackjax.equilibria._boundary import Boundary, Side, more
from stackjax.equilibria._conditions import Constraint
from stackjax.equilibria._local import Local
from stackjax.equilibria._text import numbers
from stackjax.protocols import Action, Game

_MANY = 6  # constraints beyond that aren't named
_SAME = 1e-4  # replies nearer than this to each other are one
_EQUAL = 1e-9  # payoffs that differ by less, relative to their size, are equal


def violated(boundary: Boundary | None, roles: tuple[str, ...], outside: Iterable[int]) -> list[str]:
    """Constraints that aren't kept, but for the bounds of spaces of which an action is known to be outside."""
    if boundary is None:
        return []
    found = []
    for k in np.flatnonzero(boundary.violations):
        player, words, _ = boundary.constraints[k]
        if player not in outside or words.startswith(("inequality", "equality")):
            found.append(f"{roles[player]} violates its {words} by {abs(boundary.values[k]):.3g}")
    return found


def at_the_boundary(boundary: Boundary | None, roles: tuple[str, ...]) -> list[str]:
    """Actions at their spaces' boundaries."""
    found = []
    for i, role in enumerate(roles):
        words = [c.words for c in _active(boundary) if c.player == i and not c.equality]
        bounds = [w for w in words if not w.startswith("inequality")]
        if bounds:
            found.append(f"{role}'s action is at the boundary of its space: {_some(bounds)}")
    return found


def _active(boundary: Boundary | None) -> list[Constraint]:
    return [] if boundary is None else [boundary.constraints[k] for k in np.flatnonzero(boundary.active)]


def _some(words: Sequence[str]) -> str:
    shown = list(words[:_MANY]) + ([f"{len(words) - _MANY} more"] if len(words) > _MANY else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def is_kink(boundary: Boundary) -> bool:
    """Whether a value's derivatives differ from side to side, or it ends where it would rise."""
    players = {s.player for s in boundary.sides}
    ends = any(s.ends for s in boundary.sides)
    return ends or any(_jump(boundary, i) > boundary.stackelberg.limits[i] for i in players)


def _jump(boundary: Boundary, player: int) -> float:
    """How far its total derivatives to all sides are apart."""
    found = np.array([s.derivative for s in boundary.sides if s.player == player])
    return float(np.max(np.linalg.norm(found - found[0], axis=1), initial=0.0)) if len(found) > 1 else 0.0


def first_order(
    residual: float,
    limit: float,
    role: str,
    first: str,
    boundary: Boundary | None,
    player: int,
    sides: list[Side],
) -> list[str]:
    """Why the first-order condition doesn't hold."""
    if np.isnan(residual):
        return [f"{role}'s {first} isn't defined here"]
    if residual <= limit:
        return []
    measure = f"{residual:.3g} (tolerance {limit:.3g})"
    if len(sides) > 1:
        assert boundary is not None  # there are sides
        worst = max(sides, key=lambda s: s.residual)
        return [f"{role}'s value rises {_where(boundary, worst)}: its {first} leaves a norm of {measure}"]
    active = [c.words for c in _active(boundary) if c.player == player]
    if active:
        return [
            f"{role}'s {first} isn't balanced by its active constraints ({_some(active)}): a norm of {measure} is left"
        ]
    return [f"{role}'s {first} isn't 0: its norm is {measure}"]


def second_order(
    spectrum: np.ndarray,
    curved: bool | None,
    role: str,
    second: str,
    boundary: Boundary | None,
    player: int,
    sides: list[Side],
) -> list[str]:
    """Why the second-order condition doesn't hold."""
    if spectrum.size and np.all(np.isnan(spectrum)):
        return [f"{role}'s {second} isn't defined here"]
    if curved:
        return []
    where = ", where no constraint with a multiplier holds it" if _active(boundary) else ""
    most = f"its largest eigenvalue{where} is {np.max(spectrum, initial=-np.inf):.3g}"
    if curved is None:
        return [f"{role}'s {second} may not be negative in all directions that its constraints leave open: {most}"]
    return [f"{role}'s {second} isn't negative definite: {most}"]


def _where(boundary: Boundary, side: Side) -> str:
    """A side in words."""
    loose = _loose([s for s in boundary.sides if s.player == side.player])
    names = {k: boundary.constraints[k].words for k in loose}
    held, free = ([names[k] for k in loose if (k in side.held) == is_held] for is_held in (True, False))
    parts = [
        f"{_some(words)} {'is' if len(words) == 1 else 'are'} {state}"
        for words, state in ((held, "held"), (free, "free"))
        if words
    ]
    return f"on the side where {' and '.join(parts)}"


def _loose(sides: list[Side]) -> list[int]:
    """What is held on some of a value's sides and free on others."""
    ever = {k for s in sides for k in s.held}
    return sorted(k for k in ever if not all(k in s.held for s in sides))


def sides(boundary: Boundary | None, roles: tuple[str, ...], equilibrium: bool) -> list[str]:
    """What the weakly active constraints of later levels make of a value."""
    if boundary is None:
        return []
    found = []

    def named(constraints: Iterable[int], state: str) -> str:
        names = [f"{roles[boundary.constraints[k].player]}'s {boundary.constraints[k].words}" for k in constraints]
        return f"{_some(names)} {'is' if len(names) == 1 else 'are'} {state}"

    for i in sorted({s.player for s in boundary.sides}):
        mine = [s for s in boundary.sides if s.player == i]
        kind = ": a local maximum by its one-sided derivatives" if equilibrium else ""
        if i in boundary.undecided:
            weak = named(boundary.loose, "weakly active")
            found.append(f"{weak}: {roles[i]}'s derivatives are those of the side where nothing of that is held")
            continue
        ever = {k for s in mine for k in s.held}
        edges = [k for k in boundary.loose if boundary.constraints[k].player != i and k not in ever]
        if edges:
            found.append(
                f"{roles[i]}'s value ends here{kind}: {named(edges, 'reached')} and, as the answer moves, kept on one "
                "side only; on the other there is no answer nearby"
            )
        if len(mine) == 1:
            continue
        weak = named(_loose(mine), "weakly active")
        if _jump(boundary, i) <= boundary.stackelberg.limits[i]:
            found.append(f"{weak}: {roles[i]}'s value has one second derivative for each side")
        else:
            shown = "; ".join(f"{numbers(s.derivative)} {_where(boundary, s)}" for s in mine[:_MANY])
            found.append(f"a kink of {roles[i]}'s value{kind}: {weak}, and the total derivative is {shown}")
    return found


def coordinate(game: Game, k: int, roles: tuple[str, ...]) -> str:
    """The k-th of all coordinates in words."""
    for space, role in zip(game.spaces, roles, strict=True):
        if k < space.dimension:
            return f"{role}'s action" if space.dimension == 1 else f"coordinate {k} of {role}'s action"
        k -= space.dimension
    raise IndexError(k)


def kinks(game: Game, actions: tuple[Action, ...], local: Local, roles: tuple[str, ...], least: float) -> list[str]:
    """Payoffs without second derivatives at the point: the player, and along which coordinate."""
    found = []
    for i, role in enumerate(roles):
        for k in np.flatnonzero(~np.isfinite(local.derivatives[i])):
            found.append(f"{role}'s payoff isn't differentiable here in {coordinate(game, int(k), roles)}")
    if found:
        return found
    rough = np.asarray(_local.roughness(game, actions))
    scale = max(1.0, float(np.max(np.abs(local.jacobian), initial=0.0, where=np.isfinite(local.jacobian))))
    # It should shrink with the step, which is divided by 8 each time; NaN doesn't either.
    smooth = (rough[1] <= rough[0] / 2) | (rough[2] <= rough[1] / 2) | (rough[2] <= least * scale)
    for i, role in enumerate(roles):
        for k in np.flatnonzero(~smooth[i].all(0)):
            found.append(f"{role}'s payoff isn't twice differentiable here along {coordinate(game, int(k), roles)}")
    return found


def follower_curvature(
    levels: list[int],
    own: list[slice],
    local: Local,
    spectra: tuple[np.ndarray, ...],
    roles: tuple[str, ...],
    curvature: float,
    boundary: Boundary | None,
) -> list[str]:
    """Followers whose Hessian is singular or not negative definite, with residuals."""
    found = []
    for j, values in enumerate(spectra):
        if levels[j] == 0 or not values.size or np.isnan(values).any():
            continue
        least = curvature * max(1.0, float(np.abs(values).max()))
        if values.max() < -least:
            continue
        residual = float(np.linalg.norm(local.gradient[own[j]]))
        if boundary is not None:
            if boundary.nash.curved[j]:
                continue
            residual = float(boundary.nash.residuals[j])
        at = f"eigenvalues from {values.min():.3g} to {values.max():.3g}, residual of its gradient {residual:.3g}"
        if np.abs(values).min() <= least:
            # Is there a w with H_yy' w = grad_y f1 at all?
            hessian, right = local.jacobian[own[j], own[j]], local.derivatives[0][own[j]]
            if boundary is not None:  # along what isn't held
                free, block = boundary.nash.bases[j], boundary.nash.full[own[j], own[j]]
                hessian, right = free.T @ block @ free, free.T @ right
            w = np.linalg.lstsq(hessian.T, right, rcond=None)[0]
            misfit = float(np.linalg.norm(hessian.T @ w - right))
            found.append(
                f"{roles[j]}'s Hessian is singular ({at}): it has no unique response near here, and {roles[0]}'s "
                f"implicit term solves its system only up to a residual of {misfit:.3g}"
            )
        elif values.min() > least:
            found.append(f"{roles[j]}'s Hessian is positive definite ({at}): it is at a minimum of its own payoff")
        else:
            found.append(f"{roles[j]}'s Hessian is indefinite ({at}): its action is no best response, even locally")
    return found


def joint_response(
    levels: list[int],
    own: list[slice],
    local: Local,
    roles: tuple[str, ...],
    curvature: float,
    boundary: Boundary | None,
) -> list[str]:
    """Players of one level whose conditions together are singular, though each one's Hessian may not be."""
    for level in sorted(set(levels) - {0}):
        members = [j for j, each in enumerate(levels) if each == level]
        block = slice(own[members[0]].start, own[members[-1]].stop)
        matrix = local.total_jacobian[block, block]
        if boundary is not None:
            free = scipy.linalg.block_diag(*(boundary.stackelberg.bases[j] for j in members))
            matrix = free.T @ boundary.stackelberg.full[block, block] @ free
        if len(members) < 2 or not matrix.size or not np.all(np.isfinite(matrix)):
            continue
        values = np.linalg.svd(matrix, compute_uv=False)
        if values.min() <= curvature * max(1.0, float(values.max())):
            who = " and ".join(roles[j] for j in members)
            return [f"the Jacobian of the conditions of {who} together is singular: they have no unique joint response"]
    return []


def other_replies(
    game: Game,
    player: int,
    actions: tuple[Action, ...],
    local: Local,
    starts: int,
    max_steps: int,
    key: PRNGKeyArray | None,
) -> tuple[tuple[int, Any, float], ...]:
    """Other local best responses that pay the player at least as much."""
    space = game.spaces[player]
    keys = jax.random.split(jax.random.key(0) if key is None else key, starts)
    guesses = jax.vmap(lambda k: space.sample(k, jnp.float64))(keys)
    constrained = is_constrained(game, player, actions)
    points, payoffs = _local.replies(game, player, actions, guesses, max_steps, constrained=constrained)
    payoffs, here = np.asarray(payoffs), float(local.payoffs[player])
    found: list[tuple[int, Any, float]] = []
    for n in np.argsort(-np.where(np.isfinite(payoffs), payoffs, -np.inf), kind="stable"):
        if not payoffs[n] >= here - _EQUAL * max(1.0, abs(here)):
            break
        point = jax.tree.map(lambda x: np.asarray(x)[n], points)  # noqa: B023  (called at once)
        if all(float(space.distance(point, other)) > _SAME for other in [actions[player], *(f[1] for f in found)]):
            found.append((player, point, float(payoffs[n])))
    return tuple(found)


def about_replies(others: tuple[tuple[int, Any, float], ...], local: Local, roles: tuple[str, ...]) -> list[str]:
    """That there are better or equally good replies."""
    if not others:
        return []
    player, best, payoff = others[0]
    here = float(local.payoffs[player])
    shown = " ".join(np.array2string(np.asarray(x), precision=4) for x in jax.tree.leaves(best))
    if more(payoff, here):
        return [
            f"{roles[player]}'s action is a best response only locally: {shown} pays it {payoff:.6g} instead of "
            f"{here:.6g}"
        ]
    return [
        f"{roles[player]} has several best responses: {len(others)} more found, such as {shown}, pay it as much; the "
        "response that is followed here is only one of them"
    ]
