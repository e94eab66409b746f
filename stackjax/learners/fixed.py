"""A player that doesn't learn."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from stackjax.checks import as_number
from stackjax.phases import LONGEST, Phased
from stackjax.protocols import Action, Calls, Noise, Seen, Signal, View, same_structure


class Fixed(Phased):
    """Plays the same `action` for ever: a pytree of arrays (or numbers) like its space's. It sees nothing.

    **Raises:** `ValueError` from `play` if the action lies outside the player's space or has another shape.
    """

    action: Action = eqx.field(converter=lambda action: jax.tree.map(as_number, action))
    wants = Signal(0)
    keeps_constraints = True  # what it plays was asked for, and doesn't move

    def requires(self, view: View) -> dict[str, Any]:
        """An action of the space."""
        struct = view.space.struct(view.dtype)
        shapes = [jnp.shape(x) for x in jax.tree.leaves(self.action)]
        if not same_structure(self.action, struct) or shapes != [s.shape for s in jax.tree.leaves(struct)]:
            raise ValueError(f"player {view.player}, Fixed: action: expected one like {struct}, got {self.action!r}")
        return {"action: it lies outside the space": view.space.contains(self.action)}

    def init(self, view: View, key: PRNGKeyArray) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def act(self, view: View, state: tuple[()], noise: Noise, seen: Seen) -> Action:
        """The action."""
        struct = view.space.struct(view.dtype)
        return jax.tree.map(lambda x, s: jnp.asarray(x).astype(s.dtype), self.action, struct)

    def committed(self, view: View, state: tuple[()]) -> Any:
        """For ever."""
        return LONGEST

    def pulls(self, view: View, state: tuple[()], plays: Array) -> Array:
        """All of the action's, if that is an arm; whatever the arms of those before it."""
        arm = jnp.asarray(self.action).astype(jnp.int32)
        return jnp.stack([jnp.where(arm == k, plays, 0) for k in range(view.arms)], -1)

    def absorb(self, view: View, state: tuple[()], pulls: Array, totals: Array) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """None."""
        return Calls()
