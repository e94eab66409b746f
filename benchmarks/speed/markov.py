"""Markov games, 1000 leaders at once on one thread: exact best responses and sampled episodes against NumPy.

The peer is vectorised over the leaders, as one writes it in NumPy: backward induction over the horizon, policy
iteration (a batched `linalg.solve`) with a discount, episodes by comparing uniform numbers with cumulative
probabilities. All are first shown to agree: the values of best responses to 1e-9 in float64, the episodes, from the
same uniform numbers, exactly. They are timed in float32, in the iterated prisoner's dilemma.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.harness import interleaved, ratio, spread
from stackjax._calculus import markov, rollouts
from stackjax.games import IteratedMatrixGame, MarkovGame

LEADERS, HORIZON, DISCOUNT = 1000, 10, 0.96
AGREEMENT = 1e-9
#: Calls in one measurement: a call takes about a millisecond.
CALLS = 20


def games() -> dict[str, MarkovGame]:
    """Over a horizon and discounted, in JAX's default type."""
    stage = IteratedMatrixGame.prisoners_dilemma(DISCOUNT)
    return {"horizon": MarkovGame.repeated(stage, horizon=HORIZON), "discounted": MarkovGame.repeated(stage)}


def leaders(dtype: Any) -> np.ndarray:
    """Policies `[leaders, 5, 2]`."""
    return np.random.default_rng(0).dirichlet(np.ones(2), size=(LEADERS, 5)).astype(dtype)


def responses(game: MarkovGame) -> Callable:
    """Ours: the best response to each leader and both players' payoffs."""

    def one(leader: Any) -> Any:
        response = game.best_response(1, (leader, None))
        return response, jnp.stack(game.payoffs(leader, response))

    return jax.jit(jax.vmap(one))


def responses_numpy(game: MarkovGame) -> Callable:
    """The same in NumPy, with ties for the leader."""
    moves, initial = np.asarray(game.transitions), np.asarray(game.initial)
    paid, owed = (np.asarray(r) for r in game.rewards)
    states, _, actions, _ = moves.shape
    slack = markov.TIE[moves.itemsize] * np.abs(owed).max()

    def choose(own: Any, leader: Any, slack: Any) -> Any:
        tied = own >= own.max(-1, keepdims=True) - slack
        return np.where(tied, leader, -np.inf).argmax(-1)

    def taken(table: Any, choice: Any) -> Any:
        return np.take_along_axis(table, choice[..., None], -1)[..., 0]

    def over_horizon(move: Any, own: Any, leader: Any) -> Any:
        value_own = value_leader = np.zeros(own.shape[:2], own.dtype)
        policy = np.zeros((len(own), HORIZON, states, actions), own.dtype)
        for t in reversed(range(HORIZON)):
            q_own = own + np.einsum("lsaz,lz->lsa", move, value_own)
            q_leader = leader + np.einsum("lsaz,lz->lsa", move, value_leader)
            choice = choose(q_own, q_leader, slack * HORIZON)
            value_own, value_leader = q_own.max(-1), taken(q_leader, choice)
            np.put_along_axis(policy[:, t], choice[..., None], 1, -1)
        return policy, np.stack([value_leader @ initial, value_own @ initial], -1) / HORIZON

    def iterated(move: Any, rewards: Any, allowed: Any) -> Any:
        choice = np.where(allowed, rewards, -np.inf).argmax(-1)
        threshold = 16 * np.finfo(rewards.dtype).eps * np.abs(rewards).max() / (1 - DISCOUNT)
        while True:
            chosen = np.take_along_axis(move, choice[..., None, None], 2)[:, :, 0]
            reward = taken(rewards, choice)
            value = np.linalg.solve(np.eye(states, dtype=move.dtype) - DISCOUNT * chosen, reward[..., None])[..., 0]
            q = rewards + DISCOUNT * np.einsum("lsaz,lz->lsa", move, value).astype(rewards.dtype)
            ranked = np.where(allowed, q, -np.inf)
            better = ranked.max(-1) > taken(q, choice) + threshold
            if not better.any():
                return choice, value, q
            choice = np.where(better, ranked.argmax(-1), choice)

    def discounted(move: Any, own: Any, leader: Any) -> Any:
        _, value_own, q = iterated(move, own, np.ones(own.shape, bool))
        tied = q >= q.max(-1, keepdims=True) - slack / (1 - DISCOUNT)
        choice, value_leader, _ = iterated(move, leader, tied)
        values = np.stack([value_leader @ initial, value_own @ initial], -1) * (1 - DISCOUNT)
        return np.eye(actions, dtype=own.dtype)[choice], values

    def run(leader: Any) -> Any:
        move = np.einsum("lsa,sabz->lsbz", leader, moves)
        own, theirs = (np.einsum("lsa,sab->lsb", leader, r) for r in (owed, paid))
        return (over_horizon if game.horizon else discounted)(move, own, theirs)

    return run


