"""A player that doesn't learn."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from stackjax.protocols import Action, Calls, Learner, Noise, Seen, Signal, View, same_structure
from stackjax.schedules import as_number


class Fixed(Learner):
    """Plays the same `action` for ever: a pytree of arrays (or numbers) like its space's. It sees nothing.

    **Raises:** `ValueError` from `play` if the action lies outside the player's space or has another shape.
    """

    action: Action = eqx.field(converter=lambda action: jax.tree.map(as_number, action))
    wants = Signal(0)

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

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """None."""
        return Calls()
