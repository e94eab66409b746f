"""Games of the golden file, built from plain functions: what the certificates are tested on."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from stackjax import Game, equilibria
from stackjax.games import Quadratic, from_costs, from_payoffs
from stackjax.spaces import Box, Euclidean
from tests.transcriptions import equilibria as reference

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "differentiable_games.json").read_text())
LINE = Euclidean(())
CHAIN = ((0,), (1,), (2,))


def certify(game, *actions, replies=0, **options):
    """Without a search for other best responses, which is a program of its own to compile, unless it is asked for."""
    return equilibria.certify(game, *actions, replies=replies, **options)


#: As one program: operation by operation it would be a hundred.
implicit_gradient = eqx.filter_jit(equilibria.implicit_gradient)


def pair(leader, follower, spaces=(LINE, LINE)):
    return from_payoffs(leader, follower, spaces=spaces)


def quadratic_at_rest(leader, follower, d1=1, dims=(3, 4)):
    """The quadratic game with these payoff Hessians (the leader's d1 coordinates first), at rest at 0.

    With its transcription. Coordinates of their own, in which every curvature is -1, fill it up to `dims`: one compiled
    program serves all.
    """
    d2 = len(leader) - d1
    used = np.r_[0:d1, dims[0] : dims[0] + d2]
    Q = []
    for hessian in (leader, follower):
        q = np.eye(sum(dims))
        q[np.ix_(used, used)] = -np.array(hessian)
        Q.append(q)
    b = [np.zeros(sum(dims))] * 2
    return Quadratic(Q, b, dims), reference.quadratics(Q, b, dims)


class Polynomial(Game):
    """Two players with one number each, whose payoffs are `sum_jk C[j, k] x^j y^k`: one program serves all games."""

    leader: jax.Array  # C, [3, 5]
    follower: jax.Array
    spaces = (LINE, LINE)
    levels = ((0,), (1,))

    def payoffs(self, x, y):
        powers = jnp.stack([x**0, x, x**2]), jnp.stack([y**0, y, y**2, y**3, y**4])
        return tuple(powers[0] @ c @ powers[1] for c in (self.leader, self.follower))


def polynomial(leader, follower):
    """From coefficients by powers of x and y."""
    coefficients = np.zeros((2, 3, 5))
    for c, terms in zip(coefficients, (leader, follower), strict=True):
        for powers, value in terms.items():
            c[powers] = value
    return Polynomial(*coefficients)


class Dense(Game):
    """`Quadratic` in matrix products; that spells its payoffs out, which takes long to compile for several levels."""

    Q: tuple[jax.Array, ...]
    b: tuple[jax.Array, ...]
    dims: tuple[int, ...] = eqx.field(static=True)
    levels: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    @property
    def spaces(self):
        return tuple(Euclidean((d,)) for d in self.dims)

    def payoffs(self, *actions):
        z = jnp.concatenate(actions)
        return tuple(z @ (b - q @ z / 2) for q, b in zip(self.Q, self.b, strict=True))


def golden_quadratic(entry):
    """With its transcription."""
    if "dims" in entry:
        Q, b, dims = entry["Q"], entry["b"], tuple(entry["dims"])
    else:
        Q, b, dims = (entry["Q1"], entry["Q2"]), (entry["b1"], entry["b2"]), (3, 4)
    levels = CHAIN if "r3" in entry else None
    Q, b = [np.asarray(q) for q in Q], [np.asarray(v) for v in b]
    game = Quadratic(Q, b, dims) if len(dims) == 2 else Dense(tuple(Q), tuple(b), dims, levels or ((0,), (1, 2)))
    return game, reference.quadratics(Q, b, dims, levels)


def players(z, dims):
    return tuple(np.split(np.asarray(z), np.cumsum(dims)[:-1]))


def zero_sum_simple(space=LINE):
    def cost(u, v):
        return -(u**2) / 2 + 2 * u * v - v**2 + u**4 / 4 - v**4 / 4

    return from_costs(cost, lambda u, v: -cost(u, v), spaces=(space, space))


def zero_sum_fiez2020():
    def cost(u, v):
        return -((0.15 * u**2 + v) ** 2 + (0.25 * v**2 + u) ** 2) * jnp.exp(-0.01 * (u**2 + v**2))

    square = Box(-15.0, 15.0)
    return from_costs(cost, lambda u, v: -cost(u, v), spaces=(square, square))


def tandem():
    """Costs (x + y)^2 - 2x and (x + y)^2 - 2y as a quadratic game.

    Every point of the line x + y = 1 is a Nash equilibrium; against r(x) = 1 - x the leader never stops.
    """
    return Quadratic((np.full((2, 2), 2.0),) * 2, ([2.0, 0.0], [0.0, 2.0]), (1, 1))


def hamiltonian():
    """Payoffs xy and -xy: a centre."""
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    return Quadratic((-swap, swap), (np.zeros(2), np.zeros(2)), (1, 1))


class MemoryOne(eqx.Module):
    """A 2x2 game repeated by memory-one strategies (logits start, CC, ..., DD): discounted value times 1 - gamma."""

    payoffs: jax.Array
    gamma: jax.Array

    def __call__(self, x, y):
        p, q = jax.nn.sigmoid(x), jax.nn.sigmoid(y)
        joint = jnp.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], axis=-1)  # [5, 4]
        values = jnp.linalg.solve(jnp.eye(4) - self.gamma * joint[1:], jnp.ravel(self.payoffs))
        return (1 - self.gamma) * joint[0] @ values


def iterated(entry):
    leader, follower = (MemoryOne(jnp.asarray(entry[r]), jnp.asarray(entry["gamma"])) for r in ("R1", "R2"))
    return pair(leader, follower, (Euclidean((5,)), Euclidean((5,))))
