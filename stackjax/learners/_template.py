"""A template for a new learner: copy this file, rename the class, and give it a line in `catalogue/learners.py`.

The example is a leader that ascends its own payoff by its gradient's sign, with a step that shrinks whenever its payoff
falls. It is complete and tested; every comment says what to think about in your own.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, Scalar

from stackjax.checks import as_number, number
from stackjax.protocols import Action, Learner, Noise, Seen, Signal, Signals, View


# What is remembered from round to round: arrays only, and the same shapes and types in every round. Count your own
# updates here if you read schedules. A value that never depends on the replicate is computed once for all of them.
class SignAscentState(NamedTuple):
    """The action, the number of updates, the current step, and the last payoff."""

    action: Action
    n: Int[Array, ""]
    step: Scalar
    payoff: Scalar


class SignAscent(Learner):
    """What it does, in a sentence, with its update as a formula: `z <- project(z + step_n sign(grad_z f_i))`.

    Where it is from (authors, year, equation or algorithm number), and what it sees: coupled or uncoupled. A
    reconstruction says that it is one.

    **Arguments:** each with its meaning, range, shape and unit: `step` > 0, in the units of the action; `shrink` in
    (0, 1), by which the step is multiplied after a round that paid less than the one before.

    **Raises:** `ValueError` for values out of range.
    """

    # The hyper-parameters. Numbers are leaves: they batch through `in_axes`, and other values don't recompile. Only
    # what changes shapes or the program is `eqx.field(static=True)`.
    step: Any
    shrink: Any

    # What it is shown. Anything else raises an error, which is what keeps an uncoupled learner uncoupled.
    wants = Signal.GRADIENT | Signal.PAYOFF

    def __init__(self, step: Any, shrink: Any = 0.9):
        number(step, "step", 0.0)
        number(shrink, "shrink", 0.0, high=1.0)
        self.step, self.shrink = as_number(step), as_number(shrink)

    # Only needed if the parameters must fit the game: messages that name the argument, with conditions.
    def requires(self, view: View) -> dict[str, Any]:
        """A positive step."""
        return {"step: expected a positive step": jnp.asarray(self.step) > 0}

    # `view` tells the player, its space, the start that was asked for and the floating-point type of the run. Only
    # `init` and `draw` get a key; a learner without randomness has no `draw`. States are finite: -inf is a failure.
    def init(self, view: View, key: PRNGKeyArray) -> SignAscentState:
        """The start or a sample of the space, and the first step."""
        action = view.space.project(view.first_action(key))
        step = jnp.asarray(self.step, view.dtype)
        return SignAscentState(action, jnp.int32(0), step, jnp.asarray(jnp.finfo(view.dtype).min, view.dtype))

    # `seen.actions` has the earlier levels' actions for a learner that wants COMMITMENT.
    def act(self, view: View, state: SignAscentState, noise: Noise, seen: Seen) -> Action:
        """The current action."""
        return state.action

    # What it returns is already projected: whatever `act` plays must lie in the space.
    def update(self, view: View, state: SignAscentState, noise: Noise, signals: Signals) -> SignAscentState:
        """One step."""
        step = jnp.where(signals.payoff < state.payoff, state.step * self.shrink, state.step)
        moved = jax.tree.map(lambda x, g: x + step * jnp.sign(g), state.action, signals.gradient)
        return SignAscentState(view.space.project(moved), state.n + 1, step, signals.payoff)

    # Scalars worth reading at record points; optional. `strategy` is only needed if what it would report differs from
    # what it plays, or if `act` uses noise, which reports have none of; `calls` only if it uses more or less than one
    # call of each signal in a round.
    def report(self, view: View, state: SignAscentState) -> dict[str, Any]:
        """The step."""
        return {"step": state.step}
