"""What gradient-based learners share: the state, the step, and the step's noise. Each learner gives a direction."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from stackjax.checks import as_number, number
from stackjax.protocols import Action, Game, Learner, Noise, Seen, Signals, View
from stackjax.schedules import Schedule, as_schedule
from stackjax.spaces import Arms


class AscentState(NamedTuple):
    """The action, the number of updates so far, and the memory of an Optax optimiser or of the direction."""

    action: Action
    n: Int[Array, ""]
    memory: Any


def standard_normals(view: View, key: PRNGKeyArray) -> Action:
    """A standard normal pytree like the player's action."""
    leaves, structure = jax.tree.flatten(view.space.struct(view.dtype))
    keys = [key] if len(leaves) == 1 else jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure, [jax.random.normal(k, s.shape, s.dtype) for k, s in zip(keys, leaves, strict=True)]
    )


def _variance(value: Any) -> Any:
    """None for a variance of 0: no noise is drawn then."""
    return None if isinstance(value, int | float) and value == 0 else as_number(value)


class Ascent(Learner):
    """Steps along a direction: `z <- project(z + step(n) (direction + noise))`, or what an Optax optimiser makes of it.

    Subclasses give `direction` and `_signal`, which says where `update` takes the direction from.
    """

    step: Schedule | None
    optimizer: optax.GradientTransformation | None
    noise_variance: Any

    def __init__(self, step: Any = None, *, optimizer: Any = None, noise_variance: Any = 0.0):
        if (step is None) == (optimizer is None):
            raise ValueError(
                f"step, optimizer: expected exactly one of them, got step={step!r} and optimizer={optimizer!r}"
            )
        if optimizer is not None and not all(callable(getattr(optimizer, f, None)) for f in ("init", "update")):
            raise TypeError(f"optimizer: expected an Optax gradient transformation, got {optimizer!r}")
        self.step = None if step is None else as_schedule(step, "step")
        self.optimizer = optimizer
        if noise_variance is not None:  # as it is kept, so that a learner is made again from its fields
            number(noise_variance, "noise_variance", 0.0, open_low=False)
        self.noise_variance = _variance(noise_variance)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The ascent direction of `player` at a joint action: the unprojected displacement divided by the step."""
        raise NotImplementedError

    def _signal(self, view: View, state: AscentState, signals: Signals) -> Action:
        raise NotImplementedError

    def init(self, view: View, key: PRNGKeyArray) -> AscentState:
        """The start, or a sample of the space."""
        action = view.space.project(view.first_action(key))
        return AscentState(action, jnp.int32(0), () if self.optimizer is None else self.optimizer.init(action))

    def draw(self, view: View, key: PRNGKeyArray) -> Noise:
        """The estimator noise of this round, a standard normal pytree like the action; `()` without variance."""
        return () if self.noise_variance is None else standard_normals(view, key)

    def act(self, view: View, state: AscentState, noise: Noise, seen: Seen) -> Action:
        """The current action."""
        return state.action

    def update(self, view: View, state: AscentState, noise: Noise, signals: Signals) -> AscentState:
        """One step."""
        return self._stepped(view, state, noise, self._signal(view, state, signals))

    def _noisy(self, direction: Action, noise: Noise) -> Action:
        if self.noise_variance is None:
            return direction
        sd = jnp.sqrt(self.noise_variance)
        return jax.tree.map(lambda d, e: d + sd * e, direction, noise)

    def _stepped(self, view: View, state: AscentState, noise: Noise, direction: Action) -> AscentState:
        direction = self._noisy(direction, noise)
        if self.step is not None:
            step, memory = jnp.asarray(self.step(state.n)), state.memory
            moved = jax.tree.map(lambda x, d: x + step.astype(x.dtype) * d, state.action, direction)
        else:
            assert self.optimizer is not None  # exactly one of them, by construction
            descent = jax.tree.map(jnp.negative, direction)
            with jax.numpy_dtype_promotion("standard"):  # Optax multiplies floats by its integer counters
                change, memory = self.optimizer.update(descent, state.memory, state.action)
            moved = optax.apply_updates(state.action, change)
        return AscentState(view.space.project(moved), state.n + 1, memory)

    def requires(self, view: View) -> dict[str, Any]:
        """A space with a tangent, and a positive first step."""
        if isinstance(view.space, Arms):
            raise ValueError(
                f"player {view.player}: {type(self).__name__} follows gradients, and there are none in {view.space}"
            )
        return {} if self.step is None else {"step: expected a positive step": jnp.asarray(self.step(jnp.int32(0))) > 0}
