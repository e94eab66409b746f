"""Sampled episodes of a Markov game, and what followers learn from them: tabular Q-learning and random leaders."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from stackjax.checks import concrete, number, whole
from stackjax.protocols import Dynamics
from stackjax.schedules import Schedule, as_schedule

#: `choose(t, observations, uniforms)`: the actions of all players at time t, each `[parallel]`.
Choose = Callable[[Any, list[Array], Array], list[Array]]


class Steps(NamedTuple):
    """What happened: one axis of time, then one of episodes.

    **Attributes:** `observations`, `actions`, `following` (the observations of the state that followed): one entry a
    player; `rewards`: one a learning follower; `jumped`: whether the next step began in a state drawn anew.
    """

    observations: tuple[Int[Array, "time parallel"], ...]
    actions: tuple[Int[Array, "time parallel"], ...]
    following: tuple[Int[Array, "time parallel"], ...]
    rewards: tuple[Float[Array, "time parallel"], ...]
    jumped: Bool[Array, "time parallel"]


class Tables(NamedTuple):
    """What Q-learning remembers: values `[contexts, clock, O, A]`, and how often each was updated."""

    values: Float[Array, "contexts clock O A"]
    visits: Int[Array, "contexts clock O A"]


def sample(probabilities: Float[Array, "*batch n"], uniform: Float[Array, "*batch"]) -> Int[Array, "*batch"]:
    """The outcome at a quantile: inverse of the cumulative distribution along the last axis."""
    cumulative = jnp.cumsum(probabilities, -1)[..., :-1]
    return jnp.sum(uniform[..., None] >= cumulative, -1, dtype=jnp.int32)


class Now(NamedTuple):
    """Where `parallel` episodes are: the `state`, and what each player sees of it."""

    state: Int[Array, " parallel"]
    seen: tuple[Int[Array, " parallel"], ...]


def uniforms(dynamics: Dynamics, key: PRNGKeyArray, parallel: int, length: int) -> Float[Array, "time use parallel"]:
    """The uniform numbers of all steps of `parallel` episodes."""
    players = len(dynamics.observations)
    return jax.random.uniform(key, (length, 3 * players + 3, parallel), dynamics.transitions.dtype)


def begun(dynamics: Dynamics, key: PRNGKeyArray, parallel: int) -> Now:
    """The beginning of `parallel` episodes; `key` as for their `uniforms`."""
    players, states = len(dynamics.observations), dynamics.transitions.shape[0]
    first = jax.random.uniform(jax.random.fold_in(key, 1), (players + 1, parallel), dynamics.transitions.dtype)
    state = sample(jnp.broadcast_to(dynamics.initial, (parallel, states)), first[0])
    return Now(state, _observed(dynamics, state, first[1:]))


def _observed(dynamics: Dynamics, state: Array, uniform: Array) -> tuple[Array, ...]:
    rows = dynamics.observations
    return tuple(state if o is None else sample(o[state], uniform[i]) for i, o in enumerate(rows))


def acting(dynamics: Dynamics, uniform: Float[Array, "use parallel"]) -> Float[Array, "players parallel"]:
    """Of the uniform numbers of a step those for the players' actions."""
    return uniform[: len(dynamics.observations)]


def stepped(
    dynamics: Dynamics,
    rewards: tuple[Array, ...],
    now: Now,
    actions: tuple[Array, ...],
    uniform: Float[Array, "use parallel"],
    restarts: Any,
) -> tuple[Now, Steps]:
    """A step of `parallel` episodes: where it leads, and what happened, without an axis of time.

    **Arguments:** `rewards`: `[S, A_0, ..., A_{N-1}]` for each follower that learns; `restarts`: the probability that
    after the step the state is drawn anew, from all of them alike (what followed the step is known all the same).
    """
    players, states = len(dynamics.observations), dynamics.transitions.shape[0]
    _, looking, again, (move, jump, where) = jnp.split(uniform, [players, 2 * players, 3 * players])
    paid = tuple(r[(now.state, *actions)] for r in rewards)
    after = sample(dynamics.transitions[(now.state, *actions)], move)
    following = _observed(dynamics, after, looking)
    jumps = jump < restarts
    new = jnp.where(jumps, jnp.minimum((where * states).astype(jnp.int32), states - 1), after)
    pairs = zip(_observed(dynamics, new, again), following, strict=True)
    seen = tuple(jnp.where(jumps, a, b) for a, b in pairs)
    return Now(new, seen), Steps(now.seen, actions, following, paid, jumps)


