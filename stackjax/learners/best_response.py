"""The follower that answers at once: an oracle of the best response."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from stackjax._calculus.response import best_reply
from stackjax.arms import best
from stackjax.protocols import Action, Calls, Learner, Noise, Seen, Signal, Signals, View
from stackjax.schedules import as_number, number
from stackjax.spaces import Arms


class BestResponse(Learner):
    """Plays `argmax_y f_i(earlier actions, y)` against the actions of this round.

    In closed form where the game gives one (`Game.best_response`), else by a numerical search that starts from its last
    action: BFGS (Optimistix) where the space has no boundary, else projected gradient ascent, whose step for coordinate
    j is in a `Box` `1 / sum_k |H_jk|`, H the Hessian, and in other spaces the smallest of these. The search finds a
    local maximum, which is the best response where the payoff is concave. BFGS has also converged where rounding hides
    what a step along the gradient could still gain. If it doesn't converge the action is NaN, so that the replicate
    ends with that status and no made-up answer is played.

    **Arguments:**

    - `tolerance`: of the search, relative and absolute, in the units of the action; default: the square root of the
      floating-point resolution.
    - `max_steps`: of the search (default 1000).

    **Raises:** `ValueError` from `play` for a player whose payoff depends on actions that it can't have seen: those of
    players who move together with it or later.
    """

    tolerance: Any = eqx.field(default=None, converter=as_number)
    max_steps: int = eqx.field(static=True, default=1000)
    wants = Signal.OWN_PAYOFF | Signal.COMMITMENT

    def __check_init__(self) -> None:
        if self.tolerance is not None:
            number(self.tolerance, "tolerance", 0.0)
        number(self.max_steps, "max_steps", 1, open_low=False)

    def init(self, view: View, key: PRNGKeyArray) -> Action:
        """Where the first search starts: the start, or a sample of the space."""
        return view.space.project(view.first_action(key))

    def act(self, view: View, state: Action, noise: Noise, seen: Seen) -> Action:
        """The best response to the actions seen."""
        check_last(view, seen, "BestResponse")
        answer = view.best_response(seen.actions)
        return self._search(view, state, seen) if answer is None else answer

    def update(self, view: View, state: Action, noise: Noise, signals: Signals) -> Action:
        """The next search starts from this round's answer."""
        return signals.own

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """One solve."""
        return Calls(solves=1)

    def _search(self, view: View, state: Action, seen: Seen) -> Action:
        if isinstance(view.space, Arms):
            return best(of_each_arm(view.payoff_function, view, seen))
        dtype = jax.tree.leaves(state)[0].dtype
        tolerance: Any = jnp.sqrt(jnp.finfo(dtype).eps) if self.tolerance is None else self.tolerance

        def payoff(action: Action) -> Scalar:
            joint = list(seen.actions)
            joint[view.player] = action
            return view.payoff_function(*joint)

        return best_reply(payoff, view.space, state, tolerance, self.max_steps)


def check_last(view: View, seen: Seen, name: str) -> None:
    """A `ValueError` that names the learner unless it sees the actions of all others."""
    unseen = [j for j, action in enumerate(seen.actions) if action is None and j != view.player]
    if unseen:
        raise ValueError(
            f"{name}: player {view.player} can't see the actions of players {unseen}, who don't move before it; a best "
            "response is for a player alone in the last level"
        )


def of_each_arm(payoff: Callable[..., Scalar], view: View, seen: Seen) -> Float[Array, " arms"]:
    """A payoff, as a function of the joint action, for each arm of the player who sees the others'."""
    joint = [None if j == view.player else a for j, a in enumerate(seen.actions)]
    arms = jnp.arange(view.arms, dtype=jnp.int32)
    return jax.vmap(lambda arm: payoff(*(arm if a is None else a for a in joint)))(arms)