def episodes(game: MarkovGame) -> Callable:
    """Ours: what an episode of each leader, whose follower plays at random, pays both, from uniform numbers."""
    follower = jnp.full(game.policy_shape(1), 0.5)

    def one(uniforms: Any, leader: Any) -> Any:
        played = game.episode(uniforms, leader, follower)
        return jnp.stack([jnp.mean(rollouts.rewards_of(played, r)) for r in game.rewards])

    return jax.jit(jax.vmap(one))


def episodes_numpy(game: MarkovGame) -> Callable:
    """The same in NumPy, one time after the other."""
    cumulative = np.cumsum(np.asarray(game.transitions), -1)
    rewards = [np.asarray(r) for r in game.rewards]

    def run(uniforms: Any, leader: Any) -> Any:
        states, rows = np.zeros(len(leader), np.int32), np.arange(len(leader))
        paid = np.zeros((2, len(leader)), leader.dtype)
        for t in range(HORIZON):
            a = (leader[rows, states, 0] <= uniforms.actions[:, t, 0]).astype(int)
            b = (uniforms.actions[:, t, 1] >= 0.5).astype(int)
            paid += [r[states, a, b] for r in rewards]
            states = (cumulative[states, a, b, :-1] <= uniforms.moves[:, t, None]).sum(-1)
        return (paid / HORIZON).T

    return run


def _agree(ours: Any, theirs: Any, bound: float) -> float:
    difference = float(np.max(np.abs(np.asarray(ours) - theirs)))
    if not difference <= bound:
        raise AssertionError(f"ours and NumPy's differ by {difference}")
    return difference


def _often(run: Callable, *arguments: Any) -> Callable:
    return lambda: [jax.block_until_ready(run(*arguments)) for _ in range(CALLS)]


def main(repetitions: int = 9) -> dict[str, Any]:
    """Measure all cases."""
    found: dict[str, Any] = {}
    with jax.enable_x64(True):
        differences = {
            name: _agree(
                responses(game)(leaders(np.float64))[1], responses_numpy(game)(leaders(np.float64))[1], AGREEMENT
            )
            for name, game in games().items()
        }
    policies = leaders(np.float32)
    for name, game in games().items():
        runs = {
            "ours": _often(responses(game), jnp.asarray(policies)),
            "numpy": _often(responses_numpy(game), policies),
        }
        found[f"best responses, {name}"] = _figures(runs, repetitions) | {"largest_difference": differences[name]}
    game = games()["horizon"]
    uniforms = jax.vmap(game.uniforms)(jax.random.split(jax.random.key(0), LEADERS))
    known = jax.tree.map(np.asarray, uniforms)
    ours, theirs = episodes(game), episodes_numpy(game)
    difference = _agree(ours(uniforms, jnp.asarray(policies)), theirs(known, policies), 1e-5)
    runs = {"ours": _often(ours, uniforms, jnp.asarray(policies)), "numpy": _often(theirs, known, policies)}
    found["episodes"] = _figures(runs, repetitions) | {"largest_difference": difference}
    return found


def _figures(runs: dict[str, Callable], repetitions: int) -> dict[str, Any]:
    seconds = interleaved(runs, repetitions)
    thousands = {
        f"{who}_thousand_leaders_per_second": [CALLS * LEADERS / 1e3 / s for s in v] for who, v in seconds.items()
    }
    return {name: spread(values) for name, values in thousands.items()} | {
        "numpy_over_ours": ratio(seconds, "numpy", "ours")
    }
