"""What the leader of a Markov game can get at most: by enumeration, against sampled answers, and without foresight."""

import functools
import itertools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from stackjax.checks import whole
from stackjax.games import MarkovGame, OracleGame
from stackjax.games._checks import scalar
from stackjax.learners import ContextualFollower

#: The most deterministic leaders that are enumerated.
MOST_LEADERS = 65_536
#: Best deterministic leaders, and random ones, from which the ascent to the optimum of sampled answers starts.
_STARTS = 16
_CERTAIN = 2.0  # logits of a deterministic leader's start: it chooses its action with probability .98


class Leaders(NamedTuple):
    """Leaders of a Markov game, the best first: `policies [n, O, A]`, `values [n]`, and the tie rule of the latter."""

    policies: Float[Array, "n O A"]
    values: Float[Array, " n"]
    ties: str


def deterministic_leaders(game: MarkovGame, ties: str = "optimistic") -> Leaders:
    """All deterministic memoryless leaders, with their exact values against exact best responses.

    The first is the optimum over deterministic leaders. A stochastic one may be better: with `ties="optimistic"` by as
    much as a supremum that no learner reaches.

    **Arguments:** `game`: of a memoryless leader and one follower who sees the state; `ties`: "optimistic", those of
    the follower are broken for the leader, or "pessimistic", against it.

    **Raises:** `ValueError` for other games, and above 65536 leaders.
    """
    _check(game)
    observations, actions = game.observation_counts[0], game.action_counts[0]
    if actions**observations > MOST_LEADERS:
        raise ValueError(
            f"game: expected at most {MOST_LEADERS} deterministic leaders to enumerate, got {actions}^{observations}"
        )
    patterns = np.array(list(itertools.product(range(actions), repeat=observations)), np.int32)
    policies = jax.nn.one_hot(patterns, actions, dtype=game.transitions.dtype)
    values = committed_values(game, policies, ties)
    order = jnp.argsort(-values, stable=True)
    return Leaders(policies[order], values[order], ties)


@eqx.filter_jit
def committed_values(game: MarkovGame, policies: Float[Array, "n O A"], ties: str) -> Float[Array, " n"]:
    """The leader's exact values of policies, given as probabilities, against exact best responses, ties as named."""

    def value(policy: Array) -> Array:
        leader = jnp.log(policy) if 0 in game.logits else policy
        return game.values(policy, game.best_response(1, (leader, None), ties))[0]

    return jax.vmap(value)(policies)


def answered_optimum(
    game: MarkovGame, oracle: Any, *, key: PRNGKeyArray | None = None, rounds: int = 400, step: float = 0.1
) -> Leaders:
    """The best that a memoryless leader gets from an oracle that sees sampled answers: `max_p sum_c P(c | p) V(p, c)`.

    Such an oracle answers what it was told, not the leader's policy. So a leader who randomises is answered by several
    policies, and this ceiling lies below the optimal commitment. Found by ascent (Adam) along the exact gradient of the
    `OracleGame` from the 16 best deterministic leaders, smoothed, and from 16 random ones: a lower bound of the
    maximum, equal to it where the best of those starts is in its basin.

    **Arguments:** `game`, as in `deterministic_leaders`; `oracle`, such as `ContextualFollower.exact(game)`; `key`: of
    the random starts; `rounds`, at least 1, and `step` > 0: of the ascent in logits.

    **Returns:** the ends of the ascents, and the deterministic leaders that they started from, the best first.
    """
    rounds = whole("rounds", rounds)
    scalar("step", step, 0.0)
    found = deterministic_leaders(game)
    some = found.policies[:_STARTS]
    shape = (_STARTS, *some.shape[1:])
    random = jax.random.normal(jax.random.key(0) if key is None else key, shape, some.dtype)
    starts = jnp.concatenate([_CERTAIN * (2 * some - 1), random])
    one = OracleGame(game, oracle)
    ends = _ascended(one, starts, rounds, step)
    certain = jnp.log(jnp.maximum(some, jnp.finfo(some.dtype).tiny))
    logits = jnp.concatenate([ends, certain])
    values = _paid(one, logits)
    order = jnp.argsort(-values, stable=True)
    return Leaders(jax.nn.softmax(logits[order]), values[order], game.ties)


@eqx.filter_jit
def _paid(game: OracleGame, logits: Array) -> Array:
    return jax.vmap(lambda x: game.payoffs(x)[0])(logits)


@functools.partial(jax.jit, static_argnames="rounds")
def _ascended(game: OracleGame, starts: Array, rounds: int, step: float) -> Array:
    optimizer = optax.adam(step)

    def ascend(carry: Any, _: None) -> tuple[Any, None]:
        x, memory = carry
        gradient = jax.vmap(jax.grad(lambda x: -game.payoffs(x)[0]))(x)
        with jax.numpy_dtype_promotion("standard"):  # Optax multiplies floats by its integer counters
            change, memory = optimizer.update(gradient, memory, x)
        return (optax.apply_updates(x, change), memory), None

    return jax.lax.scan(ascend, (starts, optimizer.init(starts)), None, rounds)[0][0]


def myopic_leader(game: MarkovGame) -> Float[Array, "O A"] | None:
    """The leader who takes the most of every step as if no other followed: None unless one action always pays most.

    In each observation it plays the action that pays it at least as much as any other in every state that may be
    observed so, whatever the follower does there: a dominant action of the stage.
    """
    _check(game)
    pays = np.asarray(game.rewards[0])  # [S, A_0, A_1]
    dominant = np.all(pays[:, :, None] >= pays[:, None] - 1e-9, axis=(2, 3))  # [S, A_0]
    seen = game.observations[0]
    possible = np.eye(len(pays), dtype=bool) if seen is None else np.asarray(seen) > 0
    rows = [np.all(dominant[states], axis=0) for states in possible.T]
    if not all(row.any() for row in rows):
        return None
    best = np.array([int(np.argmax(row)) for row in rows])
    return jax.nn.one_hot(best, game.action_counts[0], dtype=game.transitions.dtype)


def ground_truths(game: MarkovGame) -> dict[str, float]:
    """What a leader can get.

    - `optimum_optimistic`, `optimum_pessimistic`: the best deterministic leader, ties for it and against it.
    - `ceiling`: the best leader against an oracle that sees sampled answers to queries everywhere and responds exactly.
    - `myopic`: a leader who always takes what pays it most at once, ties as the game's; only if there is such an
      action.
    """
    found = {f"optimum_{t}": float(deterministic_leaders(game, t).values[0]) for t in ("optimistic", "pessimistic")}
    found["ceiling"] = float(answered_optimum(game, ContextualFollower.exact(game)).values[0])
    myopic = myopic_leader(game)
    if myopic is not None:
        found["myopic"] = float(committed_values(game, myopic[None], game.ties)[0])
    return found


def _check(game: Any) -> None:
    if not isinstance(game, MarkovGame):
        raise TypeError(f"game: expected a MarkovGame, got {game!r}")
    if game.levels != ((0,), (1,)) or game.clocked[0]:
        raise ValueError("game: expected a leader without a clock, and one follower")
