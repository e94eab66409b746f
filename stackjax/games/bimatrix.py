"""Bimatrix games in mixed strategies: one payoff matrix a player, strategies as softmax logits."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from stackjax.checks import as_number, concrete
from stackjax.protocols import Action, Game
from stackjax.spaces import Euclidean


class Bimatrix(Game):
    """`f_1 = p' U_1 q` and `f_2 = p' U_2 q` with `p = softmax(x)`, `q = softmax(y)`: the leader chooses rows.

    A player's action is its logits. The exact commitment of the leader to a mixed strategy is
    `stackjax.equilibria.optimal_commitment(game.leader_payoffs, game.follower_payoffs)`; `logits` turns what it returns
    into an action.

    There is no best response in logits (a pure reply lies at infinity), and no differential Nash or Stackelberg
    equilibrium either: shifting all the logits of a player changes nothing, so that every Hessian is singular.

    **Arguments:** `leader_payoffs`, `follower_payoffs`: finite matrices `[A, B]`, in units of payoff; A actions of the
    leader, B of the follower.

    **Raises:** `TypeError` or `ValueError` that names the argument.

    >>> from stackjax.games import Bimatrix
    >>> game = Bimatrix([[2, 4], [1, 3]], [[1, 0], [0, 1]])
    >>> [float(payoff) for payoff in game.payoffs(*game.logits([0.5, 0.5], [0.0, 1.0]))]
    [3.5, 0.5]
    """

    leader_payoffs: Float[Array, "A B"]
    follower_payoffs: Float[Array, "A B"]
    levels = ((0,), (1,))

    def __init__(self, leader_payoffs: Any, follower_payoffs: Any):
        names = ("leader_payoffs", "follower_payoffs")
        self.leader_payoffs, self.follower_payoffs = payoff_matrices(
            (leader_payoffs, follower_payoffs), names, jnp.asarray
        )

    @property
    def spaces(self) -> tuple[Euclidean, Euclidean]:
        """All logits."""
        rows, columns = self.leader_payoffs.shape[-2:]
        return Euclidean((rows,)), Euclidean((columns,))

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """Expected payoffs."""
        p, q = self.strategies(*actions)
        return p @ (self.leader_payoffs @ q), p @ (self.follower_payoffs @ q)

    def strategies(self, *logits: Action) -> tuple[Array, ...]:
        """The mixed strategies that the logits stand for: one array of probabilities a player."""
        return tuple(jax.nn.softmax(jnp.asarray(x)) for x in logits)

    def logits(self, *strategies: Any) -> tuple[Array, ...]:
        """Logits that stand for the mixed `strategies`, in the matrices' type.

        A probability of zero becomes the type's smallest positive one, as its own logit would be infinite.
        """
        dtype = self.leader_payoffs.dtype
        least = jnp.finfo(dtype).tiny
        return tuple(jnp.log(jnp.maximum(jnp.asarray(p, dtype), least)) for p in strategies)


def payoff_matrices(
    payoffs: tuple[Any, Any], names: tuple[str, str], convert: Callable[[Any], Any], batch: bool = False
) -> tuple[Any, Any]:
    """The two matrices of a bimatrix game as floating-point arrays, checked as far as their values are known.

    `convert` is `jnp.asarray` or `np.asarray`. With `batch` they may also be those of several games, `[N, A, B]`.
    Errors name the arguments, by `names`.
    """
    matrices = tuple(_matrix(*pair, convert, batch) for pair in zip(payoffs, names, strict=True))
    if matrices[0].shape != matrices[1].shape:
        raise ValueError(
            f"{names[0]}, {names[1]}: expected matrices of the same shape (the leader chooses the row in both), "
            f"got {matrices[0].shape} and {matrices[1].shape}"
        )
    return matrices[0], matrices[1]


def _matrix(payoffs: Any, name: str, convert: Callable[[Any], Any], batch: bool) -> Any:
    if hasattr(payoffs, "dtype") or not concrete(payoffs):
        matrix = convert(payoffs)
    else:
        try:
            matrix = np.asarray(payoffs)
        except ValueError as error:  # rows of different lengths
            raise TypeError(f"{name}: expected a matrix of numbers, got {payoffs!r}") from error
    if not any(jnp.issubdtype(matrix.dtype, kind) for kind in (jnp.floating, jnp.integer)):
        raise TypeError(f"{name}: expected a matrix of real numbers, got {payoffs!r}")
    matrix = as_number(convert(matrix))
    if matrix.ndim != 2 and not (batch and matrix.ndim == 3):
        several = " or several [N, A, B]" if batch else ""
        raise ValueError(f"{name}: expected a matrix [A, B]{several}, got the shape {matrix.shape}")
    if 0 in matrix.shape[-2:]:
        raise ValueError(f"{name}: expected at least one action a player, got the shape {matrix.shape}")
    if concrete(matrix) and not np.all(np.isfinite(np.asarray(matrix))):
        raise ValueError(f"{name}: expected finite numbers, got {payoffs!r}")
    return matrix
