"""A game of arms, and a learner of them that plays dice and keeps what it met: what tests of counts count with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Learner, Record, Signal, play
from stackjax.games import StackelbergBandit

KEY = jax.random.key(3)
A, B, ROUNDS, REPLICATES = 3, 4, 12, 5
MEANS = np.random.default_rng(0).uniform(size=(2, A, B)).astype(np.float32)
GAME = StackelbergBandit(*MEANS, sigma=0.5)


class Dice(Learner):
    """Plays at random; keeps what it played, saw and was paid."""

    wants = Signal.PAYOFF | Signal.OTHERS

    def init(self, view, key):
        blank = jnp.full(2 * ROUNDS, -1, jnp.int32)
        return {"n": jnp.int32(0), "mine": blank, "other": blank, "paid": jnp.zeros(2 * ROUNDS, view.dtype)}

    def draw(self, view, key):
        return view.space.sample(key)

    def act(self, view, state, noise, seen):
        return noise

    def strategy(self, view, state, seen):
        return jnp.int32(0)

    def update(self, view, state, noise, signals):
        n = state["n"]
        return {
            "n": n + 1,
            "mine": state["mine"].at[n].set(signals.own),
            "other": state["other"].at[n].set(signals.actions[1 - view.player]),
            "paid": state["paid"].at[n].set(signals.payoff),
        }


def dice(**options):
    common = {"key": KEY, "rounds": ROUNDS, "replicates": REPLICATES, "record": Record.every(1)}
    return play(GAME, Dice(), Dice(), **{**common, **options})


def met(trace, rounds=ROUNDS):
    """What both players kept, `[replicates, rounds, 4]`: their arms and what they were paid."""
    (one, two) = trace.state
    np.testing.assert_array_equal(one["mine"], two["other"])
    np.testing.assert_array_equal(two["mine"], one["other"])
    columns = one["mine"], two["mine"], one["paid"], two["paid"]
    return np.stack([np.asarray(x, np.float64) for x in columns], -1)[..., :rounds, :]


def counted(arms):
    """Cumulative counts `[replicates, rounds, A, B]` of joint arms `[replicates, rounds, 2]`."""
    arms = arms.astype(int)
    return np.cumsum(np.eye(A * B, dtype=int)[arms[..., 0] * B + arms[..., 1]], axis=-2).reshape(*arms.shape[:-1], A, B)


def need_devices(n):
    if jax.device_count() < n:
        pytest.skip(f"needs {n} devices, there are {jax.device_count()}")
