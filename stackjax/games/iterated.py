"""Infinitely repeated 2x2 games between players who remember the last outcome, valued in closed form."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from stackjax.checks import as_number, number
from stackjax.protocols import Action, Game
from stackjax.spaces import Euclidean

_Matrix: TypeAlias = list[list[Any]]


class IteratedMatrixGame(Game):
    """A 2x2 game repeated for ever by players who remember its last outcome; an action is a whole policy, five logits.

    In every stage both players choose C, the first action, or D. The states are start, CC, CD, DC and DD, for *both*
    players with the leader's action first, and `sigmoid(logit)` is the probability of C there. The payoffs are
    `(1 - discount) sum_t discount^t r_t`, r_t the expected payoffs of stage t = 0, 1, ...: exact, smooth in the logits,
    and in the units of the matrices. The prisoner's dilemma with discount .96 is the one of Foerster et al., Learning
    with Opponent-Learning Awareness (2018), with exact value functions.

    Some deterministic policy is always a best response, and its logits are infinite: no equilibria are listed.

    **Arguments:**

    - `leader_payoffs`, `follower_payoffs`: of a stage, finite, 2x2, the leader's action the row. Nested sequences and
      2x2 NumPy arrays are kept as Python numbers, which all replicates share; an array `[batch, 2, 2]` is for
      `play(in_axes=)`.
    - `discount`: in [0, 1), 0 being the game played once; an array of discounts is for `in_axes` too.

    **Raises:** `ValueError` or `TypeError` that names the argument.

    >>> import jax.numpy as jnp
    >>> from stackjax.games import IteratedMatrixGame
    >>> game = IteratedMatrixGame.prisoners_dilemma(discount=0.9)
    >>> tit_for_tat, defector = jnp.array([30.0, 30.0, -30.0, 30.0, -30.0]), jnp.full(5, -30.0)
    >>> [round(float(payoff), 3) for payoff in game.payoffs(tit_for_tat, defector)]
    [-2.1, -1.8]
    """

    leader_payoffs: Any
    follower_payoffs: Any
    discount: Any
    levels = ((0,), (1,))

    def __init__(self, leader_payoffs: Any, follower_payoffs: Any, discount: Any = 0.96):
        self.leader_payoffs = _matrix(leader_payoffs, "leader_payoffs")
        self.follower_payoffs = _matrix(follower_payoffs, "follower_payoffs")
        shapes = [np.shape(m) for m in (self.leader_payoffs, self.follower_payoffs) if not isinstance(m, tuple)]
        if len(set(shapes)) > 1:
            raise ValueError(f"leader_payoffs, follower_payoffs: expected the same shapes, got {shapes}")
        number(discount, "discount", 0.0, open_low=False, high=1.0)
        self.discount = as_number(discount)

    @classmethod
    def prisoners_dilemma(cls, discount: Any = 0.96) -> "IteratedMatrixGame":
        """C keeps silent, D confesses: each pays 1, 2 if both confess, and 3 for silence while the other confesses."""
        return cls(((-1, -3), (0, -2)), ((-1, 0), (-3, -2)), discount)

    @classmethod
    def matching_pennies(cls, discount: Any = 0.96) -> "IteratedMatrixGame":
        """The leader wins 1 if both choose the same, and the follower otherwise."""
        return cls(((1, -1), (-1, 1)), ((-1, 1), (1, -1)), discount)

    @classmethod
    def stag_hunt(cls, discount: Any = 0.96) -> "IteratedMatrixGame":
        """C hunts the stag: 4 for both together, 1 alone; D the hare: 3 alone, 2 together."""
        return cls(((4, 1), (3, 2)), ((4, 3), (1, 2)), discount)

    @classmethod
    def chicken(cls, discount: Any = 0.96) -> "IteratedMatrixGame":
        """C swerves: 3 for both together, 1 alone; D drives on: 4 alone, 0 for both together."""
        return cls(((3, 1), (4, 0)), ((3, 4), (1, 0)), discount)

    @classmethod
    def battle_of_the_sexes(cls, discount: Any = 0.96) -> "IteratedMatrixGame":
        """Together at C: 3 for the leader and 2 for the follower; together at D: 2 and 3; apart: nothing."""
        return cls(((3, 0), (0, 2)), ((2, 0), (0, 3)), discount)

    @property
    def spaces(self) -> tuple[Euclidean, Euclidean]:
        """Five logits a player."""
        return Euclidean((5,)), Euclidean((5,))

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """Expected discounted payoffs, scaled by `1 - discount`."""
        return _payoffs(*actions, self.leader_payoffs, self.follower_payoffs, self.discount)

    def outcomes(self, *actions: Action) -> Float[Array, "2 2"]:
        """How often each outcome occurs, discounted like the payoffs: rows the leader's action; they sum to 1."""
        shares = _shares(*actions, self.discount)
        return jnp.stack([*shares, 1 - sum(shares)]).reshape(2, 2)


