"""The follower that answers at once: an oracle of the best response."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from stackjax._calculus.active import first_order_residual
from stackjax._calculus.response import best_reply, constrained_reply, joint_reply
from stackjax._constraints import Constraints, flat
from stackjax.arms import best
from stackjax.checks import as_number, number, whole
from stackjax.protocols import Action, Calls, Learner, Noise, Seen, Signal, Signals, View, level_of
from stackjax.spaces import Arms, Polytope


class AnswerState(NamedTuple):
    """The last answer, and the residual of its first-order conditions if it was a programme's (else None)."""

    action: Action
    residual: Scalar | None


class BestResponse(Learner):
    """Plays `argmax_y f_i(earlier actions, y)` against the actions of this round.

    In closed form where the game gives one (`Game.best_response`), else by a numerical search that starts from its last
    action: BFGS (Optimistix) where the space has no boundary, else projected gradient ascent, whose step for coordinate
    j is in a `Box` `1 / sum_k |H_jk|`, H the Hessian, and in other spaces the smallest of these. Where the game
    constrains the player, and in a `Polytope`, an interior-point method solves the programme, and the trace's reports
    have the `residual` of its first-order conditions (with multipliers; violations included). The search finds a local
    maximum, which is the best response where the payoff is concave and the constraints are convex; `starts` searches
    from other points, too. BFGS has also converged where rounding hides what a step along the gradient could still
    gain. If it doesn't converge, as where the constraints can't be met, the action is NaN, so that the replicate ends
    with that status and no made-up answer is played.

    **Several players who move together** answer with an equilibrium among themselves if each is a
    `BestResponse(joint=True)`: by their first-order conditions together, verified (the conditions hold, and nobody's
    payoff curves upwards), else NaN. It is coupled, and starts from 0 in every round, projected, so that all find the
    same one.

    **Arguments:**

    - `joint`: whether it answers together with the others of its level (static; default no).
    - `starts`: how many points a search starts from: its last action, and random ones of its space (static; default 1).
      The best of their ends is played.

    - `tolerance`: of the search, relative and absolute, in the units of the action; default: the square root of the
      floating-point resolution.
    - `max_steps`: of the search (default 1000).

    **Raises:** `ValueError` from `play` for a player whose payoff depends on actions that it can't have seen: those of
    players who move together with it (unless `joint`) or later.
    """

    tolerance: Any = eqx.field(default=None, converter=as_number)
    max_steps: int = eqx.field(static=True, default=1000)
    joint: bool = eqx.field(static=True, default=False)
    starts: int = eqx.field(static=True, default=1)

    keeps_constraints = True
    #: What it wants by itself; `wants` is a property of an instance.
    usually: ClassVar[Signal] = Signal.OWN_PAYOFF | Signal.COMMITMENT

    @property
    def wants(self) -> Signal:
        """Its own payoff function; jointly the others', too."""
        return Signal.GAME | Signal.COMMITMENT if self.joint else self.usually

    def __check_init__(self) -> None:
        if not isinstance(self.joint, bool):
            raise TypeError(f"joint: expected True or False, got {self.joint!r}")
        whole("starts", self.starts)
        if self.tolerance is not None:
            number(self.tolerance, "tolerance", 0.0)
        number(self.max_steps, "max_steps", 1, open_low=False)

    def init(self, view: View, key: PRNGKeyArray) -> AnswerState:
        """Where the first search starts: the start, or a sample of the space."""
        residual = jnp.zeros((), view.dtype) if self._is_programme(view) else None
        return AnswerState(view.space.project(view.first_action(key)), residual)

    def draw(self, view: View, key: PRNGKeyArray) -> Noise:
        """Other points to start from; `()` for none."""
        if self.starts == 1 or self.joint or isinstance(view.space, Arms):
            return ()
        return jax.vmap(lambda k: view.space.sample(k, view.dtype))(jax.random.split(key, self.starts - 1))

    def act(self, view: View, state: AnswerState, noise: Noise, seen: Seen) -> Action:
        """The best response to the actions seen."""
        if self.joint:
            return self._together(view, seen)
        check_last(view, seen, "BestResponse")
        answer = view.best_response(seen.actions)
        return self._search(view, state.action, noise, seen) if answer is None else answer

    def update(self, view: View, state: AnswerState, noise: Noise, signals: Signals) -> AnswerState:
        """The next search starts from this round's answer."""
        if state.residual is None:
            return AnswerState(signals.own, None)

        def payoff(action: Action) -> Scalar:
            return view.payoff_function(*_with(signals.actions, view.player, action))

        def constraints(action: Action) -> Constraints:
            return _constraints(view, signals.actions, action)

        return AnswerState(signals.own, first_order_residual(payoff, constraints, signals.own))

    def report(self, view: View, state: AnswerState) -> dict[str, Any]:
        """The `residual` of the first-order conditions at the last answer, if it was a programme's."""
        return {} if state.residual is None else {"residual": state.residual}

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """One solve."""
        return Calls(solves=1)

    def _is_programme(self, view: View) -> bool:
        """Whether the search is for the solution of a programme: there are constraints, or the space is a polytope."""
        if self.joint or isinstance(view.space, Arms):
            return False
        return isinstance(view.space, Polytope) or view.is_constrained

    def _search(self, view: View, last: Action, noise: Noise, seen: Seen) -> Action:
        if isinstance(view.space, Arms):
            return best(of_each_arm(view.payoff_function, view, seen))
        dtype = jax.tree.leaves(last)[0].dtype
        tolerance: Any = jnp.sqrt(jnp.finfo(dtype).eps) if self.tolerance is None else self.tolerance
        programme = self._is_programme(view)

        def payoff(action: Action) -> Scalar:
            return view.payoff_function(*_with(seen.actions, view.player, action))

        def from_(guess: Action) -> Action:
            if programme:
                return _programmed(view, seen.actions, guess, tolerance, self.max_steps)
            return best_reply(payoff, view.space, guess, tolerance, self.max_steps)

        if isinstance(noise, tuple) and noise == ():
            return from_(last)
        guesses = jax.tree.map(lambda a, others: jnp.concatenate([a[None], others]), last, noise)
        ends = jax.vmap(from_)(guesses)
        paid = jax.vmap(payoff)(ends)
        most = jnp.argmax(jnp.where(jnp.isnan(paid), -jnp.inf, paid))
        return jax.tree.map(lambda x: x[most], ends)

    def _together(self, view: View, seen: Seen) -> Action:
        game = view.game
        level = game.levels[level_of(game, view.player)]
        if level != game.levels[-1] or len(game.levels) == 1:
            raise ValueError(
                f"joint: expected the last of several levels, got player {view.player} in the levels {game.levels}"
            )
        for j in level:
            if isinstance(game.spaces[j], Arms):
                raise ValueError(
                    f"joint: expected actions to differentiate by, player {j} chooses from {game.spaces[j]}"
                )
        origin = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), [s.struct(view.dtype) for s in game.spaces])
        actions = tuple(game.spaces[j].project(origin[j]) if a is None else a for j, a in enumerate(seen.actions))
        tolerance: Any = jnp.sqrt(jnp.finfo(view.dtype).eps) if self.tolerance is None else self.tolerance
        return _jointly(game, level, actions, tolerance, self.max_steps)[level.index(view.player)]


