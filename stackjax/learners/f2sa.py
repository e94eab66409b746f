"""F2SA: the hierarchical gradient without second derivatives, from a penalty on what isn't a best response."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray, Scalar

from stackjax._calculus.shaping import arrays, plus
from stackjax.checks import number, whole
from stackjax.learners._ascent import AscentState
from stackjax.learners._coupled import Coupled
from stackjax.protocols import Action, Calls, Game, Noise, Signals, View, tree_where
from stackjax.schedules import Schedule, as_schedule


class PenaltyMemory(NamedTuple):
    """What F2SA carries along.

    **Attributes:** `optimizer`, the memory of the learner's Optax optimiser, if any; `answer`, the follower's action
    that leans towards the leader; how far that was `apart` from what the follower played in the last round.
    """

    optimizer: Any
    answer: Action
    apart: Scalar


class F2SA(Coupled):
    """Ascent along a penalised payoff's gradient, by first derivatives alone. Coupled.

    For `lambda > 0` let `L(x) = max_y (f1 + lambda f2)(x, y) - max_y lambda f2(x, y)`: the leader is paid for an answer
    of its own liking, less lambda times what that costs the follower. By the envelope theorem

    `grad L(x) = grad_x f1(x, y') + lambda (grad_x f2(x, y') - grad_x f2(x, y))`,

    with y the follower's best response and y' the maximiser of `f1 + lambda f2`. For y the learner takes what the
    follower plays, and y' it carries along: `y' <- project(y' + inner_step grad_y (f2 + f1 / lambda)(x, y'))`, a few
    times a round, from the follower's first action. Kwon, Kwon, Wright & Nowak (2023, A fully first-order method for
    stochastic bilevel optimization), Algorithm 1, with costs there; their step of y' is `inner_step / lambda`, and here
    it needn't shrink as lambda grows. They move the leader after both answers. Here it moves with the follower, so that
    y and y' are as old as each other: with one inner step a round, as long as the follower's own, what they lag behind
    x and what mini-batches do to both cancels to first order, and as lambda grows, `lambda (y - y')` becomes the v of
    `SOBA` with that step. With other inner steps lambda enlarges both, and the leader's step times lambda must be
    small.

    L is the leader's value `V(x) = f1(x, r(x))` and an excess that shrinks as `1 / lambda`: where f1 and f2 are
    quadratic with Hessians `M1` and `M2` in y, `L = V + s' (-M1 - lambda M2)^-1 s / 2`, s the slope `grad_y f1` at the
    best response. So with a constant lambda the leader comes to rest beside the equilibrium, unless s is 0 there, at a
    distance of the order of `1 / lambda`.

    It is assumed that f2 is strongly concave in y, and lambda so large that `f1 + lambda f2` is too; otherwise y' may
    run away. How far y' is `apart` from y is in the trace's reports: that should shrink as `1 / lambda`. Both answers
    may lie on the boundary of the follower's space. The direction's rounding errors grow as lambda.

    **Arguments:**

    - `step`, `optimizer`, `noise_variance`: as in `GradientAscent`, step None with an optimiser.
    - `inner_step` > 0, of y'; a number or a schedule of this learner's counter, in units of action^2 / the follower's
      payoff, as the follower's own step.
    - `penalty`: lambda > 0, likewise a number or, growing, a schedule, e.g. `PowerLaw(10.0, -1 / 3)`; in units of the
      leader's payoff / the follower's.
    - `inner_steps`: how many steps y' takes in a round, at least 1, static.

    **Raises:** `ValueError` or `TypeError` that names the argument; a `ValueError` for a player who isn't in the first
    of two levels, and for several followers, who have no payoff in common.
    """

    inner_step: Schedule
    penalty: Schedule
    inner_steps: int = eqx.field(static=True)

    def __init__(
        self,
        step: Any,
        inner_step: Any,
        penalty: Any,
        *,
        inner_steps: int = 1,
        optimizer: optax.GradientTransformation | None = None,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, optimizer=optimizer, noise_variance=noise_variance)
        for name, value in (("inner_step", inner_step), ("penalty", penalty)):
            if not callable(value):
                number(value, name, 0.0)
        self.inner_step, self.penalty = as_schedule(inner_step, "inner_step"), as_schedule(penalty, "penalty")
        self.inner_steps = whole("inner_steps", inner_steps)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The direction with the state's y'; without a state y' is y, and the direction the player's own gradient."""
        follower, z = _follower(game, player), arrays(actions)
        weight, answer = self.penalty(n), self._answer(z[follower], state)

        def penalised(x: Action) -> Scalar:
            paid, played = (game.payoffs(*_joint(z, {player: x, follower: y})) for y in (answer, z[follower]))
            return plus(paid[player], weight, paid[follower] - played[follower])

        return jax.grad(penalised)(z[player])

    def init(self, view: View, key: PRNGKeyArray) -> AscentState:
        """The start, or a sample of the space; y' is taken from the first round's actions."""
        space = view.game.spaces[_follower(view.game, view.player)]
        state = super().init(view, key)
        nothing = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), space.struct(view.dtype))
        return state._replace(memory=PenaltyMemory(state.memory, space.project(nothing), jnp.zeros((), view.dtype)))

    def update(self, view: View, state: AscentState, noise: Noise, signals: Signals) -> AscentState:
        """One step, and those of y'."""
        game, player, z = view.game, view.player, arrays(signals.actions)
        follower = _follower(game, player)
        space, first = game.spaces[follower], self._answer(z[follower], state)
        step, share = self.inner_step(state.n), 1 / jnp.asarray(self.penalty(state.n))

        def leaning(y: Action) -> Scalar:
            paid = game.payoffs(*_joint(z, {follower: y}))
            return plus(paid[follower], share, paid[player])

        def ascend(y: Action, _: None) -> tuple[Action, None]:
            return space.project(plus(y, step, jax.grad(leaning)(y))), None

        direction = self.direction(game, player, z, n=state.n, state=state)
        after = self._stepped(view, state._replace(memory=state.memory.optimizer), noise, direction)
        answer, _ = jax.lax.scan(ascend, first, None, length=self.inner_steps)
        apart = space.distance(*jax.lax.stop_gradient((first, z[follower])))
        return after._replace(memory=PenaltyMemory(after.memory, answer, apart))

    def report(self, view: View, state: AscentState) -> dict[str, Any]:
        """How far y' was `apart` from what the follower played in the last round."""
        return {"apart": state.memory.apart}

    def requires(self, view: View) -> dict[str, Any]:
        """A leader of two levels with one follower, spaces with a tangent, a positive penalty and first steps."""
        _follower(view.game, view.player)
        first = jnp.int32(0)
        return super().requires(view) | {
            "inner_step: expected a positive step": jnp.asarray(self.inner_step(first)) > 0,
            "penalty: expected a positive penalty": jnp.asarray(self.penalty(first)) > 0,
        }

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """Three gradients in the own action, and one of either payoff for each inner step."""
        return Calls(gradients=3 + 2 * self.inner_steps)

    def _answer(self, played: Action, state: AscentState | None) -> Action:
        return played if state is None else tree_where(state.n == 0, played, state.memory.answer)


def _joint(actions: tuple[Action, ...], new: dict[int, Action]) -> tuple[Action, ...]:
    return tuple(new.get(j, action) for j, action in enumerate(actions))


def _follower(game: Game, player: int) -> int:
    """The one follower of a leader."""
    if len(game.levels) != 2 or player not in game.levels[0] or len(game.levels[1]) != 1:
        raise ValueError(
            f"levels: F2SA expected a player of the first of two levels and one follower in the second, got player "
            f"{player} in {game.levels}"
        )
    return game.levels[1][0]
