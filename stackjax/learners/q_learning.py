"""Tabular Q-learning as an inner loop: a follower that practises against each round's leader before it plays."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from stackjax.checks import flag
from stackjax.learners import _episodes
from stackjax.learners._inner_loop import InnerLoop, checked_practice, shape_of
from stackjax.protocols import Dynamics
from stackjax.schedules import Schedule


class QLearning(InnerLoop):
    """Practises in every round by tabular Q-learning against the leader's policy of the round, then plays greedily.

    The inner loop of inner-loop/outer-loop methods: it simulates `episodes` episodes of its own part of the game
    (`view.dynamics`), with actions that it asks the leader for (`Signal.QUERY`), and plays the policy that is best by
    its table. Each episode's updates go from its last step backwards; a table has one entry for an observation and an
    action, and with a clock for a time. Reported between rounds is the policy that was played last.

    Players of the same level are part of the environment (independent learning): with `others=True` it sees them after
    each round and practises against the policies that they played in the last one, at first against uniform ones. If
    all answered these at once they could go in circles for ever, so each repeats its last policy in every second round
    on average, at random, but for its first round (best replies with inertia; Young, Strategic Learning and Its Limits,
    2004). Best replies with inertia reach a pure equilibrium with probability 1 behind a leader who has committed,
    wherever some path of single best replies leads to one, as in a game with a potential, and stay if it is strict.
    These are best replies only as far as the practice suffices, and elsewhere nothing is guaranteed: without a pure
    equilibrium they never settle. A repeated policy is no answer to a leader who has changed since.

    **Arguments:**

    - `episodes`: in a round, a multiple of `parallel`, the number that are played at once (static).
    - `step`: in (0, 1], a number or a schedule of an entry's earlier updates, which are counted anew in each round.
    - `exploration` in (0, 1]: the probability of a random action in practice.
    - `restarts`: the probability that after a step of practice the episode goes on in a random state.
    - `warm`: whether in play it starts from its last table instead of zeros; this practises twice a round, with equal
      results, as what a learner keeps is computed after it acted.
    - `others`: whether it sees the players who move with it or later (adds `Signal.OTHERS`). It doesn't look at what it
      thereby sees of the leader.
    - `length`: steps after which an episode of practice is cut in a discounted game.

    **Raises:** `ValueError` or `TypeError` that names the argument; from `play` for a leader, and where there are
    others whom it wouldn't see.
    """

    step: Schedule
    exploration: Any
    restarts: Any
    episodes: int = eqx.field(static=True)
    parallel: int = eqx.field(static=True)
    warm: bool = eqx.field(static=True)
    others: bool = eqx.field(static=True)
    length: int | None = eqx.field(static=True)

    def __init__(
        self,
        episodes: int,
        step: Any = 0.5,
        exploration: Any = 0.5,
        *,
        restarts: Any = 0.0,
        parallel: int = 1,
        warm: bool = False,
        others: bool = False,
        length: int | None = None,
    ):
        self.episodes, self.parallel, self.length = checked_practice(episodes, parallel, restarts, length)
        self.step = _episodes.learning_rate(step)
        _episodes.check_exploration(exploration)
        self.exploration, self.restarts = exploration, restarts
        self.warm, self.others = flag("warm", warm), flag("others", others)

    def fresh(self, model: Dynamics, player: int) -> _episodes.Tables:
        """An empty table, whose policy is its first action everywhere."""
        return _episodes.no_tables(model, player, 1, shape_of(model, player)[0])

    def renewed(self, tables: _episodes.Tables) -> _episodes.Tables:
        """The table, its updates counted anew."""
        return tables._replace(visits=jnp.zeros_like(tables.visits))

    def chosen(self, tables: _episodes.Tables, t: Any, seen: Array, uniform: Array) -> Array:
        """Any action with the probability `exploration`, else the best by the table."""
        context = jnp.zeros(self.parallel, jnp.int32)
        return _episodes.explored(tables, context, t, seen, uniform, self.exploration)

    def learned(self, model: Dynamics, tables: _episodes.Tables, steps: _episodes.Steps, player: int) -> Any:
        """The table after the updates of a batch of episodes."""
        gamma = None if model.horizon is not None else jnp.asarray(model.discount)
        context = jnp.zeros(self.parallel, jnp.int32)
        return _episodes.replayed(tables, steps, player, steps.rewards[0], context, self.step, gamma)

    def respond_by(self, model: Dynamics, tables: _episodes.Tables, player: int) -> Array:
        """What is best by the table."""
        return _episodes.greedy(tables, model.clocked[player])[0]
