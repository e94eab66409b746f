"""Followers whose inner loop learns weights of actions: by multiplicative weights, or by the policy gradient."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stackjax.checks import flag, number
from stackjax.learners import _episodes
from stackjax.learners._inner_loop import InnerLoop, checked_practice, shape_of
from stackjax.protocols import Dynamics


class Weights(NamedTuple):
    """Logits `[clock, O, A]`, the mean of the returns from each entry on `[clock, O]`, and of how many it is."""

    logits: Float[Array, "clock O A"]
    returns: Float[Array, "clock O"]
    visits: Int[Array, "clock O"]


class _WeighsActions(InnerLoop):
    """What both have in common: logits, and by how much a return exceeds those from the same entry before."""

    greedy: eqx.AbstractVar[bool]

    def fresh(self, model: Dynamics, player: int) -> Weights:
        """Even weights."""
        shape = shape_of(model, player)
        zeros = jnp.zeros(shape, model.rewards.dtype)
        return Weights(zeros, zeros[..., 0], jnp.zeros(shape[:2], jnp.int32))

    def probabilities(self, logits: Array) -> Array:
        """With which it acts in practice."""
        return jax.nn.softmax(logits)

    def gain(self, advantage: Array, taken: Array, probabilities: Array) -> Array:
        """What is added to the logits `[..., A]` for an action `taken` (one-hot) with these `probabilities`."""
        raise NotImplementedError(f"{type(self).__name__} doesn't define gain")

    def chosen(self, tables: Weights, t: Any, seen: Array, uniform: Array) -> Array:
        """Drawn by the weights."""
        logits = tables.logits[t if tables.logits.shape[0] > 1 else 0]
        return _episodes.sample(self.probabilities(logits)[seen], uniform)

    def learned(self, model: Dynamics, tables: Weights, steps: _episodes.Steps, player: int) -> Weights:
        """The weights after the mean of the gains of a batch of episodes; an entry's first return has none."""
        gamma = 1.0 if model.horizon is not None else jnp.asarray(model.discount)
        returns = _episodes.until_restart(steps.rewards[0], steps.jumped, gamma)
        seen, actions = steps.observations[player], steps.actions[player]
        clock, _, n = tables.logits.shape
        t = jnp.arange(seen.shape[0], dtype=jnp.int32)[:, None] if clock > 1 else jnp.zeros_like(seen)
        entries = jnp.broadcast_to(t, seen.shape), seen
        known = tables.visits[entries] > 0
        advantage = jnp.where(known, returns - tables.returns[entries], 0)[..., None]
        taken = jax.nn.one_hot(actions, n, dtype=returns.dtype)
        gains = self.gain(advantage, taken, self.probabilities(tables.logits)[entries]) / self.parallel
        visits = tables.visits.at[entries].add(1)
        many = jnp.maximum(visits, 1).astype(returns.dtype)
        before = tables.returns * (tables.visits.astype(returns.dtype) / many)
        means = before.at[entries].add(returns / many[entries])
        return Weights(tables.logits.at[entries].add(gains), means, visits)

    def respond_by(self, model: Dynamics, tables: Weights, player: int) -> Array:
        """The likeliest actions, or the probabilities."""
        logits = tables.logits
        best = jax.nn.one_hot(jnp.argmax(logits, -1), logits.shape[-1], dtype=logits.dtype)
        policy = best if self.greedy else jax.nn.softmax(logits)
        return policy if model.clocked[player] else policy[0]


class MultiplicativeWeights(_WeighsActions):
    """Practises in every round by multiplicative weights against the leader's policy of the round, and then plays.

    An inner loop as `QLearning` is, and the follower of the Stackelberg POMDP (Brero, Eden, Chakrabarti, Gerstgrasser,
    Greenwald, Li & Parkes, 2022) whose response is learned in the leader's own episode. How the weights learn in a game
    of several steps is a reconstruction: one weight for an observation and an action, and with a clock for a time; what
    an action gains is by how much the rewards from there on exceed their mean so far, divided by the probability with
    which it was taken, as in EXP3 (Auer et al., 2002), as the rewards of other actions aren't seen:
    `w(o, a) <- w(o, a) exp(step (G - mean) 1[a taken] / p(a | o))`.

    **Arguments:** as for `QLearning`, but for

    - `step` > 0: in units of 1 / payoff.
    - `exploration` in (0, 1]: the share of uniform actions in practice, which bounds 1 / p.
    - `greedy`: whether it then plays the likeliest action instead of the probabilities (static).

    **Raises:** as `QLearning`.
    """

    step: Any
    exploration: Any
    restarts: Any
    episodes: int = eqx.field(static=True)
    parallel: int = eqx.field(static=True)
    warm: bool = eqx.field(static=True)
    others: bool = eqx.field(static=True)
    length: int | None = eqx.field(static=True)
    greedy: bool = eqx.field(static=True)

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
        greedy: bool = True,
    ):
        self.episodes, self.parallel, self.length = checked_practice(episodes, parallel, restarts, length)
        number(step, "step", 0.0)
        _episodes.check_exploration(exploration)
        self.step, self.exploration, self.restarts = step, exploration, restarts
        self.warm, self.others, self.greedy = flag("warm", warm), flag("others", others), flag("greedy", greedy)

    def probabilities(self, logits: Array) -> Array:
        """By the weights, but for the share of uniform ones."""
        return (1 - self.exploration) * jax.nn.softmax(logits) + self.exploration / logits.shape[-1]

    def gain(self, advantage: Array, taken: Array, probabilities: Array) -> Array:
        """Of the action that was taken, weighted by how seldom it is."""
        return self.step * advantage * taken / probabilities


class Reinforce(_WeighsActions):
    """Practises in every round by the policy gradient against the leader's policy of the round, and then plays.

    An inner loop as `QLearning` is. After each batch of episodes logits for each observation, and with a clock time, go
    along the score-function estimate (Williams, 1992): `step (G - mean) (1[a taken] - p(a | o))`, G the rewards from
    there on, less their mean so far as baseline.

    **Arguments:** as for `QLearning`, without exploration, as it begins with even probabilities; and

    - `step` > 0: in units of 1 / payoff.
    - `greedy`: whether it then plays the likeliest action instead of the probabilities (static).

    **Raises:** as `QLearning`.
    """

    step: Any
    restarts: Any
    episodes: int = eqx.field(static=True)
    parallel: int = eqx.field(static=True)
    warm: bool = eqx.field(static=True)
    others: bool = eqx.field(static=True)
    length: int | None = eqx.field(static=True)
    greedy: bool = eqx.field(static=True)

    def __init__(
        self,
        episodes: int,
        step: Any = 0.3,
        *,
        restarts: Any = 0.0,
        parallel: int = 1,
        warm: bool = False,
        others: bool = False,
        length: int | None = None,
        greedy: bool = True,
    ):
        self.episodes, self.parallel, self.length = checked_practice(episodes, parallel, restarts, length)
        number(step, "step", 0.0)
        self.step, self.restarts = step, restarts
        self.warm, self.others, self.greedy = flag("warm", warm), flag("others", others), flag("greedy", greedy)

    def gain(self, advantage: Array, taken: Array, probabilities: Array) -> Array:
        """The score of what was taken."""
        return self.step * advantage * (taken - probabilities)
