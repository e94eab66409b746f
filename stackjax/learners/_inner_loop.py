"""What followers share that practise against each round's leader before they play: inner loops."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from stackjax._calculus.consultation import consulted
from stackjax.checks import whole
from stackjax.learners import _episodes
from stackjax.protocols import Action, Calls, Dynamics, Learner, Seen, Signal, Signals, View
from stackjax.spaces import Simplex


class PractisedState(NamedTuple):
    """The last policy, the tables that stay (`()` if none do), the others' last policies, and whether it played."""

    policy: Action
    tables: Any
    others: tuple[Any, ...]
    played: Array


class Practice(eqx.Module):
    """Where a practice is: a batch of episodes, played together, and what was learned from those before it.

    **Attributes:** `player`, who practises; `others`, policies of those who needn't be asked, `()` for the leader and
    itself; `key`, of the whole practice; `t`, the step of the present episodes, and `batch`, how many batches were
    played before them; `now`, their states; `uniforms` and `steps`, those of all their times; `tables`.
    """

    player: int = eqx.field(static=True)
    others: tuple[Any, ...]
    key: PRNGKeyArray
    t: Int[Array, ""]
    batch: Int[Array, ""]
    now: _episodes.Now
    uniforms: Array
    steps: _episodes.Steps
    tables: Any


class InnerLoop(Learner):
    """A follower that practises anew in every round, and an oracle that asks the leader in each step of its practice.

    It simulates `episodes` episodes of its part of the game (`view.dynamics`), `parallel` at once, with actions that it
    asks the leader for. As an oracle it responds to its answers with the policy that it would then play; it is random,
    as its practice is, and begins anew, whether it is warm or not.

    A subclass says what it learns: `fresh`, `chosen`, `learned`, `respond_by`.
    """

    episodes: eqx.AbstractVar[int]
    parallel: eqx.AbstractVar[int]
    restarts: eqx.AbstractVar[Any]
    warm: eqx.AbstractVar[bool]
    others: eqx.AbstractVar[bool]
    length: eqx.AbstractVar[int | None]
    #: As an oracle: the same answers may lead to another response.
    is_random: ClassVar[bool] = True
    #: What it wants without others; `wants` is a property of an instance.
    usually: ClassVar[Signal] = Signal.QUERY | Signal.OWN_PAYOFF

    def fresh(self, model: Dynamics, player: int) -> Any:
        """The tables before any practice."""
        raise NotImplementedError(f"{type(self).__name__} doesn't define fresh")

    def renewed(self, tables: Any) -> Any:
        """The tables that it goes on with in another round, if it is warm."""
        return tables

    def chosen(self, tables: Any, t: Any, seen: Array, uniform: Array) -> Array:
        """Its actions `[parallel]` at time t of practice."""
        raise NotImplementedError(f"{type(self).__name__} doesn't define chosen")

    def learned(self, model: Dynamics, tables: Any, steps: _episodes.Steps, player: int) -> Any:
        """The tables after a batch of episodes."""
        raise NotImplementedError(f"{type(self).__name__} doesn't define learned")

    def respond_by(self, model: Dynamics, tables: Any, player: int) -> Array:
        """The policy that it plays after its practice: `[O, A]`, or `[H, O, A]` with a clock."""
        raise NotImplementedError(f"{type(self).__name__} doesn't define respond_by")

    @property
    def wants(self) -> Signal:
        """Queries and its own payoffs; with `others`, what the others played."""
        return self.usually | Signal.OTHERS if self.others else self.usually

    def requires(self, view: View) -> dict[str, Any]:
        """A follower with a table, and `others=True` where there are other followers."""
        who = f"player {view.player}, {type(self).__name__}"
        if not view.earlier:
            raise ValueError(f"{who}: it is a follower, and nobody moves before it")
        if not isinstance(view.space, Simplex):
            raise ValueError(f"{who}: its policies are probabilities, and its actions are in {view.space}")
        dynamics = view.dynamics
        _length(self, dynamics)
        if len(dynamics.observations) > 2 and not self.others:
            raise ValueError(f"{who}: others: there are other followers; others=True lets it see what they played")
        return {}

    # As an oracle

    def questions(self, model: Dynamics) -> int:
        """One for each step of its practice, to the leaders of `parallel` episodes."""
        return self.episodes // self.parallel * _length(self, model)

    def begin(self, model: Dynamics, key: PRNGKeyArray) -> Practice:
        """The first episodes."""
        if len(model.observations) != 2:
            raise ValueError(
                f"oracle: {type(self).__name__} practises alone, and there are {len(model.observations) - 1} "
                "followers; let them play, others=True"
            )
        return self._begun(model, key, 1, (), self.fresh(model, 1))

    def ask(self, model: Dynamics, memory: Practice) -> Int[Array, " P"]:
        """What the leader observes in the episodes."""
        return memory.now.seen[0]

    def hear(self, model: Dynamics, memory: Practice, answers: Int[Array, " P"]) -> Practice:
        """A step of the episodes, in which the leader does as it answered; after the last one, learn."""
        length, t, me = _length(self, model), memory.t, memory.player
        uniform = memory.uniforms[t]
        acting = _episodes.acting(model, uniform)
        actions = [answers]
        for j in range(1, len(model.observations)):
            seen = memory.now.seen[j]
            if j == me:
                actions.append(self.chosen(memory.tables, t, seen, acting[j]))
            else:
                policy = memory.others[j]
                rows = policy[t] if policy.ndim == 3 else policy
                actions.append(_episodes.sample(rows[seen], acting[j]))
        now, step = _episodes.stepped(model, (model.rewards,), memory.now, tuple(actions), uniform, self.restarts)
        steps = jax.tree.map(lambda all_, one: all_.at[t].set(one), memory.steps, step)
        after = eqx.tree_at(lambda m: (m.t, m.now, m.steps), memory, (t + 1, now, steps))

        def ended(m: Practice) -> Practice:
            tables = self.learned(model, m.tables, m.steps, me)
            uniforms, now = self._episodes(model, m.key, m.batch + 1)
            parts = (jnp.zeros_like(m.t), m.batch + 1, now, uniforms, tables)
            return eqx.tree_at(lambda m: (m.t, m.batch, m.now, m.uniforms, m.tables), m, parts)

        return jax.lax.cond(t + 1 == length, ended, lambda m: m, after)

    def conclude(self, model: Dynamics, memory: Practice) -> tuple[Array, ...]:
        """The policy that it plays."""
        return (self.respond_by(model, memory.tables, memory.player),)

    def _begun(self, model: Dynamics, key: PRNGKeyArray, player: int, others: tuple[Any, ...], tables: Any) -> Practice:
        uniforms, now = self._episodes(model, key, jnp.int32(0))
        length = _length(self, model)
        integers = jnp.zeros((length, self.parallel), jnp.int32)
        each = tuple(integers for _ in model.observations)
        paid = (integers.astype(model.rewards.dtype),)
        steps = _episodes.Steps(each, each, each, paid, integers.astype(bool))
        return Practice(player, others, key, jnp.int32(0), jnp.int32(0), now, uniforms, steps, tables)

    def _episodes(self, model: Dynamics, key: PRNGKeyArray, batch: Any) -> tuple[Array, _episodes.Now]:
        """The uniform numbers and the beginning of a batch of episodes."""
        own = jax.random.fold_in(key, batch)
        uniforms = _episodes.uniforms(model, own, self.parallel, _length(self, model))
        return uniforms, _episodes.begun(model, own, self.parallel)

    # As a learner

    def init(self, view: View, key: PRNGKeyArray) -> PractisedState:
        """No practice; the others' policies uniform."""
        tables = self.fresh(view.dynamics, view.player)
        others = self._others(view, _uniform(view.dynamics, view.dtype))
        policy = self.respond_by(view.dynamics, tables, view.player).astype(view.dtype)
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

    def _practised(self, view: View, state: PractisedState, noise: Array, ask: Any) -> Any:
        key = jax.random.wrap_key_data(noise[:2], impl="threefry2x32")
        model, me = view.dynamics, view.player
        tables = self.renewed(state.tables) if self.warm else self.fresh(model, me)
        return consulted(
            _Of(self, me, state.others, tables), model, key, lambda asked, k: ask((asked, k))
        ).memory.tables

    def act(self, view: View, state: PractisedState, noise: Array, seen: Seen) -> Action:
        """Practise, and play what it learned; with others, half of the time what it played before."""
        tables = self._practised(view, state, noise, seen.ask)
        best = self.respond_by(view.dynamics, tables, view.player).astype(view.dtype)
        return jnp.where(state.played & (noise[2] % 2 == 1), state.policy, best) if self._together(view) else best

    def strategy(self, view: View, state: PractisedState, seen: Seen) -> Action:
        """The policy that was played last."""
        return state.policy

    def update(self, view: View, state: PractisedState, noise: Array, signals: Signals) -> PractisedState:
        """Keep what was played and, if warm, the tables."""
        tables = self._practised(view, state, noise, signals.ask) if self.warm else ()
        others = self._others(view, signals.actions if self.others else ())
        return PractisedState(signals.own, tables, others, jnp.ones((), bool))

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """The payoffs of its practice, one an environment step."""
        return Calls(payoffs=self.episodes * _length(self, view.dynamics))


