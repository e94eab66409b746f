"""What makes a verdict doubtful, in sentences."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from stackjax.equilibria import _local
from stackjax.equilibria._local import Local
from stackjax.protocols import Action, Game

_SAME = 1e-4  # replies nearer than this to each other are one
_EQUAL = 1e-9  # payoffs that differ by less, relative to their size, are equal


def outside_or_at_the_edge(
    game: Game, actions: tuple[Action, ...], roles: tuple[str, ...], outside: list[int], margin: float
) -> list[str]:
    """Actions that aren't inside their spaces."""
    found = [f"{roles[i]}'s action is outside of its space" for i in outside]
    for i, (space, action) in enumerate(zip(game.spaces, actions, strict=True)):
        if i in outside or not space.bounded:
            continue
        moves = np.concatenate([np.eye(space.dimension), -np.eye(space.dimension)]) * margin
        if moves.size and not all(np.asarray(jax.vmap(lambda u: space.contains(space.move(action, u)))(moves))):  # noqa: B023  (called at once)
            found.append(
                f"{roles[i]}'s action is at the boundary of its space, where an equilibrium needn't be a critical point"
            )
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
        at = f"eigenvalues from {values.min():.3g} to {values.max():.3g}, residual of its gradient {residual:.3g}"
        if np.abs(values).min() <= least:
            # Is there a w with H_yy' w = grad_y f1 at all?
            hessian, right = local.jacobian[own[j], own[j]], local.derivatives[0][own[j]]
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
    levels: list[int], own: list[slice], local: Local, roles: tuple[str, ...], curvature: float
) -> list[str]:
    """Players of one level whose conditions together are singular, though each one's Hessian may not be."""
    for level in sorted(set(levels) - {0}):
        members = [j for j, each in enumerate(levels) if each == level]
        block = slice(own[members[0]].start, own[members[-1]].stop)
        matrix = local.total_jacobian[block, block]
        if len(members) < 2 or not np.all(np.isfinite(matrix)):
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
    points, payoffs = _local.replies(game, player, actions, guesses, max_steps)
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
    if payoff > here + _EQUAL * max(1.0, abs(here)):
        return [
            f"{roles[player]}'s action is a best response only locally: {shown} pays it {payoff:.6g} instead of "
            f"{here:.6g}"
        ]
    return [
        f"{roles[player]} has several best responses: {len(others)} more found, such as {shown}, pay it as much; the "
        "response that is followed here is only one of them"
    ]
