"""Upper confidence bounds, alone and after a phase of exploration, and with a radius for a follower that learns."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from stackjax.arms import best, pick, put
from stackjax.checks import as_number
from stackjax.learners._bandit import (
    FAR,
    Bandit,
    Clocked,
    Problem,
    in_turn,
    is_positive,
    is_whole,
    log_horizon,
)
from stackjax.protocols import Learner, Noise, Seen, Signals, View


class IndexedArm(NamedTuple):
    """Pulls, the mean payoff, and the index: in a game of known length only a pull of the arm changes it."""

    pulls: Any
    mean: Any
    index: Any


def never_pulled(arms: int, dtype: Any) -> IndexedArm:
    """Arms that were never pulled."""
    return IndexedArm(jnp.zeros(arms, dtype), jnp.zeros(arms, dtype), jnp.full(arms, FAR, dtype))


class UCB(Bandit):
    """Plays the arm with the largest `mean + width sqrt(ln T / pulls)`, arms that were never pulled first.

    **Arguments:** `width` c > 0, in units of payoff (1 for Bernoulli rewards, 2 sigma for normal ones); `horizon` T,
    the number of rounds of the game, which is also what it is for a follower's memory of one arm of the leader.
    """

    width: Any = eqx.field(converter=as_number)
    horizon: Any

    def hyper_parameters(self) -> dict[str, Any]:
        """Positive ones."""
        return {
            "width: expected a positive number": is_positive(self.width),
            "horizon: expected at least one round": is_positive(self.horizon),
        }

    def init(self, view: View, key: PRNGKeyArray) -> Any:
        """No pulls."""
        return never_pulled(view.arms, view.dtype)

    def act(self, view: View, state: Any, noise: Noise, seen: Seen) -> Array:
        """The arm with the largest index."""
        return best(state.index[:])

    def update(self, view: View, state: Any, noise: Noise, signals: Signals) -> Any:
        """One more pull of its arm."""
        return put(state, signals.own, self.observe(view, pick(state, signals.own), signals.payoff))

    def radius(self, view: View) -> Array:
        """`width sqrt(ln T)`."""
        return jnp.asarray(self.width) * jnp.sqrt(log_horizon(self.horizon, view.dtype))

    def observe(self, view: View, arm: IndexedArm, payoff: Array) -> IndexedArm:
        """An arm after one more pull."""
        n = arm.pulls + 1
        mean = arm.mean + (payoff - arm.mean) / n
        return IndexedArm(n, mean, mean + self.radius(view) * jnp.sqrt(1 / n))

    @classmethod
    def _tuned(cls, problem: Problem, noise: str, sigma: float) -> Learner:
        return cls(problem.width, problem.horizon)


class ExploreThenUCB(UCB):
    """`explore` rounds of round robin for each arm, which are forgotten; then `UCB` from empty statistics.

    A leader that forgets what it saw while its follower was still exploring. After Donahue et al. (2024), from a
    summary in which constants are left out: the length of the exploration `ceil(A^(-2/3) B^(1/3) (ln T)^(1/3) T^(2/3))`
    and the width are a reconstruction, and pulls in the index are those after the forgetting.

    **Arguments:** `explore` >= 0, rounds for each arm; `width`, `horizon` as in `UCB`.
    """

    explore: Any

    def __init__(self, explore: Any, width: Any, horizon: Any, *, see_others: bool = False):
        self.explore, self.width, self.horizon, self.see_others = explore, as_number(width), horizon, see_others

    def hyper_parameters(self) -> dict[str, Any]:
        """As for UCB, and an exploration that isn't negative."""
        return {"explore: expected a whole number, 0 or more": is_whole(self.explore, 0), **super().hyper_parameters()}

    def init(self, view: View, key: PRNGKeyArray) -> Any:
        """No pulls."""
        return Clocked(jnp.int32(0), never_pulled(view.arms, view.dtype))

    def act(self, view: View, state: Any, noise: Noise, seen: Seen) -> Array:
        """Round robin, then the largest index."""
        exploring = state.t < in_turn(self.explore, view.arms)
        return jnp.where(exploring, state.t % view.arms, best(state.arms.index[:]))

    def update(self, view: View, state: Any, noise: Noise, signals: Signals) -> Any:
        """A pull counts once exploration is over."""
        old = pick(state.arms, signals.own)
        new = self.observe(view, old, signals.payoff)
        exploring = state.t < in_turn(self.explore, view.arms)
        kept = IndexedArm(*(jnp.where(exploring, a, b) for a, b in zip(old, new, strict=True)))
        return Clocked(state.t + 1, put(state.arms, signals.own, kept))

    def exploration(self, arms: int) -> Any:
        """What is forgotten."""
        return np.asarray(self.explore, float) * arms

    @classmethod
    def _tuned(cls, problem: Problem, noise: str, sigma: float) -> Learner:
        explore = problem.explore(problem.leader_arms / problem.follower_arms**0.5)
        return cls(explore, problem.width, problem.horizon)


class LipschitzUCB(UCB):
    """`UCB` with the radius `(width + lipschitz constant sqrt(slots)) sqrt(ln T / pulls)`.

    The wider radius covers the errors of a follower with an anytime regret bound, where utilities are aligned: along
    the follower's arms the leader's payoff changes at most `lipschitz` times as much as the follower's. After Donahue
    et al. (2024); the form is a reconstruction.

    **Arguments:** `width`, `horizon` as in `UCB`; `lipschitz` L >= 0; `slots` B, the follower's arms; `constant` C of
    the follower's bound (default 1).

    L must be at least the instance's `equilibria.alignment_constant`. With a smaller one the radius doesn't cover the
    follower's errors, and regret can be linear in the horizon; nothing that the learner sees would tell.
    """

    lipschitz: Any = eqx.field(converter=as_number)
    slots: Any = eqx.field(converter=as_number)
    constant: Any = eqx.field(default=1.0, converter=as_number)
    follows = False

    def hyper_parameters(self) -> dict[str, Any]:
        """As for UCB, and what doesn't make the radius smaller."""
        return {
            "lipschitz: expected 0 or more": jnp.asarray(self.lipschitz) >= 0,
            "slots: expected at least one": jnp.asarray(self.slots) >= 1,
            "constant: expected 0 or more": jnp.asarray(self.constant) >= 0,
            **super().hyper_parameters(),
        }

    def radius(self, view: View) -> Array:
        """`(width + L C sqrt(B)) sqrt(ln T)`."""
        more = jnp.asarray(self.lipschitz) * self.constant * jnp.sqrt(jnp.asarray(self.slots).astype(view.dtype))
        return super().radius(view) + more * jnp.sqrt(log_horizon(self.horizon, view.dtype))

    @classmethod
    def _tuned(cls, problem: Problem, noise: str, sigma: float) -> Learner:
        if problem.lipschitz is None:
            raise ValueError(
                "lipschitz: LipschitzUCB has no radius without it; expected at least the alignment constant of the "
                "game's means, stackjax.equilibria.alignment_constant(leader_means, follower_means)"
            )
        return cls(problem.width, problem.horizon, problem.lipschitz, problem.follower_arms)
