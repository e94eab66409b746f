"""Followers who are in equilibrium among themselves, whatever the leader does: an oracle by enumeration."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from stackjax._calculus import induced
from stackjax.protocols import Action, Calls, Learner, Noise, Seen, Signal, View, level_of


class PureNash(Learner):
    """Plays its part of a pure Nash equilibrium of the game that the earlier levels' actions induce.

    Every player of the last level has to take a `PureNash()` with the same `ties`. Nothing checks this, as a learner
    doesn't see the others: where they differ each plays its part of another equilibrium, which together needn't be one,
    and the status is still OK. Each enumerates all joint deterministic
    policies of the level, and keeps those from which nobody gains by another deterministic policy of its own; where
    that player sees the state (and the time, in a game with a horizon) no other policy gains either. Of several
    equilibria all play the one that is best for player 0 (the first of these, if they tie). If there is none the action
    is NaN, so that the replicate ends with that status: `stackjax.equilibria.induced_nash` raises an error instead.

    **Arguments:** `ties`: "optimistic" or "pessimistic", for or against player 0 (static).

    **Raises:** `ValueError` at construction for another rule; from `play` for a player who isn't in the last level, and
    for more joint policies than can be enumerated (4096).
    """

    ties: str = eqx.field(static=True, default="optimistic")
    wants = Signal.GAME | Signal.COMMITMENT

    def __check_init__(self) -> None:
        induced.sign_of(self.ties)

    def requires(self, view: View) -> dict[str, Any]:
        """The last level, and few enough policies."""
        level = view.game.levels[-1]
        if view.player not in level or level_of(view.game, view.player) == 0:
            raise ValueError(f"player {view.player}, PureNash: it is for followers in the last level, {level}")
        induced.policies_of(view.game, level)
        return {}

    def init(self, view: View, key: PRNGKeyArray) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def act(self, view: View, state: tuple[()], noise: Noise, seen: Seen) -> Action:
        """The part of the equilibrium; NaN without one."""
        level = view.game.levels[-1]
        policies, exists = induced.equilibrium(view.game, seen.actions, level, self.ties)
        mine = policies[level.index(view.player)]
        if jnp.issubdtype(mine.dtype, jnp.integer):
            return jnp.where(exists, mine, -1)
        return jnp.where(exists, mine.astype(view.dtype), jnp.nan)

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """One solve."""
        return Calls(solves=1)