@eqx.filter_jit  # the loop asks for answers in several places, and solvers are long: one trace serves all
def _programmed(view: View, seen: tuple[Any, ...], guess: Action, tolerance: Any, max_steps: int) -> Action:
    """The solution of the player's programme; NaN where none is found."""

    def payoff(action: Action) -> Scalar:
        return view.payoff_function(*_with(seen, view.player, action))

    constraints = functools.partial(_constraints, view, seen)
    return view.space.project(constrained_reply(payoff, constraints, guess, tolerance, max_steps))


_jointly = eqx.filter_jit(joint_reply)


def _with(actions: tuple[Any, ...], player: int, action: Action) -> tuple[Any, ...]:
    return (*actions[:player], action, *actions[player + 1 :])


def _constraints(view: View, actions: tuple[Any, ...], action: Action) -> Constraints:
    """The player's own, of its space and of the game."""
    dtype = jax.tree.leaves(action)[0].dtype
    of_game = view.constraints(_with(actions, view.player, action))
    of_space = view.space.inequalities(action), view.space.equalities(action)
    return Constraints(*(jnp.concatenate([a, flat(b, dtype)]) for a, b in zip(of_space, of_game, strict=True)))


def check_last(view: View, seen: Seen, name: str) -> None:
    """A `ValueError` that names the learner unless it sees the actions of all others."""
    unseen = [j for j, action in enumerate(seen.actions) if action is None and j != view.player]
    if unseen:
        raise ValueError(
            f"{name}: player {view.player} can't see the actions of players {unseen}, who don't move before it; a best "
            "response is for a player alone in the last level, or BestResponse(joint=True) for all in it"
        )


def of_each_arm(payoff: Callable[..., Scalar], view: View, seen: Seen) -> Float[Array, " arms"]:
    """A payoff, as a function of the joint action, for each arm of the player who sees the others'."""
    joint = [None if j == view.player else a for j, a in enumerate(seen.actions)]
    arms = jnp.arange(view.arms, dtype=jnp.int32)
    return jax.vmap(lambda arm: payoff(*(arm if a is None else a for a in joint)))(arms)
