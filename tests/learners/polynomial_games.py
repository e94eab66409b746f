"""Random polynomial games of `tests.transcriptions.coupled`, as games of stackjax."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from stackjax.games import from_payoffs
from stackjax.spaces import Euclidean
from tests.transcriptions import coupled

TWO, THREE = (3, 2), (2, 1, 2)


class Payoff(eqx.Module):
    """-L_i of `coupled.Costs`."""

    b: jax.Array
    Q: jax.Array
    U: jax.Array
    c: jax.Array
    q: jax.Array

    def __call__(self, *actions):
        z = flat(actions)
        s = self.U @ z
        return -(self.b @ z + z @ self.Q @ z / 2 + self.c @ s**3 / 6 + self.q @ s**4 / 24)


def flat(tree):
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def spaces_of(dims):
    """The leader acts with a pytree where there are two players."""
    if dims == TWO:
        return Euclidean({"gain": (2,), "offset": ()}), Euclidean((2,))
    return tuple(Euclidean((d,)) for d in dims)


def actions_of(z, dims):
    if dims == TWO:
        return {"gain": jnp.asarray(z[:2]), "offset": jnp.asarray(z[2])}, jnp.asarray(z[3:])
    return tuple(jnp.asarray(part) for part in np.split(z, np.cumsum(dims)[:-1]))


def game_of(costs, spaces=None):
    tensors = costs.b, costs.Q, costs.U, costs.c, costs.q
    payoffs = [Payoff(*(jnp.asarray(t[i]) for t in tensors)) for i in range(len(costs.dims))]
    return from_payoffs(*payoffs, spaces=spaces or spaces_of(costs.dims))


@eqx.filter_jit
def _directions(learner, game, actions, players):
    return flat([learner.direction(game, i, actions) for i in players])


def directions(learner, game, actions, players):
    """The directions of `players`, one after another; other numbers compile no other program."""
    learner, game = jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, float) else x, (learner, game))
    return _directions(learner, game, actions, players)


@functools.cache
def case(dims):
    """A game, and points in it [12, d]; the first is close to one with xi = 0. Not to be changed."""
    rng = np.random.default_rng({TWO: 24, THREE: 23}[dims])
    costs = coupled.random_costs(rng, dims, bowl=2.0)
    points = 0.5 * rng.normal(size=(12, sum(dims)))
    for _ in range(50):  # Newton
        points[0] -= np.linalg.solve(costs.H(points[0]), costs.xi(points[0]))
    assert np.abs(costs.xi(points[0])).max() < 1e-12
    points[0] += 0.003 * rng.normal(size=sum(dims))
    points.setflags(write=False)
    return costs, points
