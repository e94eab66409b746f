"""Symplectic gradient adjustment: ascent against the field's rotation."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from stackjax._calculus.shaping import arrays, field, inner, moved, plus, pulled, size_of
from stackjax.checks import as_number, number
from stackjax.learners._coupled import Coupled
from stackjax.protocols import Action, Calls, Game, View


class SymplecticGradientAdjustment(Coupled):
    """Ascent along `(v - lambda A^T v)_i`, A the antisymmetric part of the field's Jacobian. Coupled.

    v is the field of simultaneous ascent, J its Jacobian, `A = (J - J^T) / 2`. With alignment, lambda is `weight` times
    the sign of `-<v, J^T v> <A^T v, J^T v> / d + 1/10`, d the number of all players' coordinates, so that stable points
    attract and unstable ones repel. Balduzzi et al. (2018, The Mechanics of n-Player Differentiable Games), Algorithm
    1, who minimise: their xi is -v, their A is the negative of this one, their `grad H` is `J^T v`.

    **Arguments:** `step`, `optimizer`, `noise_variance`, as in `GradientAscent`; `align`: whether the sign is chosen
    (default) or always 1, static; `weight` >= 0, in units of action / gradient.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    weight: Any
    align: bool = eqx.field(static=True)

    def __init__(
        self,
        step: Any = None,
        *,
        align: bool = True,
        weight: Any = 1.0,
        optimizer: optax.GradientTransformation | None = None,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, optimizer=optimizer, noise_variance=noise_variance)
        if not isinstance(align, bool):
            raise TypeError(f"align: expected True or False, got {align!r}")
        number(weight, "weight", 0.0, open_low=False)
        self.align, self.weight = align, as_number(weight)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The own gradient, adjusted."""
        z = arrays(actions)
        if not self.align:
            v = field(game, z)
            turn = plus(pulled(game, player, z, v), -1, moved(game, player, z, v))
            return plus(v[player], -0.5 * self.weight, turn)
        v, pull = jax.vjp(functools.partial(field, game), z)
        along, (grad_h,) = jax.jvp(functools.partial(field, game), (z,), (v,))[1], pull(v)
        turned = plus(grad_h, -1, along)  # twice A^T v
        aligned = -inner(v, grad_h) * inner(turned, grad_h) / (2 * size_of(z)) + 0.1
        return plus(v[player], -0.5 * self.weight * jnp.sign(aligned), turned[player])

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient a player, and a Hessian-vector product a player for J^T v; as many for J v, or one unaligned."""
        players = len(view.game.spaces)
        return Calls(gradients=players, hessian_vector_products=players + (players if self.align else 1))
