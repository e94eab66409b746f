"""Equilibria among the followers of a given leader."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from stackjax._calculus import induced
from stackjax.protocols import Action, Game


class InducedNash(NamedTuple):
    """The pure Nash equilibria of the game that a leader's action induces among its followers.

    **Attributes:** `policies`: one array a follower `[n, ...]`, the n equilibria; `payoffs` `[n, players]`; best first
    for the leader.
    """

    policies: tuple[Array, ...]
    payoffs: Array


def induced_nash(game: Game, leader: Action) -> InducedNash:
    """All pure Nash equilibria of the followers of a leader, by enumeration of their deterministic policies.

    A joint policy is one if no follower gains more than 1e-9 (float32: 1e-5) of the range of its payoffs by another
    deterministic policy of its own. Where each sees the state (and the time, in a game with a horizon) no other policy
    gains either.

    **Arguments:** `game`: of a leader and followers who move together, whose actions are policies of probabilities
    (`MarkovGame`) or arms; `leader`: its action.

    **Raises:** `TypeError` for no game, `ValueError` if there is no pure equilibrium, if the game has other levels, or
    if there are more than 4096 joint policies.
    """
    if not isinstance(game, Game):
        raise TypeError(f"game: expected a stackjax Game, got {game!r}")
    if len(game.levels) != 2 or len(game.levels[0]) != 1:
        raise ValueError(f"game: expected one leader and one level of followers, got the levels {game.levels}")
    level = game.levels[1]
    policies, payoffs, nash = induced.induced_game(game, (leader, *(None for _ in level)), level)
    if not bool(jnp.any(nash)):
        raise ValueError(
            "leader: the game that it induces among its followers has no pure Nash equilibrium (none of their "
            f"{nash.size} joint deterministic policies is one)"
        )
    where = np.argwhere(np.asarray(nash))
    worth = np.stack([np.asarray(payoffs)[:, *index] for index in where])
    order = np.argsort(-worth[:, 0], kind="stable")
    found: tuple[Any, ...] = tuple(p[where[order, k]] for k, p in enumerate(policies))
    return InducedNash(found, jnp.asarray(worth[order]))