def rollout(
    dynamics: Dynamics,
    rewards: tuple[Array, ...],
    choose: Choose,
    key: PRNGKeyArray,
    parallel: int,
    length: int,
    restarts: Any,
) -> Steps:
    """Play `parallel` episodes of `length` steps at once; arguments as for `stepped`."""

    def step(now: Now, xs: Any) -> tuple[Now, Steps]:
        t, uniform = xs
        actions = tuple(choose(t, list(now.seen), acting(dynamics, uniform)))
        return stepped(dynamics, rewards, now, actions, uniform, restarts)

    times = jnp.arange(length, dtype=jnp.int32)
    xs = (times, uniforms(dynamics, key, parallel, length))
    return jax.lax.scan(step, begun(dynamics, key, parallel), xs)[1]


def no_tables(dynamics: Dynamics, player: int, contexts: int, clock: int) -> Tables:
    """Zeros."""
    rows = dynamics.observations[player]
    seen = dynamics.transitions.shape[0] if rows is None else rows.shape[1]
    shape = (contexts, clock, seen, dynamics.transitions.shape[1 + player])
    return Tables(jnp.zeros(shape, dynamics.rewards.dtype), jnp.zeros(shape, jnp.int32))


def explored(tables: Tables, context: Array, t: Any, seen: Array, uniform: Array, exploration: Any) -> Array:
    """Epsilon-greedy actions `[parallel]`: any with the probability `exploration`, else the best by the table."""
    n = tables.values.shape[-1]
    greedy = jnp.argmax(tables.values[context, _time(tables, t), seen], -1).astype(jnp.int32)
    anything = jnp.minimum((uniform / exploration * n).astype(jnp.int32), n - 1)
    return jnp.where(uniform < exploration, anything, greedy)


def _time(tables: Tables, t: Any) -> Any:
    return t if tables.values.shape[1] > 1 else 0


def replayed(
    tables: Tables, steps: Steps, player: int, rewards: Array, context: Array, step: Schedule, gamma: Any
) -> Tables:
    """Q-learning over a batch of episodes, from their last step backwards (Lin, 1992), so that values run ahead of it.

    Where several episodes update the same entry at a time they do so together, by their mean.

    **Arguments:** `gamma`: the discount, or None if the episodes end for good.
    """
    length = steps.rewards[0].shape[0]

    def back(tables: Tables, xs: Any) -> tuple[Tables, None]:
        t, seen, action, following, paid = xs
        values, visits = tables
        ahead = jnp.max(values[context, _time(tables, jnp.minimum(t + 1, length - 1)), following], -1)
        target = paid + (jnp.where(t + 1 < length, ahead, 0) if gamma is None else gamma * ahead)
        where = (context, _time(tables, t), seen, action)
        together = jnp.zeros_like(visits).at[where].add(1)[where]
        rate = jnp.broadcast_to(jnp.asarray(step(visits[where])), target.shape).astype(target.dtype)
        change = rate * (target - values[where]) / together.astype(target.dtype)
        return Tables(values.at[where].add(change), visits.at[where].add(1)), None

    times = jnp.arange(length, dtype=jnp.int32)
    xs = (times, steps.observations[player], steps.actions[player], steps.following[player], rewards)
    return jax.lax.scan(back, tables, xs, reverse=True)[0]


def greedy(tables: Tables, clocked: bool) -> Array:
    """The best actions by the table as policies `[contexts, H, O, A]`, or `[contexts, O, A]` without a clock."""
    values = tables.values
    best = jax.nn.one_hot(jnp.argmax(values, -1), values.shape[-1], dtype=values.dtype)
    return best if clocked else best[:, 0]


def until_restart(rewards: Float[Array, "time parallel"], jumped: Array, gamma: Any) -> Float[Array, "time parallel"]:
    """The discounted rewards from each time on, up to a restart: what comes after is no consequence."""

    def back(ahead: Array, xs: Any) -> tuple[Array, Array]:
        paid, jumps = xs
        total = paid + gamma * jnp.where(jumps, 0, ahead)
        return total, total

    return jax.lax.scan(back, jnp.zeros_like(rewards[0]), (rewards, jumped), reverse=True)[1]


