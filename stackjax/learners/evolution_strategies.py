"""Evolution strategies: an uncoupled leader that ascends its payoff, smoothed by normal perturbations."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, PyTree, Scalar

from stackjax.checks import number
from stackjax.learners._ascent import Ascent, AscentState, standard_normals
from stackjax.protocols import Action, Noise, Seen, Signal, Signals, View, tree_where
from stackjax.schedules import Schedule, as_schedule


class Evaluations(NamedTuple):
    """The memory beside the centre: the optimiser's, the perturbation, the sum of estimates, and what was read."""

    optimizer: Any
    normals: PyTree
    total: PyTree
    first: Scalar  # the payoff of the first half of a pair
    done: Int[Array, ""]  # evaluations since the last step


class EvolutionStrategies(Ascent):
    """Plays its strategy plus and minus normal perturbations, and steps along their payoffs' differences.

    A pair of rounds plays `x + sd e` and `x - sd e`, e standard normal, and is paid s+ and s-. After `pairs` pairs
    `x <- project(x + step g)` with `g = sum (s+ - s-) e / (2 sd pairs)`: an unbiased estimate of the gradient of the
    payoff that is smoothed by normal noise of that sd. Salimans et al., "Evolution Strategies as a Scalable Alternative
    to Reinforcement Learning" (2017), Algorithm 1 with the antithetic pairs of its section 2.1; without the ranks that
    it replaces payoffs by. It sees its own payoffs only: uncoupled. One round is one evaluation, so the follower
    should answer within the round, like the oracles of Markov games.

    Perturbed actions are projected to the space, which biases the estimate where they would leave it.

    **Arguments:**

    - `step` > 0, in units of action squared per payoff, a number or a schedule of the counter n of its updates, or None
      with an Optax `optimizer`, which is given the negated direction (as in `GradientAscent`).
    - `sd` > 0, of the perturbations, in the units of the action; a number or a schedule.
    - `pairs`: an integer of at least 1.

    **Raises:** `ValueError` or `TypeError` that names the argument; from `play` for a player who chooses from arms.
    """

    sd: Schedule
    pairs: Any
    wants = Signal.PAYOFF

    def __init__(self, step: Any, sd: Any, pairs: Any = 8, *, optimizer: Any = None):
        super().__init__(step, optimizer=optimizer)
        if not callable(sd):
            number(sd, "sd", 0.0)
        number(pairs, "pairs", 1, open_low=False, whole=True)
        self.sd, self.pairs = as_schedule(sd, "sd"), pairs

    def requires(self, view: View) -> dict[str, Any]:
        """A space with a tangent, a positive first step and a positive first sd."""
        return super().requires(view) | {"sd: expected a positive sd": jnp.asarray(self.sd(jnp.int32(0))) > 0}

    def init(self, view: View, key: PRNGKeyArray) -> AscentState:
        """The start or a sample of the space, and the first perturbation."""
        centre = super().init(view, key)
        normals = standard_normals(view, jax.random.fold_in(key, 1))
        zeros = jax.tree.map(jnp.zeros_like, normals)
        memory = Evaluations(centre.memory, normals, zeros, jnp.zeros((), view.dtype), jnp.int32(0))
        return centre._replace(memory=memory)

    def draw(self, view: View, key: PRNGKeyArray) -> PyTree:
        """The perturbation of the pair that starts next round, if one does."""
        return standard_normals(view, key)

    def act(self, view: View, state: AscentState, noise: Noise, seen: Seen) -> Action:
        """The perturbed action."""
        sd = jnp.asarray(self.sd(state.n), view.dtype)
        sd = jnp.where(state.memory.done % 2 == 0, sd, -sd)
        return view.space.project(jax.tree.map(lambda x, e: x + sd * e, state.action, state.memory.normals))

    def strategy(self, view: View, state: AscentState, seen: Seen) -> Action:
        """The centre."""
        return state.action

    def update(self, view: View, state: AscentState, noise: PyTree, signals: Signals) -> AscentState:
        """Read the payoff; at the end of a pair add its estimate, at the end of the pairs step."""
        before: Evaluations = state.memory
        payoff = signals.payoff.astype(view.dtype)
        second = before.done % 2 == 1
        pairs = jnp.asarray(self.pairs, jnp.int32)
        last = before.done + 1 >= 2 * pairs
        weight = (before.first - payoff) / (2 * jnp.asarray(self.sd(state.n), view.dtype))
        total = jax.tree.map(lambda g, e: g + jnp.where(second, weight, 0) * e, before.total, before.normals)
        mean = jax.tree.map(lambda g: g / pairs.astype(g.dtype), total)
        centre = state._replace(memory=before.optimizer)
        centre = tree_where(last, self._stepped(view, centre, (), mean), centre)
        memory = Evaluations(
            optimizer=centre.memory,
            normals=tree_where(second, noise, before.normals),
            total=jax.tree.map(lambda g: jnp.where(last, jnp.zeros_like(g), g), total),
            first=jnp.where(second, before.first, payoff),
            done=jnp.where(last, 0, before.done + 1),
        )
        return centre._replace(memory=memory)