class _Of(NamedTuple):
    """The practice of a player in a round of play, as an oracle."""

    learner: InnerLoop
    player: int
    others: tuple[Any, ...]
    tables: Any

    def questions(self, model: Dynamics) -> int:
        return self.learner.questions(model)

    def begin(self, model: Dynamics, key: PRNGKeyArray) -> Practice:
        return self.learner._begun(model, key, self.player, self.others, self.tables)

    def ask(self, model: Dynamics, memory: Practice) -> Array:
        return self.learner.ask(model, memory)

    def hear(self, model: Dynamics, memory: Practice, answers: Array) -> Practice:
        return self.learner.hear(model, memory, answers)


def shape_of(model: Dynamics, player: int) -> tuple[int, int, int]:
    """A player's times (1 without a clock), observations and actions."""
    rows = model.observations[player]
    seen = model.transitions.shape[0] if rows is None else rows.shape[1]
    times = model.horizon if model.clocked[player] and model.horizon is not None else 1
    return times, seen, model.transitions.shape[1 + player]


def checked_practice(episodes: Any, parallel: Any, restarts: Any, length: Any) -> tuple[int, int, int | None]:
    """The counts of a practice."""
    _episodes.check_restarts(restarts)
    return *_episodes.counts(episodes, parallel), None if length is None else whole("length", length)


def _length(learner: InnerLoop, model: Dynamics) -> int:
    return _episodes.episode_length(model.horizon, learner.length)


def _uniform(model: Dynamics, dtype: Any) -> list[Array]:
    """Uniform policies of all players."""
    found = []
    for player in range(len(model.observations)):
        times, *shape = shape_of(model, player)
        policy = jnp.full((times, *shape), 1 / shape[1], dtype)
        found.append(policy if model.clocked[player] else policy[0])
    return found
