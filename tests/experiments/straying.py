"""A learner of arms whose replicates fail."""

import jax
import jax.numpy as jnp

from stackjax.learners._bandit import Bandit


class Straying(Bandit):
    """Leaves the arms in its first round in about half of the replicates."""

    def init(self, view, key):
        return jnp.where(jax.random.uniform(key) < 0.5, 7, 1).astype(jnp.int32)

    def act(self, view, state, noise, seen):
        return state

    def update(self, view, state, noise, signals):
        return state