def above_the_others(values: Float[Array, "time parallel"], group: int) -> Float[Array, "time parallel"]:
    """Less the mean over the other episodes of the same leader, who is met in `group` of them."""
    leaders = values.reshape(values.shape[0], -1, group)
    others = (jnp.sum(leaders, -1, keepdims=True) - leaders) / (group - 1)
    return (leaders - others).reshape(values.shape)


def random_leaders(key: PRNGKeyArray, kind: str, shape: tuple[int, int, int], dtype: Any) -> Array:
    """Memoryless policies `[parallel, O, A]`: one action an observation, or uniform in the simplex."""
    if kind == "deterministic":
        return jax.nn.one_hot(jax.random.randint(key, shape[:2], 0, shape[2]), shape[2], dtype=dtype)
    draws = jax.random.exponential(key, shape, dtype)
    return draws / jnp.sum(draws, -1, keepdims=True)


def context_of(answers: Int[Array, "... Q"], actions: int) -> Int[Array, "..."]:
    """Answers read as digits, the first the most significant."""
    powers = np.array([actions**k for k in reversed(range(answers.shape[-1]))], np.int32)
    return answers.astype(jnp.int32) @ powers


def checked_queries(queries: Any, observations: int | None, actions: int) -> Array:
    """The queries as an int32 array; None for all of the leader's observations, in order, if their number is known.

    They are `[Q]`, or `[Q, actions**(Q-1)]` where each depends on the answers before it.
    """
    if queries is None and observations is not None:
        return jnp.arange(observations, dtype=jnp.int32)
    expected = f"queries: expected whole numbers, one an observation of the leader, got {queries!r}"
    try:
        found = queries if isinstance(queries, jax.Array) else np.asarray(queries)
    except (TypeError, ValueError) as error:  # NumPy's say neither which argument nor what is expected
        raise TypeError(expected) from error
    if found.ndim not in (1, 2) or not jnp.issubdtype(found.dtype, jnp.integer):
        raise TypeError(expected)
    if found.ndim == 2 and (found.shape[0] == 0 or found.shape[1] != actions ** (found.shape[0] - 1)):
        raise ValueError(
            f"queries: expected rows of {actions}^(Q-1) columns for Q adaptive queries, got the shape {found.shape}"
        )
    if concrete(found):
        rows = np.atleast_2d(np.asarray(found).T).T
        used = [row if found.ndim == 1 else row[: actions**k] for k, row in enumerate(rows)]
        check_observations(np.concatenate(used) if used else [], observations)
    return jnp.asarray(found, jnp.int32)


def check_observations(queries: Any, observations: int | None) -> None:
    """A `ValueError` unless the leader has the observations that are asked about."""
    high = np.inf if observations is None else observations
    wrong = [int(q) for q in queries if not 0 <= q < high]
    if wrong:
        of = "" if observations is None else f" of the {observations} that the leader has"
        raise ValueError(f"queries: expected observations{of}, counted from 0, got {wrong}")


def counts(episodes: Any, parallel: Any) -> tuple[int, int]:
    """The number of episodes, and how many of them are played at once."""
    episodes, parallel = whole("episodes", episodes), whole("parallel", parallel)
    if episodes % parallel:
        raise ValueError(f"episodes: expected a multiple of parallel={parallel}, got {episodes}")
    return episodes, parallel


def learning_rate(step: Any) -> Schedule:
    """A schedule of the earlier updates of an entry, checked if it is a number."""
    if not callable(step):
        number(step, "step", 0.0)
        _check_at_most_one("step", step)
    return as_schedule(step, "step")


def check_exploration(exploration: Any) -> None:
    """A probability above 0."""
    number(exploration, "exploration", 0.0)
    _check_at_most_one("exploration", exploration)


def check_restarts(restarts: Any) -> None:
    """A probability, 0 included."""
    number(restarts, "restarts", 0.0, open_low=False)
    _check_at_most_one("restarts", restarts)


def _check_at_most_one(name: str, value: Any) -> None:
    if concrete(value) and np.any(np.asarray(value) > 1):
        raise ValueError(f"{name}: expected at most 1, got {value}")


def episode_length(horizon: int | None, length: int | None) -> int:
    """The horizon, or the `length` of training episodes in a game without one."""
    if horizon is not None:
        if length not in (None, horizon):
            raise ValueError(f"length: the game's horizon is {horizon}, got {length}")
        return int(horizon)
    if length is None:
        raise ValueError("length: a discounted game needs the number of steps after which a training episode is cut")
    return whole("length", length)
