"""The follower that errs by up to epsilon."""

from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from stackjax.arms import best
from stackjax.checks import as_number, number
from stackjax.learners.best_response import check_last, of_each_arm
from stackjax.protocols import Calls, Learner, Noise, Seen, Signal, View
from stackjax.spaces import Arms


class EpsilonBestResponse(Learner):
    """Plays one of the arms that are worth at most epsilon less than the best one, against the arms of this round.

    They are `B_eps(a) = {b : max_b' U_2(a, b') - U_2(a, b) <= epsilon}` with the exact (mean) payoffs, up to rounding:
    1e-9 of the largest absolute payoff among its arms in float64, 1e-6 in float32.

    With `ties="against"` it is the one that is worst for the leader, ties to the lowest index: a leader that commits to
    a gets `min_{b in B_eps(a)} U_1(a, b)`, with which the tolerant benchmarks of Donahue et al. (2024) reckon
    (`stackjax.equilibria.tolerant_benchmarks`). With `ties="random"` it is a uniformly random one. Which one a follower
    that errs plays is left open there: both rules are reconstructions.

    **Arguments:** `epsilon` >= 0, in units of payoff (0: a best response); `ties`: "random", or "against", which sees
    the whole game. The leader is player 0.

    **Raises:** `ValueError` or `TypeError` that names the argument; from `play` a `ValueError` for a player that has no
    arms, or that doesn't move last and alone.
    """

    epsilon: Any = eqx.field(converter=as_number)
    ties: Literal["random", "against"] = eqx.field(static=True, default="random")
    #: What it wants with random ties; `wants` is a property of an instance.
    usually: ClassVar[Signal] = Signal.OWN_PAYOFF | Signal.COMMITMENT

    def __check_init__(self) -> None:
        number(self.epsilon, "epsilon", 0.0, open_low=False)
        if self.ties not in ("random", "against"):
            raise ValueError(f'ties: expected "random" or "against", got {self.ties!r}')

    @property
    def wants(self) -> Signal:
        """Its own payoffs and the leader's arm; the leader's payoffs only to play against them."""
        return self.usually | Signal.GAME if self.ties == "against" else self.usually

    def requires(self, view: View) -> dict[str, Any]:
        """Arms."""
        if not isinstance(view.space, Arms):
            raise ValueError(f"player {view.player}: EpsilonBestResponse chooses from arms, its space is {view.space}")
        return {}

    def init(self, view: View, key: PRNGKeyArray) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def draw(self, view: View, key: PRNGKeyArray) -> Noise:
        """A uniform number, for random ties."""
        return jax.random.uniform(key, (), view.dtype) if self.ties == "random" else ()

    def act(self, view: View, state: tuple[()], noise: Noise, seen: Seen) -> Array:
        """One of the arms within epsilon of the best one."""
        payoffs = self._payoffs(view, seen)
        tolerated = self._tolerated(payoffs)
        if self.ties == "against":
            leaders = of_each_arm(lambda *joint: view.game.payoffs(*joint)[0], view, seen)
            return best(jnp.where(tolerated, -leaders, -jnp.inf))
        rank = jnp.cumsum(tolerated, dtype=jnp.int32)  # from 1
        chosen = jnp.minimum((noise * rank[-1].astype(noise.dtype)).astype(jnp.int32), rank[-1] - 1)
        return jnp.sum(rank <= chosen, dtype=jnp.int32)

    def strategy(self, view: View, state: tuple[()], seen: Seen) -> Array:
        """The arm that it plays; with random ties, the best response."""
        return self.act(view, state, (), seen) if self.ties == "against" else best(self._payoffs(view, seen))

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """One solve."""
        return Calls(solves=1)

    def _payoffs(self, view: View, seen: Seen) -> Float[Array, " arms"]:
        check_last(view, seen, "EpsilonBestResponse")
        return of_each_arm(view.payoff_function, view, seen)

    def _tolerated(self, payoffs: Float[Array, " arms"]) -> Bool[Array, " arms"]:
        rounding = 1e-9 if payoffs.dtype == jnp.float64 else 1e-6  # without it gaps of epsilon would go either way
        gaps = jnp.max(payoffs) - payoffs
        return gaps <= jnp.asarray(self.epsilon) + rounding * jnp.max(jnp.abs(payoffs))
