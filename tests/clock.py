"""A game whose payoffs are sums, and a learner that plays the clock: what tests of the loop count with."""

import functools

import jax.numpy as jnp

from stackjax import Learner, Signal
from stackjax.games import from_payoffs
from stackjax.spaces import Euclidean

LINE = Euclidean(())


@functools.cache  # a new function object would be a new program
def linear(players, **options):
    return from_payoffs(*[lambda *a: sum(a)] * players, spaces=[LINE] * players, **options)


class Clock(Learner):
    """Plays the number of its updates so far, plus `offset`: every round can be told from every other."""

    offset: float = 0.0
    wants = Signal(0)

    def init(self, view, key):
        return jnp.int32(0)

    def act(self, view, state, noise, seen):
        return state.astype(view.dtype) + self.offset

    def update(self, view, state, noise, signals):
        return state + 1
