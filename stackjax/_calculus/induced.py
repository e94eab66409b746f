"""Pure Nash equilibria of the game that a leader's policy induces among the others, by enumeration."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Scalar

from stackjax.protocols import Game
from stackjax.spaces import Arms, Simplex

#: The most joint pure policies that are enumerated.
MOST = 4096


def pure_policies(game: Game, player: int) -> Array:
    """All pure actions of a player `[n, ...]`: its arms, or its deterministic policies in a simplex.

    **Raises:** `ValueError` if it has no such actions, or more than `MOST`.
    """
    space = game.spaces[player]
    if isinstance(space, Arms):
        return jnp.arange(space.n, dtype=jnp.int32)
    if not isinstance(space, Simplex):
        raise ValueError(f"player {player}: expected arms or policies of probabilities, got actions in {space}")
    *rows, n = space.struct(jnp.result_type(float)).shape
    many = int(np.prod(rows, dtype=object)) if rows else 1
    if many * np.log(n) > np.log(MOST) + 1e-9:
        raise ValueError(f"player {player}: expected at most {MOST} pure policies to enumerate, got {n}^{many}")
    choices = np.array(list(itertools.product(range(n), repeat=many)), np.int32).reshape(-1, *rows)
    return jax.nn.one_hot(choices, n)


def induced_payoffs(game: Game, actions: Sequence[Any], followers: Sequence[int], policies: Sequence[Array]) -> Array:
    """The payoffs of all players at each joint pure action of the followers, `[players, n_1, ..., n_F]`.

    **Arguments:** `actions`: one a player, those of the followers ignored.
    """
    counts = [p.shape[0] for p in policies]
    which = jnp.stack([i.ravel() for i in jnp.meshgrid(*map(jnp.arange, counts), indexing="ij")])

    def payoffs(each: Array) -> Array:
        joint = list(actions)
        for k, (player, all_) in enumerate(zip(followers, policies, strict=True)):
            joint[player] = all_[each[k]]
        return jnp.stack([jnp.asarray(p) for p in game.payoffs(*joint)])

    return jax.vmap(payoffs, in_axes=1, out_axes=1)(which).reshape(-1, *counts)


def are_nash(payoffs: Float[Array, "F *counts"]) -> Bool[Array, "*counts"]:
    """At which joint pure actions nobody gains more than a tolerance by another pure action of its own.

    The tolerance is 1e-9 (float32: 1e-5) of the range of a player's payoffs.
    """
    tolerance = 1e-9 if jnp.finfo(payoffs.dtype).bits == 64 else 1e-5
    found = jnp.ones(payoffs.shape[1:], bool)
    for k, own in enumerate(payoffs):
        slack = tolerance * (jnp.max(own) - jnp.min(own))
        found &= own >= jnp.max(own, k, keepdims=True) - slack
    return found


def policies_of(game: Game, level: Sequence[int]) -> list[Array]:
    """The pure policies of the players of a level; a `ValueError` if too many are joint ones."""
    found = [pure_policies(game, player) for player in level]
    if int(np.prod([p.shape[0] for p in found], dtype=object)) > MOST:
        counts = " x ".join(str(p.shape[0]) for p in found)
        raise ValueError(f"players {tuple(level)}: expected at most {MOST} joint pure policies, got {counts}")
    return found


def induced_game(game: Game, actions: Sequence[Any], level: Sequence[int]) -> tuple[list[Array], Array, Array]:
    """The pure policies of a level, all players' payoffs at each joint one, and which of these are equilibria."""
    policies = policies_of(game, level)
    payoffs = induced_payoffs(game, actions, level, policies)
    return policies, payoffs, are_nash(payoffs[np.array(level)])


def equilibrium(game: Game, actions: Sequence[Any], level: Sequence[int], ties: str) -> tuple[list[Array], Scalar]:
    """The policies of the equilibrium that is best, or worst, for player 0; and whether there is one."""
    policies, payoffs, nash = induced_game(game, actions, level)
    worth = jnp.where(nash, sign_of(ties) * payoffs[0], -jnp.inf)
    best = jnp.unravel_index(jnp.argmax(worth), worth.shape)
    return [p[k] for p, k in zip(policies, best, strict=True)], jnp.any(nash)


def sign_of(ties: str) -> float:
    """Of the leader's payoff, by which those who are indifferent choose."""
    signs = {"optimistic": 1.0, "pessimistic": -1.0}
    if ties not in signs:
        raise ValueError(f"ties: expected 'optimistic' or 'pessimistic', got {ties!r}")
    return signs[ties]
