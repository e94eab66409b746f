"""The inner-loop oracle: a follower that practises against each round's leader before it plays."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from stackjax.checks import whole
from stackjax.learners import _episodes
from stackjax.protocols import Action, Calls, Dynamics, Learner, Seen, Signal, Signals, View
from stackjax.schedules import Schedule
from stackjax.spaces import Simplex


class PractisedState(NamedTuple):
    """The last policy, the table that stays (`()` if none does), the others' last policies, and whether it played."""

    policy: Action
    tables: Any
    others: tuple[Any, ...]
    played: Array


class QLearning(Learner):
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
    - `warm`: whether it starts from its last table instead of zeros; this practises twice a round, with the same
      result, as what a learner keeps is computed after it acted.
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
    #: What it wants without others; `wants` is a property of an instance.
    usually: ClassVar[Signal] = Signal.QUERY | Signal.OWN_PAYOFF

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
        self.episodes, self.parallel = _episodes.counts(episodes, parallel)
        self.step = _episodes.learning_rate(step)
        _episodes.check_probabilities(exploration, restarts)
        self.exploration, self.restarts = exploration, restarts
        self.warm, self.others = bool(warm), bool(others)
        self.length = None if length is None else whole("length", length)

    @property
    def wants(self) -> Signal:
        """Queries and its own payoffs; with `others`, what the others played."""
        return self.usually | Signal.OTHERS if self.others else self.usually

    def requires(self, view: View) -> dict[str, Any]:
        """A follower with a table, and `others=True` where there are other followers."""
        who = f"player {view.player}, QLearning"
        if not view.earlier:
            raise ValueError(f"{who}: it is a follower, and nobody moves before it")
        if not isinstance(view.space, Simplex):
            raise ValueError(f"{who}: its policies are probabilities of 0 and 1, and its actions are in {view.space}")
        dynamics = view.dynamics
        _episodes.episode_length(dynamics.horizon, self.length)
        if len(dynamics.observations) > 2 and not self.others:
            raise ValueError(f"{who}: others: there are other followers; others=True lets it see what they played")
        return {}

    def _length(self, dynamics: Dynamics) -> int:
        return _episodes.episode_length(dynamics.horizon, self.length)

    def _tables(self, view: View) -> _episodes.Tables:
        clock = view.space.struct(view.dtype).shape[0] if _clocked(view) else 1
        return _episodes.no_tables(view.dynamics, view.player, 1, clock)

    def init(self, view: View, key: PRNGKeyArray) -> PractisedState:
        """An empty table, whose policy is its first action everywhere; the others' policies uniform."""
        tables = self._tables(view)
        others = self._others(view, _uniform(view.dynamics, view.dtype))
        policy = _episodes.greedy(tables, _clocked(view))[0].astype(view.dtype)
        return PractisedState(policy, tables if self.warm else (), others, jnp.zeros((), bool))

    def _others(self, view: View, policies: Sequence[Any]) -> tuple[Any, ...]:
        """What it practises against and needn't ask: nothing of the leader, nor of itself."""
        return tuple(() if j in (0, view.player) else p for j, p in enumerate(policies)) if self.others else ()

    def draw(self, view: View, key: PRNGKeyArray) -> Array:
        """The words of a key for the practice of the round and, with others, one for whether it repeats."""
        return jax.random.bits(key, (3 if self._together(view) else 2,), jnp.uint32)

    def _together(self, view: View) -> bool:
        """Are there other followers whom it answers?"""
        return self.others and len(view.dynamics.observations) > 2

    def _practised(self, view: View, state: PractisedState, noise: Array, ask: Any) -> _episodes.Tables:
        dynamics, me = view.dynamics, view.player
        length = self._length(dynamics)
        gamma = None if dynamics.horizon is not None else jnp.asarray(dynamics.discount)
        key = jax.random.wrap_key_data(noise[:2], impl="threefry2x32")
        context = jnp.zeros(self.parallel, jnp.int32)

        def batch(tables: _episodes.Tables, n: Any) -> tuple[_episodes.Tables, None]:
            def choose(t: Any, seen: list[Array], u: Array) -> list[Array]:
                actions = [ask((seen[0], n * length + t))]
                for j in range(1, len(dynamics.observations)):
                    if j == me:
                        actions.append(_episodes.explored(tables, context, t, seen[j], u[j], self.exploration))
                    else:
                        policy = state.others[j]
                        rows = policy[t] if policy.ndim == 3 else policy
                        actions.append(_episodes.sample(rows[seen[j]], u[j]))
                return actions

            steps = _episodes.rollout(
                dynamics,
                (dynamics.rewards,),
                choose,
                jax.random.fold_in(key, n),
                self.parallel,
                length,
                self.restarts,
            )
            return _episodes.replayed(tables, steps, me, steps.rewards[0], context, self.step, gamma), None

        batches = jnp.arange(self.episodes // self.parallel, dtype=jnp.int32)
        tables = state.tables if self.warm else self._tables(view)
        fresh = tables._replace(visits=jnp.zeros_like(tables.visits))
        return jax.lax.scan(batch, fresh, batches)[0]

    def act(self, view: View, state: PractisedState, noise: Array, seen: Seen) -> Action:
        """Practise, and play what is best by the table; with others, half of the time what it played before."""
        tables = self._practised(view, state, noise, seen.ask)
        best = _episodes.greedy(tables, _clocked(view))[0].astype(view.dtype)
        return jnp.where(state.played & (noise[2] % 2 == 1), state.policy, best) if self._together(view) else best

    def strategy(self, view: View, state: PractisedState, seen: Seen) -> Action:
        """The policy that was played last."""
        return state.policy

    def update(self, view: View, state: PractisedState, noise: Array, signals: Signals) -> PractisedState:
        """Keep what was played and, if warm, the table."""
        tables = self._practised(view, state, noise, signals.ask) if self.warm else ()
        others = self._others(view, signals.actions if self.others else ())
        return PractisedState(signals.own, tables, others, jnp.ones((), bool))

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """The payoffs of its practice, one an environment step."""
        return Calls(payoffs=self.episodes * self._length(view.dynamics))


def _clocked(view: View) -> bool:
    return len(view.space.struct(view.dtype).shape) == 3


def _uniform(dynamics: Dynamics, dtype: Any) -> list[Array]:
    """Uniform policies of all players."""
    states, *actions = dynamics.transitions.shape[:-1]
    found = []
    for rows, timed, n in zip(dynamics.observations, dynamics.clocked, actions, strict=True):
        shape = (states if rows is None else rows.shape[1], n)
        found.append(jnp.full((dynamics.horizon, *shape) if timed else shape, 1 / n, dtype))
    return found