def _matrix(value: Any, name: str) -> Any:
    """Two rows of Python numbers, which keep their precision whatever JAX's default is, or an array."""
    if isinstance(value, jax.Array | np.ndarray) and not (isinstance(value, np.ndarray) and value.ndim == 2):
        if value.ndim not in (2, 3) or value.shape[-2:] != (2, 2):
            raise ValueError(f"{name}: expected the shape (2, 2) or (batch, 2, 2), got {value.shape}")
        matrix = as_number(jnp.asarray(value))
    else:
        rows = value.tolist() if isinstance(value, np.ndarray) else value
        if not _is_pair(rows) or not all(_is_pair(row) for row in rows):
            raise ValueError(f"{name}: expected a 2x2 matrix, got {value!r}")
        matrix = tuple(tuple(as_number(entry) for entry in row) for row in rows)
    for entry in jax.tree.leaves(matrix):
        number(entry, name, -float("inf"))
    return matrix


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence | jax.Array | np.ndarray) and len(value) == 2


@jax.jit(inline=True)
def _payoffs(x: Array, y: Array, leader: Any, follower: Any, discount: Any) -> tuple[Scalar, ...]:
    shares = _shares(x, y, discount)
    stages = [[matrix[i][j] for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))] for matrix in (leader, follower)]
    shares = [*shares, 1 - sum(shares)]
    return tuple(sum(d * r for d, r in zip(shares, stage, strict=True)) for stage in stages)


@jax.jit(inline=True)
def _shares(x: Array, y: Array, discount: Any) -> list[Scalar]:
    """d: how often, discounted, the outcome is CC, CD and DC.

    With v the first outcome's distribution and P their transitions, `d' = (1 - discount) v' + discount d' P`. DD, whose
    share is 1 less the others, is eliminated: `d' (I - discount M) = (1 - discount) v' + discount P_DD'` with
    `M_sa = P_sa - P_DD,a`, s and a in CC, CD, DC. M has the eigenvalues of P without its largest, 1, so that, unlike
    the system of four, this one doesn't become singular as the discount tends to 1.
    """
    # Scalars, which XLA fuses over the replicates. None of them depends on the discount alone, like `1 - discount`: XLA
    # would take it out of play's loop, once for each use, and no longer see that all uses solve the same system.
    p, q = ([jax.nn.sigmoid(logit) for logit in _entries(logits)] for logits in (x, y))
    first, *rows, last = [(a * b, a * (1 - b), (1 - a) * b) for a, b in zip(p, q, strict=True)]
    moves = [[discount * (to - other) for to, other in zip(row, last, strict=True)] for row in rows]
    known = [start + discount * (other - start) for start, other in zip(first, last, strict=True)]
    factors = _factorise(jax.lax.stop_gradient(moves))
    shares: list[Scalar] = jax.lax.custom_linear_solve(
        lambda d: [d[a] - sum(d[s] * moves[s][a] for s in range(3)) for a in range(3)],
        known,
        solve=lambda _, b: _solve([list(column) for column in zip(*factors, strict=True)], b),
        transpose_solve=lambda _, b: _solve(factors, b),
    )
    return shares


def _entries(logits: Array) -> list[Scalar]:
    # A split, as its transpose is one concatenation; that of five slices is a sum of five padded arrays.
    return [jnp.reshape(part, ()) for part in jax.lax.split(jnp.asarray(logits), (1,) * 5)]


def _factorise(moves: _Matrix) -> _Matrix:
    """F, with the pivots D on its diagonal, -L below and -U above it: `I - moves = (D + L) D^-1 (D + U)`.

    No pivoting: the k-th leading minor of `I - discount M` is what that matrix' determinant would be if all transitions
    to the other states led to DD instead, so a product of `1 - discount * eigenvalue`, and positive.
    """
    rows = [list(row) for row in moves]
    for k, pivot in enumerate(rows):
        pivot[k] = 1 - pivot[k]
        for row in rows[k + 1 :]:
            factor = row[k] / pivot[k]
            row[k + 1 :] = [a + factor * b for a, b in zip(row[k + 1 :], pivot[k + 1 :], strict=True)]
    return rows


def _solve(factors: _Matrix, vector: list[Scalar]) -> list[Scalar]:
    # Divided by the pivots, not multiplied with their inverses: XLA stores a quotient that is used more than once, and
    # computes all that leads to a product again for each use.
    x = list(vector)
    for k, column in enumerate(zip(*factors, strict=True)):
        quotient = x[k] / column[k]
        x[k + 1 :] = [a + f * quotient for a, f in zip(x[k + 1 :], column[k + 1 :], strict=True)]
    for k, row in reversed(list(enumerate(factors))):
        x[k] = (x[k] + sum(f * a for f, a in zip(row[k + 1 :], x[k + 1 :], strict=True))) / row[k]
    return x
