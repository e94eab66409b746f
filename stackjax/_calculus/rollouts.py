"""Sampled episodes of tabular Markov games, and the score functions of what was done in them."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Scalar

from stackjax._calculus.markov import UNROLLED, Table


def inverse_cdf(probabilities: Float[Array, "... n"], uniform: Float[Array, "..."]) -> Int[Array, "..."]:
    """The outcome that a uniform number in [0, 1) stands for, int32; never one of probability 0, up to rounding."""
    return beyond(thresholds(probabilities), uniform)


def thresholds(probabilities: Float[Array, "... n"]) -> Float[Array, "... m"]:
    """The uniform numbers at which one outcome ends and the next begins, m = n - 1."""
    n = probabilities.shape[-1]
    if n > UNROLLED:
        *ends, total = jnp.split(jnp.cumsum(probabilities, -1), [n - 1], -1)
    else:  # one by one: XLA's sums over windows are slow where they are short
        *ends, total = itertools.accumulate(jnp.split(probabilities, n, -1))
    return jnp.concatenate(ends, -1) / total if ends else probabilities[..., :0]


def beyond(ends: Float[Array, "... m"], uniform: Float[Array, "..."]) -> Int[Array, "..."]:
    """How many of the thresholds a uniform number has reached: the outcome, int32."""
    return jnp.sum(ends <= uniform[..., None], -1, dtype=jnp.int32)


class Episode(NamedTuple):
    """What happened at each of H times: `states [H]`, `observations` and `actions` `[H, N]`, all int32.

    `places [H]`: of the state and the joint action in a flat table `[S, A_0, ...]`.
    """

    states: Int[Array, " H"]
    observations: Int[Array, "H N"]
    actions: Int[Array, "H N"]
    places: Int[Array, " H"]


class Uniforms(NamedTuple):
    """The uniform numbers of an episode: `first` state, `observations [H, N]`, `actions [H, N]`, `moves [H]`."""

    first: Scalar
    observations: Float[Array, "H N"]
    actions: Float[Array, "H N"]
    moves: Float[Array, " H"]


def draw_uniforms(key: Array, horizon: int, players: int, dtype: jnp.dtype) -> Uniforms:
    """Uniform numbers for one episode."""
    flat = jax.random.uniform(key, (1 + horizon * (2 * players + 1),), dtype)
    table = flat[1:].reshape(horizon, 2 * players + 1)
    return Uniforms(flat[0], table[:, :players], table[:, players:-1], table[:, -1])


def rollout(
    uniforms: Uniforms,
    initial: Array,
    transitions: Table,
    policies: Sequence[Array],
    observations: Sequence[Array | None],
) -> Episode:
    """One episode between policies `[O_i, A_i]` or `[H, O_i, A_i]`; not differentiable."""
    timed = [policy if policy.ndim == 3 else None for policy in policies]
    # Flat tables: a gather by one number costs less than by several.
    ends = [thresholds(policy).reshape(-1, policy.shape[-1] - 1) for policy in policies]
    moves, shape = thresholds(transitions).reshape(-1, transitions.shape[-1] - 1), transitions.shape[:-1]
    seen = [None if e is None else thresholds(e) for e in observations]

    def step(state: Array, now: tuple[Array, Uniforms]) -> tuple[Array, tuple[Array, ...]]:
        t, (_, u_seen, u_act, u_move) = now
        o = [state if e is None else beyond(e[state], u) for e, u in zip(seen, u_seen, strict=True)]
        places = [i if when is None else t * when.shape[1] + i for i, when in zip(o, timed, strict=True)]
        a = [beyond(end[i], u) for end, i, u in zip(ends, places, u_act, strict=True)]
        place = state
        for n, action in zip(shape[1:], a, strict=True):
            place = place * n + action
        return beyond(moves[place], u_move), (state, jnp.stack(o), jnp.stack(a), place)

    horizon = uniforms.moves.shape[0]
    first = inverse_cdf(initial, uniforms.first)
    times = jnp.arange(horizon, dtype=jnp.int32)
    unused = jnp.broadcast_to(uniforms.first, (horizon,))
    unrolled = horizon <= UNROLLED
    return Episode(*jax.lax.scan(step, first, (times, uniforms._replace(first=unused)), unroll=unrolled)[1])


def rewards_of(episode: Episode, rewards: Table) -> Float[Array, " H"]:
    """What an episode paid at each time, by a table `[S, A_0, ...]`."""
    flat = rewards.ravel()
    if episode.places.shape[0] > UNROLLED:
        return flat[episode.places]
    # Time by time, as the places were found: gathered at once they are transposed first.
    return jnp.stack([flat[place] for place in episode.places])


def log_probabilities(episode: Episode, player: int, policy: Array) -> Float[Array, " H"]:
    """The logarithms of the probabilities with which a player did what it did in an episode."""
    o, a = episode.observations[:, player], episode.actions[:, player]
    if policy.ndim == 3:
        return jnp.log(policy[jnp.arange(o.shape[0]), o, a])
    return jnp.log(policy[o, a])


def still_to_come(rewards: Float[Array, " H"]) -> Float[Array, " H"]:
    """The sum of the rewards from each time on."""
    return jnp.cumsum(rewards[::-1])[::-1]


def with_score(value: Scalar, score: Scalar) -> Scalar:
    """The value, with the gradient of `score`: a score-function surrogate."""
    return jax.lax.stop_gradient(value) + (score - jax.lax.stop_gradient(score))
